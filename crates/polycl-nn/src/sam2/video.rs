//! Objects through a video, as upstream's `SAM2VideoPredictor` keeps them, and which frames are looked back
//! at (`_prepare_memory_conditioned_features`).

use std::collections::BTreeMap;

use polycl_volume::Result;

use super::{Features, MEMORIES, Output, POINTERS, Sam2};
use crate::sam::Prompt;

/// Logits of an earlier mask that is given with a correction, at most.
const SUREST: f32 = 32.0;

/// Objects that are followed through the frames of a video, each for itself.
#[derive(Debug)]
pub struct Video<'n> {
    network: &'n Sam2,
    /// How many there are.
    frames: usize,
    objects: BTreeMap<u16, Track>,
    /// Whether a frame that is corrected counts as drawn from then on. Upstream's predictor treats it as
    /// found, and finds it again where it passes it.
    pub corrections_condition: bool,
}

impl<'n> Video<'n> {
    pub fn new(network: &'n Sam2, frames: usize) -> Self {
        Self { network, frames, objects: BTreeMap::new(), corrections_condition: false }
    }

    pub fn objects(&self) -> impl Iterator<Item = (u16, &Track)> {
        self.objects.iter().map(|(&object, track)| (object, track))
    }

    /// Says where an object is on a frame: a mask on the network's input ([`crate::sam::Frame::on_input`]).
    ///
    /// # Errors
    /// As [`Sam2::drawn`].
    pub fn draw(&mut self, object: u16, frame: usize, features: &Features, mask: &[f32]) -> Result<&Output> {
        let output = self.network.drawn(features, mask)?;
        Ok(self.told(object, frame, output))
    }

    /// Says something about an object on a frame, in pixels of the network's input: whatever has been said
    /// or found there is corrected.
    ///
    /// # Errors
    /// As [`Sam2::prompted`].
    pub fn prompt(
        &mut self,
        object: u16,
        frame: usize,
        features: &Features,
        prompt: &Prompt,
    ) -> Result<&Output> {
        let known = self.objects.get(&object).and_then(|track| Some((track, track.get(frame)?)));
        let earlier =
            known.map(|(_, output)| output.logits.iter().map(|x| x.clamp(-SUREST, SUREST)).collect());
        let prompt = Prompt { mask: earlier, ..prompt.clone() };
        let walked = self.objects.get(&object).and_then(|track| Some((track, *track.walked.get(&frame)?)));
        let output = match walked {
            Some((track, reverse)) => {
                let place = Place { frame, reverse, frames: self.frames };
                self.network.tracked(features, track, place, Some(&prompt))?
            }
            None => self.network.prompted(features, &prompt)?,
        };
        Ok(self.told(object, frame, output))
    }

    fn told(&mut self, object: u16, frame: usize, output: Output) -> &Output {
        let track = self.objects.entry(object).or_default();
        let drawn = track.conditioning.contains_key(&frame) || !track.walked.contains_key(&frame);
        if self.corrections_condition || drawn {
            track.found.remove(&frame);
            track.conditioning.insert(frame, output);
            &track.conditioning[&frame]
        } else {
            track.found.insert(frame, output);
            &track.found[&frame]
        }
    }

    /// Walks on to a frame: finds every object there, but for those that were drawn.
    ///
    /// # Errors
    /// As [`Sam2::tracked`].
    ///
    /// # Panics
    /// If nothing has been said about an object.
    pub fn step(&mut self, frame: usize, reverse: bool, features: &Features) -> Result<()> {
        let place = Place { frame, reverse, frames: self.frames };
        for track in self.objects.values_mut() {
            if !track.conditioning.contains_key(&frame) {
                let output = self.network.tracked(features, track, place, None)?;
                track.found.insert(frame, output);
            }
            track.walked.insert(frame, reverse);
        }
        Ok(())
    }
}

/// A frame, and from where it is come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub frame: usize,
    /// Frames are walked towards the first one.
    pub reverse: bool,
    /// Of the whole video.
    pub frames: usize,
}

impl Place {
    /// The frame that was `ago` steps before.
    fn earlier(self, ago: usize) -> Option<usize> {
        match self.reverse {
            false => self.frame.checked_sub(ago),
            true => Some(self.frame + ago).filter(|&frame| frame < self.frames),
        }
    }

    /// How many steps ago a frame was, if it was.
    fn ago(self, frame: usize) -> Option<usize> {
        if self.reverse { frame.checked_sub(self.frame) } else { self.frame.checked_sub(frame) }
    }
}

/// An object through a video.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// Frames on which someone said where it is.
    conditioning: BTreeMap<usize, Output>,
    found: BTreeMap<usize, Output>,
    /// Frames that have been walked to, and whether in reverse.
    walked: BTreeMap<usize, bool>,
    /// Conditioning frames that are looked at, the closest ones; all without it.
    most: Option<usize>,
}

impl Track {
    /// A track whose frames look at `most` conditioning frames, two at least, the closest ones.
    pub fn of_closest(most: usize) -> Self {
        Self { most: Some(most.max(2)), ..Self::default() }
    }

