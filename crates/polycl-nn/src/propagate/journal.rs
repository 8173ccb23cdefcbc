//! Results so far, on disk: a rerun after a kill reads them instead of computing them again.

use std::io::Write;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use polycl_base::{Error, Kind, Result, output};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::answer::{Answer, Answers, Pass, TRACES, Trace};

/// To be raised when the same request is answered otherwise.
const VERSION: u32 = 1;
const KEY: &str = "request.txt";

/// The folder of one request.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    side: usize,
}

impl Journal {
    /// Opens the folder of a request, and how many slices' answers are in it, of all passes together. What
    /// another request has left there is removed. `side` is that of the decoder's grid.
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
            remove(folder).map_err(failed)?;
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
        remove(&self.folder).map_err(|e| Error::io(&self.folder, "remove it", &e))
    }

    fn file(&self, pass: Pass, slice: usize) -> PathBuf {
        let pass = match pass {
            Pass::Prompts => "prompts",
            Pass::Up => "up",
            Pass::Down => "down",
        };
        self.folder.join(format!("{pass}{slice:05}.safetensors"))
    }

    /// The file of traces, which are dropped before the answers are.
    fn traces(&self, pass: Pass, slice: usize) -> PathBuf {
        self.file(pass, slice).with_extension("traces")
    }

    /// The answers about a slice by label; none where there are none, or damaged ones.
    pub(super) fn get(&self, pass: Pass, slice: usize) -> Option<Answers> {
        let bytes = std::fs::read(self.file(pass, slice)).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let labels = file.names().into_iter().filter_map(|name| name.strip_prefix("logits.")?.parse().ok());
        labels.map(|label| Some((label, self.answer(&file, label)?))).collect()
    }

    /// [`Self::get`] with the traces that are still there.
    pub(super) fn get_traced(&self, pass: Pass, slice: usize) -> Option<Answers> {
        let mut answers = self.get(pass, slice)?;
        let traces = std::fs::read(self.traces(pass, slice)).ok();
        if let Some(traces) = traces.as_deref().and_then(|bytes| SafeTensors::deserialize(bytes).ok()) {
            answers.iter_mut().for_each(|(&label, answer)| answer.trace = trace(&traces, label));
        }
        Some(answers)
    }

    fn answer(&self, file: &SafeTensors<'_>, label: u16) -> Option<Answer> {
        let logits = file.tensor(&format!("logits.{label}")).ok()?;
        let scores = file.tensor(&format!("scores.{label}")).ok()?;
        let fits = logits.dtype() == Dtype::F16 && logits.shape() == [self.side; 2];
        (fits && scores.dtype() == Dtype::F32 && scores.shape() == [2]).then_some(())?;
        let halves = logits.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
        let mut words = scores.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some(Answer {
            logits: halves.collect(),
            predicted_iou: words.next()?,
            presence: words.next()?,
            trace: None,
        })
    }

    /// Keeps the answers about a slice, which become what [`Self::get`] will return.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub(super) fn put(&self, pass: Pass, slice: usize, answers: &mut Answers) -> Result<()> {
        // Before the answers, which are never without them.
        self.put_traces(pass, slice, answers)?;
        let mut tensors = Vec::new();
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

    /// Keeps the traces of a slice, and drops those that no slice will look back at.
    fn put_traces(&self, pass: Pass, slice: usize, answers: &Answers) -> Result<()> {
        let mut tensors = Vec::new();
        for (label, trace) in
            answers.iter().filter_map(|(label, answer)| Some((label, answer.trace.as_ref()?)))
        {
            let bytes = trace.pointer.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((format!("pointer.{label}"), Dtype::F32, vec![trace.pointer.len()], bytes));
            let bytes = trace.pixels.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((format!("pixels.{label}"), Dtype::BF16, vec![trace.pixels.len()], bytes));
        }
        if tensors.is_empty() {
            return Ok(());
        }
        let old = match pass {
            Pass::Prompts => None,
            Pass::Up => slice.checked_sub(TRACES),
            Pass::Down => Some(slice + TRACES),
        };
        if let Some(old) = old.map(|old| self.traces(pass, old)).filter(|old| old.exists()) {
            std::fs::remove_file(&old).map_err(|e| Error::io(&old, "remove it", &e))?;
        }
        write(&self.traces(pass, slice), &tensors)
    }
}

/// Name, type, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

fn write(path: &Path, tensors: &[Stored]) -> Result<()> {
    let failed = |e: safetensors::SafeTensorError| {
        Error::new(path, Kind::Format, "answers about a slice", e.to_string())
    };
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?))
    });
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(failed)?;
    output::atomically(path, |file| file.write_all(&bytes))
}

fn trace(file: &SafeTensors<'_>, label: u16) -> Option<Trace> {
    let pointer = file.tensor(&format!("pointer.{label}")).ok().filter(|view| view.dtype() == Dtype::F32)?;
    let pixels = file.tensor(&format!("pixels.{label}")).ok().filter(|view| view.dtype() == Dtype::BF16)?;
    let words = pointer.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let halves = pixels.data().chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]));
    Some(Trace { pointer: words.collect(), pixels: halves.collect() })
}

/// The key goes first: what a kill leaves of the rest is then nobody's.
fn remove(folder: &Path) -> std::io::Result<()> {
    let key = folder.join(KEY);
    if key.exists() {
        std::fs::remove_file(key)?;
    }
    std::fs::remove_dir_all(folder)
}

fn is_answers(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "safetensors")
}
