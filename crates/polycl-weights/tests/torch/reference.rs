use std::collections::BTreeMap;
use std::path::Path;

use polycl_base::Kind;
use polycl_fixtures::zip::Scratch;
use polycl_weights::{convert, converted_from, torch};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::reference;

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    values: Vec<String>,
}

#[test]
fn files_of_torch_are_read_as_torch_reads_them() {
    let text = std::fs::read_to_string(reference().join("expected.json")).unwrap();
    let files: BTreeMap<String, BTreeMap<String, Expected>> = serde_json::from_str(&text).unwrap();
    assert!(files.len() > 9);
    for (file, expected) in files {
        let tensors = torch::read(&reference().join(&file)).unwrap();
        assert!(tensors.keys().eq(expected.keys()), "{file}: {:?}", tensors.keys());
        for (name, Expected { shape, values }) in expected {
            let tensor = &tensors[&name];
            assert_eq!(tensor.shape, shape, "{file}: {name}");
            // As text, so that infinity and the sign of zero count.
            let values: Vec<u32> =
                values.iter().map(|value| value.parse::<f32>().unwrap().to_bits()).collect();
            let found: Vec<u32> = tensor.values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(found, values, "{file}: {name}");
        }
    }
}

#[test]
fn other_files_of_torch_are_refused() {
    let cases = [
        ("legacy.pth", "expected a checkpoint of PyTorch 1.6 or later", true),
        ("torchscript.pt", "found a TorchScript program", true),
        ("complex.pth", "expected a tensor weight, found one of torch.ComplexFloatStorage", true),
        ("sparse.pth", "found an object of torch._utils._rebuild_sparse_tensor, which is not called", true),
        ("text.pth", "expected a tensor name, found a text", true),
        ("module.pth", "expected a state dict, found an object of __main__.Net", true),
        ("list.pth", "expected a state dict, found a list", true),
    ];
    for (file, message, hint) in cases {
        let error = torch::read(&reference().join(file)).unwrap_err();
        assert_eq!(error.kind, Kind::Checkpoint, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.hint.is_some(), hint, "{error}");
    }
}

/// The published weights of LiteMedSAM, where they are at hand: all names, shapes and values as
/// torch 2.15.0 reads them, by the hash of `make.py`'s `digest`.
#[test]
fn litemedsam_is_read_as_torch_reads_it() {
    let Some(path) = std::env::var_os("POLYCL_LITEMEDSAM") else {
        println!("skipped: POLYCL_LITEMEDSAM names no lite_medsam.pth");
        return;
    };
    let tensors = torch::read(Path::new(&path)).unwrap();
    assert_eq!(tensors.len(), 435);
    let mut hash = Sha256::new();
    for (name, tensor) in &tensors {
        hash.update(format!("{name}{:?}", tensor.shape));
        tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "e762bf46237719b119c785d054051960f122da59dd0a0d718b514692c429f4c4");
}

#[test]
fn what_is_converted_says_so_and_holds_the_same() {
    let scratch = Scratch::default();
    let (from, to) = (reference().join("types.pth"), scratch.at("types.safetensors"));
    assert_eq!(converted_from(&to), None);
    assert_eq!(convert(&from, &to, "the hash").unwrap(), 8);
    assert_eq!(converted_from(&to).as_deref(), Some("the hash"));
    let bytes = std::fs::read(&to).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, tensor) in torch::read(&from).unwrap() {
        let view = file.tensor(&name).unwrap();
        assert_eq!(view.shape(), tensor.shape);
        let values: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(view.data(), values);
    }
    // Not of the same bytes, not converted: one that is cut, one of another make.
    std::fs::write(&to, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(converted_from(&to), None);
    convert(&from, &to, "another").unwrap();
    assert_eq!(converted_from(&to).as_deref(), Some("another"));
}
