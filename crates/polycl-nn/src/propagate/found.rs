//! Slices as soon as objects have been looked for in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use polycl_image::orient::Reorientation;
use polycl_image::{Plane, Space, Volume};

use super::answer::{Answer, Answers};
use super::scene::Scene;
use crate::sam::Frame;

/// Objects that were found in a slice, by boxes and clicks or on one way through the scan. It may change: a slice
/// that both ways pass comes twice, and both are blended in the end. Clones are cheap, pixels are
/// computed when they are asked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// Kind of the planes that were looked at.
    pub plane: Plane,
    /// Number along the file's axis across them; across axial ones, its slice axis.
    pub slice: usize,
    /// Objects that were looked for, in the order in which they were.
    pub labels: Vec<u16>,
    answers: Arc<Answers>,
    frame: Frame,
    order: Reorientation,
    /// That of the slice alone, in the file's order.
    space: Space,
}

impl Found {
    pub(super) fn new(scene: &Scene<'_>, k: usize, labels: Vec<u16>, mut answers: Answers) -> Self {
        // Large, and of no use to those who look on.
        answers.values_mut().for_each(|answer| answer.trace = None);
        let (order, file) = (scene.order, &scene.image.space);
        let mut space = Space::new(file.shape, file.world_from_voxel);
        space.shape[order.slice_axis()] = 1;
        let slice = order.slice_from_canonical(k, file);
        Self {
            plane: scene.plane,
            slice,
            labels,
            answers: Arc::new(answers),
            frame: scene.frame,
            order,
            space,
        }
    }

    /// The pixels of each label: true inside, in the order of the file's voxels.
    pub fn planes(&self) -> BTreeMap<u16, Vec<bool>> {
        let answers = self.labels.iter().filter_map(|label| Some((*label, self.answers.get(label)?)));
        answers.map(|(label, answer)| (label, self.plane(answer))).collect()
    }

    /// The network's confidence in what it says of each label: the IoU that it predicts, of one that it does not find the rest.
    pub fn confidence(&self) -> BTreeMap<u16, f32> {
        let confidence = |answer: &Answer| {
            let iou = answer.predicted_iou.clamp(0.0, 1.0);
            if answer.is_there() { iou } else { 1.0 - iou }
        };
        let answers = self.labels.iter().filter_map(|label| Some((*label, self.answers.get(label)?)));
        answers.map(|(label, answer)| (label, confidence(answer))).collect()
    }

    fn plane(&self, answer: &Answer) -> Vec<bool> {
        let mut plane = Volume { space: self.space.clone(), voxels: vec![false; self.space.voxels()] };
        if answer.is_there() {
            let inside: Vec<bool> = self.frame.restore(&answer.logits).iter().map(|&x| x > 0.0).collect();
            self.order.put_plane(&mut plane, 0, &inside);
        }
        plane.voxels
    }
}
