//! A scan's planes as trackers see them.

use polycl_image::orient::Reorientation;
use polycl_image::preprocess::Grid;
use polycl_image::{Image, Plane};

use super::follower::Follower;
use crate::sam::{Cache, Frame, Lattice, Slice};

/// A scan in an order in which planes of one kind are the slices, and their place in a network's input.
pub struct Scene<'a> {
    pub image: &'a Image,
    pub plane: Plane,
    pub order: Reorientation,
    /// Slices, and millimetres between them.
    pub slices: usize,
    pub step: f64,
    pub grid: Grid,
    pub frame: Frame,
    pub lattice: Lattice,
    cache: Option<Cache>,
}

impl<'a> Scene<'a> {
    /// `cache` is what [`Follower::cache`] gives, or nothing where nothing is embedded.
    pub fn with(image: &'a Image, plane: Plane, follower: &Follower, cache: Option<Cache>) -> Self {
        let order = plane.order(&image.space);
        let space = order.space(&image.space);
        let grid = Grid::of(&space);
        let frame = follower.frame(grid);
        let lattice = frame.lattice(grid.spacing);
        Self {
            image,
            plane,
            order,
            slices: space.shape[2],
            step: space.spacing()[2],
            grid,
            frame,
            lattice,
            cache,
        }
    }

    pub fn is_embedded(&self, k: usize, window: [f32; 2]) -> bool {
        self.cache.as_ref().is_none_or(|cache| cache.holds(k, window))
    }

    pub fn plane(&self, k: usize) -> Vec<f32> {
        self.order.plane(self.image, k)
    }

    pub fn slice<'s>(&'s self, number: usize, plane: &'s [f32]) -> Slice<'s> {
        Slice { number, plane, frame: self.frame, cache: self.cache.as_ref() }
    }
}
