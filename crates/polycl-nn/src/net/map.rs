//! Feature maps between layers.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{Distribution, Tensor};

use crate::kernels::{self, Conv, Dropout, NormSpec, Over, Resample, Source, SourceSpec, composed};

/// A feature map as a convolution has left it, and what the next layer does to it while it reads it:
/// normalise, add, activate, drop out, resample.
///
/// Where there are kernels (see [`crate::kernels`]) only the stored values are ever in memory;
/// elsewhere a map is processed once, here, and stored so.
#[derive(Debug, Clone)]
pub struct Map(Source);

/// The normalisation of a map.
#[derive(Debug, Clone)]
pub struct Norm {
    pub over: Over,
    pub epsilon: f32,
    /// Mean and variance to use instead of the map's own, [1, 2, C].
    pub fixed: Option<Tensor<3>>,
    /// Weight and bias, `[C]` each.
    pub affine: Option<[Tensor<1>; 2]>,
}

impl Map {
    /// A map [B, H, W, C] that is read as it is.
    pub fn plain(stored: Tensor<4>) -> Self {
        Self(Source { map: stored, moments: None, affine: None, residual: None, spec: SourceSpec::PLAIN })
    }

    /// The same from [B, C, H, W].
    pub fn from_nchw(x: Tensor<4>) -> Self {
        let [b, c, h, w] = x.dims();
        Self::plain(if c == 1 { x.reshape([b, h, w, c]) } else { composed::nhwc(x) })
    }

    /// The result [B, H, W, C] of a convolution, normalised; `moments` are its own, if they are known.
    pub fn normalised(stored: Tensor<4>, norm: Norm, moments: Option<Tensor<3>>) -> Self {
        let Norm { over, epsilon, fixed, affine } = norm;
        let spec = NormSpec { over, epsilon, affine: affine.is_some(), fixed: fixed.is_some() };
        // burn's own operations take the moments themselves, so that gradients flow through them.
        let own = || kernels::serves(&stored).then(|| kernels::moments(&stored, over));
        let moments = fixed.or(moments).or_else(own);
        let spec = SourceSpec { norm: Some(spec), ..SourceSpec::PLAIN };
        Self(Source { map: stored, moments, affine, residual: None, spec })
    }

    /// The sum with another map of the same shape, which is to be read as it is stored.
    #[must_use]
    pub fn plus(mut self, other: &Map) -> Self {
        self.0.residual = Some(other.read());
        self.0.spec.residual = true;
        self
    }

    /// LeakyReLU of this slope below zero, then dropout; the last thing that happens to the values.
    #[must_use]
    pub fn activated(mut self, slope: f32, dropout: Option<f64>) -> Self {
        self.0.spec.slope = slope;
        self.0.spec.dropout = dropout.map(|probability| Dropout {
            probability: probability as f32,
            seed: if kernels::serves(&self.0.map) { seed(&self.0.map) } else { 0 },
        });
        if kernels::serves(&self.0.map) { self } else { Self::plain(self.read()) }
    }

    /// Windows of `size`², `stride` apart.
    #[must_use]
    pub fn max_pool(&self, size: usize, stride: usize, padding: usize) -> Self {
        self.resampled(Resample::MaxPool { size, stride, padding })
    }

    /// Bilinear ×2 with aligned corners.
    #[must_use]
    pub fn upsample2(&self) -> Self {
        self.resampled(Resample::Upsample2)
    }

    fn resampled(&self, resample: Resample) -> Self {
        let once = self.0.spec.resample == Resample::No;
        let mut map = if once { self.clone() } else { Self::plain(self.read()) };
        map.0.spec.resample = resample;
        map
    }

    /// The values that the map reads as, [B, H, W, C].
    pub fn read(&self) -> Tensor<4> {
        if self.0.spec == SourceSpec::PLAIN {
            return self.0.map.clone();
        }
        if kernels::serves(&self.0.map) {
            kernels::read(&self.0)
        } else {
            composed::nhwc(composed::read(&self.0))
        }
    }

    /// The values that the map reads as, [B, C, H, W].
    pub fn to_nchw(&self) -> Tensor<4> {
        let x = self.read();
        let [b, h, w, c] = x.dims();
        if c == 1 { x.reshape([b, c, h, w]) } else { composed::nchw(x) }
    }
}

/// The convolution of one map, or of two one after the other along channels → [B, H', W', C_out].
pub fn convolve(maps: &[&Map], layer: &Conv2d) -> Tensor<4> {
    let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()));
    let sources: Vec<&Source> = maps.iter().map(|map| &map.0).collect();
    match square(layer).filter(|_| sources.iter().all(|source| kernels::serves(&source.map))) {
        Some(conv) if kernels::serves(&weight) => kernels::convolve(&sources, weight, bias, conv),
        Some(conv) => composed::nhwc(composed::convolve(&sources, weight, bias, conv)),
        None => {
            let maps = maps.iter().map(|map| map.to_nchw()).collect();
            composed::nhwc(layer.forward(Tensor::cat(maps, 1)))
        }
    }
}

/// The form of the layer, if it is one that there are kernels for.
fn square(layer: &Conv2d) -> Option<Conv> {
    let ([kernel, other], [stride, across]) = (layer.kernel_size, layer.stride);
    let padding = match layer.padding {
        PaddingConfig2d::Valid => 0,
        PaddingConfig2d::Explicit(top, left, bottom, right) if [left, bottom, right] == [top; 3] => top,
        _ => return None,
    };
    let plain = kernel == other && stride == across && layer.dilation == [1, 1] && layer.groups == 1;
    plain.then_some(Conv { kernel, stride, padding })
}

/// A seed from the device's generator, so that whoever seeds the device decides over every mask.
fn seed(like: &Tensor<4>) -> u64 {
    let device = like.device().inner();
    let parts = Tensor::<1>::random([4], Distribution::Uniform(0.0, 65_536.0), &device);
    let parts = parts.into_data().try_into_vec::<f32>().expect("random numbers of the CPU are float32");
    parts.into_iter().fold(0, |seed, part| seed << 16 | part as u64 & 0xffff)
}
