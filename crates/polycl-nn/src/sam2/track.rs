//! An object through a video, and which frames are looked back at
//! (upstream's `_prepare_memory_conditioned_features`).

use std::collections::BTreeMap;

use super::output::Output;

/// Times of memories: that of conditioning frames, and those of one to six frames ago.
pub(super) const MEMORIES: usize = 7;
/// Pointers to the object, at most, but for those of conditioning frames.
pub(super) const POINTERS: usize = 16;

/// A frame, and from where it is come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub frame: usize,
    /// Frames are walked towards the first one.
    pub reverse: bool,
    /// Frames of the whole video.
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

    /// The age of a frame in steps; `None` for one still to come.
    fn ago(self, frame: usize) -> Option<usize> {
        if self.reverse { frame.checked_sub(self.frame) } else { self.frame.checked_sub(frame) }
    }
}

/// An object through a video.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// Frames on which someone said where it is.
    pub(super) conditioning: BTreeMap<usize, Output>,
    pub(super) found: BTreeMap<usize, Output>,
    /// Frames that have been walked to, and whether in reverse.
    pub(super) walked: BTreeMap<usize, bool>,
    /// Conditioning frames that are looked at, the closest ones; all without it.
    most: Option<usize>,
}

impl Track {
    /// A track whose frames look at `most` conditioning frames, two at least, the closest ones.
    pub fn of_closest(most: usize) -> Self {
        Self { most: Some(most.max(2)), ..Self::default() }
    }

    /// The object on a frame, where it is known.
    pub fn get(&self, frame: usize) -> Option<&Output> {
        self.conditioning.get(&frame).or_else(|| self.found.get(&frame))
    }

    /// Keeps the answer of a drawn frame, in a walk that is gone on with.
    pub fn condition(&mut self, frame: usize, output: Output) {
        self.conditioning.insert(frame, output);
    }

    /// Keeps the answer of a found frame, in a walk that is gone on with.
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

    /// Frames that are not among the closest drawn ones count as found.
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
