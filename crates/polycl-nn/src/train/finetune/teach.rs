//! Self-training within named ranges: a network that a few masks have trained draws the organs on scans of which a
//! person has only named the first and the last slice. It is told where in those ranges a slice lies, and what contradicts
//! them is not believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use glam::DAffine3;
use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, Watch};
use polycl_data::split::Split;
use polycl_data::{Dataset, Scan};
use polycl_image::components::largest_components;
use polycl_image::{Mask, Space, Volume};
use rand::seq::SliceRandom;

use super::config::FinetuneConfig;
use super::ranges::Ranges;
use crate::checkpoint::Checkpoint;
use crate::net::readout::{decide, floats};
use crate::net::{Segmenter, SegmenterConfig};
use crate::select::SliceId;
use crate::smooth::{SMOOTH, Smoother};
use crate::train::draw::{self, Example};
use crate::train::run::{Organ, weights};

/// The slices of scan `number` that can be taught: all but those that train already (`exact`), and those of which nobody
/// has said which organs they show. None where no slice shows an organ.
fn teachable(
    number: usize,
    ranges: &Ranges<'_>,
    organs: &[String],
    exact: &dyn Fn(SliceId) -> bool,
) -> Vec<Example> {
    let shown = |slice: usize| -> Option<Vec<usize>> {
        let answers = organs.iter().map(|organ| ranges.shows(organ, slice)).collect::<Option<Vec<bool>>>()?;
        Some((0..organs.len()).filter(|&organ| answers[organ]).collect())
    };
    let ids = (0..ranges.slices()).map(|slice| SliceId { scan: number, slice }).filter(|&id| !exact(id));
    let example = |id: SliceId| {
        let heights = ranges.heights(organs, id.slice);
        Some(Example { id, weight: 1.0, shows: shown(id.slice)?, heights })
    };
    let examples: Vec<Example> = ids.filter_map(example).collect();
    if examples.iter().any(|example| !example.shows.is_empty()) { examples } else { Vec::new() }
}

/// Whose ranges each of these scans has when they are handed round: the next one's in an order of `seed`. Scans that
/// train by masks keep theirs, which those tell.
fn permuted(scans: &[usize], masked: &[usize], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = scans.iter().copied().filter(|scan| !masked.contains(scan)).collect();
    order.shuffle(&mut rng(seed, Purpose::Split, [6, 0]));
    let next = |scan: &usize| {
        let at = order.iter().position(|other| other == scan);
        at.map_or(*scan, |at| order[(at + 1) % order.len()])
    };
    scans.iter().map(next).collect()
}

/// The slices that a teacher may draw, and those beyond the ranges of the same scans, which need none. Scans of
/// patients who validate are left alone, and where a split names who trains, all others, unless asked for.
pub fn taught(
    dataset: &Dataset,
    config: &FinetuneConfig,
    split: &Split,
    organs: &[String],
    examples: &[Example],
) -> Result<Vec<Example>> {
    let refused = |expected: &str, found: String, hint: &str| {
        Err(Error::new(&dataset.dir, Kind::Request, expected, found).hint(hint))
    };
    let named = organs.join(", ");
    let settings = [("ranged", config.ranged.is_some()), ("permuted_ranges", config.permuted_ranges)];
    let setting = settings.into_iter().find_map(|(name, given)| given.then_some(name));
    if let (Some(false), Some(setting)) = (config.self_train, setting) {
        let expected = format!("self-training, to which `{setting}` belongs");
        return refused(&expected, "self_train = false".into(), "leave one of the two out");
    }
    let asked = setting.is_some() || config.self_train == Some(true);
    if config.self_train == Some(false) || config.split.is_some() && !asked {
        return Ok(Vec::new());
    }
    let scans = &dataset.index.scans;
    if let Some(unknown) = config.ranged.iter().flatten().find(|case| !scans.iter().any(|s| s.case == **case))
    {
        let hint = "list the cases with `polycl inspect`";
        return refused("cases of the data set in `ranged`", format!("'{unknown}'"), hint);
    }
    let undrawn = |scan: &Scan| organs.iter().any(|organ| scan.left_undrawn_anywhere(organ));
    let wanted = |scan: &Scan| match &config.ranged {
        Some(cases) => cases.contains(&scan.case),
        None => !scan.labelled() || split.train.contains(&scan.patient) && undrawn(scan),
    };
    // Where one of several organs is drawn, the teacher's would stand beside a person's.
    let half_drawn = |id: SliceId| {
        let scan = &scans[id.scan];
        let drawn =
            |organ: &String| scan.by_hand(organ, id.slice) && scan.shows(organ, id.slice) == Some(true);
        config.ranged.is_none() && scan.labelled() && organs.iter().any(drawn)
    };
    let mut wanted_scans = crate::train::scans_of(dataset, config.domain.as_deref(), &[])?;
    wanted_scans.retain(|&scan| wanted(&scans[scan]) && !split.validation.contains(&scans[scan].patient));
    // What nobody annotated is not taught either: the mask counts there as it is.
    let open = |id: SliceId| scans[id.scan].leaves_open(id.slice);
    // Slices between drawn ones alone were not worth a second network.
    let bare = |&scan: &usize| !scans[scan].labelled();
    if !asked && !wanted_scans.iter().any(bare) {
        return Ok(Vec::new());
    }
    let exact: BTreeSet<SliceId> = examples.iter().map(|example| example.id).collect();
    let ranges_of = if config.permuted_ranges {
        permuted(&wanted_scans, &draw::scans(examples), config.training.seed)
    } else {
        wanted_scans.clone()
    };
    let mut taught = Vec::new();
    for (&number, told) in wanted_scans.iter().zip(ranges_of) {
        let ranges = Ranges::of_another(&scans[told], &scans[number]);
        taught.extend(teachable(number, &ranges, organs, &|id| {
            exact.contains(&id) || half_drawn(id) || open(id)
        }));
    }
    if taught.is_empty() && asked {
        let hint =
            "name first and last slices with `polycl import --ranges`, of every organ that is segmented";
        return refused(
            &format!("scans without masks but with ranges of {named}"),
            "no such scan".into(),
            hint,
        );
    }
    Ok(taught)
}

