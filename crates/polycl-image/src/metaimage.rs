//! MetaImage files: `.mha`, and `.mhd` with its data file beside it.
//!
//! Format: <https://itk.org/Wiki/ITK/MetaIO/Documentation>. Where it leaves a choice we follow ITK,
//! but for ElementToIntensityFunction, which ITK passes over.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;

use glam::{DMat3, DVec3};
use polycl_base::{Error, Kind, Result};

use crate::raw::{self, Datatype, Encoding, Head, Lines, Order, Source, Stream, Voxel, list, skip};
use crate::{Space, Volume};

/// The content of a header, checked.
struct Header {
    encoding: Encoding,
    space: Space,
    notes: Vec<String>,
    compressed: bool,
    data_file: Option<String>,
    /// Bytes before the voxels in a data file; -1 for "the voxels end the file".
    header_size: i64,
}

pub(crate) fn head(source: &mut Source, path: &Path) -> Result<Head> {
    let Header { space, encoding, notes, .. } = header(&mut Lines::new(source.buffered()), path)?;
    Ok(Head { space, encoding, notes })
}

pub(crate) fn volume<V: Voxel>(source: &mut Source, path: &Path) -> Result<Volume<V>> {
    let mut lines = Lines::new(source.buffered());
    let header = header(&mut lines, path)?;
    let (reader, left, file) = lines.data(header.data_file.as_deref(), path)?;
    let voxels = data(&header, reader, left, &file)?;
    Ok(Volume { space: header.space, voxels })
}

/// Reads the voxels, of which with all before them `left` bytes are in the file.
fn data<V: Voxel>(header: &Header, mut reader: impl BufRead, left: u64, path: &Path) -> Result<Vec<V>> {
    let Header { encoding, space, .. } = header;
    let before = match u64::try_from(header.header_size) {
        Ok(before) => before,
        Err(_) => {
            let bytes = encoding.bytes(space.shape, path)?;
            raw::complete(bytes, left, path)?;
            left - bytes
        }
    };
    skip(&mut reader, before, path)?;
    let mut stream = if header.compressed { Stream::zlib(reader) } else { Stream::Plain(reader) };
    raw::voxels(encoding, space.shape, &mut stream, left.saturating_sub(before), path)
}

fn header(lines: &mut Lines<impl BufRead>, path: &Path) -> Result<Header> {
    let fields = Fields::read(lines, path)?;
    let mut notes = Vec::new();
    let space = fields.space(&mut notes, path)?;
    let encoding = fields.encoding(&mut notes, path)?;
    encoding.bytes(space.shape, path)?;
    let compressed = fields.flag("CompressedData", path)?.unwrap_or(false);
    let data_file = fields.data_file(path)?;
    let header_size = fields.number("HeaderSize", path)?.unwrap_or(0);
    let lowest = if compressed { 0 } else { -1 };
    if header_size < lowest || (data_file.is_none() && header_size > 0) {
        let expected = "a HeaderSize of bytes before the voxels, or -1 for those that end a file";
        return Err(Error::new(path, Kind::Format, expected, header_size.to_string())
            .hint("save the scan again as .mha, e.g. SimpleITK.WriteImage(image, \"scan.mha\")"));
    }
    Ok(Header { encoding, space, notes, compressed, data_file, header_size })
}

