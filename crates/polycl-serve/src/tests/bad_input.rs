use std::io::{Read, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;

use super::*;

#[test]
fn an_unreadable_scan_is_listed_with_its_reason_and_the_rest_is_served() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        write_scan(&folder.path().join("good.nii.gz"));
        std::fs::write(folder.path().join("bad.nii.gz"), b"not a scan").unwrap();
        // A good header, and voxels that end too soon.
        write_scan(&folder.path().join("short.nii"));
        let bytes = std::fs::read(folder.path().join("short.nii")).unwrap();
        std::fs::write(folder.path().join("short.nii"), &bytes[..1000]).unwrap();
        let server = Server::of(folder);
        let rows = server.get("/api/scans").await.json();
        let row = |name: &str| {
            rows["scans"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap()
        };
        assert_eq!(row("bad")["state"], "unreadable");
        assert!(row("bad")["reason"].as_str().unwrap().contains("bad.nii.gz"));
        assert_eq!(row("good")["state"], "untouched");
        let id = row("short")["id"].as_str().unwrap().to_owned();
        let answer = server.post(&format!("/api/scans/{id}/open"), json!({"tab": "a"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unreadable"));
        let rows = server.get("/api/scans").await.json();
        let short = rows["scans"].as_array().unwrap().iter().find(|row| row["name"] == "short").unwrap();
        assert_eq!(short["state"], "unreadable");
        server.open("good", "a").await;
    });
}

#[test]
fn a_scan_that_changes_or_vanishes_takes_no_more_strokes() {
    runtime().block_on(async {
        for vanish in [true, false] {
            let server = Server::new();
            let (id, _) = server.open("first", "a").await;
            let edits = format!("/api/scans/{id}/edits");
            assert_eq!(server.post(&edits, stroke(1, 1, 2, 5, 3)).await.status, StatusCode::OK);
            let path = server.folder.path().join("first.nii.gz");
            if vanish {
                std::fs::remove_file(&path).unwrap();
            } else {
                std::fs::write(&path, b"another file").unwrap();
            }
            std::thread::sleep(Duration::from_millis(1100));
            let answer = server.post(&edits, stroke(2, 1, 2, 50, 3)).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "changed"));
            // What was drawn is there once the file is.
            write_scan(&path);
            let server = server.again();
            let (_, scan) = server.open("first", "b").await;
            assert_eq!(scan["revision"], 1);
            let mask = server.get(&format!("/api/scans/{id}/mask")).await;
            assert_eq!(
                crate::runs::decode(&mask.bytes, 20 * 16 * 8).unwrap().iter().filter(|l| **l == 1).count(),
                3
            );
        }
    });
}

#[test]
fn a_scan_that_has_changed_is_opened_anew() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let edits = format!("/api/scans/{id}/edits");
        server.post(&edits, stroke(1, 1, 2, 5, 3)).await;
        let path = server.folder.path().join("first.nii.gz");
        let space = nifti::read_image(&path).unwrap().space;
        let voxels = vec![-7.0; space.voxels()];
        nifti::write_image(&path, &Volume { space, voxels }).unwrap();
        let (_, scan) = server.open("first", "a").await;
        assert!(
            scan["odd"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("changed"))
        );
        assert_eq!((&scan["values"]["max"], &scan["revision"]), (&json!(-7.0), &json!(1)));
        assert_eq!(server.post(&edits, stroke(2, 1, 3, 5, 3)).await.json()["slices"]["1"], "..dd....");
    });
}

#[test]
fn a_scan_of_another_shape_is_not_drawn_on() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        server.post(&format!("/api/scans/{id}/edits"), stroke(1, 1, 2, 5, 3)).await;
        let path = server.folder.path().join("first.nii.gz");
        let space = Space::new([7, 7, 7], DAffine3::IDENTITY);
        nifti::write_image(&path, &Volume { voxels: vec![0.0; 343], space }).unwrap();
        let server = server.again();
        let answer = server.post(&format!("/api/scans/{id}/open"), json!({"tab": "a"})).await;
        assert_eq!(answer.code(), "unreadable");
        assert!(answer.json()["message"].as_str().unwrap().contains("[20, 16, 8]"));
    });
}

