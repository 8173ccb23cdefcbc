//! Linear probes of an encoder's frozen features: they tell what it has learnt, a loss alone does not.

use burn::tensor::Device;
use polycl_base::Result;
use polycl_data::Dataset;

use crate::features::of_encoder;
use crate::net::Encoder;
use crate::select::SliceId;
use crate::train::Probe;

/// Scans that are looked at, and slices of each: what an epoch can spare.
const SCANS: usize = 24;
const SLICES: usize = 12;
/// Parts along each side of the deepest map.
const CELLS: usize = 2;
/// Weight of the ridge, as a part of a slice's squared length.
const RIDGE: f64 = 0.1;
/// Slices a forward pass.
const BATCH: usize = 24;

/// The slices that a probe looks at.
pub struct Probes<'a> {
    dataset: &'a Dataset,
    /// The slices of each scan.
    slices: Vec<Vec<SliceId>>,
    /// The number of each scan's patient.
    patients: Vec<usize>,
    organ: Option<String>,
}

impl<'a> Probes<'a> {
    /// Evenly spread over scans and slices; `None` where there are too few patients to fit on some and score on others.
    pub fn new(dataset: &'a Dataset, scans: &[usize], organ: Option<&str>) -> Option<Self> {
        let some = |count: usize, most: usize| (0..count.min(most)).map(move |i| i * count / count.min(most));
        let of = |scan: usize| -> Vec<SliceId> {
            some(dataset.index.scans[scan].slices, SLICES).map(|slice| SliceId { scan, slice }).collect()
        };
        let slices: Vec<_> =
            some(scans.len(), SCANS).map(|at| of(scans[at])).filter(|s| s.len() > 2).collect();
        let patient = |slices: &Vec<SliceId>| dataset.index.scans[slices[0].scan].patient.as_str();
        let mut names: Vec<&str> = Vec::new();
        let mut patients = Vec::new();
        for name in slices.iter().map(patient) {
            let number = names.iter().position(|known| *known == name);
            patients.push(number.unwrap_or(names.len()));
            if number.is_none() {
                names.push(name);
            }
        }
        let organ = organ.map(str::to_owned);
        (names.len() >= 4).then_some(Self { dataset, slices, patients, organ })
    }

    /// # Errors
    /// As [`Dataset::image`].
    pub fn look(&self, encoder: &Encoder, device: &Device) -> Result<Probe> {
        let (ids, size) = (self.slices.concat(), self.dataset.index.preprocess.size);
        let mut features = Vec::new();
        for batch in ids.chunks(BATCH) {
            let images =
                batch.iter().map(|id| self.dataset.image(id.scan, id.slice)).collect::<Result<Vec<_>>>()?;
            features.extend(of_encoder(encoder, &images, size, (1, CELLS), device)?);
        }
        let rows = standardised(&features);
        let products: Vec<Vec<f64>> = rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect();
        let scans = &self.dataset.index.scans;
        let height = |id: &SliceId| Some(id.slice as f64 / scans[id.scan].slices as f64);
        let height = self.read_off(&ids, &products, &height, correlation).unwrap_or(0.0);
        let presence = self.organ.as_ref().and_then(|organ| {
            let shown =
                |id: &SliceId| scans[id.scan].shows(organ, id.slice).map(|shown| f64::from(u8::from(shown)));
            self.read_off(&ids, &products, &shown, area)
        });
        Ok(Probe { presence, height, identity: identity(&ids, &products) })
    }

    /// Fits a ridge regression of what is `known` on the scans of every other patient; the mean score of the others'.
    fn read_off(
        &self,
        ids: &[SliceId],
        products: &[Vec<f64>],
        known: &dyn Fn(&SliceId) -> Option<f64>,
        score: fn(&[(f64, f64)]) -> Option<f64>,
    ) -> Option<f64> {
        let (mut fitted, mut scored, mut first) = (Vec::new(), Vec::new(), 0);
        for (number, slices) in self.slices.iter().enumerate() {
            let rows = (first..first + slices.len()).filter_map(|row| Some((row, known(&ids[row])?)));
            if self.patients[number].is_multiple_of(2) {
                fitted.extend(rows)
            } else {
                scored.push(Vec::from_iter(rows))
            }
            first += slices.len();
        }
        if fitted.iter().all(|(_, value)| *value == fitted[0].1) {
            return None;
        }
        let mean = fitted.iter().map(|(_, value)| value).sum::<f64>() / fitted.len() as f64;
        let matrix =
            fitted.iter().map(|&(a, _)| fitted.iter().map(|&(b, _)| products[a][b]).collect()).collect();
        let weights = ridge(matrix, fitted.iter().map(|(_, value)| value - mean).collect());
        let read =
            |row: usize| fitted.iter().zip(&weights).map(|(&(at, _), w)| w * products[row][at]).sum::<f64>();
        let scan = |rows: &Vec<(usize, f64)>| {
            score(&rows.iter().map(|&(row, truth)| (read(row), truth)).collect::<Vec<_>>())
        };
        let scores: Vec<f64> = scored.iter().filter_map(scan).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }
}

