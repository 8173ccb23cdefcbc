//! Checkpoints as `torch.save` has written them since PyTorch 1.6: a zip file that holds a pickle,
//! `data.pkl`, and the numbers of each storage in a file beside it, `data/KEY`. The pickle says what
//! tensors there are; it is read as data, and nothing that it names is called.
//! Written by PyTorch's `torch/serialization.py`, rebuilt there by `torch/_utils.py`.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use polycl_base::archive::Archive;
use polycl_base::{Error, Kind, Result};

use super::pickle::{self, Fault, Object, Pair, Pickle, Value, brief};
use super::raw_tensor::RawTensor;

/// Keys under which training scripts put the state dict among other things.
const NESTED: [&str; 3] = ["model", "state_dict", "model_state_dict"];
/// Prefix that `DistributedDataParallel` puts before every name.
const PARALLEL: &str = "module.";
/// PyTorch has no tensor of more axes.
const AXES: usize = 64;
const AGAIN: &str = "save it again with a current PyTorch: torch.save(model.state_dict(), FILE)";

/// Reads the tensors of a state dict, in row-major order whatever their layout. Whole numbers become
/// float32 as well; beyond 2^24 these round.
///
/// Memory is taken for the tensors, at most four times the file, and one storage at a time: tensors
/// may share storages or repeat what is in them, but not without end. To this comes what the pickle
/// and the archive's directory hold, which have bounds of their own.
///
/// # Errors
/// [`Kind::Io`]; [`Kind::Truncated`]; [`Kind::Checkpoint`] for what is no checkpoint of this format,
/// is damaged, or holds something other than tensors.
pub fn read(path: &Path) -> Result<BTreeMap<String, RawTensor>> {
    let mut archive = open(path)?;
    let root = folder(path, &archive)?;
    let bytes = stored(&mut archive, &format!("{root}data.pkl"))?;
    let pickle = pickle::parse(&bytes).map_err(|fault| unreadable(path, fault))?;
    let views = views(path, &pickle)?;
    within(path, &views, archive.len)?;
    let mut tensors = gather(path, &mut archive, &root, views)?;
    if tensors.keys().all(|name| name.starts_with(PARALLEL)) {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[PARALLEL.len()..].into(), tensor)).collect();
    }
    Ok(tensors)
}

fn open(path: &Path) -> Result<Archive> {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start));
    let read = read.map_err(|e| Error::io(path, "read it", &e))?;
    if !start.starts_with(b"PK\x03\x04") {
        let found = if read < 4 { "a file that is all but empty" } else { "a file of another kind" };
        return Err(wrong(path, "a checkpoint of PyTorch 1.6 or later", found).hint(AGAIN));
    }
    Archive::open(path).map_err(checkpoint)
}

/// An archive's error as one of a checkpoint.
fn checkpoint(error: Error) -> Error {
    let kind = if error.kind == Kind::Format { Kind::Checkpoint } else { error.kind };
    Error { kind, ..error }
}

fn stored(archive: &mut Archive, name: &str) -> Result<Vec<u8>> {
    archive.stored(name).map_err(checkpoint)
}

/// The folder of the checkpoint within the archive, `""` or with a slash at its end.
fn folder(path: &Path, archive: &Archive) -> Result<String> {
    let roots = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut roots = roots.filter(|root| root.is_empty() || root.find('/') == Some(root.len() - 1));
    let (Some(root), None) = (roots.next(), roots.next()) else {
        return Err(wrong(path, "a checkpoint of PyTorch", "a zip file without one data.pkl").hint(AGAIN));
    };
    let has = |name: &str| archive.names().any(|entry| entry.strip_prefix(root) == Some(name));
    if has("constants.pkl") {
        return Err(wrong(path, "a state dict", "a TorchScript program").hint(AGAIN));
    }
    Ok(root.to_owned())
}

fn unreadable(path: &Path, fault: Fault) -> Error {
    const EXPECTED: &str = "a pickle as torch.save writes it";
    match fault {
        Fault::Ends => Error::new(path, Kind::Truncated, EXPECTED, "one that breaks off"),
        Fault::Found(found) => wrong(path, EXPECTED, found).hint(AGAIN),
    }
}

fn wrong(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::new(path, Kind::Checkpoint, expected, found)
}

/// A tensor as the pickle has it: a view of a storage.
struct View<'a> {
    key: &'a str,
    format: Format,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    elements: usize,
}

