use axum::http::StatusCode;
use polycl_base::Kind;
use polycl_data::{Origin, Records};
use polycl_image::files;
use serde_json::json;

use super::*;
use crate::runs;

async fn mask(server: &Server, id: &str) -> Vec<u16> {
    runs::decode(&server.get(&format!("/api/scans/{id}/mask")).await.bytes, 20 * 16 * 8).unwrap()
}

fn count(mask: &[u16], label: u16) -> usize {
    mask.iter().filter(|own| **own == label).count()
}

#[test]
fn planes_are_those_of_the_file() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, scan) = server.open("first", "a").await;
        assert_eq!(scan["shape"], json!([20, 16, 8]));
        assert_eq!(scan["file"]["flip"], json!([true, true, true]));
        assert_eq!(scan["writer"], true);
        let file = files::read_image(&server.folder.path().join("first.nii.gz")).unwrap();
        let bytes = server.get(&format!("/api/scans/{id}/plane/axial/0")).await.bytes;
        let values: Vec<f32> =
            bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]]))).collect();
        // The lowest slice is the file's last one; its first pixel is right and in front.
        let last = &file.voxels[7 * 320..];
        let expected: Vec<f32> = last.iter().rev().copied().collect();
        assert_eq!(values, expected);
        let volume = server.get(&format!("/api/scans/{id}/volume?from=0&to=7")).await.bytes;
        assert_eq!((&volume[..640], volume.len()), (&bytes[..], 2 * 20 * 16 * 8));
    });
}

#[test]
fn strokes_are_kept_undone_and_done_again_after_a_kill() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let edits = format!("/api/scans/{id}/edits");
        let first = server.post(&edits, stroke(1, 1, 3, 10, 5)).await.json();
        assert_eq!(
            (&first["revision"], &first["undo"], &first["patches"]),
            (&json!(1), &json!(1), &json!([]))
        );
        assert_eq!(first["slices"]["1"], "...d....");
        // Sent again, as after a lost answer.
        let again = server.post(&edits, stroke(1, 1, 3, 10, 5)).await.json();
        assert_eq!((&again["again"], &again["revision"]), (&json!(true), &json!(1)));
        server.post(&edits, stroke(2, 2, 3, 12, 8)).await;
        let server = server.again();
        let (_, scan) = server.open("first", "a").await;
        assert_eq!((&scan["revision"], &scan["undo"], &scan["last_seq"]), (&json!(2), &json!(2), &json!(2)));
        let now = mask(&server, &id).await;
        assert_eq!(now[3 * 320 + 8..][..14], [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0]);
        let undone = server.post(&format!("/api/scans/{id}/undo"), json!({"tab": "a"})).await.json();
        assert_eq!((&undone["what"], &undone["redo"]), (&json!("stroke"), &json!(1)));
        assert_eq!(undone["patches"][0]["z"], 3);
        assert_eq!((count(&mask(&server, &id).await, 1), count(&mask(&server, &id).await, 2)), (5, 0));
        let server = server.again();
        server.open("first", "a").await;
        server.post(&format!("/api/scans/{id}/redo"), json!({"tab": "a"})).await;
        assert_eq!(mask(&server, &id).await, now);
        let more = server.post(&format!("/api/scans/{id}/redo"), json!({"tab": "a"})).await;
        assert_eq!(more.code(), "nothing_to_undo");
    });
}

#[test]
fn locked_labels_are_never_overwritten() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, scan) = server.open("first", "a").await;
        let edits = format!("/api/scans/{id}/edits");
        server.post(&edits, stroke(1, 1, 3, 10, 5)).await;
        let mut labels = scan["labels"].clone();
        labels[0]["locked"] = json!(true);
        let answer =
            server.post(&format!("/api/scans/{id}/labels"), json!({"tab": "a", "labels": labels})).await;
        assert_eq!(answer.json()["labels"][0]["locked"], true);
        let over = server.post(&edits, stroke(2, 2, 3, 8, 4)).await.json();
        assert_eq!(over["patches"].as_array().unwrap().len(), 1, "the page asked for more than it got");
        let now = mask(&server, &id).await;
        assert_eq!((count(&now, 1), count(&now, 2)), (5, 2));
        assert_eq!(server.post(&edits, stroke(3, 1, 3, 0, 2)).await.code(), "locked");
        // Not over others at all.
        let mut beside = stroke(4, 2, 3, 0, 40);
        beside["over"] = json!(false);
        server.post(&edits, beside).await;
        assert_eq!(count(&mask(&server, &id).await, 2), 35);
    });
}

