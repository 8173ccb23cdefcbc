//! The meaning of a mask's values: organs, nnU-Net's regions of several values, and its `ignore`.

use std::collections::BTreeSet;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use crate::names::Names;

/// nnU-Net's name for the label of voxels that nobody annotated.
pub const IGNORE: &str = "ignore";

/// The value of such voxels in masks in the numbers of a data set.
pub const IGNORED: u16 = u16::MAX;

/// Label values by the name of what they are together.
pub type Regions = Vec<(String, BTreeSet<u16>)>;

/// The meaning of a mask's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legend {
    /// The organ of each value; where there are regions, the part of one.
    pub names: Names,
    /// Every label in the order of the file where one has several values; nothing where all are plain.
    pub regions: Regions,
    /// The value that nnU-Net paints for each of them, as `regions_class_order` says; nothing where it says nothing.
    pub class_order: Vec<u16>,
    /// The value of voxels that nobody annotated: they are neither organ nor background.
    pub ignored: Option<u16>,
}

impl Legend {
    /// The legend of plain labels.
    pub fn plain(mut names: Names) -> Self {
        let ignored = names.iter().find(|(_, name)| is_ignore(name)).map(|(&value, _)| value);
        ignored.and_then(|value| names.remove(&value));
        Self { names, ignored, ..Self::default() }
    }

    /// The legend of labels of which some have several values. A value is called after the smallest region that holds it, with the
    /// value behind where the region has others: of `whole` = [1, 2] and `core` = 2, 1 is `whole (1)` and 2 is `core`.
    ///
    /// # Errors
    /// [`Kind::Labels`] for a region without a name or with background in it, for one that is called like a part, and
    /// where voxels would be ignored and something else.
    pub(crate) fn of_regions(mut regions: Regions, class_order: Vec<u16>, file: &Path) -> Result<Self> {
        let wrong = |found: String| {
            Err(Error::new(file, Kind::Labels, "one meaning for each label value and name", found))
        };
        let holds_background = |(_, values): &&(String, BTreeSet<u16>)| values.contains(&0);
        if let Some((name, _)) = regions.iter().find(holds_background) {
            return wrong(format!("background in {name}"));
        }
        let ignored = match regions.iter().position(|(name, _)| is_ignore(name)) {
            Some(at) => regions.remove(at).1,
            None => BTreeSet::new(),
        };
        if let Some((name, _)) = regions.iter().find(|(_, values)| !values.is_disjoint(&ignored)) {
            return wrong(format!("values of {name} that are of `{IGNORE}`, too"));
        }
        if ignored.len() > 1 {
            return wrong(format!("`{IGNORE}` of {} values", ignored.len()));
        }
        let values: BTreeSet<u16> = regions.iter().flat_map(|(_, values)| values).copied().collect();
        let part = |&value: &u16| {
            let holding = regions.iter().filter(|(_, values)| values.contains(&value));
            let (name, values) = holding.min_by_key(|(_, values)| values.len())?;
            Some((value, if values.len() == 1 { name.clone() } else { format!("{name} ({value})") }))
        };
        let names: Names = values.iter().filter_map(part).collect();
        let several = |name: &str| regions.iter().any(|(own, values)| own == name && values.len() > 1);
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.values().find(|name| several(name) || !seen.insert(*name)) {
            return wrong(format!("two of the name {twice:?}, of which one is a part of a region"));
        }
        if regions.is_empty() || regions.iter().any(|(name, _)| name.is_empty()) {
            return wrong("no name".into());
        }
        Ok(Self { names, regions, class_order, ignored: ignored.first().copied() })
    }

    /// The names of all values, the ignored one among them.
    pub fn all(&self) -> Names {
        let ignored = self.ignored.map(|value| (value, IGNORE.to_owned()));
        self.names.clone().into_iter().chain(ignored).collect()
    }
}

/// True of nnU-Net's word, however it is written.
fn is_ignore(name: &str) -> bool {
    name.eq_ignore_ascii_case(IGNORE)
}
