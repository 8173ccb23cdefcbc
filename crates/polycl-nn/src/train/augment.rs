//! Augmentation of a slice and its classes: an affine motion, a left–right flip where it is asked for and the
//! organs allow it, and what scanners differ in: contrast, brightness, gamma, noise, blur, resolution.

use polycl_base::rng::{Purpose, rng};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The strength of augmentation; `none` in a config file is every field 0 or false.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Largest rotation in degrees, either way.
    pub rotate: f32,
    /// Largest relative change of size, either way.
    pub scale: f32,
    /// Largest shift as a fraction of the side, either way.
    pub shift: f32,
    /// Largest relative change of contrast and, of the slice's range, of brightness.
    pub intensity: f32,
    /// Largest exponent e^±gamma that values go through, as parts of the slice's range.
    pub gamma: f32,
    /// Largest standard deviation of noise, as a part of the slice's range.
    pub noise: f32,
    /// Largest standard deviation in pixels of the blur that one slice in five gets.
    pub blur: f32,
    /// The largest part of the resolution that one slice in five loses.
    pub low_resolution: f32,
    /// Flips half of the slices left to right.
    pub flip: bool,
}

/// One slice in so many is blurred, and one loses resolution: no scanner does both to all.
const SELDOM: f32 = 5.0;

impl Default for Augment {
    fn default() -> Self {
        Self {
            rotate: 10.0,
            scale: 0.15,
            shift: 0.1,
            intensity: 0.1,
            gamma: 0.3,
            noise: 0.03,
            blur: 0.0,
            low_resolution: 0.0,
            flip: false,
        }
    }
}

impl Augment {
    pub fn none() -> Self {
        Self {
            rotate: 0.0,
            scale: 0.0,
            shift: 0.0,
            intensity: 0.0,
            gamma: 0.0,
            noise: 0.0,
            blur: 0.0,
            low_resolution: 0.0,
            flip: false,
        }
    }

    /// # Errors
    /// A sentence about the first value that makes no sense.
    pub fn check(&self) -> Result<(), String> {
        let limits = [
            ("rotate", self.rotate, 180.0),
            ("scale", self.scale, 0.9),
            ("shift", self.shift, 1.0),
            ("intensity", self.intensity, 1.0),
            ("gamma", self.gamma, 2.0),
            ("noise", self.noise, 1.0),
            ("blur", self.blur, 10.0),
            ("low_resolution", self.low_resolution, 0.9),
        ];
        // NaN lies in no range.
        let odd = limits.into_iter().find(|&(_, value, limit)| !(0.0..=limit).contains(&value));
        odd.map_or(Ok(()), |(name, value, limit)| Err(format!("{name} of {value}, not from 0 to {limit}")))
    }
}

/// The classes after a left–right flip: `None` where an organ's mirror image is no class,
/// so that flipping would teach a lie.
pub fn mirrored_classes(organs: &[String]) -> Option<Vec<u8>> {
    let organs: Vec<Vec<String>> = organs.iter().map(|name| words(name)).collect();
    let class = |name: &Vec<String>| {
        // A side that is no word of its own ("kidneyleft") has no mirror image that could be told.
        let hidden =
            |word: &String| mirror(word) == word && (word.contains("left") || word.contains("right"));
        let mirrored: Vec<String> = name.iter().map(|word| mirror(word).to_owned()).collect();
        let partner = organs.iter().position(|other| *other == mirrored);
        partner.filter(|_| !name.iter().any(hidden)).and_then(|class| u8::try_from(class + 1).ok())
    };
    std::iter::once(Some(0)).chain(organs.iter().map(class)).collect()
}

/// The words of a name in lower case: parted by signs, and by capitals after small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("there is a first").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn mirror(word: &str) -> &str {
    let pairs = [("left", "right"), ("l", "r"), ("lt", "rt"), ("lft", "rgt")];
    let other = pairs.iter().find_map(|&(left, right)| match word {
        _ if word == left => Some(right),
        _ if word == right => Some(left),
        _ => None,
    });
    other.unwrap_or(word)
}

