use serde_json::json;

use super::*;
use crate::runs;

async fn mask(server: &Server, id: &str) -> Vec<u16> {
    runs::decode(&server.get(&format!("/api/scans/{id}/mask")).await.bytes, 20 * 16 * 8).unwrap()
}

async fn row(server: &Server, name: &str) -> Value {
    let rows = server.get("/api/scans").await.json();
    rows["scans"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap()
}

/// The path of what is asked of a scan.
fn of(id: &str, what: &str) -> String {
    format!("/api/scans/{id}/{what}")
}

/// A server whose scans have no labels to begin with.
fn without_organs() -> Server {
    let folder = tempfile::tempdir().unwrap();
    write_scan(&folder.path().join("first.nii.gz"));
    write_scan(&folder.path().join("second.nii.gz"));
    let request = Request { organs: Vec::new(), ..request(folder.path()) };
    Server::with(folder, request)
}

#[test]
fn undoing_a_stroke_gives_the_word_back_that_it_took() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let tab = json!({"tab": "a"});
        server.post("/api/session", json!({"who": "Ann"})).await;
        server.post(&of(&id, "edits"), stroke(1, 1, 3, 10, 5)).await;
        server.post(&of(&id, "review"), json!({"tab": "a", "reviewed": true})).await;
        let drawn = server.post(&of(&id, "edits"), stroke(2, 1, 4, 10, 5)).await.json();
        assert_eq!((&drawn["state"], &drawn["about"]), (&json!("drawn"), &json!([1])));
        // The journal alone knows of it.
        let server = server.again();
        server.open("first", "a").await;
        let undone = server.post(&of(&id, "undo"), tab.clone()).await.json();
        assert_eq!((&undone["state"], &undone["what"]), (&json!("reviewed"), &json!("stroke")));
        assert_eq!(server.post(&of(&id, "redo"), tab.clone()).await.json()["state"], "drawn");
        assert_eq!(server.post(&of(&id, "undo"), tab.clone()).await.json()["state"], "reviewed");
        // A person's own "not reviewed" is not undone.
        server.post(&of(&id, "edits"), stroke(3, 1, 4, 10, 5)).await;
        server.post(&of(&id, "review"), json!({"tab": "a", "reviewed": false})).await;
        assert_eq!(server.post(&of(&id, "undo"), tab).await.json()["state"], "drawn");
    });
}

#[test]
fn a_step_of_an_older_journal_is_read() {
    let old = r#"{"what":"stroke","changes":"","marks":{},"machine":[null,null]}"#;
    let step: crate::step::Step = serde_json::from_str(old).unwrap();
    assert_eq!((step.review, step.removes, step.label), (None, None, None));
    assert!(step.machines.iter().all(|machines| machines.latest().is_none()));
    let old = old.replace("[null,null]", r#"[null,{"kind":"predicted","name":"run 1"}]"#);
    let step: crate::step::Step = serde_json::from_str(&old).unwrap();
    assert_eq!(step.machines[1].names(), ["run 1"]);
    let review: crate::document::Review = serde_json::from_str(r#"{"who":"Ann","when":5}"#).unwrap();
    assert!(!review.empty);
}

#[test]
fn an_empty_mask_is_called_empty() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        server.post("/api/session", json!({"who": "Ann"})).await;
        let reviewed = server.post(&of(&id, "review"), json!({"tab": "a", "reviewed": true})).await.json();
        assert_eq!(reviewed["row"]["empty"], true);
        let told = server.post("/api/export", json!({"format": "nifti", "scans": "reviewed"})).await.json();
        assert_eq!((&told["written"], &told["empty"]), (&json!(1), &json!(["first"])));
        let path = PathBuf::from(told["path"].as_str().unwrap());
        assert!(path.is_absolute() && path.join("first.nii.gz").is_file());
        // Where nothing can be written, no folder is left.
        let none = server.post("/api/export", json!({"format": "seg", "scans": "reviewed"})).await.json();
        assert_eq!((&none["written"], &none["folder"]), (&json!(0), &json!(null)));
        let why = none["left_out"][0]["reason"].as_str().unwrap();
        assert_eq!(why, "first is a NIfTI file; a DICOM SEG needs a DICOM series");
        assert!(!server.folder.path().join("polycl/export-2").exists());
        server.post(&of(&id, "edits"), stroke(1, 1, 3, 10, 5)).await;
        assert_eq!(row(&server, "first").await["empty"], false);
    });
}

