//! Convolutions of [`Source`]s. Some images at a time are read into working memory, which stays in
//! the caches until the convolution has used it.

use std::ops::Range;

use crate::conv::{BackwardData, BackwardWeight, Conv, Forward, Weights};
use crate::moments::{Over, add_channel_sums};
use crate::parallel::{Out, filled};
use crate::read::{Reader, Source, SourceGradient, Totals};
use crate::scratch;
use crate::shape::Shape;

/// Bytes of working memory that images are gathered up to.
const GROUP: usize = 8 << 20;

/// The sources of a convolution, one after the other along channels.
struct Inputs<'a> {
    sources: Vec<Source<'a>>,
    readers: Vec<Reader<'a>>,
    shape: Shape,
}

impl<'a> Inputs<'a> {
    fn new(sources: &[Source<'a>]) -> Self {
        let shapes: Vec<Shape> = sources.iter().map(Source::output).collect();
        let first = shapes[0];
        assert!(shapes.iter().all(|shape| Shape { c: first.c, ..*shape } == first), "{shapes:?}");
        let shape = Shape { c: shapes.iter().map(|shape| shape.c).sum(), ..first };
        let readers = sources.iter().map(|&source| Reader::new(source)).collect();
        Self { sources: sources.to_vec(), readers, shape }
    }

    /// First channel of source `i`.
    fn channel(&self, i: usize) -> usize {
        self.readers[..i].iter().map(|reader| reader.output().c).sum()
    }

    /// Ranges of images that are worked on together.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let images = (GROUP / (self.shape.image() * size_of::<f32>())).clamp(1, self.shape.n);
        // Equal groups leave no small one for the end.
        let groups = self.shape.n.div_ceil(images);
        (0..groups).map(move |i| crate::parallel::piece(self.shape.n, groups, i))
    }

    /// Values of a group at most.
    fn room(&self) -> usize {
        self.groups().map(|images| images.len()).max().unwrap_or(0) * self.shape.image()
    }

    fn plain(&self) -> bool {
        self.sources.len() == 1 && self.sources[0].is_plain()
    }

    /// The values that `images` of the sources read as, in `room` unless they are there already.
    fn read<'m>(&'m self, images: Range<usize>, room: Out<'m>) -> &'m [f32] {
        let values = images.len() * self.shape.image();
        if self.plain() {
            return &self.sources[0].map[images.start * self.shape.image()..][..values];
        }
        let room = room.part(0..values);
        for (i, reader) in self.readers.iter().enumerate() {
            reader.read(images.clone(), room, self.channel(i), self.shape.c);
        }
        // SAFETY: the readers have written every channel of every pixel, and this memory is not
        // written again while the slice lives, since the callers use one after the other.
        unsafe { std::slice::from_raw_parts(room.at(0, values), values) }
    }

    fn room_needed(&self) -> usize {
        if self.plain() { 0 } else { self.room() }
    }
}

/// The convolution of what the sources read as.
pub fn convolve(sources: &[Source<'_>], weights: Weights<'_>, conv: Conv) -> Vec<f32> {
    let inputs = Inputs::new(sources);
    let output = conv.output(inputs.shape, weights.channels_out);
    let forward = Forward::new(weights, conv, inputs.shape);
    // SAFETY: the convolution writes all images of every group.
    unsafe {
        filled(output.len(), |out| {
            scratch::with(inputs.room_needed(), |room| {
                for images in inputs.groups() {
                    let out = out.part(images.start * output.image()..images.end * output.image());
                    let x = inputs.read(images.clone(), room);
                    forward.run(x, inputs.shape.with_images(images.len()), out);
                }
            });
        })
    }
}

/// Which gradients [`convolve_backward`] computes.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub sources: [bool; 2],
    pub weight: bool,
    pub bias: bool,
}

/// Gradients of a convolution.
#[derive(Debug, Default)]
pub struct ConvGradient {
    pub sources: [Option<SourceGradient>; 2],
    pub weight: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
}