fn views<'a>(path: &Path, pickle: &Pickle<'a>) -> Result<BTreeMap<&'a str, View<'a>>> {
    let mut views = BTreeMap::new();
    for &(key, value) in state_dict(path, pickle)? {
        let Value::Text(name) = key else {
            return Err(wrong(path, "names of tensors", pickle.describe(key)));
        };
        let view = view(pickle, value).map_err(|found| {
            let hint = "save a state dict of plain tensors; nothing in the file is ever run";
            wrong(path, format!("a tensor {}", brief(name)), found).hint(hint)
        })?;
        views.insert(name, view);
    }
    if views.is_empty() {
        return Err(wrong(path, "a state dict", "no tensor in it"));
    }
    Ok(views)
}

/// The items of the state dict, be it the whole of the checkpoint or an entry of it.
fn state_dict<'p, 'a>(path: &Path, pickle: &'p Pickle<'a>) -> Result<&'p [Pair<'a>]> {
    let outer = dict(pickle, pickle.root)
        .ok_or_else(|| wrong(path, "a state dict", pickle.describe(pickle.root)).hint(AGAIN))?;
    let nested = |name: &&str| outer.iter().rev().find(|(key, _)| *key == Value::Text(name));
    let inner = NESTED.iter().filter_map(nested).find_map(|(_, value)| dict(pickle, *value));
    Ok(inner.unwrap_or(outer))
}

fn dict<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<&'p [Pair<'a>]> {
    match pickle.object(value)? {
        Object::Dict(items) => Some(items),
        Object::Call { callable, items, .. } => {
            (global(pickle, *callable)? == ("collections", "OrderedDict")).then_some(items)
        }
        _ => None,
    }
}

fn global<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<(&'a str, &'a str)> {
    match pickle.object(value)? {
        Object::Global { module, name } => Some((module, name)),
        _ => None,
    }
}

fn tuple<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<&'p [Value<'a>]> {
    match pickle.object(value)? {
        Object::Tuple(items) => Some(items),
        _ => None,
    }
}

/// The tensor that a value stands for, or what it is instead.
fn view<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> std::result::Result<View<'a>, String> {
    // A parameter is a call around the tensor's own.
    let value = match call(pickle, value) {
        Some((("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), [tensor, ..])) => {
            *tensor
        }
        _ => value,
    };
    let broken = || String::from("a tensor of impossible make");
    let (storage, rest, dtype) = match call(pickle, value) {
        Some((("torch._utils", "_rebuild_tensor_v2"), [storage, rest @ ..])) => (*storage, rest, None),
        // For types that have no typed storage: the type is an argument.
        Some((("torch._utils", "_rebuild_tensor_v3"), [storage, rest @ ..])) => (*storage, rest, rest.get(5)),
        _ => return Err(pickle.describe(value)),
    };
    let [offset, shape, strides, ..] = rest else { return Err(broken()) };
    let (key, storage_type) = storage_of(pickle, storage).ok_or_else(broken)?;
    let type_name = match dtype {
        Some(dtype) => global(pickle, *dtype).ok_or_else(broken)?.1,
        None => storage_type,
    };
    let format = Format::of(type_name).ok_or_else(|| brief(&format!("one of torch.{type_name}")))?;
    let shape = sizes(pickle, *shape).ok_or_else(broken)?;
    let strides = sizes(pickle, *strides).filter(|s| s.len() == shape.len()).ok_or_else(broken)?;
    let elements = elements(&shape).ok_or_else(broken)?;
    Ok(View { key, format, offset: size(*offset).ok_or_else(broken)?, shape, strides, elements })
}

type Call<'p, 'a> = ((&'a str, &'a str), &'p [Value<'a>]);

fn call<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<Call<'p, 'a>> {
    match pickle.object(value)? {
        Object::Call { callable, arguments, .. } => {
            Some((global(pickle, *callable)?, tuple(pickle, *arguments)?))
        }
        _ => None,
    }
}

/// Key and type of a storage: `("storage", TYPE, KEY, DEVICE, LENGTH)`. The length is not asked for;
/// the file beside the pickle has one.
fn storage_of<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<(&'a str, &'a str)> {
    let Object::Outside(identity) = pickle.object(value)? else { return None };
    let [Value::Text("storage"), class, Value::Text(key), ..] = tuple(pickle, *identity)? else {
        return None;
    };
    Some((key, global(pickle, *class)?.1))
}

fn sizes<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Vec<usize>> {
    let items = tuple(pickle, value).filter(|items| items.len() <= AXES)?;
    items.iter().map(|item| size(*item)).collect()
}

fn size(value: Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

fn elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side))
}