#[test]
fn tables_of_labels_are_checked() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, scan) = server.open("first", "a").await;
        server.post(&format!("/api/scans/{id}/edits"), stroke(1, 2, 3, 10, 5)).await;
        let path = format!("/api/scans/{id}/labels");
        let table = |change: fn(&mut Vec<Value>)| {
            let mut labels = scan["labels"].as_array().unwrap().clone();
            change(&mut labels);
            json!({"tab": "a", "labels": labels})
        };
        let added =
            server.post(&path, table(|all| all.push(json!({"value": null, "name": "kidney"})))).await.json();
        assert_eq!(
            (&added["labels"][2]["value"], &added["labels"][2]["name"]),
            (&json!(3), &json!("kidney"))
        );
        type Change = fn(&mut Vec<Value>);
        let cases: [(Change, &str); 7] = [
            (|all| all.truncate(1), "in_use"),
            (|all| all[0]["name"] = json!("Spleen "), "bad_labels"),
            (|all| all[0]["name"] = json!(""), "bad_labels"),
            (|all| all[0]["color"] = json!("red"), "bad_labels"),
            (|all| all[0]["value"] = json!(9), "bad_labels"),
            (|all| all[0]["window"] = json!([0, 0]), "bad_labels"),
            (|all| all[0]["value"] = json!(2), "bad_labels"),
        ];
        for (number, (change, code)) in cases.into_iter().enumerate() {
            assert_eq!(server.post(&path, table(change)).await.code(), code, "case {number}");
        }
        let fewer = server.post(&path, table(|all| drop(all.remove(0)))).await.json();
        assert_eq!(fewer["labels"].as_array().unwrap().len(), 1);
        // The value of a label that is gone is free again.
        let mut labels = fewer["labels"].as_array().unwrap().clone();
        labels.push(json!({"value": null, "name": "colon"}));
        let more = server.post(&path, json!({"tab": "a", "labels": labels})).await.json();
        assert_eq!(more["labels"][1]["value"], 1);
    });
}

#[test]
fn a_second_tab_reads_until_it_takes_over() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let open = format!("/api/scans/{id}/open");
        let second = server.post(&open, json!({"tab": "b"})).await.json();
        assert_eq!((&second["writer"], &second["holder"]), (&json!(false), &json!("a")));
        let mut edit = stroke(1, 1, 3, 10, 5);
        edit["tab"] = json!("b");
        let edits = format!("/api/scans/{id}/edits");
        assert_eq!(server.post(&edits, edit.clone()).await.code(), "read_only");
        assert_eq!(server.post(&open, json!({"tab": "b", "take": true})).await.json()["writer"], true);
        assert_eq!(server.post(&edits, edit).await.status, StatusCode::OK);
        assert_eq!(server.post(&edits, stroke(1, 1, 3, 10, 5)).await.code(), "read_only");
        server.post(&format!("/api/scans/{id}/close"), json!({"tab": "b"})).await;
        assert_eq!(server.post(&open, json!({"tab": "a"})).await.json()["writer"], true);
    });
}