/// The way back through [`convolve`] of one or two sources, from the gradient of its result.
pub fn convolve_backward(
    sources: &[Source<'_>],
    weights: Weights<'_>,
    conv: Conv,
    gradient: &[f32],
    wanted: Wanted,
) -> ConvGradient {
    let inputs = Inputs::new(sources);
    let output = conv.output(inputs.shape, weights.channels_out);
    assert_eq!(gradient.len(), output.len());
    let mut by_weight = wanted.weight.then(|| BackwardWeight::new(conv, inputs.shape, output.c));
    let wants_data = wanted.sources.iter().any(|&wanted| wanted);
    let (mut weight, mut data) = (None, None);
    let mut bias = (wanted.bias && weights.bias.is_some()).then(|| vec![0.0; output.c]);
    let mut ways: Vec<Option<WayBack<'_>>> = inputs
        .readers
        .iter()
        .zip(wanted.sources)
        .map(|(reader, wanted)| wanted.then(|| WayBack::new(reader)))
        .collect();
    let room = if wants_data { inputs.room() } else { inputs.room_needed() };
    scratch::with(room, |room| {
        for images in inputs.groups() {
            let shape = inputs.shape.with_images(images.len());
            let gradient = &gradient[images.start * output.image()..images.end * output.image()];
            if let Some(bias) = &mut bias {
                add_channel_sums(gradient, output.with_images(images.len()), bias);
            }
            if let Some(sums) = &mut by_weight {
                sums.add(inputs.read(images.clone(), room), shape, gradient);
            }
            if images.end == inputs.shape.n {
                // Before there are factors for the way back: the two are as large as each other.
                weight = by_weight.take().map(BackwardWeight::finish);
            }
            if wants_data {
                let data = data.get_or_insert_with(|| BackwardData::new(weights, conv, inputs.shape));
                let room = room.part(0..shape.len());
                data.run(gradient, output.with_images(images.len()), shape, room);
                // SAFETY: `run` has written all of it, and what was read there before is used up.
                let by_input = unsafe { std::slice::from_raw_parts(room.at(0, shape.len()), shape.len()) };
                for (i, way) in ways.iter_mut().enumerate() {
                    if let Some(way) = way {
                        way.go(images.clone(), by_input, inputs.channel(i), shape.c);
                    }
                }
            }
        }
    });
    let mut ways = ways.into_iter().map(|way| way.map(WayBack::arrive));
    ConvGradient {
        sources: std::array::from_fn(|_| ways.next().flatten()),
        weight,
        bias: bias.map(|bias| bias.into_iter().map(|sum| sum as f32).collect()),
    }
}

/// The values that one source reads as.
pub fn materialise(source: Source<'_>) -> Vec<f32> {
    let reader = Reader::new(source);
    let shape = reader.output();
    // SAFETY: the reader writes every channel of every pixel.
    unsafe { filled(shape.len(), |out| reader.read(0..shape.n, out, 0, shape.c)) }
}

/// The way back through [`materialise`].
pub fn materialise_backward(source: Source<'_>, gradient: &[f32]) -> SourceGradient {
    let reader = Reader::new(source);
    let mut way = WayBack::new(&reader);
    way.go(0..source.shape.n, gradient, 0, source.shape.c);
    way.arrive()
}

/// The gradient of a source on its way, some images at a time.
struct WayBack<'a> {
    reader: &'a Reader<'a>,
    map: Vec<f32>,
    residual: Option<Vec<f32>>,
    totals: Totals,
}

impl<'a> WayBack<'a> {
    fn new(reader: &'a Reader<'a>) -> Self {
        let len = reader.source().shape.len();
        let residual = reader.source().residual.map(|_| Vec::with_capacity(len));
        Self { reader, map: Vec::with_capacity(len), residual, totals: Totals::default() }
    }

    /// Takes `images` a step: `gradient` holds them, the source's channels from `channel` on of
    /// `channels`. Images come in order.
    fn go(&mut self, images: Range<usize>, gradient: &[f32], channel: usize, channels: usize) {
        let source = self.reader.source();
        let len = source.shape.len();
        let map = Out::uninit(&mut self.map.spare_capacity_mut()[..len]);
        let residual =
            self.residual.as_mut().map(|residual| Out::uninit(&mut residual.spare_capacity_mut()[..len]));
        let sums = self.reader.reverse(images.clone(), gradient, channel, channels, map, residual);
        self.totals.add(self.reader, images.clone(), &sums);
        if source.norm.is_some_and(|norm| norm.over == Over::Image) {
            self.reader.finish(images, map, &self.totals);
        }
    }

    fn arrive(mut self) -> SourceGradient {
        let source = self.reader.source();
        let len = source.shape.len();
        if source.norm.is_some_and(|norm| norm.over != Over::Image) {
            let map = Out::uninit(&mut self.map.spare_capacity_mut()[..len]);
            self.reader.finish(0..source.shape.n, map, &self.totals);
        }
        // SAFETY: `go` has written every image.
        unsafe {
            self.map.set_len(len);
            if let Some(residual) = &mut self.residual {
                residual.set_len(len);
            }
        }
        let (weight, bias) = self.reader.affine(&self.totals);
        SourceGradient { map: self.map, weight, bias, residual: self.residual }
    }
}
