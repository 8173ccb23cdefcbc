//! TensorBoard event files: TFRecord framing around three small protobuf messages. Written here
//! because the crates that do it bring a protobuf compiler or a tensor library with them.
//!
//! Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and
//! tensorflow/core/framework/summary.proto.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use polycl_volume::{Error, Result};

use super::Record;

pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in `dir`; TensorBoard reads those of a resumed run together.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(format!("events.out.tfevents.{:.6}.polycl", now()));
        let opened = OpenOptions::new().create_new(true).write(true).open(&path);
        let file = opened.map_err(|e| Error::io(&path, "create it", &e))?;
        let mut events = Self { path, file };
        events.append(&message(&[double(1, now()), bytes(3, b"brain.Event:2")]))?;
        Ok(events)
    }

    pub fn write(&mut self, record: &Record) -> Result<()> {
        let scalars = [
            ("loss/training", Some(record.loss)),
            ("rate", Some(record.rate)),
            ("score/validation", record.score),
        ];
        let values = scalars.iter().filter_map(|&(tag, value)| {
            let value = value? as f32;
            Some(bytes(1, &message(&[bytes(1, tag.as_bytes()), float(2, value)])))
        });
        let summary = message(&values.collect::<Vec<_>>());
        self.append(&message(&[double(1, now()), varint(2, record.epoch as u64), bytes(5, &summary)]))
    }

    fn append(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let framed = [&length[..], &masked_crc(&length), event, &masked_crc(event)].concat();
        self.file.write_all(&framed).map_err(|e| Error::io(&self.path, "append to it", &e))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// CRC-32C, rotated and offset so that a checksum of data holding checksums stays strong.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.concat()
}

fn varint(field: u8, mut value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [&[field << 3 | 5][..], &value.to_le_bytes()].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = varint(field, value.len() as u64);
    out[0] |= 2;
    out.extend_from_slice(value);
    out
}
