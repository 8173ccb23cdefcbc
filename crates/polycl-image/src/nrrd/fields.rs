use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;

use polycl_base::{Error, Kind, Result};

use crate::raw::{Datatype, Encoding, Lines, Order};

/// The packing of the voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Raw,
    Gzip,
    Text,
}

/// The fields of a header by name, as they stand there.
pub(super) struct Fields {
    fields: BTreeMap<String, String>,
    /// The segments of 3D Slicer, by number.
    pub(super) segments: BTreeMap<usize, Segment>,
}

/// A segment of 3D Slicer. Other key/value pairs are passed over: they may name the patient.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) label: String,
    layer: String,
}

impl Segment {
    fn field(&mut self, key: &str) -> Option<&mut String> {
        match key {
            "Name" => Some(&mut self.name),
            "LabelValue" => Some(&mut self.label),
            "Layer" => Some(&mut self.layer),
            _ => None,
        }
    }
}

impl Fields {
    /// Reads the header to the empty line or the file's end.
    pub fn read(lines: &mut Lines<impl BufRead>, path: &Path) -> Result<Self> {
        let magic = lines.next(path)?.unwrap_or_default();
        let version = magic.strip_prefix("NRRD000").and_then(|version| version.parse::<u8>().ok());
        if !version.is_some_and(|version| (1..=5).contains(&version)) {
            return Err(Error::new(path, Kind::Format, "an NRRD file of version 1 to 5", "other data")
                .hint("check that the file is complete and an image"));
        }
        let (mut fields, mut segments) = (BTreeMap::new(), BTreeMap::<usize, Segment>::new());
        while let Some(line) = lines.next(path)?.filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else { continue };
            if line.starts_with('#') {
                continue;
            }
            if let Some(value) = value.strip_prefix('=') {
                let key = name.strip_prefix("Segment").and_then(|key| key.split_once('_'));
                let Some((number, key)) = key.and_then(|(number, key)| Some((number.parse().ok()?, key)))
                else {
                    continue;
                };
                if Segment::default().field(key).is_some() {
                    let field = segments.entry(number).or_default().field(key);
                    field.into_iter().for_each(|field| value.trim().clone_into(field));
                }
                continue;
            }
            let name = canonical(name.trim());
            if fields.insert(name.clone(), value.trim().to_owned()).is_some() {
                return Err(Error::new(path, Kind::Format, format!("one field {name}"), "two of that name")
                    .hint("export the scan again: its header is damaged"));
            }
        }
        Ok(Self { fields, segments })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Refuses segments in several layers. Programs that merge layers keep what the header said of them.
    pub fn one_layer(&self, path: &Path) -> Result<()> {
        let rank: Option<usize> = self.number("dimension", path)?;
        let Some(layers) = self.layers().filter(|_| rank == Some(4)) else { return Ok(()) };
        let found = format!("layers of {layers}");
        Err(Error::new(path, Kind::Labels, "segments that do not overlap, in one layer", found).hint(
            "export the segmentation to a label map in 3D Slicer (right-click it), and save that as .nii.gz",
        ))
    }

    /// The names of segments by layer, where there are several layers.
    fn layers(&self) -> Option<String> {
        let mut layers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        self.segments.values().for_each(|s| layers.entry(&s.layer).or_default().push(&s.name));
        let names = layers.values().map(|names| names.join(", ")).collect::<Vec<_>>();
        (names.len() > 1).then(|| names.join("; "))
    }

    pub fn required(&self, name: &str, path: &Path) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Error::new(path, Kind::Format, format!("the field {name}"), "no such field")
                .hint("export the scan again: its header is incomplete")
        })
    }

    pub fn number<T: FromStr>(&self, name: &str, path: &Path) -> Result<Option<T>> {
        let number = |text: &str| text.parse().map_err(|_| no_number(name, text, path));
        self.get(name).map(number).transpose()
    }

    pub fn numbers<T: FromStr>(&self, name: &str, path: &Path) -> Result<Option<Vec<T>>> {
        let number = |text: &str| text.parse().map_err(|_| no_number(name, text, path));
        self.get(name).map(|list| list.split_whitespace().map(number).collect()).transpose()
    }

    pub fn encoding(&self, path: &Path) -> Result<Encoding> {
        let name = self.required("type", path)?;
        let datatype = datatype(&name.to_ascii_lowercase()).ok_or_else(|| {
            Error::new(path, Kind::Format, "a type of real numbers of 8 to 64 bits", name)
                .hint("convert it to short or float with one value per voxel")
        })?;
        let order = match self.get("endian").map(str::to_ascii_lowercase).as_deref() {
            Some("little") => Order::Little,
            Some("big") => Order::Big,
            None if datatype.bytes() == 1 || self.packing(path)? == Packing::Text => Order::Little,
            found => {
                let found = found.unwrap_or("no such field");
                return Err(Error::new(path, Kind::Format, "the field endian, little or big", found)
                    .hint("export the scan again: its header does not say how numbers are stored"));
            }
        };
        Ok(Encoding::plain(datatype, order))
    }

    pub fn packing(&self, path: &Path) -> Result<Packing> {
        let name = self.required("encoding", path)?;
        Ok(match name.to_ascii_lowercase().as_str() {
            "raw" => Packing::Raw,
            "gz" | "gzip" => Packing::Gzip,
            "txt" | "text" | "ascii" => Packing::Text,
            _ => {
                return Err(Error::new(path, Kind::Format, "the encoding raw, gzip or ascii", name)
                    .hint("save it again with gzip, e.g. SimpleITK.WriteImage(image, file, True)"));
            }
        })
    }

    /// The one file that holds the voxels, if it is not this one.
    pub fn data_file(&self, path: &Path) -> Result<Option<String>> {
        let Some(name) = self.get("data file") else { return Ok(None) };
        let pattern = name.contains('%') && name.split_whitespace().count() > 2;
        if name.split_whitespace().next() == Some("LIST") || pattern {
            return Err(Error::new(path, Kind::Format, "one data file", "a list of files").hint(
                "save the scan as one .nrrd, e.g. SimpleITK.WriteImage(SimpleITK.ReadImage(file), ...)",
            ));
        }
        Ok(Some(name.to_owned()))
    }
}

/// Names of fields are read in any letter case, and some have two.
fn canonical(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "datafile" => "data file".into(),
        "lineskip" => "line skip".into(),
        "byteskip" => "byte skip".into(),
        "centers" => "centerings".into(),
        "axismins" => "axis mins".into(),
        _ => lower,
    }
}

fn no_number(name: &str, text: &str, path: &Path) -> Error {
    let text: String = text.chars().take(40).collect();
    Error::new(path, Kind::Format, format!("numbers in the field {name}"), text)
        .hint("export the scan again: its header is damaged")
}

fn datatype(name: &str) -> Option<Datatype> {
    Some(match name {
        "signed char" | "int8" | "int8_t" | "char" => Datatype::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Datatype::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Datatype::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Datatype::U16,
        "int" | "signed int" | "int32" | "int32_t" => Datatype::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Datatype::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Datatype::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            Datatype::U64
        }
        "float" => Datatype::F32,
        "double" => Datatype::F64,
        _ => return None,
    })
}