/// The fields of a header by name, as they stand there. Most are never looked at: some writers put
/// a patient's name among them.
struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Reads the header, whose last line names the data.
    fn read(lines: &mut Lines<impl BufRead>, path: &Path) -> Result<Self> {
        let mut fields = BTreeMap::new();
        loop {
            let line = lines.next(path)?;
            let Some((name, value)) = line.as_deref().and_then(|line| line.split_once('=')) else {
                if line.is_some_and(|line| line.trim().is_empty()) {
                    continue;
                }
                return Err(Error::new(
                    path,
                    Kind::Format,
                    "a MetaImage header",
                    "other data or an early end",
                )
                .hint("check that the file is complete and an image"));
            };
            let name = name.trim().to_owned();
            let last = name == "ElementDataFile";
            fields.insert(name, value.trim().to_owned());
            if last {
                return Ok(Self(fields));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number<T: FromStr>(&self, name: &str, path: &Path) -> Result<Option<T>> {
        self.get(name).map(|text| text.parse().map_err(|_| damaged("a number", name, text, path))).transpose()
    }

    /// The numbers of the first of several names that is there.
    fn numbers<T: FromStr, const N: usize>(&self, names: &[&str], path: &Path) -> Result<Option<[T; N]>> {
        let Some((name, text)) = names.iter().find_map(|name| Some((name, self.get(name)?))) else {
            return Ok(None);
        };
        let numbers: Option<Vec<T>> = text.split_whitespace().map(|text| text.parse().ok()).collect();
        match numbers.and_then(|numbers| numbers.try_into().ok()) {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(damaged(&format!("{N} numbers"), name, text, path)),
        }
    }

    fn flag(&self, name: &str, path: &Path) -> Result<Option<bool>> {
        let flag = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(damaged("True or False", name, text, path)),
        };
        self.get(name).map(flag).transpose()
    }

    fn space(&self, notes: &mut Vec<String>, path: &Path) -> Result<Space> {
        let rank: usize = self.number("NDims", path)?.unwrap_or(0);
        // Four axes, of which the last has one volume, are as ITK writes a series of one.
        let series = if rank == 4 { self.numbers::<i64, 4>(&["DimSize"], path)? } else { None };
        if series.is_some_and(|axes| axes[3] == 1) {
            return self.volume_of_series(path)?.space(notes, path);
        }
        if rank != 3 {
            let hint =
                series.map_or_else(|| "stack slices into one 3D file".to_owned(), |axes| raw::several(&axes));
            return Err(
                Error::new(path, Kind::Geometry, "a 3D volume (NDims = 3)", rank.to_string()).hint(hint)
            );
        }
        let shape = self.numbers(&["DimSize"], path)?.ok_or_else(|| missing("DimSize", path))?;
        let spacing = self.numbers(&["ElementSpacing", "ElementSize"], path)?.unwrap_or_else(|| {
            notes.push("the header gives no spacing: voxels are taken to be 1 mm apart".into());
            [1.0; 3]
        });
        if !spacing.iter().all(|&length: &f64| length.is_finite() && length > 0.0) {
            return Err(Error::new(path, Kind::Geometry, "a positive voxel spacing", list(&spacing))
                .hint("export the scan again: its header is damaged"));
        }
        let origin = self.numbers(&["Offset", "Position", "Origin"], path)?.unwrap_or_else(|| {
            notes.push("the header gives no origin: the first voxel is taken to lie at 0, 0, 0".into());
            [0.0; 3]
        });
        let columns =
            self.numbers(&["TransformMatrix", "Orientation", "Rotation"], path)?.unwrap_or_else(|| {
                notes
                    .push("the header gives no axes: they are taken to run left, posterior, superior".into());
                [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
            });
        let axes = DMat3::from_cols_array(&columns) * DMat3::from_diagonal(DVec3::from_array(spacing));
        raw::space(shape, raw::from_lps(axes, DVec3::from_array(origin)), path)
    }

    /// The fields of the only volume of a series, as they would be if it were written alone.
    fn volume_of_series(&self, path: &Path) -> Result<Self> {
        let mut fields = self.0.clone();
        fields.insert("NDims".to_owned(), "3".to_owned());
        for names in [&["DimSize"][..], &["ElementSpacing", "ElementSize"], &["Offset", "Position", "Origin"]]
        {
            let Some(name) = names.iter().find(|name| fields.contains_key(**name)) else { continue };
            let [x, y, z, _] = self.numbers::<String, 4>(&[name], path)?.unwrap_or_default();
            fields.insert((*name).to_owned(), format!("{x} {y} {z}"));
        }
        let names = ["TransformMatrix", "Orientation", "Rotation"];
        if let Some(name) = names.iter().find(|name| fields.contains_key(**name)) {
            let m = self.numbers::<String, 16>(&[name], path)?.unwrap_or_default();
            fields.insert((*name).to_owned(), [&m[..3], &m[4..7], &m[8..11]].concat().join(" "));
        }
        Ok(Self(fields))
    }

    fn encoding(&self, notes: &mut Vec<String>, path: &Path) -> Result<Encoding> {
        let name = self.get("ElementType").ok_or_else(|| missing("ElementType", path))?;
        let channels: usize = self.number("ElementNumberOfChannels", path)?.unwrap_or(1);
        let datatype = datatype(name).filter(|_| channels == 1).ok_or_else(|| {
            let found = format!("{name} x {channels}");
            Error::new(path, Kind::Format, "one real number of 8 to 64 bits a voxel", found)
                .hint("convert it to MET_SHORT or MET_FLOAT with one value per voxel")
        })?;
        if !self.flag("BinaryData", path)?.unwrap_or(true) {
            return Err(Error::new(path, Kind::Format, "BinaryData = True", "voxels written as text")
                .hint("save the scan again, e.g. SimpleITK.WriteImage(image, \"scan.mha\")"));
        }
        let big = ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"].map(|name| self.flag(name, path));
        let [first, second] = big;
        let order = if first?.or(second?).unwrap_or(false) { Order::Big } else { Order::Little };
        let slope = self.number("ElementToIntensityFunctionSlope", path)?.unwrap_or(1.0);
        let intercept = self.number("ElementToIntensityFunctionOffset", path)?.unwrap_or(0.0);
        if !(f64::is_finite(slope) && slope != 0.0 && f64::is_finite(intercept)) {
            let found = format!("slope {slope}, offset {intercept}");
            return Err(Error::new(path, Kind::Format, "a usable ElementToIntensityFunction", found)
                .hint("export the scan again: the intensity scaling of its header is damaged"));
        }
        if (slope, intercept) != (1.0, 0.0) {
            notes.push(
                "values are scaled as the header asks (ElementToIntensityFunction); ITK does not".into(),
            );
        }
        Ok(Encoding { datatype, order, slope, intercept })
    }

    /// The one file that holds the voxels, if it is not this one.
    fn data_file(&self, path: &Path) -> Result<Option<String>> {
        let name = self.get("ElementDataFile").unwrap_or_default();
        let pattern = name.contains('%') && name.split_whitespace().count() > 1;
        if name.split_whitespace().next() == Some("LIST") || pattern {
            return Err(Error::new(path, Kind::Format, "one data file", "a list of files").hint(
                "save the scan as one .mha, e.g. SimpleITK.WriteImage(SimpleITK.ReadImage(file), ...)",
            ));
        }
        Ok((!name.eq_ignore_ascii_case("LOCAL")).then(|| name.to_owned()))
    }
}

fn missing(name: &str, path: &Path) -> Error {
    Error::new(path, Kind::Format, format!("the field {name}"), "no such field")
        .hint("export the scan again: its header is incomplete")
}

fn damaged(expected: &str, name: &str, text: &str, path: &Path) -> Error {
    let text: String = text.chars().take(40).collect();
    Error::new(path, Kind::Format, format!("{expected} in the field {name}"), text)
        .hint("export the scan again: its header is damaged")
}

/// MET_LONG has 4 bytes, whatever the machine.
fn datatype(name: &str) -> Option<Datatype> {
    Some(match name {
        "MET_CHAR" => Datatype::I8,
        "MET_UCHAR" => Datatype::U8,
        "MET_SHORT" => Datatype::I16,
        "MET_USHORT" => Datatype::U16,
        "MET_INT" | "MET_LONG" => Datatype::I32,
        "MET_UINT" | "MET_ULONG" => Datatype::U32,
        "MET_LONG_LONG" => Datatype::I64,
        "MET_ULONG_LONG" => Datatype::U64,
        "MET_FLOAT" => Datatype::F32,
        "MET_DOUBLE" => Datatype::F64,
        _ => return None,
    })
}