impl Augment {
    /// Changes one slice of `size`² pixels and its classes; the draw depends on the arguments alone.
    /// `mirrored` is what [`mirrored_classes`] says.
    pub fn apply(
        &self,
        image: &mut Vec<f32>,
        classes: &mut Vec<u8>,
        size: usize,
        mirrored: Option<&[u8]>,
        seed: u64,
        at: [u64; 2],
    ) {
        let mut rng = rng(seed, Purpose::Augment, at);
        let mut within = |limit: f32| limit * (2.0 * rng.random::<f32>() - 1.0);
        let (angle, scale) = (within(self.rotate).to_radians(), 1.0 + within(self.scale));
        let shift = [within(self.shift) * size as f32, within(self.shift) * size as f32];
        let (contrast, brightness) = (1.0 + within(self.intensity), within(self.intensity));
        let gamma = within(self.gamma).exp();
        let flip = rng.random::<bool>() && self.flip && mirrored.is_some();

        let motion = Motion { angle, scale, shift, flip, size };
        *image = motion.linear(image);
        *classes = motion.nearest(classes);
        if let (true, Some(mirrored)) = (flip, mirrored) {
            let mirror = |class: &u8| mirrored.get(usize::from(*class)).copied();
            // What nobody annotated is no class.
            classes.iter_mut().for_each(|class| *class = mirror(class).unwrap_or(*class));
        }
        let range = Range::of(image);
        // The draws are made whatever the limits are, so that one setting does not move another's.
        let mut up_to = |limit: f32| limit * rng.random::<f32>();
        let seldom = [up_to(SELDOM) < 1.0, up_to(SELDOM) < 1.0];
        let (blur, lost, noise) = (up_to(self.blur), up_to(self.low_resolution), up_to(self.noise));
        if seldom[0] && blur > 0.0 {
            *image = blurred(image, size, blur);
        }
        if seldom[1] && lost > 0.0 {
            *image = coarse(image, size, 1.0 - lost);
        }
        range.adjust(image, contrast, brightness, gamma);
        if noise > 0.0 {
            let sd = noise * (range.high - range.low);
            image.iter_mut().for_each(|x| *x += sd * normal(&mut rng));
        }
    }
}

/// The least and the largest value of a slice, and their mean: what intensities are changed by, whatever the
/// normalisation.
struct Range {
    low: f32,
    high: f32,
    mean: f32,
}

impl Range {
    fn of(image: &[f32]) -> Self {
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
        Self { low, high, mean }
    }

    /// Stretches around the mean, shifts by a part of the range, then bends the range.
    fn adjust(&self, image: &mut [f32], contrast: f32, brightness: f32, gamma: f32) {
        let &Self { low, high, mean } = self;
        let width = high - low;
        for x in image {
            *x = (mean + (*x - mean) * contrast + brightness * width).clamp(low, high);
            if gamma != 1.0 && width > 0.0 {
                *x = low + width * ((*x - low) / width).powf(gamma);
            }
        }
    }
}

/// A draw from the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let (u, v) = (1.0 - rng.random::<f32>(), rng.random::<f32>());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