#[test]
fn many_planes_are_cleared_in_one_step() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        for z in 0..6 {
            server.post(&of(&id, "edits"), stroke(z + 1, 1, z as usize, 10, 5)).await;
        }
        let planes: Vec<Value> = (3..6).map(|k| json!({"k": k, "clear": [[0, 320]]})).collect();
        let asked =
            json!({"tab": "a", "seq": 7, "plane": "axial", "label": 1, "what": "clear", "planes": planes});
        let cleared = server.post(&of(&id, "edits"), asked).await.json();
        assert_eq!((&cleared["slices"]["1"], &cleared["undo"]), (&json!("dddsss.."), &json!(7)));
        let undone = server.post(&of(&id, "undo"), json!({"tab": "a"})).await.json();
        assert_eq!((&undone["slices"]["1"], &undone["what"]), (&json!("dddddd.."), &json!("clear")));
    });
}

#[test]
fn a_stroke_over_another_label_does_not_draw_that_one() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let copy = |seq: u64, z: usize| {
            let mut copy = stroke(seq, 1, z, 40, 60);
            copy["what"] = json!("copy");
            copy
        };
        server.post(&of(&id, "edits"), stroke(1, 1, 2, 40, 60)).await;
        let copied = server.post(&of(&id, "edits"), copy(2, 3)).await.json();
        assert_eq!(copied["slices"]["1"], "..dk....");
        server.post(&of(&id, "edits"), stroke(3, 1, 5, 40, 60)).await;
        // What a person copied stays.
        let filled = server.post(&of(&id, "interpolate"), json!({"tab": "a", "label": 1})).await.json();
        assert_eq!(filled["slices"]["1"], "..dkpd..");
        for (seq, z) in [(4, 3), (5, 4), (6, 5)] {
            server.post(&of(&id, "edits"), stroke(seq, 2, z, 40, 10)).await;
        }
        let slices = server.get(&format!("/api/scans/{id}")).await.json()["slices"].clone();
        assert_eq!((&slices["1"], &slices["2"]), (&json!("..dccd.."), &json!("...ddd..")));
    });
}

#[test]
fn a_label_goes_with_its_pixels_and_comes_back() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, scan) = server.open("first", "a").await;
        server.post(&of(&id, "edits"), stroke(1, 1, 3, 10, 5)).await;
        let before = mask(&server, &id).await;
        let gone = server.post(&of(&id, "remove"), json!({"tab": "a", "label": 1})).await.json();
        assert_eq!((&gone["what"], gone["labels"].as_array().unwrap().len()), (&json!("remove"), 1));
        assert!(mask(&server, &id).await.iter().all(|label| *label == 0));
        // Its value stays free for it, and its name does not.
        let added = json!({"tab": "a", "labels": [scan["labels"][1], {"value": null, "name": "Liver"}]});
        let labels = server.post(&of(&id, "labels"), added).await.json()["labels"].clone();
        assert_eq!(labels[1]["value"], 3);
        let server = server.again();
        server.open("first", "a").await;
        let back = server.post(&of(&id, "undo"), json!({"tab": "a"})).await.json();
        let names: Vec<&str> =
            back["labels"].as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap()).collect();
        assert_eq!(
            (names, &back["slices"]["1"]),
            (vec!["liver again", "spleen", "Liver"], &json!("...d...."))
        );
        assert_eq!(mask(&server, &id).await, before);
        assert_eq!(
            server.post(&of(&id, "remove"), json!({"tab": "a", "label": 9})).await.code(),
            "no_such_label"
        );
    });
}

