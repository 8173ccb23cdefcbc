//! Embeddings of a scan's slices on disk, for other commands and other masks: one file a slice, in a
//! folder for each scan and network. A scan whose voxels lie elsewhere is another scan: how a slice is
//! cut and scaled hangs on its geometry.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use polycl_base::{Result, output};
use polycl_image::{Image, Plane};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Model, Sam};

/// The folder of one scan, network and kind of planes.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    shape: [usize; 4],
}

const NAME: &str = "embedding";
/// To be raised when the same slice is embedded otherwise, so that old files are not taken for new ones.
const VERSION: u32 = 1;

impl Cache {
    pub fn new(root: &Path, (image, plane): (&Image, Plane), model: Model, sam: &Sam) -> Self {
        let (side, dim) = (sam.config.side(), sam.config.decoder.dim);
        let scan = &image.fingerprint()[..16];
        let affine = image.space.world_from_voxel.to_cols_array();
        let place = crc32c::crc32c(&affine.map(f64::to_le_bytes).concat());
        let planes = if plane == Plane::Axial { String::new() } else { format!("-{plane}") };
        let folder = root.join(format!("{scan}-{place:08x}-{model}-{:08x}-v{VERSION}{planes}", sam.checksum));
        Self { folder, shape: [1, side, side, dim] }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, slice: usize, [centre, width]: [f32; 2]) -> PathBuf {
        self.folder.join(format!("slice{slice:04}-window{centre}_{width}.safetensors"))
    }

    /// True if the embedding of a slice is kept.
    pub fn holds(&self, slice: usize, window: [f32; 2]) -> bool {
        self.file(slice, window).is_file()
    }

    /// The embedding of a slice as it was kept; none where there is none, or a damaged one.
    pub fn get(&self, slice: usize, window: [f32; 2], device: &burn::tensor::Device) -> Option<Tensor<4>> {
        let bytes = std::fs::read(self.file(slice, window)).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let view = file.tensor(NAME).ok().filter(|view| view.shape() == self.shape)?;
        let words = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let values: Vec<f32> = (view.dtype() == Dtype::F32).then(|| words.collect())?;
        Some(Tensor::from_data(TensorData::new(values, self.shape), device))
    }

    /// # Errors
    /// [`polycl_base::Kind::Io`].
    pub fn put(&self, slice: usize, window: [f32; 2], embedding: &Tensor<4>) -> Result<()> {
        let data = embedding.clone().into_data();
        let path = self.file(slice, window);
        let failed = |e: safetensors::SafeTensorError| {
            polycl_base::Error::caused(&path, polycl_base::Kind::Format, "an embedding", e)
        };
        let view = TensorView::new(Dtype::F32, self.shape.to_vec(), data.as_bytes()).map_err(failed)?;
        let bytes = safetensors::serialize([(NAME, view)], None).map_err(failed)?;
        output::atomically(&path, |file| file.write_all(&bytes))
    }
}