/// A slice through a Gaussian of this standard deviation in pixels; the border goes on outside.
fn blurred(image: &[f32], size: usize, deviation: f32) -> Vec<f32> {
    let reach = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f32> =
        (-reach..=reach).map(|at| (-0.5 * (at as f32 / deviation).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let last = size as isize - 1;
    let pass = |image: &[f32], step: [usize; 2]| -> Vec<f32> {
        let value = |along: usize, across: usize| -> f32 {
            let taps = (-reach..=reach).zip(&weights);
            let at = |offset: isize| (along as isize + offset).clamp(0, last) as usize;
            taps.map(|(offset, weight)| weight * image[at(offset) * step[0] + across * step[1]]).sum::<f32>()
                / sum
        };
        let mut out = vec![0.0; image.len()];
        for (across, along) in (0..size).flat_map(|across| (0..size).map(move |along| (across, along))) {
            out[along * step[0] + across * step[1]] = value(along, across);
        }
        out
    };
    pass(&pass(image, [1, size]), [size, 1])
}

/// A slice as one of a part of its resolution would look: nearest pixels of a coarser grid, interpolated.
fn coarse(image: &[f32], size: usize, part: f32) -> Vec<f32> {
    let few = ((size as f32 * part).round() as usize).clamp(1, size);
    let step = size as f32 / few as f32;
    let centre = |i: usize| ((i as f32 + 0.5) * step) as usize;
    let small: Vec<f32> = (0..few * few)
        .map(|i| image[centre(i / few).min(size - 1) * size + centre(i % few).min(size - 1)])
        .collect();
    let at = |i: usize| (i as f32 + 0.5) / step - 0.5;
    (0..size * size).map(|i| bilinear(&small, few, [at(i % size), at(i / size)])).collect()
}

/// The value at a place of a slice of `size`² pixels; the border goes on outside.
pub(super) fn bilinear(image: &[f32], size: usize, [x, y]: [f32; 2]) -> f32 {
    let last = (size - 1) as f32;
    let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(size - 1), (y0 + 1).min(size - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let row = |y: usize| image[y * size + x0] * (1.0 - fx) + image[y * size + x1] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

/// Rotation, scaling and flip about the centre, then a shift.
struct Motion {
    angle: f32,
    scale: f32,
    shift: [f32; 2],
    flip: bool,
    size: usize,
}

impl Motion {
    /// The place that pixel (x, y) of the result comes from.
    fn source(&self, x: usize, y: usize) -> [f32; 2] {
        let centre = (self.size as f32 - 1.0) / 2.0;
        let (dx, dy) = (x as f32 - centre - self.shift[0], y as f32 - centre - self.shift[1]);
        let (sin, cos) = self.angle.sin_cos();
        let (u, v) = ((cos * dx + sin * dy) / self.scale, (cos * dy - sin * dx) / self.scale);
        [centre + if self.flip { -u } else { u }, centre + v]
    }

    fn map<T>(&self, sample: impl Fn([f32; 2]) -> T) -> Vec<T> {
        (0..self.size * self.size).map(|i| sample(self.source(i % self.size, i / self.size))).collect()
    }

    fn linear(&self, image: &[f32]) -> Vec<f32> {
        self.map(|at| bilinear(image, self.size, at))
    }

    /// Nearest; the border goes on outside, as it does in the image.
    fn nearest(&self, classes: &[u8]) -> Vec<u8> {
        let last = (self.size - 1) as f32;
        self.map(|[x, y]| {
            let (x, y) = (x.round().clamp(0.0, last), y.round().clamp(0.0, last));
            classes[y as usize * self.size + x as usize]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still() -> Augment {
        Augment { flip: true, ..Augment::none() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_flip_swaps_paired_organs_and_is_off_where_a_partner_lacks() {
        assert_eq!(mirrored_classes(&names(&["liver"])), Some(vec![0, 1]));
        let paired = names(&["kidney_left", "liver", "kidney_right"]);
        assert_eq!(mirrored_classes(&paired), Some(vec![0, 3, 2, 1]));
        assert_eq!(mirrored_classes(&names(&["Left Kidney", "Right Kidney"])), Some(vec![0, 2, 1]));
        assert_eq!(mirrored_classes(&names(&["kidney_left", "liver"])), None);
        assert_eq!(mirrored_classes(&names(&["kidney_l", "spleen"])), None);
        assert_eq!(mirrored_classes(&names(&["kidney_l", "kidney_r"])), Some(vec![0, 2, 1]));
        assert_eq!(mirrored_classes(&names(&["LeftLung", "RightLung"])), Some(vec![0, 2, 1]));
        assert_eq!(mirrored_classes(&names(&["rib_left_3", "rib_right_3"])), Some(vec![0, 2, 1]));
        assert_eq!(mirrored_classes(&names(&["rib_left_3", "rib_right_4"])), None);
        assert_eq!(mirrored_classes(&names(&["kidneyleft", "kidneyright"])), None);
        assert_eq!(mirrored_classes(&names(&["vertebrae_L1"])), Some(vec![0, 1]), "a level, not a side");
    }

    #[test]
    fn a_flip_mirrors_image_and_classes_together() {
        let (image, classes) = (vec![1.0, 2.0, 3.0, 4.0], vec![1, 0, 2, 0]);
        let flipped = (0..20).map(|epoch| {
            let (mut i, mut c) = (image.clone(), classes.clone());
            still().apply(&mut i, &mut c, 2, Some(&[0, 2, 1]), 7, [epoch, 0]);
            (i, c)
        });
        let outcomes: Vec<_> = flipped.collect();
        assert!(outcomes.contains(&(image.clone(), classes.clone())));
        assert!(outcomes.contains(&(vec![2.0, 1.0, 4.0, 3.0], vec![0, 2, 0, 1])));
        assert!(outcomes.iter().all(|(i, c)| (i == &image) == (c == &classes)));
    }

    #[test]
    fn without_a_mirror_nothing_is_flipped() {
        for epoch in 0..20 {
            let (mut image, mut classes) = (vec![1.0, 2.0, 3.0, 4.0], vec![1, 0, 1, 0]);
            still().apply(&mut image, &mut classes, 2, None, 7, [epoch, 0]);
            assert_eq!(classes, [1, 0, 1, 0]);
        }
    }

    /// A bright square in the middle.
    fn square() -> Vec<f32> {
        (0..256)
            .map(|i| f32::from(u8::from((4..12).contains(&(i % 16)) && (4..12).contains(&(i / 16)))))
            .collect()
    }

    #[test]
    fn blur_keeps_the_mean_of_what_lies_inside_and_what_is_even() {
        let blur = blurred(&square(), 16, 0.8);
        assert!((blur.iter().sum::<f32>() - 64.0).abs() < 1e-3);
        assert!(blur[8 * 16 + 8] > 0.99 && (0.2..0.8).contains(&blur[8 * 16 + 4]));
        assert!(blurred(&[3.0; 256], 16, 2.0).iter().all(|x| (x - 3.0).abs() < 1e-5));
    }

    #[test]
    fn full_resolution_changes_nothing_and_half_of_it_little() {
        assert_eq!(coarse(&square(), 16, 1.0), square());
        let half = coarse(&square(), 16, 0.5);
        assert!((half.iter().sum::<f32>() - 64.0).abs() < 6.0 && half != square());
    }

    #[test]
    fn intensities_stay_in_their_range_but_for_noise_which_is_as_asked() {
        let changed = |augment: Augment| {
            let (mut image, mut classes) = (square(), vec![0; 256]);
            augment.apply(&mut image, &mut classes, 16, None, 3, [1, 2]);
            image
        };
        let bent = changed(Augment { intensity: 0.5, gamma: 1.0, ..Augment::none() });
        assert!(bent.iter().all(|x| (0.0..=1.0).contains(x)) && bent != square());
        let noisy = (0..40).map(|round| {
            let (mut image, mut classes) = (vec![0.0; 255], vec![0; 255]);
            image.push(1.0);
            classes.push(0);
            let noise = Augment { noise: 0.1, ..Augment::none() };
            noise.apply(&mut image, &mut classes, 16, None, 3, [round, 2]);
            (image[..255].iter().map(|x| x * x).sum::<f32>() / 255.0).sqrt()
        });
        let noisy: Vec<f32> = noisy.collect();
        let mean = noisy.iter().sum::<f32>() / 40.0;
        // Deviations are drawn evenly from 0 to 0.1.
        assert!(noisy.iter().all(|sd| *sd < 0.12) && (0.03..0.07).contains(&mean), "{noisy:?}");
    }
}
