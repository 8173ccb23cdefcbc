//! The voxels that structures claim.

use std::collections::BTreeMap;

use polycl_base::{Error, Kind, Result, some};

use super::Structures;
use crate::names::Names;
use crate::{Mask, Space};

pub(in crate::dicom) struct Canvas<'a> {
    scan: &'a Space,
    voxels: Vec<u16>,
    /// Voxels that two values claim.
    contested: BTreeMap<[u16; 2], usize>,
}

impl<'a> Canvas<'a> {
    pub fn new(scan: &'a Space) -> Self {
        Self { scan, voxels: vec![0; scan.voxels()], contested: BTreeMap::new() }
    }

    pub fn claim(&mut self, voxel: usize, value: u16) {
        let held = &mut self.voxels[voxel];
        if *held == 0 || *held == value {
            *held = value;
        } else {
            *self.contested.entry([*held, value]).or_default() += 1;
        }
    }

    /// The mask, refused where structures overlap.
    pub fn mask(self, object: &Structures) -> Result<Mask> {
        if self.contested.is_empty() {
            return Ok(Mask { space: self.scan.clone(), voxels: self.voxels });
        }
        let name = |value: u16| {
            let own = object.list.iter().find(|own| own.value == value);
            own.map_or_else(String::new, |own| own.name.clone())
        };
        let pair = |([a, b], voxels): (&[u16; 2], &usize)| {
            format!("{} and {} in {voxels} voxels", name(*a), name(*b))
        };
        let pairs: Vec<String> = self.contested.iter().map(pair).collect();
        Err(Error::new(&object.path, Kind::Voxels, "structures that do not overlap", some(&pairs))
            .hint("choose by --names which of them are read"))
    }
}

/// The value in the mask of each structure that is wanted: of several of one name the least.
pub(in crate::dicom) fn by_name(wanted: &Names) -> BTreeMap<u16, u16> {
    let mut least: BTreeMap<&str, u16> = BTreeMap::new();
    wanted.iter().map(|(&value, name)| (value, *least.entry(name).or_insert(value))).collect()
}