#[test]
fn events_are_heard_by_others() {
    runtime().block_on(async {
        use std::future::poll_fn;
        use std::pin::Pin;

        use futures_core::Stream;
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let mut other = server.desk.hub.listen("b", Some(&id)).unwrap();
        let mut own = server.desk.hub.listen("a", Some(&id)).unwrap();
        server.post(&format!("/api/scans/{id}/edits"), stroke(1, 1, 3, 10, 5)).await;
        server.desk.hub.close();
        let mut heard = [Vec::new(), Vec::new()];
        for (events, heard) in [&mut other, &mut own].into_iter().zip(&mut heard) {
            while let Some(Ok(event)) = poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await {
                heard.push(format!("{event:?}"));
            }
        }
        assert_eq!(heard.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(heard[0][0].contains("change") && heard[0][1].contains("row"));
    });
}

#[test]
fn shapes_are_interpolated_and_who_drew_what_is_told() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let edits = format!("/api/scans/{id}/edits");
        for (seq, z) in [(1, 1), (2, 5)] {
            let rows: Vec<[u32; 2]> = (4..10).map(|row| [row * 20 + 5, 8]).collect();
            let edit = json!({"tab": "a", "seq": seq, "plane": "axial", "label": 1, "planes": [{"k": z, "set": rows}]});
            server.post(&edits, edit).await;
        }
        let path = format!("/api/scans/{id}/interpolate");
        let filled = server.post(&path, json!({"tab": "a", "label": 1})).await.json();
        assert_eq!((&filled["what"], &filled["slices"]["1"]), (&json!("interpolate"), &json!(".dpppd..")));
        assert_eq!(count(&mask(&server, &id).await, 1), 5 * 48);
        let viewed = server.post(&format!("/api/scans/{id}/viewed"), json!({"tab": "a", "z": [0, 2, 3]})).await.json();
        assert_eq!(viewed["slices"]["1"], "sdvvpd..");
        let mended = server.post(&edits, stroke(3, 1, 3, 0, 1)).await.json();
        assert_eq!(mended["slices"]["1"], "sdvepd..");
        // Nobody has said who reviews.
        let review = format!("/api/scans/{id}/review");
        assert_eq!(server.post(&review, json!({"tab": "a", "reviewed": true})).await.code(), "who");
        server.post("/api/session", json!({"who": "Ann"})).await;
        let row = server.post(&review, json!({"tab": "a", "reviewed": true})).await.json()["row"].clone();
        assert_eq!((&row["state"], &row["who"]), (&json!("reviewed"), &json!("Ann")));
        let file = server.folder.path().join("polycl/masks/first.nii.gz");
        let written = files::read_mask(&file).unwrap();
        assert_eq!(count(&written.voxels, 1), 5 * 48 + 1);
        // The lowest slice is the file's last.
        assert_eq!(count(&written.voxels[6 * 320..7 * 320], 1), 48);
        assert_eq!(Records::default().maker(&file).unwrap().unwrap().origin, Origin::Reviewed);
        let table = std::fs::read_to_string(file.with_file_name("reviewed.csv")).unwrap();
        assert!(table.contains("first,1,liver,6,drawn,48,,interpolation,Ann,"), "{table}");
        assert!(table.contains("first,1,liver,4,edited,49,") && table.contains("first,1,liver,3,unseen,48,"), "{table}");
        // A change takes the word back.
        server.post(&format!("/api/scans/{id}/undo"), json!({"tab": "a"})).await;
        let rows = server.get("/api/scans").await.json();
        assert_eq!(rows["scans"][0]["state"], "propagated", "{rows}");
    });
}

#[test]
fn masks_go_to_other_programs() {
    runtime().block_on(async {
        let server = Server::new();
        let nothing = server.post("/api/export", json!({"format": "nifti", "scans": "all"})).await;
        assert_eq!(nothing.code(), "nothing_to_export");
        let (id, _) = server.open("first", "a").await;
        let (other, _) = server.open("second", "a").await;
        server.post(&format!("/api/scans/{id}/edits"), stroke(1, 2, 3, 10, 5)).await;
        let out = server.folder.path().join("polycl");
        for (format, file) in
            [("nifti", "first.nii.gz"), ("dataset", "manifest.csv"), ("nnunet", "labelsTr/first.nii.gz")]
        {
            let asked = json!({"format": format, "scans": [id, other]});
            let answer = server.post("/api/export", asked).await.json();
            assert_eq!(answer["written"], 1, "{answer}");
            assert_eq!(answer["left_out"][0]["name"], "second");
            let folder = answer["folder"].as_str().unwrap().strip_prefix("polycl/").unwrap().to_owned();
            assert!(out.join(&folder).join(file).is_file(), "{format}");
            if format == "nnunet" {
                let mask = files::read_mask(&out.join(folder).join(file)).unwrap();
                assert_eq!(count(&mask.voxels, 1), 5, "nnU-Net counts labels from 1");
            }
        }
        let seg = server.post("/api/export", json!({"format": "seg", "scans": [id]})).await.json();
        assert_eq!((&seg["written"], &seg["left_out"][0]["id"]), (&json!(0), &json!(id)));
        assert_eq!(
            server.post("/api/export", json!({"format": "nifti", "scans": ["../.."]})).await.code(),
            "no_such_scan"
        );
    });
}

