//! What has been found so far, on disk: a rerun after a kill reads it instead of computing it again.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use half::f16;
use polycl_volume::{Error, Kind, Result, output};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::tracker::Answer;

/// To be raised when the same request is answered otherwise.
const VERSION: u32 = 1;
const KEY: &str = "request.txt";

/// Tensors by name: shapes and values.
pub type Memory = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The folder of one request.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    side: usize,
}

/// Which walk over the slices an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Boxes and clicks of a person.
    Prompts,
    Up,
    Down,
}

impl Journal {
    /// Opens the folder of a request, and how many slices are in it. What another request has left
    /// there is removed. `side` is that of the decoder's grid.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn open(folder: &Path, request: &str, side: usize) -> Result<(Self, usize)> {
        let key = folder.join(KEY);
        let request = format!("v{VERSION} {request}\n");
        let failed = |e: std::io::Error| Error::io(folder, "use it for what has been found so far", &e);
        if std::fs::read_to_string(&key).is_ok_and(|found| found == request) {
            let entries = std::fs::read_dir(folder).map_err(failed)?;
            let slices = entries.filter(|e| e.as_ref().is_ok_and(|e| is_answers(&e.path()))).count();
            return Ok((Self { folder: folder.to_path_buf(), side }, slices));
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(failed)?;
        }
        output::atomically(&key, |file| file.write_all(request.as_bytes()))?;
        Ok((Self { folder: folder.to_path_buf(), side }, 0))
    }

    /// A place for what else is worth keeping until the end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes all of it.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, "remove it", &e))
    }

    fn file(&self, pass: Pass, slice: usize) -> PathBuf {
        let pass = match pass {
            Pass::Prompts => "prompts",
            Pass::Up => "up",
            Pass::Down => "down",
        };
        self.folder.join(format!("{pass}{slice:05}.safetensors"))
    }

    /// The answers about a slice by label; none where there are none, or damaged ones.
    pub fn get(&self, pass: Pass, slice: usize) -> Option<BTreeMap<u16, Answer>> {
        let bytes = std::fs::read(self.file(pass, slice)).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let labels = file.names().into_iter().filter_map(|name| name.strip_prefix("logits.")?.parse().ok());
        labels.map(|label| Some((label, self.answer(&file, label)?))).collect()
    }

    fn answer(&self, file: &SafeTensors<'_>, label: u16) -> Option<Answer> {
        let logits = file.tensor(&format!("logits.{label}")).ok()?;
        let scores = file.tensor(&format!("scores.{label}")).ok()?;
        let fits = logits.dtype() == Dtype::F16 && logits.shape() == [self.side; 2];
        (fits && scores.dtype() == Dtype::F32 && scores.shape() == [2]).then_some(())?;
        let halves = logits.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
        let mut words = scores.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some(Answer { logits: halves.collect(), predicted_iou: words.next()?, presence: words.next()? })
    }

    /// Keeps the answers about a slice, which become what [`Self::get`] will return.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn put(&self, pass: Pass, slice: usize, answers: &mut BTreeMap<u16, Answer>) -> Result<()> {
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (label, answer) in answers {
            let halves: Vec<f16> = answer.logits.iter().map(|&x| f16::from_f32(x)).collect();
            answer.logits = halves.iter().map(|x| x.to_f32()).collect();
            let bytes = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((format!("logits.{label}"), Dtype::F16, vec![self.side; 2], bytes));
            let scores = [answer.predicted_iou, answer.presence];
            let bytes = scores.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((format!("scores.{label}"), Dtype::F32, vec![2], bytes));
        }
        write(&self.file(pass, slice), &tensors)
    }

    /// What a tracker wants to know of a slice besides its answers, by name, as shape and values; none
    /// where there is none, or a damaged one.
    pub fn memory(&self, pass: Pass, slice: usize) -> Option<Memory> {
        let bytes = std::fs::read(self.memory_file(pass, slice)).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let tensor = |(name, view): (&str, TensorView<'_>)| {
            let words = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            (view.dtype() == Dtype::F32).then(|| (name.to_owned(), (view.shape().to_vec(), words.collect())))
        };
        file.iter().map(tensor).collect()
    }

    /// Keeps a memory, and drops that of the slice `forgotten`, which is no longer needed.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn put_memory(
        &self,
        pass: Pass,
        slice: usize,
        memory: &Memory,
        forgotten: Option<usize>,
    ) -> Result<()> {
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensors = memory
            .iter()
            .map(|(name, (shape, values))| (name.clone(), Dtype::F32, shape.clone(), bytes(values)));
        write(&self.memory_file(pass, slice), &tensors.collect::<Vec<_>>())?;
        if let Some(old) = forgotten.map(|slice| self.memory_file(pass, slice)).filter(|old| old.exists()) {
            std::fs::remove_file(&old).map_err(|e| Error::io(&old, "remove it", &e))?;
        }
        Ok(())
    }

    fn memory_file(&self, pass: Pass, slice: usize) -> PathBuf {
        self.file(pass, slice).with_extension("memory")
    }
}

fn write(path: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Result<()> {
    let failed =
        |e: safetensors::SafeTensorError| Error::new(path, Kind::Format, "finite tensors", e.to_string());
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?))
    });
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(failed)?;
    output::atomically(path, |file| file.write_all(&bytes))
}

fn is_answers(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_found_and_only_by_the_same_request() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("journal");
        let (journal, kept) = Journal::open(&place, "one", 2).unwrap();
        assert_eq!(kept, 0);
        let answer = Answer { logits: vec![0.1, -3.3, 8.0, 0.0], predicted_iou: 0.9, presence: -0.5 };
        let mut answers = BTreeMap::from([(7, answer)]);
        journal.put(Pass::Down, 4, &mut answers).unwrap();
        assert_eq!(journal.get(Pass::Down, 4), Some(answers));
        assert_eq!(journal.get(Pass::Up, 4), None);
        assert_eq!(Journal::open(&place, "one", 2).unwrap().1, 1);
        let memory = BTreeMap::from([("pointer".to_owned(), (vec![2], vec![1.5, -2.0]))]);
        (3..6).for_each(|k| journal.put_memory(Pass::Up, k, &memory, k.checked_sub(2)).unwrap());
        let kept = [3, 4, 5].map(|k| journal.memory(Pass::Up, k));
        assert_eq!(kept, [None, Some(memory.clone()), Some(memory)]);
        // Another grid makes nothing of it, another request removes it.
        let (other, _) = Journal::open(&place, "one", 3).unwrap();
        assert_eq!(other.get(Pass::Down, 4), None);
        assert_eq!(Journal::open(&place, "two", 2).unwrap().1, 0);
        assert_eq!(journal.get(Pass::Down, 4), None);
        journal.remove().unwrap();
        assert!(!place.exists());
    }
}