/// Refuses tensors that have more values than the file has bytes: no weights do, even shared ones of
/// half precision, but strides of zero can ask for any number. The least is for small files.
fn within(path: &Path, views: &BTreeMap<&str, View>, len: u64) -> Result<()> {
    let most = len.max(1 << 16);
    let all = views.values().try_fold(0_u64, |sum, view| sum.checked_add(view.elements as u64));
    if all.is_none_or(|all| all > most) {
        return Err(wrong(path, format!("at most {most} values in {len} bytes"), "more values"));
    }
    Ok(())
}

/// Reads each storage once, and out of it all tensors that share it.
fn gather(
    path: &Path,
    archive: &mut Archive,
    root: &str,
    views: BTreeMap<&str, View>,
) -> Result<BTreeMap<String, RawTensor>> {
    check_order(path, archive, root)?;
    let mut in_order: Vec<(&str, View)> = views.into_iter().collect();
    in_order.sort_by_key(|(_, view)| view.key);
    let mut tensors = BTreeMap::new();
    for sharing in in_order.chunk_by(|(_, a), (_, b)| a.key == b.key) {
        let bytes = stored(archive, &format!("{root}data/{}", sharing[0].1.key))?;
        for (name, view) in sharing {
            let values = view.values(&bytes, room(path, view.elements)?).ok_or_else(|| {
                let found = format!("a storage of {} bytes", bytes.len());
                wrong(path, format!("{} of shape {:?}", brief(name), view.shape), found)
            })?;
            tensors.insert((*name).to_owned(), RawTensor { shape: view.shape.clone(), values });
        }
    }
    Ok(tensors)
}

fn check_order(path: &Path, archive: &mut Archive, root: &str) -> Result<()> {
    let name = format!("{root}byteorder");
    // Files before PyTorch 2.1 do not say; they are of machines as all are now.
    if archive.names().any(|entry| entry == name) && stored(archive, &name)? != b"little" {
        return Err(wrong(path, "numbers in little-endian order", "big-endian ones").hint(AGAIN));
    }
    Ok(())
}

/// An empty list with room for so many values.
pub(super) fn room(path: &Path, values: usize) -> Result<Vec<f32>> {
    let mut room = Vec::new();
    match room.try_reserve_exact(values) {
        Ok(()) => Ok(room),
        Err(_) => {
            let expected = format!("{} bytes of free memory", values.saturating_mul(size_of::<f32>()));
            Err(Error::new(path, Kind::Request, expected, "too little memory")
                .hint("use a machine with more memory"))
        }
    }
}

impl View<'_> {
    /// The values in row-major order, into a list that has room for them; `None` where they lie outside of
    /// the storage.
    fn values(&self, storage: &[u8], mut values: Vec<f32>) -> Option<Vec<f32>> {
        if self.elements == 0 {
            return Some(values);
        }
        let reach =
            self.shape.iter().zip(&self.strides).try_fold(self.offset, |at, (side, stride)| {
                at.checked_add((side - 1).checked_mul(*stride)?)
            })?;
        let width = self.format.width();
        if reach >= storage.len() / width {
            return None;
        }
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        loop {
            values.push(self.format.value(&storage[at * width..][..width]));
            // Counts like an odometer, the last axis first.
            let mut axis = self.shape.len();
            loop {
                let Some(next) = axis.checked_sub(1) else { return Some(values) };
                axis = next;
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    at += self.strides[axis];
                    break;
                }
                at -= (self.shape[axis] - 1) * self.strides[axis];
                index[axis] = 0;
            }
        }
    }
}

/// The number format of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    /// Bytes and truth values.
    U8,
}

impl Format {
    /// By the name of the storage's class, or of the type.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" | "float64" => Self::F64,
            "FloatStorage" | "float32" => Self::F32,
            "HalfStorage" | "float16" => Self::F16,
            "BFloat16Storage" | "bfloat16" => Self::Bf16,
            "LongStorage" | "int64" => Self::I64,
            "IntStorage" | "int32" => Self::I32,
            "ByteStorage" | "BoolStorage" | "uint8" | "bool" => Self::U8,
            _ => return None,
        })
    }

    pub(super) fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }

    /// One number, of as many bytes as it is wide.
    pub(super) fn value(self, bytes: &[u8]) -> f32 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let [a, b, c, d, ..] = wide;
        match self {
            Self::F64 => f64::from_le_bytes(wide) as f32,
            Self::F32 => f32::from_le_bytes([a, b, c, d]),
            Self::F16 => f16::from_le_bytes([a, b]).to_f32(),
            Self::Bf16 => bf16::from_le_bytes([a, b]).to_f32(),
            Self::I64 => i64::from_le_bytes(wide) as f32,
            Self::I32 => i32::from_le_bytes([a, b, c, d]) as f32,
            Self::U8 => f32::from(a),
        }
    }
}
