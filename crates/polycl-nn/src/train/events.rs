//! TensorBoard event files: TFRecord framing around three small protobuf messages. Written here
//! because the crates that do it bring a protobuf compiler or a tensor library with them.
//!
//! Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and
//! tensorflow/core/framework/summary.proto.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use polycl_base::{Error, Result};

use super::record::Record;

pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// The file of a run that goes on: what was logged, once, in place of the files of earlier processes,
    /// which may tell of epochs that are trained again. `None` where there is nothing yet.
    pub fn again(dir: &Path, log: &[Record]) -> Result<Option<Self>> {
        let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let ours = |path: &PathBuf| {
            name(path).is_some_and(|n| n.starts_with("events.out.tfevents.") && n.ends_with(".polycl"))
        };
        let entries = fs::read_dir(dir).map_err(|e| Error::io(dir, "read it", &e))?;
        let earlier: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
        let mut events = None;
        if !log.is_empty() {
            let new = events.insert(Self::create(dir)?);
            // When an epoch ended is not logged, only how long each took.
            let mut time = now() - log.iter().map(|record| record.seconds).sum::<f64>();
            for record in log {
                time += record.seconds;
                new.append(&scalars(record, time))?;
            }
        }
        // The new ones are there, so a kill here leaves some twice, and none out.
        for path in earlier {
            fs::remove_file(&path).map_err(|e| Error::io(&path, "remove it", &e))?;
        }
        Ok(events)
    }

    /// A new file in `dir`.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(format!("events.out.tfevents.{:.6}.polycl", now()));
        let opened = OpenOptions::new().create_new(true).write(true).open(&path);
        let file = opened.map_err(|e| Error::io(&path, "create it", &e))?;
        let mut events = Self { path, file };
        events.append(&message(&[double(1, now()), bytes(3, b"brain.Event:2")]))?;
        Ok(events)
    }

    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.append(&scalars(record, now()))
    }

    fn append(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&framed(event)).map_err(|e| Error::io(&self.path, "append to it", &e))
    }
}

/// An event with the numbers of an epoch.
fn scalars(record: &Record, time: f64) -> Vec<u8> {
    let scalars = [
        ("loss/training", Some(record.loss)),
        ("rate", Some(record.rate)),
        ("score/validation", record.score),
        ("probe/presence", record.probe.and_then(|probe| probe.presence)),
        ("probe/height", record.probe.map(|probe| probe.height)),
        ("probe/identity", record.probe.map(|probe| probe.identity)),
    ];
    let values = scalars.iter().filter_map(|&(tag, value)| {
        let value = value? as f32;
        Some(bytes(1, &message(&[bytes(1, tag.as_bytes()), float(2, value)])))
    });
    let summary = message(&values.collect::<Vec<_>>());
    message(&[double(1, time), varint(2, record.epoch as u64), bytes(5, &summary)])
}

/// Length, its checksum, the bytes, their checksum.
fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), event, &masked_crc(event)].concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `RecordWriter` of tensorboard 2.21.0 on the same `Event`, wall_time 1.5 and step 300.
    const TENSORBOARD: &str = "4a00000000000000af77dbb009000000000000f83f10ac022a3c0a140a0d6c6f73732f747261696e69\
        6e67150000803e0a0b0a0472617465156f12833a0a170a1073636f72652f76616c69646174696f6e150000003f9b730e32";

    #[test]
    fn an_epoch_is_the_bytes_that_tensorboard_writes() {
        let record = Record {
            epoch: 300,
            loss: 0.25,
            rate: 0.001,
            left_out: None,
            score: Some(0.5),
            probe: None,
            seconds: 9.0,
        };
        let written = framed(&scalars(&record, 1.5));
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, TENSORBOARD);
    }
}