/// The masks that a teacher has drawn.
#[derive(Debug, Default)]
pub struct Taught {
    masks: BTreeMap<SliceId, Runs>,
}

/// Classes of a slice as runs of equal ones: masks are large, and of few pieces.
type Runs = Vec<(u8, u32)>;

impl Taught {
    /// The classes of a slice, row by row, where the teacher has drawn it.
    pub fn classes(&self, id: SliceId) -> Option<Vec<u8>> {
        let runs = self.masks.get(&id)?;
        Some(runs.iter().flat_map(|&(class, count)| std::iter::repeat_n(class, count as usize)).collect())
    }

    fn note(&mut self, id: SliceId, classes: impl Iterator<Item = u16>) {
        let mut runs = Runs::new();
        for class in classes.map(|class| class as u8) {
            match runs.last_mut() {
                Some((last, count)) if *last == class => *count += 1,
                _ => runs.push((class, 1)),
            }
        }
        self.masks.insert(id, runs);
    }
}

/// A network that draws, and what it draws on.
pub struct Teacher<'a> {
    pub dataset: &'a Dataset,
    pub organs: &'a [Organ],
    pub network: SegmenterConfig,
    /// The class of organs of each class of the network.
    pub painted: &'a [u8],
    /// Slices that a person has drawn, and their classes.
    pub drawn: &'a [Example],
    pub classes: &'a dyn Fn(SliceId) -> Result<Vec<u8>>,
    /// Slices a forward pass.
    pub batch: usize,
    pub device: &'a Device,
}

