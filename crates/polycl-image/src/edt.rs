//! Exact Euclidean distance transform on a grid with its own step along each axis.
//!
//! P. Felzenszwalb, D. Huttenlocher, "Distance Transforms of Sampled Functions", Theory of
//! Computing 8 (2012): the squared distance is the lower envelope of parabolas, found along one
//! axis after the other in linear time.

use rayon::prelude::*;

/// Squared distance in mm² from every grid point to the nearest point for which `site` is true;
/// infinite everywhere if there is none. The first axis of `shape` runs fastest.
pub fn squared_distances(site: &[bool], shape: [usize; 3], spacing: [f64; 3]) -> Vec<f64> {
    let mut squared: Vec<f64> = site.iter().map(|&s| if s { 0.0 } else { f64::INFINITY }).collect();
    let [a, b, c] = shape;
    squared = along_last(&squared, [a, b, c], spacing[2]);
    squared = along_last(&squared, [c, a, b], spacing[1]);
    along_last(&squared, [b, c, a], spacing[0])
}

/// Transforms along the last axis of [a, b, c] and returns the result as [c, a, b]. Three such
/// passes transform every axis once and restore the order of the axes.
fn along_last(input: &[f64], [a, b, c]: [usize; 3], step: f64) -> Vec<f64> {
    let mut output = vec![f64::INFINITY; input.len()];
    if input.is_empty() {
        return output;
    }
    output.par_chunks_mut(c * a).enumerate().for_each_init(Envelope::default, |envelope, (y, lines)| {
        for (x, line) in lines.chunks_mut(c).enumerate() {
            envelope.gather((0..c).map(|z| input[x + a * (y + b * z)]), step);
            envelope.fill(line, step);
        }
    });
    output
}

/// The lower envelope of the parabolas `height + (step * (x - at))²` along one line.
#[derive(Default)]
struct Envelope(Vec<Parabola>);

struct Parabola {
    at: f64,
    height: f64,
    /// The place along the line, in grid steps, from which this parabola is the lowest.
    from: f64,
}

impl Envelope {
    fn gather(&mut self, heights: impl Iterator<Item = f64>, step: f64) {
        self.0.clear();
        for (at, height) in heights.enumerate().filter(|(_, height)| height.is_finite()) {
            self.push(at as f64, height, step);
        }
    }

    /// Adds a parabola to the right of all others, dropping those that it hides.
    fn push(&mut self, at: f64, height: f64, step: f64) {
        let mut from = f64::NEG_INFINITY;
        while let Some(last) = self.0.last() {
            let rise = (height - last.height) / (step * step * (at - last.at));
            from = 0.5 * (rise + at + last.at);
            if from > last.from {
                break;
            }
            self.0.pop();
            from = f64::NEG_INFINITY;
        }
        self.0.push(Parabola { at, height, from });
    }

    /// Evaluates the envelope at 0, 1, 2, …; a line without parabolas keeps its values.
    fn fill(&self, line: &mut [f64], step: f64) {
        let mut parabolas = self.0.iter().peekable();
        let Some(mut lowest) = parabolas.next() else { return };
        for (x, value) in line.iter_mut().enumerate() {
            let x = x as f64;
            while let Some(next) = parabolas.next_if(|next| next.from < x) {
                lowest = next;
            }
            let distance = step * (x - lowest.at);
            *value = lowest.height + distance * distance;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(index: usize, [a, b, _]: [usize; 3], spacing: [f64; 3]) -> glam::DVec3 {
        let at = [index % a, index / a % b, index / (a * b)];
        glam::DVec3::from_array(std::array::from_fn(|axis| at[axis] as f64 * spacing[axis]))
    }

    proptest! {
        #[test]
        fn agrees_with_brute_force(
            shape in prop::array::uniform3(1usize..9),
            spacing in prop::array::uniform3(0.2f64..6.0),
            seed in prop::collection::vec(0u8..20, 512),
        ) {
            let n = shape.iter().product();
            let site: Vec<bool> = seed[..n].iter().map(|&s| s == 0).collect();
            let sites: Vec<_> = (0..n).filter(|&i| site[i]).map(|i| point(i, shape, spacing)).collect();
            for (i, squared) in squared_distances(&site, shape, spacing).into_iter().enumerate() {
                let here = point(i, shape, spacing);
                let brute = sites.iter().map(|s| s.distance_squared(here)).fold(f64::INFINITY, f64::min);
                prop_assert!(squared == brute || (squared - brute).abs() <= 1e-12 * brute, "{squared} {brute}");
            }
        }
    }
}
