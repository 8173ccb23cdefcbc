//! One slice at a time: boxes and clicks answered at once, and embeddings made before anybody asks.

use polycl_base::Result;
use polycl_image::{Image, Plane};

use super::follower::Follower;
use super::object::Place;
use super::scene::Scene;
use super::tracker::Tracker;
use crate::sam::Cache;

/// An object in one plane, as it is displayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompted {
    pub inside: Vec<bool>,
    pub predicted_iou: f32,
}

/// A scan's planes of one kind before a network, for one question after the other.
pub struct Desk<'a> {
    follower: &'a Follower,
    scene: Scene<'a>,
}

impl<'a> Desk<'a> {
    /// `cache` is what [`Follower::cache`] gave for these planes: finding it takes a look at all voxels.
    pub fn new(follower: &'a Follower, image: &'a Image, plane: Plane, cache: Option<Cache>) -> Self {
        Self { follower, scene: Scene::with(image, plane, follower, cache) }
    }

    /// Finds an object by boxes and clicks, whose columns and rows are those of plane `k` as [`Plane`] counts and shows it.
    ///
    /// # Errors
    /// Errors of the device or the cache.
    pub fn prompt(&self, k: usize, window: [f32; 2], places: &[Place]) -> Result<Prompted> {
        let scene = &self.scene;
        let plane = scene.plane(k);
        let mut tracker = Tracker::new(self.follower, scene.slices, scene.step);
        let answer = tracker.prompt(&scene.slice(k, &plane), scene.lattice, window, places)?;
        let inside = match answer.is_there() {
            true => scene.frame.restore(&answer.logits).iter().map(|&x| x > 0.0).collect(),
            false => vec![false; plane.len()],
        };
        Ok(Prompted { inside, predicted_iou: answer.predicted_iou })
    }

    /// Embeds a plane, and keeps that in the cache, where the network has one.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn embed(&self, k: usize, window: [f32; 2]) -> Result<()> {
        let Follower::Boxes(network) = self.follower else { return Ok(()) };
        let plane = self.scene.plane(k);
        network.embed(&self.scene.slice(k, &plane), window).map(drop)
    }

    /// True if a plane needs no more embedding.
    pub fn is_embedded(&self, k: usize, window: [f32; 2]) -> bool {
        self.scene.is_embedded(k, window)
    }
}
