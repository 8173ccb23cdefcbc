/// Along one axis, which inputs each output of a ×2 bilinear upsampling with aligned corners blends:
/// output i lies at i · (n − 1) / (2n − 1).
pub struct Axis {
    /// The nearer to zero of the two inputs, the other, and the other's weight.
    outputs: Vec<(usize, usize, f32)>,
}

impl Axis {
    pub fn doubling(inputs: usize) -> Self {
        let outputs = (0..2 * inputs).map(|i| {
            let position = i as f64 * (inputs - 1) as f64 / (2 * inputs - 1) as f64;
            let low = position as usize;
            (low, (low + 1).min(inputs - 1), (position - low as f64) as f32)
        });
        Self { outputs: outputs.collect() }
    }

    #[inline(always)]
    pub fn at(&self, output: usize) -> (usize, usize, f32) {
        self.outputs[output]
    }

    pub fn low(&self, output: usize) -> usize {
        self.outputs[output].0
    }

    pub fn high(&self, output: usize) -> usize {
        self.outputs[output].1
    }

    /// Which outputs each input takes part in, and how much.
    pub fn adjoint(&self) -> Adjoint {
        let inputs = self.outputs.len() / 2;
        let mut parts = vec![Vec::with_capacity(4); inputs];
        for (output, &(low, high, weight)) in self.outputs.iter().enumerate() {
            for (input, weight) in [(low, 1.0 - weight), (high, weight)] {
                if weight != 0.0 {
                    parts[input].push((output, weight));
                }
            }
        }
        Adjoint { parts }
    }
}

pub struct Adjoint {
    parts: Vec<Vec<(usize, f32)>>,
}

impl Adjoint {
    #[inline(always)]
    pub fn at(&self, input: usize) -> &[(usize, f32)] {
        &self.parts[input]
    }
}
