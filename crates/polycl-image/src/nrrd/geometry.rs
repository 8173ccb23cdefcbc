use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind, Result};

use super::fields::Fields;
use crate::Space;
use crate::raw::{self, list};

/// The space of the voxels, and what we had to assume for it. The origin is the centre of the first
/// voxel, whatever the centring, as in ITK.
pub(super) fn space(fields: &Fields, path: &Path) -> Result<(Space, Vec<String>)> {
    let mut notes = Vec::new();
    let axes = Axes::read(fields, path)?;
    if let Some(units) = fields.get("space units").filter(|units| !in_mm(units)) {
        return Err(Error::new(path, Kind::Geometry, "space units of mm", units)
            .hint("save the scan again with lengths in millimetres"));
    }
    let oriented = fields.get("space").is_some() || fields.get("space dimension").is_some();
    let world_from_voxel = if oriented {
        in_space(&axes, fields, &mut notes, path)?
    } else {
        notes.push("the header gives no space: the axes are taken to run left, posterior, superior".into());
        by_spacing(&axes, &mut notes, path)?
    };
    Ok((raw::space(axes.sizes, world_from_voxel, path)?, notes))
}

/// The three axes of space, an axis of length 1 beside them left out.
struct Axes {
    sizes: [usize; 3],
    directions: Option<[DVec3; 3]>,
    spacings: Option<[f64; 3]>,
    mins: Option<[f64; 3]>,
    /// True if samples stand for the cells between the mins and the maxs, as they do unless the
    /// header says node.
    cells: bool,
}

impl Axes {
    fn read(fields: &Fields, path: &Path) -> Result<Self> {
        let rank: usize = fields.number("dimension", path)?.unwrap_or(0);
        let sizes: Vec<usize> = fields.numbers("sizes", path)?.unwrap_or_default();
        let directions = fields.get("space directions").map(|text| directions(text, path)).transpose()?;
        let kinds: Vec<String> = fields.numbers("kinds", path)?.unwrap_or_default();
        if sizes.len() != rank {
            return Err(Error::new(path, Kind::Format, format!("{rank} sizes"), sizes.len().to_string())
                .hint("export the scan again: its header is damaged"));
        }
        fields.one_layer(path)?;
        let spare = |axis: usize| sizes[axis] == 1 && (axis == 0 || axis == rank - 1);
        let wrong = |hint: &str| {
            let found = format!("{rank}D, {}", list(&sizes[..rank.min(8)]));
            Error::new(path, Kind::Geometry, "a 3D volume", found).hint(hint)
        };
        let kept: Vec<usize> = match rank {
            3 => vec![0, 1, 2],
            4 => {
                let none = |axis: &usize| directions.as_ref().is_none_or(|d| d.get(*axis) == Some(&None));
                let left_out = [3, 0].into_iter().filter(|&axis| spare(axis)).find(none);
                let left_out = left_out
                    .ok_or_else(|| wrong(&raw::several(&Vec::from_iter(sizes.iter().map(|&n| n as i64)))))?;
                (0..4).filter(|&axis| axis != left_out).collect()
            }
            _ => return Err(wrong("stack the slices of a scan into one 3D file")),
        };
        let spatial = |axis: &usize| {
            kinds.get(*axis).is_none_or(|kind| {
                ["domain", "space", "time", "???", "none"].contains(&kind.to_ascii_lowercase().as_str())
            })
        };
        if !kept.iter().all(spatial) {
            return Err(wrong("convert the scan to one value per voxel: one axis holds colours or vectors"));
        }
        let three = |numbers: Vec<f64>, name: &str| match kept.iter().map(|&axis| numbers.get(axis)).collect()
        {
            Some::<Vec<&f64>>(three) => Ok([*three[0], *three[1], *three[2]]),
            None => Err(Error::new(path, Kind::Format, format!("{rank} {name}"), numbers.len().to_string())
                .hint("export the scan again: its header is damaged")),
        };
        Ok(Self {
            sizes: [0, 1, 2].map(|axis| sizes[kept[axis]]),
            directions: directions.map(|all| along(&all, &kept, path)).transpose()?,
            spacings: fields.numbers("spacings", path)?.map(|all| three(all, "spacings")).transpose()?,
            mins: fields.numbers("axis mins", path)?.map(|all| three(all, "axis mins")).transpose()?,
            cells: !fields.get("centerings").is_some_and(|text| text.contains("node")),
        })
    }
}

/// The directions of the axes that are kept.
fn along(all: &[Option<DVec3>], kept: &[usize], path: &Path) -> Result<[DVec3; 3]> {
    let found: Vec<DVec3> = kept.iter().filter_map(|&axis| all.get(axis).copied().flatten()).collect();
    <[DVec3; 3]>::try_from(found).map_err(|found| {
        Error::new(path, Kind::Geometry, "three space directions", found.len().to_string())
            .hint("convert the scan to one value per voxel: one axis holds no positions")
    })
}