impl Teacher<'_> {
    /// Draws the organs in `examples` by the weights of `run`; nothing where it was asked to stop meanwhile. Slices in
    /// which it finds none of an organ that a person has seen there are left out of `examples`. Slices that show no
    /// organ need no teacher, but they stay only beside others of their scan: alone they would teach who has no organ.
    ///
    /// # Errors
    /// What reading the weights and the slices can say.
    pub fn draw(&self, run: &Path, examples: &mut Vec<Example>, watch: &dyn Watch) -> Result<Option<Taught>> {
        let mut network = self.network.init(self.device);
        Checkpoint::read(&weights(run))?.load(&mut network)?;
        let of = examples.iter().filter(|example| !example.shows.is_empty()).count();
        let (mut taught, mut done, mut kept) = (Taught::default(), 0, 0);
        for scan in examples.chunk_by(|a, b| a.id.scan == b.id.scan) {
            if watch.stop() {
                return Ok(None);
            }
            let shown: Vec<&Example> = scan.iter().filter(|example| !example.shows.is_empty()).collect();
            let before = kept;
            let mask = self.mask(&network, scan[0].id.scan, &shown)?;
            for example in &shown {
                let plane = mask.plane(example.id.slice);
                if example.shows.iter().all(|&organ| plane.contains(&class_of(organ))) {
                    taught.note(example.id, plane.iter().copied());
                    kept += 1;
                }
            }
            for example in scan.iter().filter(|example| kept > before && example.shows.is_empty()) {
                taught.note(example.id, mask.plane(example.id.slice).iter().map(|_| 0));
            }
            done += shown.len();
            if done == of {
                watch.note(&format!("the teacher found what was named on {kept} of {of} slices"));
            }
            watch.task("the teacher draws");
            watch.step(done, of);
        }
        examples.retain(|example| taught.masks.contains_key(&example.id));
        Ok(Some(taught))
    }

    /// Classes of a whole scan at the network's size: each organ in the slices that show it, as likely as it is there and
    /// in the slices near by, and in as many parts as it has.
    fn mask(&self, network: &Segmenter, scan: usize, shown: &[&Example]) -> Result<Mask> {
        let (size, count) = (self.dataset.index.preprocess.size, self.dataset.index.scans[scan].slices);
        let space = Space::new([size, size, count], DAffine3::IDENTITY);
        let mut mask = Volume { voxels: vec![0; size * size * count], space };
        let along = [SMOOTH, self.dataset.index.scans[scan].thickness()];
        let mut smoother = Smoother::new(along, count, self.network.channels() * size * size, self.batch);
        let mut batches = shown.chunks(self.batch);
        for example in shown {
            let slice = example.id.slice;
            while !smoother.knows(slice)
                && let Some(batch) = batches.next()
            {
                smoother.add(self.probabilities(network, batch)?);
            }
            self.paint(
                example,
                &smoother.mean(slice),
                &mut mask.voxels[slice * size * size..][..size * size],
            );
        }
        let drawn = self.drawn.iter().filter(|example| example.id.scan == scan && !example.shows.is_empty());
        let drawn = drawn.map(|example| Ok((example.id.slice, (self.classes)(example.id)?)));
        keep_parts(&mut mask, &drawn.collect::<Result<Vec<_>>>()?, self.organs);
        Ok(mask)
    }

    /// Probability maps of slices, by their numbers: one map behind the other.
    fn probabilities(&self, network: &Segmenter, batch: &[&Example]) -> Result<Vec<(usize, Vec<f32>)>> {
        let size = self.dataset.index.preprocess.size;
        let slices = batch.iter().map(|example| self.dataset.image(example.id.scan, example.id.slice));
        let slices = slices.collect::<Result<Vec<_>>>()?;
        let seen = batch.iter().zip(&slices).map(|(example, image)| (image.as_slice(), &*example.heights));
        let images = inputs(seen, size, self.network.encoder.inputs);
        let maps = floats(network.probabilities(Tensor::from_data(images, self.device)))?;
        let per_slice = maps.chunks_exact(maps.len() / batch.len()).map(<[f32]>::to_vec);
        Ok(batch.iter().map(|example| example.id.slice).zip(per_slice).collect())
    }

    /// Decides on the classes of a slice, of which organs that it does not show are none.
    fn paint(&self, example: &Example, maps: &[f32], plane: &mut [u16]) {
        let (channels, pixels) = (self.network.channels(), plane.len());
        let believed =
            |class: u8| class == 0 || example.shows.iter().any(|&organ| class_of(organ) == u16::from(class));
        // Without a channel of background the first class has the first.
        let first = self.painted.len() - channels;
        let possible: Vec<bool> = (0..channels)
            .map(|channel| believed(self.painted[channel + first]) || self.network.overlap)
            .collect();
        for (pixel, voxel) in plane.iter_mut().enumerate() {
            let p = |channel: usize| if possible[channel] { maps[channel * pixels + pixel] } else { 0.0 };
            let class = self.painted[usize::from(decide(channels, self.network.overlap, p))];
            *voxel = if believed(class) { class.into() } else { 0 };
        }
    }
}

/// Keeps as many parts of each organ as it has. Slices that a person has drawn are put in first: an organ that is drawn
/// in its middle is no two.
fn keep_parts(mask: &mut Mask, drawn: &[(usize, Vec<u8>)], organs: &[Organ]) {
    for (slice, classes) in drawn {
        let plane = &mut mask.voxels[slice * classes.len()..][..classes.len()];
        for (voxel, class) in plane.iter_mut().zip(classes) {
            *voxel = u16::from(*class);
        }
    }
    for (number, organ) in organs.iter().enumerate() {
        if let Some(parts) = organ.parts {
            largest_components(mask, |class| class == class_of(number), parts, 0);
        }
    }
}

