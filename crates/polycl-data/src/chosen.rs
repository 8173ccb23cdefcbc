//! Which segmentation, or which contours, are the mask of a DICOM series.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use polycl_base::{Error, Kind, Result, some};
use polycl_image::Given;
use polycl_image::dicom::Series;
use polycl_image::dicom::structures::{self, Structures};
use polycl_image::legend::Legend;
use serde::{Deserialize, Serialize};

use super::pair::Label;

/// The objects that are taken where several were drawn on one series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// That of the latest date and time.
    Newest,
    /// Those of a label or a UID.
    Named(String),
    /// None at all.
    None,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Named(name) => f.write_str(name),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Choice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "newest" => Self::Newest,
            "none" => Self::None,
            name => Self::Named(name.to_owned()),
        })
    }
}

/// The masks to take.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// The structures; all without it.
    pub names: Option<Given>,
    pub choice: Option<Choice>,
}

impl Chosen {
    /// The mask of each series by its UID, and sentences about what was passed over. An object belongs to the series that it
    /// refers to; one that refers to none of them, to the only one of its frame of reference.
    ///
    /// # Errors
    /// [`Kind::Request`] where several are of one series and none is chosen, or where none is what is named;
    /// [`Kind::Labels`] where no object has any of the names.
    pub(super) fn of(
        &self,
        dir: &Path,
        series: &[Series],
        objects: Vec<Result<Structures>>,
    ) -> Result<(BTreeMap<String, Label>, Vec<String>)> {
        let mut notes = Vec::new();
        if self.choice == Some(Choice::None) {
            let count = objects.len();
            notes.extend((count > 0).then(|| format!("passed over: segmentations and contours: {count}")));
            return Ok((BTreeMap::new(), notes));
        }
        let (objects, damaged): (Vec<_>, Vec<_>) = objects.into_iter().partition(Result::is_ok);
        notes.extend(
            damaged.iter().filter_map(|error| Some(format!("passed over: {}", error.as_ref().err()?))),
        );
        let objects: Vec<Structures> = objects.into_iter().flatten().collect();
        notes.extend(self.check_names(dir, &objects)?);
        let mut of_series: BTreeMap<&str, Vec<&Structures>> = BTreeMap::new();
        let (mut elsewhere, mut nameless) = (0, 0);
        for object in &objects {
            let Some(uid) = series_of(object, series) else {
                elsewhere += 1;
                continue;
            };
            if self.legend(object).names.is_empty() {
                nameless += 1;
                continue;
            }
            of_series.entry(uid).or_default().push(object);
        }
        let counts = [
            (elsewhere, "segmentations and contours of series that are not taken, or of no series alone"),
            (nameless, "segmentations and contours without any of the names"),
        ];
        notes.extend(
            counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("passed over: {what}: {n}")),
        );
        let mut labels = BTreeMap::new();
        for (uid, objects) in of_series {
            let count = objects.len();
            let Some(object) = self.one(dir, objects)? else { continue };
            if count > 1 {
                notes.push(format!("{}: taken of {count} objects of its series", object.path.display()));
            }
            labels.insert(uid.to_owned(), Label::Map(object.path.clone(), self.legend(object)));
        }
        if let (Some(Choice::Named(name)), true) = (&self.choice, labels.is_empty()) {
            let expected = format!("segmentations or contours of the label or UID {name}");
            return Err(Error::new(dir, Kind::Request, expected, structures::list(objects.iter()))
                .hint("name one of these with --structures"));
        }
        Ok((labels, notes))
    }

    fn legend(&self, object: &Structures) -> Legend {
        let names = object.names();
        Legend::plain(self.names.as_ref().map_or_else(|| names.clone(), |given| given.choose(&names)))
    }

    /// Refuses names of which not one is in any object; a sentence about those that are in none.
    fn check_names(&self, dir: &Path, objects: &[Structures]) -> Result<Option<String>> {
        let Some(given) = &self.names else { return Ok(None) };
        let found: BTreeSet<String> =
            objects.iter().flat_map(|object| self.legend(object).names.into_values()).collect();
        let missing: Vec<&str> = given.names().into_iter().filter(|name| !found.contains(*name)).collect();
        if !found.is_empty() {
            let told = || format!("no segment and no ROI has the names {}", some(&missing));
            return Ok((!missing.is_empty()).then(told));
        }
        let there: BTreeSet<&str> =
            objects.iter().flat_map(|object| &object.list).map(|structure| structure.name.as_str()).collect();
        let found = if there.is_empty() {
            "no segmentation and no contours".to_owned()
        } else {
            some(&Vec::from_iter(there))
        };
        let expected = format!("segments or ROIs of the names {}", some(&Vec::from_iter(given.names())));
        Err(Error::new(dir, Kind::Labels, expected, found)
            .hint("give their names as `polycl inspect` lists them"))
    }

    /// The one of several objects that is chosen; `None` where all have other names than that.
    fn one<'a>(&self, dir: &Path, mut objects: Vec<&'a Structures>) -> Result<Option<&'a Structures>> {
        if let Some(Choice::Named(name)) = &self.choice {
            objects.retain(|object| object.label == *name || object.uid == *name);
        }
        if self.choice == Some(Choice::Newest) {
            let newest = objects.iter().map(|object| object.made.clone()).max().unwrap_or_default();
            objects.retain(|object| object.made == newest);
        }
        match objects.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let found = structures::list(several.iter().copied());
                Err(Error::new(
                    dir,
                    Kind::Request,
                    "one segmentation or one set of contours of a series",
                    found,
                )
                .hint("choose by --structures newest, or by the label or the UID of one"))
            }
        }
    }
}

/// The UID of the series that an object was drawn on.
fn series_of<'a>(object: &Structures, series: &'a [Series]) -> Option<&'a str> {
    let referred = series.iter().find(|series| object.series.contains(&series.uid));
    let in_frame = |series: &&Series| {
        object.series.is_empty() && object.frames_of_reference.contains(&series.frame_of_reference)
    };
    let alone = || {
        let mut found = series.iter().filter(in_frame);
        found.next().filter(|_| found.next().is_none())
    };
    referred.or_else(alone).map(|series| series.uid.as_str())
}