#[test]
fn strokes_that_lie_change_nothing() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let edits = format!("/api/scans/{id}/edits");
        let planes =
            |planes: Value| json!({"tab": "a", "seq": 9, "plane": "axial", "label": 1, "planes": planes});
        let (many, huge) = (u64::from(u32::MAX), usize::MAX as u64);
        let cases = [
            (planes(json!([{"k": 8, "set": [[0, 1]]}])), 422, "no_such_slice"),
            (planes(json!([{"k": huge, "set": [[0, 1]]}])), 422, "no_such_slice"),
            (planes(json!([{"k": 0, "set": [[319, 2]]}])), 422, "bad_runs"),
            (planes(json!([{"k": 0, "set": [[many, many]]}])), 422, "bad_runs"),
            (planes(json!([{"k": 0, "clear": [[0, 321]]}])), 422, "bad_runs"),
            (planes(json!([{"k": 0, "set": vec![[0, 320]; 3]}])), 422, "bad_runs"),
            (planes(json!([{"k": -1, "set": [[0, 1]]}])), 400, "not_json"),
            (planes(json!([{"k": 0, "set": [[0, 1, 2]]}])), 400, "not_json"),
            (planes(json!({"k": 0})), 400, "not_json"),
            (json!({"tab": "a", "seq": 9, "plane": "oblique", "label": 1, "planes": []}), 400, "not_json"),
            (
                json!({"tab": "a", "seq": 9, "plane": "axial", "label": 77, "planes": []}),
                422,
                "no_such_label",
            ),
            (json!({"tab": "a", "seq": 9, "plane": "axial", "label": 70_000, "planes": []}), 400, "not_json"),
            (json!([1, 2, 3]), 400, "not_json"),
        ];
        for (body, status, code) in cases {
            let answer = server.post(&edits, body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
        }
        let asked = server.builder("POST", &edits).body(Body::from("{}")).unwrap();
        assert_eq!(server.ask(asked).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        for (plane, k) in
            [("axial", "8"), ("coronal", "16"), ("sagittal", "20"), ("oblique", "0"), ("axial", "-1")]
        {
            let answer = server.get(&format!("/api/scans/{id}/plane/{plane}/{k}")).await;
            assert_eq!(answer.code(), "no_such_slice", "{plane} {k}");
        }
        for query in ["", "?from=0", "?from=3&to=2", "?from=0&to=8"] {
            assert!(server.get(&format!("/api/scans/{id}/volume{query}")).await.status.is_client_error());
        }
        assert_eq!(server.get(&format!("/api/scans/{id}")).await.json()["revision"], 0);
    });
}

/// A real socket: the body ends in the middle.
#[test]
fn a_client_that_vanishes_in_the_middle_of_an_upload_changes_nothing() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guard = Arc::new(Guard::new(address, None, &[]).unwrap());
        let token = guard.token().to_owned();
        tokio::spawn(axum::serve(listener, guarded(&server.desk, guard)).into_future());
        let body = stroke(1, 1, 2, 5, 3).to_string();
        let head = format!(
            "POST /api/scans/{id}/edits HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let send = |sent: String, vanishes: bool| {
            tokio::task::spawn_blocking(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(sent.as_bytes()).unwrap();
                if vanishes {
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                }
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer);
                answer
            })
        };
        for cut in [0, 1, body.len() / 2, body.len() - 1] {
            let answer = send(format!("{head}{}", &body[..cut]), true).await.unwrap();
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert_eq!(server.get(&format!("/api/scans/{id}")).await.json()["revision"], 0);
        }
        let answer = send(format!("{head}{body}"), false).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(server.get(&format!("/api/scans/{id}")).await.json()["revision"], 1);
    });
}

#[test]
fn a_full_disk_is_told_by_its_own_code() {
    let error = polycl_base::Error::io(
        Path::new("a file"),
        "store the change",
        &std::io::ErrorKind::StorageFull.into(),
    );
    let refusal = crate::refusal::Refusal::from(error);
    assert_eq!((refusal.status, refusal.code), (StatusCode::INTERNAL_SERVER_ERROR, "disk_full"));
    assert!(refusal.hint.unwrap().contains("free some space"));
}
