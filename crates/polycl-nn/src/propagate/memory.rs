//! Objects followed by SAM 2: each slice looks back at what is remembered of shown slices and of those
//! before it. Each direction is walked for itself, as MedSAM2's script does.

use std::sync::Arc;

use polycl_base::Result;

use super::answer::{Answer, Asked, Pass, TRACES, Trace};
use super::follower::VideoNetwork;
use super::object::Place;
use crate::sam::{Point, Prompt, Slice};
use crate::sam2::{self, Features, Output, Track};

/// Shown slices that a slice looks at, the closest ones. Upstream looks at all, which takes ever longer.
const CLOSEST: usize = 8;
/// An object that is gone may come back within so many millimetres.
const GAP: f64 = 10.0;

/// Objects of one scan as SAM 2 remembers them.
pub struct Memory {
    network: Arc<VideoNetwork>,
    slices: usize,
    /// Millimetres between slices.
    step: f64,
    reverse: bool,
    tracks: Vec<Track>,
    /// Objects come one by one, and share it.
    encoded: Encoded,
}

/// One slice through the encoder, in each window.
#[derive(Default)]
struct Encoded {
    slice: usize,
    features: Vec<([f32; 2], Features)>,
}

impl Memory {
    /// A scan has so many slices, `step` mm apart.
    pub fn new(network: Arc<VideoNetwork>, slices: usize, step: f64) -> Self {
        let (tracks, encoded) = (Vec::new(), Encoded::default());
        Self { network, slices, step, reverse: false, tracks, encoded }
    }

    /// Slices without an object after which it is no longer looked for.
    pub fn patience(&self) -> usize {
        (GAP / self.step).ceil().max(1.0) as usize
    }

    pub fn condition(&mut self, object: usize, slice: usize, answer: &Answer) {
        if let Some(output) = output(answer) {
            self.track(object).condition(slice, output);
        }
    }

    /// Every object has been conditioned by now, so all tracks are there.
    pub fn begin(&mut self, pass: Pass) {
        self.reverse = pass == Pass::Down;
        self.tracks.iter_mut().for_each(|track| track.forget_but(|_| false));
    }

    fn track(&mut self, object: usize) -> &mut Track {
        self.tracks.resize_with(self.tracks.len().max(object + 1), || Track::of_closest(CLOSEST));
        &mut self.tracks[object]
    }

    fn encode(&mut self, slice: &Slice<'_>, window: [f32; 2]) -> Features {
        if self.encoded.slice != slice.number {
            self.encoded = Encoded { slice: slice.number, features: Vec::new() };
        }
        if let Some((_, features)) = self.encoded.features.iter().find(|(own, _)| *own == window) {
            return features.clone();
        }
        let features = self.network.encode(slice, window);
        self.encoded.features.push((window, features.clone()));
        features
    }

    /// Tells whether all memories of an answer are there.
    pub fn can_go_on(&self, answer: &Answer) -> bool {
        let config = &self.network.sam2.config;
        let pixels = config.side() * config.side() * config.memory.dim;
        let whole = |trace: &Trace| trace.pointer.len() == config.decoder.dim && trace.pixels.len() == pixels;
        answer.trace.as_ref().is_some_and(whole)
    }

    pub fn draw(&mut self, slice: &Slice<'_>, window: [f32; 2], drawn: &[bool]) -> Result<Answer> {
        let features = self.encode(slice, window);
        Ok(answer(self.network.sam2.drawn(&features, &slice.frame.on_input(drawn))?))
    }

    pub fn prompt(&mut self, slice: &Slice<'_>, window: [f32; 2], places: &[Place]) -> Result<Answer> {
        let features = self.encode(slice, window);
        let mut prompt = Prompt::default();
        let place = |xy: [usize; 2]| slice.frame.model_from_voxel(xy.map(|x| x as f32));
        for given in places {
            match *given {
                Place::Point { xy, positive } => prompt.points.push(Point { xy: place(xy), positive }),
                Place::Box([x0, y0, x1, y1]) => {
                    let (low, high) = (place([x0, y0]), place([x1, y1]));
                    // One box is all that SAM 2 takes: that around all of them.
                    let [a, b, c, d] = prompt.bounds.unwrap_or([low[0], low[1], high[0], high[1]]);
                    let corners = [a.min(low[0]), b.min(low[1]), c.max(high[0]), d.max(high[1])];
                    prompt.bounds = Some(corners);
                }
            }
        }
        Ok(answer(self.network.sam2.prompted(&features, &prompt)?))
    }

    pub fn follow(&mut self, slice: &Slice<'_>, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        let at = sam2::Place { frame: slice.number, reverse: self.reverse, frames: self.slices };
        let find = |own: &Asked<'_>| {
            let features = self.encode(slice, own.window);
            self.network.sam2.tracked(&features, &self.tracks[own.object], at, None).map(answer)
        };
        asked.iter().map(find).collect()
    }

    pub fn remember(&mut self, object: usize, slice: usize, answer: &Answer) {
        let reverse = self.reverse;
        let track = self.track(object);
        if let Some(output) = output(answer) {
            track.restore(slice, reverse, output);
        }
        track.forget_but(|other| other.abs_diff(slice) < TRACES);
    }
}

fn answer(output: Output) -> Answer {
    let found = output.logits.iter().any(|&x| x > 0.0);
    let presence = if found { output.object_score } else { output.object_score.min(-1.0) };
    Answer {
        // Else the -1024 of an absent object would outweigh all when two ways are blended.
        logits: output.logits.iter().map(|x| x.clamp(-32.0, 32.0)).collect(),
        predicted_iou: output.predicted_iou,
        presence,
        trace: Some(Trace { pointer: output.pointer, pixels: output.memory }),
    }
}

/// The part of an answer that tracks need.
fn output(answer: &Answer) -> Option<Output> {
    let trace = answer.trace.clone()?;
    Some(Output {
        logits: Vec::new(),
        predicted_iou: answer.predicted_iou,
        object_score: answer.presence,
        pointer: trace.pointer,
        memory: trace.pixels,
    })
}