#[test]
fn masks_to_begin_with_keep_their_names_and_values() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        write_scan(&folder.path().join("first.nii.gz"));
        let labels = tempfile::tempdir().unwrap();
        let space = files::read_space(&folder.path().join("first.nii.gz")).unwrap();
        let mut voxels = vec![0_u16; 20 * 16 * 8];
        voxels[..40].fill(7);
        voxels[320..330].fill(300);
        nifti::write_mask(&labels.path().join("first.nii.gz"), &Volume { space, voxels }).unwrap();
        std::fs::write(labels.path().join("labels.json"), r#"{"7": "spleen"}"#).unwrap();
        std::fs::write(labels.path().join("plans.json"), "{}").unwrap();
        let request = Request { labels: Some(labels.path().to_path_buf()), ..request(folder.path()) };
        let server = Server::with(folder, request);
        let (id, scan) = server.open("first", "a").await;
        let named: Vec<(u64, &str)> = scan["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|label| (label["value"].as_u64().unwrap(), label["name"].as_str().unwrap()))
            .collect();
        assert_eq!(named, [(1, "liver"), (7, "spleen"), (300, "label 300")]);
        assert_eq!(scan["state"], "predicted");
        assert_eq!(
            (scan["slices"]["7"].as_str(), scan["slices"]["300"].as_str()),
            (Some(".......p"), Some("......p."))
        );
        assert_eq!(count(&mask(&server, &id).await, 300), 10);
    });
}

#[test]
fn three_scans_are_open_and_idle_ones_are_put_away_whole() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..5 {
            write_scan(&folder.path().join(format!("{number}.nii.gz")));
        }
        let server = Server::of(folder);
        let mut ids = Vec::new();
        for number in 0..5 {
            let (id, _) = server.open(&number.to_string(), "a").await;
            server.post(&format!("/api/scans/{id}/edits"), stroke(1, 1, 3, 10, 5 + number)).await;
            ids.push(id);
            assert!(server.desk.all_open().len() <= 3);
        }
        assert!(server.folder.path().join("polycl/masks/0.nii.gz").is_file());
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(count(&mask(&server, id).await, 1), 5 + number);
        }
    });
}

#[test]
fn a_mask_of_others_is_not_replaced() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let masks = server.folder.path().join("polycl/masks");
        std::fs::create_dir_all(&masks).unwrap();
        std::fs::write(masks.join("first.nii.gz"), "a person's").unwrap();
        server.post(&format!("/api/scans/{id}/edits"), stroke(1, 1, 3, 10, 5)).await;
        let scan = server.desk.opened(&id).unwrap();
        let error = crate::publish::put_away(&server.desk, &scan).unwrap_err();
        assert_eq!(error.kind, Kind::Request);
        assert_eq!(std::fs::read_to_string(masks.join("first.nii.gz")).unwrap(), "a person's");
    });
}

#[test]
fn without_weights_one_sentence_says_what_to_run() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        write_scan(&folder.path().join("first.nii.gz"));
        let server = Server::of(folder);
        server.desk.load();
        assert_eq!(server.get("/api/session").await.json()["network"]["ready"], false);
        let (id, _) = server.open("first", "a").await;
        let asked = json!({"tab": "a", "label": 1, "plane": "axial", "k": 3, "box": [1, 1, 5, 5]});
        assert_eq!(server.post(&format!("/api/scans/{id}/prompt"), asked).await.code(), "no_network");
        let asked = json!({"tab": "a", "labels": [1]});
        assert_eq!(server.post(&format!("/api/scans/{id}/propagate"), asked).await.code(), "no_network");
    });
}