/// The maps that a network sees of slices, [B, inputs, S, S]: each image, and, where it sees more, its heights.
pub fn inputs<'a>(
    slices: impl ExactSizeIterator<Item = (&'a [f32], &'a [f32])>,
    size: usize,
    inputs: usize,
) -> TensorData {
    let (count, pixels) = (slices.len(), size * size);
    let mut maps = Vec::with_capacity(count * inputs * pixels);
    for (image, heights) in slices {
        maps.extend_from_slice(image);
        for &height in &heights[..inputs - 1] {
            maps.resize(maps.len() + pixels, height);
        }
    }
    TensorData::new(maps, [count, inputs, size, size])
}

/// The class of an organ by its place among those segmented.
fn class_of(organ: usize) -> u16 {
    organ as u16 + 1
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub fn scan(slices: usize, liver: [usize; 2]) -> Scan {
        serde_json::from_value(json!({
            "case": "a", "patient": "a", "slices": slices, "first_slice": 0, "shape": [32, 32, slices],
            "spacing": [1, 1, 1], "orientation": "LPS", "image": {"path": "a.nii", "sha256": ""},
            "fingerprint": "", "presence": { "liver": [liver] },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_drawn_is_not_taught_and_what_nobody_has_said_neither() {
        let scan = scan(6, [2, 3]);
        let ranges = Ranges::own(&scan);
        let organs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let taught = teachable(7, &ranges, &organs(&["liver"]), &|id| id.slice < 2);
        let told: Vec<_> = taught.iter().map(|e| (e.id.scan, e.id.slice, e.shows.len())).collect();
        assert_eq!(told, [(7, 2, 1), (7, 3, 1), (7, 4, 0), (7, 5, 0)]);
        assert!(teachable(7, &ranges, &organs(&["liver"]), &|id| id.slice == 2 || id.slice == 3).is_empty());
        assert!(teachable(7, &ranges, &organs(&["liver", "spleen"]), &|_| false).is_empty());
    }

    #[test]
    fn ranges_of_another_scan_are_stretched_and_nobody_keeps_his_own() {
        let scan = scan(10, [4, 5]);
        let longer = self::scan(20, [0, 0]);
        let ranges = Ranges::of_another(&scan, &longer);
        let shown: Vec<usize> = (0..20).filter(|&slice| ranges.shows("liver", slice) == Some(true)).collect();
        assert_eq!(shown, [8, 9, 10, 11]);
        for seed in 0..20 {
            let mut handed = permuted(&[1, 3, 5, 8, 9], &[3], seed);
            assert_eq!(handed[1], 3);
            assert!([1, 5, 8, 9].iter().zip([0, 2, 3, 4]).all(|(&own, at)| handed[at] != own));
            handed.sort_unstable();
            assert_eq!(handed, [1, 3, 5, 8, 9]);
        }
    }

    #[test]
    fn an_organ_that_is_drawn_in_its_middle_stays_whole() {
        let organ = Organ { value: 7, name: "liver".into(), parts: Some(1) };
        // One pixel in slices 0, 1, 3 and 4: two parts, until the slice between is drawn.
        let mut voxels = vec![0; 9 * 5];
        for slice in [0, 1, 3, 4] {
            voxels[slice * 9 + 4] = 1;
        }
        let space = Space::new([3, 3, 5], DAffine3::IDENTITY);
        let mut middle = vec![0; 9];
        middle[4] = 1;
        let mut mask = Volume { voxels, space };
        let mut alone = mask.clone();
        keep_parts(&mut mask, &[(2, middle)], std::slice::from_ref(&organ));
        assert_eq!(mask.voxels.iter().filter(|&&class| class == 1).count(), 5);
        keep_parts(&mut alone, &[], &[organ]);
        assert_eq!(alone.voxels.iter().filter(|&&class| class == 1).count(), 2);
    }

    #[test]
    fn runs_are_the_classes() {
        let (id, classes) = (SliceId { scan: 0, slice: 4 }, [0, 0, 2, 2, 2, 0, 1]);
        let mut taught = Taught::default();
        taught.note(id, classes.iter().map(|&class| u16::from(class)));
        assert_eq!(taught.classes(id).unwrap(), classes);
        assert_eq!(taught.classes(SliceId { slice: 5, ..id }), None);
    }
}
