//! Files in bytes, for tests to spoil.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, Crc};

/// An NRRD header with other fields in place of its own or beside them, and 24 voxels of i16.
pub fn nrrd(fields: &[&str]) -> Vec<u8> {
    let body: Vec<u8> = (0i16..24).flat_map(i16::to_le_bytes).collect();
    nrrd_of(fields, &body)
}

pub fn nrrd_of(fields: &[&str], body: &[u8]) -> Vec<u8> {
    let own = ["type: short", "dimension: 3", "sizes: 4 3 2", "endian: little", "encoding: raw"];
    [header("NRRD0005\n", &own, fields, ":", "\n").as_bytes(), body].concat()
}

/// A MetaImage header with other fields, and the same voxels.
pub fn meta(fields: &[&str]) -> Vec<u8> {
    let body: Vec<u8> = (0i16..24).flat_map(i16::to_le_bytes).collect();
    meta_of(fields, &body)
}

pub fn meta_of(fields: &[&str], body: &[u8]) -> Vec<u8> {
    let own = ["NDims = 3", "DimSize = 4 3 2", "ElementType = MET_SHORT"];
    let local = !fields.iter().any(|field| field.starts_with("ElementDataFile"));
    let end = if local { "ElementDataFile = LOCAL\n" } else { "" };
    [header("ObjectType = Image\n", &own, fields, "=", end).as_bytes(), body].concat()
}

/// Own fields unless others have their names, then the others; those that end in `-` are left out.
fn header(start: &str, own: &[&str], fields: &[&str], parted: &str, end: &str) -> String {
    let name = |field: &str| field.split(parted).next().unwrap_or_default().trim().to_owned();
    let kept = own.iter().filter(|own| fields.iter().all(|field| name(field) != name(own)));
    let lines = kept.chain(fields).filter(|line| !line.ends_with('-'));
    lines.fold(start.to_owned(), |text, line| text + line + "\n") + end
}

/// A NumPy array with a header of version 1.
pub fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), body].concat()
}

/// A zip file of deflated members. Each has the offset of its own header, or another's.
pub fn zip(members: &[(&str, &[u8])], offsets: Option<&[u32]>) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (i, (name, content)) in members.iter().enumerate() {
        let mut crc = Crc::new();
        crc.update(content);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        let packed = encoder.finish().unwrap();
        let offset = offsets.map_or(file.len() as u32, |offsets| offsets[i]);
        let mut common = [20u16, 0, 8, 0, 0].map(u16::to_le_bytes).concat();
        common.extend([crc.sum(), packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat());
        common.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        file.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), &packed].concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 10], &offset.to_le_bytes()].concat());
        directory.extend(name.as_bytes());
    }
    let (at, size, count) = (file.len() as u32, directory.len() as u32, members.len() as u16);
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count.to_le_bytes(), &count.to_le_bytes()].concat());
    file.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
