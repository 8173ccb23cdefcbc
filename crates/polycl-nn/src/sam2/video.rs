//! Objects through a video, as upstream's `SAM2VideoPredictor` keeps them.

use std::collections::BTreeMap;

use polycl_base::Result;

use super::output::Output;
use super::track::{Place, Track};
use super::{Features, Sam2};
use crate::sam::Prompt;

/// Logits of an earlier mask that is given with a correction, at most.
const SUREST: f32 = 32.0;

/// Objects that are followed through the frames of a video, each for itself.
#[derive(Debug)]
pub struct Video<'n> {
    network: &'n Sam2,
    /// Number of frames.
    frames: usize,
    objects: BTreeMap<u16, Track>,
    /// Counts a corrected frame as drawn from then on. Upstream's predictor treats such a frame as
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