/// Rows with columns of mean 0 and deviation 1, each column's share in a row's squared length being equal.
fn standardised(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let (count, width) = (rows.len() as f64, rows[0].len());
    let mut columns = vec![(0.0, 0.0); width];
    for (at, (mean, deviation)) in columns.iter_mut().enumerate() {
        *mean = rows.iter().map(|row| f64::from(row[at])).sum::<f64>() / count;
        let square = |row: &Vec<f32>| (f64::from(row[at]) - *mean).powi(2);
        *deviation = (rows.iter().map(square).sum::<f64>() / count).sqrt().max(1e-9) * (width as f64).sqrt();
    }
    let scaled = |row: &Vec<f32>| -> Vec<f64> {
        row.iter()
            .zip(&columns)
            .map(|(&value, (mean, deviation))| (f64::from(value) - mean) / deviation)
            .collect()
    };
    rows.iter().map(scaled).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves (K + ridge) w = y by Cholesky's decomposition.
fn ridge(mut k: Vec<Vec<f64>>, mut y: Vec<f64>) -> Vec<f64> {
    let n = y.len();
    for i in 0..n {
        k[i][i] += RIDGE;
        for j in 0..=i {
            let sum = k[i][j] - dot(&k[i][..j], &k[j][..j]);
            k[i][j] = if i == j { sum.max(1e-12).sqrt() } else { sum / k[j][j] };
        }
    }
    for i in 0..n {
        y[i] = (y[i] - dot(&k[i][..i], &y[..i])) / k[i][i];
    }
    for i in (0..n).rev() {
        let below: f64 = (i + 1..n).map(|j| k[j][i] * y[j]).sum();
        y[i] = (y[i] - below) / k[i][i];
    }
    y
}

/// Pearson's correlation of pairs; none where one of the two does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|pair| of(pair.0 - a, pair.1 - b)).sum::<f64>();
    let length = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    (length > 1e-12).then(|| sum(&|x, y| x * y) / length)
}

/// Area under the ROC curve of (score, 0 or 1); none where all are of a kind.
fn area(pairs: &[(f64, f64)]) -> Option<f64> {
    let of = |kind: bool| pairs.iter().filter(move |pair| (pair.1 > 0.5) == kind).map(|pair| pair.0);
    let (shown, absent) = (of(true).count(), of(false).count());
    let wins = of(true)
        .flat_map(|a| of(false).map(move |b| if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 }));
    (shown > 0 && absent > 0).then(|| wins.sum::<f64>() / (shown * absent) as f64)
}

/// The part of the rows whose nearest other one is of the same scan.
fn identity(ids: &[SliceId], products: &[Vec<f64>]) -> f64 {
    let distance = |a: usize, b: usize| products[a][a] + products[b][b] - 2.0 * products[a][b];
    let same = |&row: &usize| {
        let others = (0..ids.len()).filter(|&other| other != row);
        let nearest = others.min_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)));
        nearest.is_some_and(|nearest| ids[nearest].scan == ids[row].scan)
    };
    (0..ids.len()).filter(same).count() as f64 / ids.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ridge_solves_its_equations() {
        let k = vec![vec![2.0, 0.5, 0.1], vec![0.5, 1.0, 0.3], vec![0.1, 0.3, 3.0]];
        let y = vec![1.0, -2.0, 0.5];
        let w = ridge(k.clone(), y.clone());
        for (row, y) in k.iter().zip(&y).enumerate().map(|(i, (row, y))| ((i, row), y)) {
            assert!((dot(row.1, &w) + RIDGE * w[row.0] - y).abs() < 1e-12);
        }
    }

    #[test]
    fn scores_are_those_of_the_textbook() {
        let pairs = [(0.1, 0.0), (0.4, 0.0), (0.35, 1.0), (0.8, 1.0)];
        assert_eq!(area(&pairs), Some(0.75));
        assert_eq!(area(&[(0.5, 1.0), (0.5, 0.0)]), Some(0.5));
        assert_eq!(area(&pairs[..2]), None);
        assert!((correlation(&[(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }

    #[test]
    fn the_nearest_of_another_scan_counts_as_such() {
        let id = |scan, slice| SliceId { scan, slice };
        let rows = [vec![0.0], vec![0.1], vec![5.0], vec![4.9]];
        let products: Vec<Vec<f64>> = rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect();
        assert_eq!(identity(&[id(0, 0), id(0, 1), id(1, 0), id(1, 1)], &products), 1.0);
        assert_eq!(identity(&[id(0, 0), id(1, 1), id(1, 0), id(0, 1)], &products), 0.0);
    }
}