/// The affine to RAS+ by directions and origin. A space that is not named is taken for LPS, as ITK
/// takes it.
fn in_space(axes: &Axes, fields: &Fields, notes: &mut Vec<String>, path: &Path) -> Result<DAffine3> {
    let name = fields.get("space").unwrap_or("").to_ascii_lowercase();
    let signs = match name.trim_end_matches("-time") {
        "right-anterior-superior" | "ras" => DVec3::ONE,
        "left-anterior-superior" | "las" => DVec3::new(-1.0, 1.0, 1.0),
        "left-posterior-superior" | "lps" => DVec3::new(-1.0, -1.0, 1.0),
        _ if matches!(fields.number("space dimension", path)?, Some(3 | 4)) || three_d(&name) => {
            notes.push(
                "the space is not one of the patient's: it is taken for left-posterior-superior".into(),
            );
            DVec3::new(-1.0, -1.0, 1.0)
        }
        _ => {
            return Err(Error::new(path, Kind::Geometry, "a space of three dimensions", name)
                .hint("save it with the space left-posterior-superior"));
        }
    };
    let Some([x, y, z]) = axes.directions else {
        return Err(Error::new(path, Kind::Geometry, "the field space directions", "no such field")
            .hint("export the scan again: its header does not say where voxels lie"));
    };
    // Of four numbers the last is a time.
    let place = |text: &str| {
        let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        let numbers: Option<Vec<f64>> = inside.split(',').map(|number| number.trim().parse().ok()).collect();
        match *numbers? {
            [x, y, z] | [x, y, z, _] => Some(DVec3::new(x, y, z)),
            _ => None,
        }
    };
    let origin = match fields.get("space origin").map(place) {
        Some(Some(origin)) => origin,
        Some(_) => {
            return Err(Error::new(path, Kind::Geometry, "a space origin of three numbers", "other text")
                .hint("export the scan again: its header is damaged"));
        }
        None => {
            notes.push("the header gives no origin: the first voxel is taken to lie at 0, 0, 0".into());
            DVec3::ZERO
        }
    };
    let signs = DMat3::from_diagonal(signs);
    Ok(DAffine3 { matrix3: signs * DMat3::from_cols(x, y, z), translation: signs * origin })
}

fn three_d(space: &str) -> bool {
    ["scanner-xyz", "3d-right-handed", "3d-left-handed"].contains(&space)
}

/// The affine of a header that gives lengths alone, as ITK sees it.
fn by_spacing(axes: &Axes, notes: &mut Vec<String>, path: &Path) -> Result<DAffine3> {
    let given = axes.spacings.unwrap_or([f64::NAN; 3]);
    if given.iter().any(|length| length.is_nan()) {
        notes.push("the header gives no spacing: voxels are taken to be 1 mm apart".into());
    }
    let spacing = given.map(|length| if length.is_nan() { 1.0 } else { length });
    if !spacing.iter().all(|&length| length.is_finite() && length > 0.0) {
        return Err(Error::new(path, Kind::Geometry, "a positive voxel spacing", list(&spacing))
            .hint("export the scan again: its header is damaged"));
    }
    let spacing = DVec3::from_array(spacing);
    let half = if axes.cells { 0.5 } else { 0.0 };
    let origin = axes.mins.map_or(DVec3::ZERO, |mins| DVec3::from_array(mins) + half * spacing);
    Ok(raw::from_lps(DMat3::from_diagonal(spacing), origin))
}

/// Vectors in parentheses, and the word none.
fn directions(text: &str, path: &Path) -> Result<Vec<Option<DVec3>>> {
    let damaged = || {
        Error::new(path, Kind::Geometry, "vectors of three numbers in parentheses", "other text")
            .hint("export the scan again: its header is damaged")
    };
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            found.push(None);
            rest = after.trim_start();
            continue;
        }
        let (vector, after) =
            rest.strip_prefix('(').and_then(|inside| inside.split_once(')')).ok_or_else(damaged)?;
        let numbers: Option<Vec<f64>> = vector.split(',').map(|number| number.trim().parse().ok()).collect();
        found.push(match numbers.as_deref() {
            // ITK's files of four axes: the last number is a time.
            Some(&[0.0, 0.0, 0.0, time]) if time != 0.0 => None,
            Some(&[x, y, z] | &[x, y, z, 0.0]) => Some(DVec3::new(x, y, z)),
            _ => return Err(damaged()),
        });
        rest = after.trim_start();
    }
    Ok(found)
}

/// True if all units are millimetres, or not given.
fn in_mm(units: &str) -> bool {
    units.split('"').map(str::trim).all(|unit| {
        ["", "mm", "millimeter", "millimeters", "millimetre", "millimetres", "none", "???"]
            .contains(&unit.to_ascii_lowercase().as_str())
    })
}