    /// Where the object is on a frame.
    pub fn get(&self, frame: usize) -> Option<&Output> {
        self.conditioning.get(&frame).or_else(|| self.found.get(&frame))
    }

    /// What was said about a frame before, in a walk that is gone on with.
    pub fn condition(&mut self, frame: usize, output: Output) {
        self.conditioning.insert(frame, output);
    }

    /// What was found on a frame before, in a walk that is gone on with.
    pub fn restore(&mut self, frame: usize, reverse: bool, output: Output) {
        self.found.insert(frame, output);
        self.walked.insert(frame, reverse);
    }

    /// Forgets what was found on frames for which `keep` is false.
    pub fn forget_but(&mut self, keep: impl Fn(usize) -> bool) {
        self.found.retain(|&frame, _| keep(frame));
    }

    /// The conditioning frames that are looked at, and those that are not.
    fn selected(&self, frame: usize) -> (Vec<usize>, Vec<usize>) {
        let all: Vec<usize> = self.conditioning.keys().copied().collect();
        let Some(most) = self.most.filter(|&most| most < all.len()) else { return (all, Vec::new()) };
        let before = all.iter().rev().find(|&&t| t < frame);
        let after = all.iter().find(|&&t| t >= frame);
        let mut chosen: Vec<usize> = before.into_iter().chain(after).copied().collect();
        let mut others: Vec<usize> = all.into_iter().filter(|t| !chosen.contains(t)).collect();
        others.sort_by_key(|t| t.abs_diff(frame));
        let left = others.split_off(most - chosen.len());
        chosen.extend(others);
        (chosen, left)
    }

    /// Memories for a frame: conditioning frames (0), then those found 6, 5, … 1 steps ago, each with its
    /// number from the last row of the times of frames on (1, 2, … 6).
    pub(super) fn memories(&self, place: Place) -> Vec<(usize, &Output)> {
        let (chosen, left) = self.selected(place.frame);
        let conditioning = chosen.iter().map(|frame| (0, &self.conditioning[frame]));
        let recent = (1..MEMORIES).filter_map(|number| {
            let frame = place.earlier(MEMORIES - number)?;
            Some((number, self.other(frame, &left)?))
        });
        conditioning.chain(recent).collect()
    }

    /// Pointers for a frame, and how many steps ago they were made: those of conditioning frames that have
    /// been passed, then the last ones found.
    pub(super) fn pointers(&self, place: Place) -> Vec<(usize, &Output)> {
        let (chosen, left) = self.selected(place.frame);
        let passed = chosen.iter().filter_map(|&frame| Some((place.ago(frame)?, &self.conditioning[&frame])));
        let recent = (1..POINTERS.min(place.frames))
            .filter_map(|ago| Some((ago, self.other(place.earlier(ago)?, &left)?)));
        passed.chain(recent).collect()
    }

    /// A frame that is not among the chosen conditioning ones.
    fn other(&self, frame: usize, left: &[usize]) -> Option<&Output> {
        self.found
            .get(&frame)
            .or_else(|| left.contains(&frame).then(|| self.conditioning.get(&frame)).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(mark: f32) -> Output {
        let (logits, pointer) = (Vec::new(), vec![mark]);
        Output { logits, predicted_iou: 0.0, object_score: 0.0, pointer, memory: Vec::new() }
    }

    fn marks(found: Vec<(usize, &Output)>) -> Vec<(usize, usize)> {
        found.iter().map(|(number, output)| (*number, output.pointer[0] as usize)).collect()
    }

    /// Frames 0 and 9 are drawn, those between found.
    fn track() -> Track {
        let mut track = Track::default();
        [0, 9].into_iter().for_each(|frame| track.condition(frame, output(frame as f32)));
        (1..9).for_each(|frame| track.restore(frame, false, output(frame as f32)));
        track
    }

    #[test]
    fn a_frame_looks_back_at_six() {
        let track = track();
        let forward = Place { frame: 8, reverse: false, frames: 20 };
        assert_eq!(
            marks(track.memories(forward)),
            [(0, 0), (0, 9), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)]
        );
        let passed = [(8, 0), (1, 7), (2, 6), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1)];
        assert_eq!(marks(track.pointers(forward)), passed);
        let reverse = Place { frame: 7, reverse: true, frames: 20 };
        assert_eq!(marks(track.memories(reverse)), [(0, 0), (0, 9), (6, 8)]);
        assert_eq!(marks(track.pointers(reverse)), [(2, 9), (1, 8)]);
    }

    /// What is not among the closest drawn frames counts as found.
    #[test]
    fn the_closest_drawn_frames() {
        let mut track = Track::of_closest(2);
        [0, 3, 5, 12, 30].into_iter().for_each(|frame| track.condition(frame, output(frame as f32)));
        let place = Place { frame: 6, reverse: false, frames: 40 };
        assert_eq!(marks(track.memories(place)), [(0, 5), (0, 12), (1, 0), (4, 3)]);
        assert_eq!(marks(track.pointers(place)), [(1, 5), (3, 3), (6, 0)]);
        track.forget_but(|_| false);
        assert!(track.get(3).is_some() && track.get(6).is_none());
    }
}
