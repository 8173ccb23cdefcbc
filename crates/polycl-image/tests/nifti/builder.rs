//! A valid NIfTI-1 file in bytes, for tests to spoil.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Header and voxels of a 4 x 3 x 2 volume of i16 (0, 1, 2, ...) with spacing 1, 2 and 3 mm.
#[derive(Clone)]
pub struct Builder {
    pub header: Vec<u8>,
    pub voxels: Vec<u8>,
}

impl Builder {
    pub fn new() -> Self {
        let mut header = vec![0; 352];
        header[344..347].copy_from_slice(b"n+1");
        let built = Self { header, voxels: (0i16..24).flat_map(i16::to_le_bytes).collect() };
        let built = built.put(0, 348i32.to_le_bytes()).dims(&[4, 3, 2]).datatype(4).offset(352.0);
        let built = built.pixdim([1.0, 1.0, 2.0, 3.0]).put(123, [2]);
        built.sform([[1.0, 0.0, 0.0, -5.0], [0.0, 2.0, 0.0, -6.0], [0.0, 0.0, 3.0, -7.0]])
    }

    pub fn put<const N: usize>(mut self, at: usize, bytes: [u8; N]) -> Self {
        self.header[at..at + N].copy_from_slice(&bytes);
        self
    }

    pub fn dims(self, dims: &[i16]) -> Self {
        let rank = self.put(40, (dims.len() as i16).to_le_bytes());
        dims.iter().enumerate().fold(rank, |built, (i, n)| built.put(42 + 2 * i, n.to_le_bytes()))
    }

    pub fn datatype(self, code: i16) -> Self {
        self.put(70, code.to_le_bytes())
    }

    pub fn offset(self, bytes: f32) -> Self {
        self.put(108, bytes.to_le_bytes())
    }

    pub fn scaling(self, slope: f32, intercept: f32) -> Self {
        self.put(112, slope.to_le_bytes()).put(116, intercept.to_le_bytes())
    }

    pub fn pixdim(self, pixdim: [f32; 4]) -> Self {
        pixdim.iter().enumerate().fold(self, |built, (i, x)| built.put(76 + 4 * i, x.to_le_bytes()))
    }

    pub fn sform(self, rows: [[f32; 4]; 3]) -> Self {
        let built = self.put(254, 1i16.to_le_bytes());
        rows.as_flattened()
            .iter()
            .enumerate()
            .fold(built, |built, (i, x)| built.put(280 + 4 * i, x.to_le_bytes()))
    }

    pub fn floats(mut self, voxels: &[f32]) -> Self {
        self.voxels = voxels.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.datatype(16)
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.header.as_slice(), &self.voxels].concat()
    }

    pub fn gzip(&self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}