#[test]
fn a_new_scan_begins_with_the_labels_of_the_last_one() {
    runtime().block_on(async {
        let server = without_organs();
        let (id, scan) = server.open("first", "a").await;
        assert_eq!(scan["labels"][0]["name"], "organ");
        let mut first = scan["labels"][0].clone();
        (first["name"], first["locked"]) = (json!("liver"), json!(true));
        let labels = json!([first, {"value": null, "name": "spleen", "color": "#123456"}]);
        server.post(&of(&id, "labels"), json!({"tab": "a", "labels": labels})).await;
        let server = server.again();
        let (_, scan) = server.open("second", "a").await;
        assert_eq!(scan["labels"][0]["locked"], false);
        let second = &scan["labels"][1];
        assert_eq!(
            (&second["value"], &second["name"], &second["color"]),
            (&json!(2), &json!("spleen"), &json!("#123456"))
        );
    });
}

#[test]
fn a_scan_is_open_as_long_as_a_tab_has_it() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        assert_eq!(row(&server, "first").await["open"], true);
        server.post(&of(&id, "close"), json!({"tab": "a"})).await;
        assert_eq!(row(&server, "first").await["open"], false);
        // A note on it opens it for the server alone.
        let other = server.id("second").await;
        server.post(&of(&other, "note"), json!({"tab": "b", "note": "look"})).await;
        server.post(&of(&other, "close"), json!({"tab": "b"})).await;
        assert_eq!(row(&server, "second").await["open"], false);
    });
}

#[test]
fn copies_of_a_slice_make_no_mask_drawn_by_hand() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        server.post("/api/session", json!({"who": "Ann"})).await;
        server.post(&of(&id, "edits"), stroke(1, 1, 2, 40, 60)).await;
        let mut copy = stroke(2, 1, 3, 40, 60);
        copy["what"] = json!("copy");
        server.post(&of(&id, "edits"), copy).await;
        server.post(&of(&id, "review"), json!({"tab": "a", "reviewed": true})).await;
        let mask = server.folder.path().join("polycl/masks/first.nii.gz");
        let maker = polycl_data::Records::default().maker(&mask).unwrap().unwrap();
        assert_eq!((maker.origin, maker.machines.len()), (polycl_data::Origin::Reviewed, 1));
        // Undone, it is a person's alone.
        server.post(&of(&id, "undo"), json!({"tab": "a"})).await;
        server.post(&of(&id, "review"), json!({"tab": "a", "reviewed": true})).await;
        assert!(polycl_data::Records::default().maker(&mask).unwrap().is_none());
    });
}

#[test]
fn each_tab_has_its_own_annotator() {
    runtime().block_on(async {
        for shared in [false, true] {
            let Server { folder, desk, router, .. } = Server::new();
            let listen = shared.then(|| ("192.0.2.1".parse().unwrap(), "a-token-of-sixteen".to_owned()));
            let request = Request { listen, ..desk.request.clone() };
            drop((router, desk));
            let server = Server::with(folder, request);
            for (who, tab) in [("Ann", "a"), ("Bob", "b")] {
                server.post("/api/session", json!({"who": who, "tab": tab})).await;
            }
            let (id, _) = server.open("first", "a").await;
            let drawn = server.post(&of(&id, "edits"), stroke(1, 1, 2, 40, 60)).await.json();
            assert_eq!(drawn["who"], "Ann");
            let (id, _) = server.open("second", "b").await;
            let asked = json!({"tab": "b", "reviewed": true});
            let row = server.post(&of(&id, "review"), asked).await.json()["row"].clone();
            assert_eq!(row["who"], "Bob");
            // A tab that has given no name is whoever came last, unless others can reach the server.
            let own = server.get("/api/session?tab=c").await.json()["who"].clone();
            assert_eq!(own, if shared { json!(null) } else { json!("Bob") });
        }
    });
}
