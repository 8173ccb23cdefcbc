//! What is read back must be what was written: damage is found, and memory is not wasted on it.

use std::path::Path;

use polycl_base::Kind;
use polycl_data::Dataset;
use serde_json::{Value, json};

use crate::files::{Folder, LPS, image, mask, space};

fn dataset() -> Folder {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 10)]);
    folder.write("labels/labels.json", r#"{"1": "liver"}"#);
    folder.import(&folder.plan().unwrap()).unwrap();
    folder
}

fn edited(folder: &Folder, file: &str, edit: impl Fn(&mut Value)) -> Kind {
    let path = folder.at(file);
    let before = std::fs::read(&path).unwrap();
    let mut json = serde_json::from_slice(&before).unwrap();
    edit(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    let kind = folder.dataset().map(|_| ()).unwrap_err().kind;
    std::fs::write(&path, before).unwrap();
    kind
}

#[test]
fn an_unsound_index_is_refused() {
    let folder = dataset();
    let edits: [(&str, Value); 14] = [
        ("/polycl_dataset", json!(2)),
        ("/preprocess/size", json!(100)),
        ("/preprocess/size", json!(64)),
        ("/preprocess/window", json!([40.0, -1.0])),
        ("/labels", json!({"0": "liver"})),
        ("/labels", json!({"1": "liver", "2": "liver"})),
        ("/labels", json!({})),
        ("/labels", json!({"70000": "liver"})),
        ("/scans", json!([])),
        ("/scans/0/case", json!("../a")),
        ("/scans/0/slices", json!(7)),
        ("/scans/0/slices", json!(u64::MAX)),
        ("/scans/0/presence", json!({"liver": [[0, 6]]})),
        ("/scans/0/presence", json!({"liver": [[2, 3], [1, 1]]})),
    ];
    for (pointer, value) in edits {
        let kind = edited(&folder, "dataset/index.json", |index| {
            *index.pointer_mut(pointer).unwrap() = value.clone();
        });
        assert_eq!(kind, Kind::Format, "{pointer} {value}");
    }
    let kind = edited(&folder, "dataset/index.json", |index| {
        let scans = index["scans"].as_array_mut().unwrap();
        scans.push(scans[0].clone());
    });
    assert_eq!(kind, Kind::Format);
    folder.dataset().unwrap();
}

#[test]
fn index_and_metadata_that_agree_on_more_than_the_file_holds_are_refused() {
    let folder = dataset();
    let huge = 1_u64 << 40;
    let path = folder.at("dataset/slices.zarr/a/image/zarr.json");
    let mut metadata: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    metadata["shape"][0] = json!(huge);
    metadata["chunk_grid"]["configuration"]["chunk_shape"][0] = json!(huge);
    std::fs::write(&path, metadata.to_string()).unwrap();
    let kind = edited(&folder, "dataset/index.json", |index| {
        index["scans"][0]["slices"] = json!(huge);
        index["scans"][0]["shape"][2] = json!(huge);
    });
    assert_eq!(kind, Kind::Format);
}

#[test]
fn other_arrays_are_refused() {
    let folder = dataset();
    let edits: [(&str, Value); 4] = [
        ("/data_type", json!("int16")),
        ("/shape/1", json!(64)),
        ("/codecs/0/configuration/chunk_shape/0", json!(2)),
        ("/codecs", json!([{"name": "bytes", "configuration": {"endian": "little"}}])),
    ];
    for (pointer, value) in edits {
        let kind = edited(&folder, "dataset/slices.zarr/a/image/zarr.json", |array| {
            *array.pointer_mut(pointer).unwrap() = value.clone();
        });
        assert_eq!(kind, Kind::Format, "{pointer}");
    }
}

#[test]
fn missing_parts_are_missed() {
    for part in ["index.json", "slices.zarr", "slices.zarr/a/mask", "slices.zarr/a/image/c"] {
        let folder = dataset();
        let path = folder.at("dataset").join(part);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        let kind = folder.dataset().map(|_| ()).unwrap_err().kind;
        assert!(matches!(kind, Kind::Io | Kind::Format), "{part}");
    }
    assert_eq!(Dataset::open(Path::new("/nowhere")).map(|_| ()).unwrap_err().kind, Kind::Io);
}

#[test]
fn every_damaged_byte_of_a_scan_is_noticed() {
    let folder = dataset();
    let shard = folder.at("dataset/slices.zarr/a/mask/c/0/0/0");
    let whole = std::fs::read(&shard).unwrap();
    let read = || (0..6).map(|k| folder.dataset()?.mask(0, k)).collect::<Result<Vec<_>, _>>();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&shard, damaged).unwrap();
        assert!(read().is_err(), "byte {at} of {}", whole.len());
    }
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&shard, &whole[..length]).unwrap();
        assert!(read().is_err(), "{length} bytes of {}", whole.len());
    }
}

#[test]
fn slices_that_are_not_there_are_refused() {
    let dataset =
        dataset().dataset().map(|d| [d.image(0, 6).unwrap_err().kind, d.image(1, 0).unwrap_err().kind]);
    assert_eq!(dataset.unwrap(), [Kind::Request; 2]);
}
