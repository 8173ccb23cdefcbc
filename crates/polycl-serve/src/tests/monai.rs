//! MONAI Label's protocol without a socket, and without a network.

use axum::http::StatusCode;
use glam::{DAffine3, DMat3, DVec3};
use polycl_data::{Origin, Records};
use polycl_image::files::{self, Format, image_from_bytes};
use polycl_image::{Image, Space, Volume, nifti};
use serde_json::{Value, json};

use super::*;
use crate::monai;

const LINE: &str = "----------lImIt_of_THE_fIle_eW_$";

/// A server with the door open, and who is logged in.
struct Client {
    server: Server,
    token: Option<String>,
}

impl Client {
    async fn new(server: Server) -> Self {
        let mut client = Self::unknown(server);
        client.token = client.log_in("Ann").await;
        client
    }

    /// The same server, of which only the door is asked.
    fn unknown(mut server: Server) -> Self {
        let guard = Guard::new(HOST.parse().unwrap(), None, &[]).unwrap();
        server.token = guard.token().to_owned();
        server.router = monai::routes(monai::Door::new(&server.desk, guard));
        Self { server, token: None }
    }

    async fn log_in(&self, user: &str) -> Option<String> {
        let body = format!("username={user}&password={}&grant_type=password", self.server.token);
        let told = self.ask("POST", "/auth/token", body.into_bytes()).await;
        told.json()["access_token"].as_str().map(str::to_owned)
    }

    async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> Answered {
        let mut asked = Asked::builder().method(method).uri(path).header("host", HOST);
        if let Some(token) = &self.token {
            asked = asked.header("authorization", format!("bearer {token}"));
        }
        self.server.ask(asked.body(Body::from(body)).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, Vec::new()).await
    }

    async fn next(&self) -> Value {
        self.ask("POST", "/activelearning/queue", b"{}".to_vec()).await.json()
    }

    async fn submit(&self, id: &str, mask: &[u8], info: Value) -> Answered {
        let params = json!({"label_info": info}).to_string();
        let body = form(&[("params", None, params.as_bytes()), ("label", Some("a/b.nii.gz"), mask)]);
        self.ask("PUT", &format!("/datastore/label?image={id}"), body).await
    }

    /// The parameters and the mask of a model's answer.
    async fn infer(&self, model: &str, query: &str, params: Value) -> (Value, Image) {
        let params = params.to_string();
        let body = form(&[("params", None, params.as_bytes())]);
        let told = self.ask("POST", &format!("/infer/{model}?{query}"), body).await;
        assert_eq!(told.status, StatusCode::OK, "{}", String::from_utf8_lossy(&told.bytes));
        let kind = told.headers["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
        let text = String::from_utf8_lossy(&told.bytes);
        let params = text.split("\r\n\r\n").nth(1).unwrap().split("\r\n").next().unwrap();
        let at = told.bytes.windows(8).position(|bytes| bytes == b"NRRD0004").unwrap();
        let mask = image_from_bytes(Format::Nrrd, &told.bytes[at..], Path::new("mask.nrrd")).unwrap();
        (serde_json::from_str(params).unwrap(), mask)
    }
}

/// A form as the client writes it.
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!("--{LINE}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend(format!("--{LINE}--\r\n\r\n").into_bytes());
    body
}

fn written(space: &Space, voxels: Vec<u16>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    nifti::write_mask(&path, &Volume { space: space.clone(), voxels }).unwrap();
    std::fs::read(path).unwrap()
}

fn space_of(server: &Server, name: &str) -> Space {
    files::read_space(&server.folder.path().join(format!("{name}.nii.gz"))).unwrap()
}

#[test]
fn nobody_gets_in_without_the_token() {
    runtime().block_on(async {
        let mut client = Client::unknown(Server::new());
        assert_eq!(client.get("/auth/").await.json(), json!({"enabled": true}));
        for path in
            ["/auth/token/valid", "/info/", "/datastore/?output=all", "/datastore/image?image=x", "/train/"]
        {
            let told = client.get(path).await;
            assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(told.json()["detail"].as_str().unwrap().contains("Log in"), "{path}");
        }
        let wrong = client.ask("POST", "/auth/token", b"username=Ann&password=guess".to_vec()).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        client.token = client.log_in("Ann+Lee").await;
        assert_eq!(client.get("/auth/token/valid").await.status, StatusCode::OK);
        // The workbench's own token is nobody's.
        client.token = Some(client.server.token.clone());
        assert_eq!(client.get("/info/").await.status, StatusCode::UNAUTHORIZED);
        let asked = Asked::builder().method("GET").uri("/auth/").header("host", "evil.example:8765");
        let told = client.server.ask(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(told.status, StatusCode::FORBIDDEN);
        let asked = Asked::builder().method("POST").uri("/auth/token").header("host", HOST);
        let asked = asked.header("origin", "http://evil.example").body(Body::empty()).unwrap();
        assert_eq!(client.server.ask(asked).await.status, StatusCode::FORBIDDEN);
    });
}

#[test]
fn the_server_tells_what_helps() {
    runtime().block_on(async {
        let client = Client::new(Server::new()).await;
        let info = client.get("/info/").await.json();
        assert_eq!(info["labels"], json!(["liver", "spleen"]));
        // Without weights there is nothing to click for.
        let models = info["models"].as_object().unwrap();
        assert_eq!(models.keys().collect::<Vec<_>>(), ["workbench"]);
        assert_eq!(models["workbench"]["type"], "segmentation");
        assert!(models["workbench"]["description"].is_string());
        assert_eq!((&info["trainers"], info.get("config")), (&json!({}), None));
        assert_eq!(info["datastore"]["total"], 2);
        assert_eq!(client.get("/train/?check_if_running=true").await.status, StatusCode::NOT_FOUND);
        assert_eq!(client.ask("POST", "/train/x", b"{}".to_vec()).await.status, StatusCode::NOT_FOUND);
        let body = form(&[("params", None, b"{}")]);
        let id = client.next().await["id"].as_str().unwrap().to_owned();
        let told = client.ask("POST", &format!("/infer/slice?image={id}"), body).await;
        assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY, "a label has a name");
    });
}

#[test]
fn two_users_get_two_scans_and_files_are_fetched_once_without_a_token() {
    runtime().block_on(async {
        let mut client = Client::new(Server::new()).await;
        let first = client.next().await;
        let ann = client.token.clone();
        client.token = client.log_in("Ben").await;
        let second = client.next().await;
        assert_eq!([&first["PatientID"], &second["PatientID"]], ["first", "second"]);
        let name = first["name"].as_str().unwrap();
        assert!(name.starts_with("first.") && name.ends_with(".nrrd") && name.len() == 19, "{name}");
        let path = Path::new(first["path"].as_str().unwrap());
        assert!(path.is_absolute() && path.ends_with("first.nii.gz"));
        let id = first["id"].as_str().unwrap();
        assert!(id.len() == 32 && !id.contains("first"));
        // Ann's id is not Ben's.
        let image = format!("/datastore/image?image={id}");
        assert_eq!(client.get(&image).await.status, StatusCode::NOT_FOUND);
        client.token = None;
        let told = client.get(&image).await;
        let got = image_from_bytes(Format::Nrrd, &told.bytes, Path::new("first.nrrd")).unwrap();
        let own = files::read_image(&client.server.folder.path().join("first.nii.gz")).unwrap();
        assert_eq!((got.space, got.voxels), (own.space, own.voxels));
        assert_eq!(client.get(&image).await.status, StatusCode::UNAUTHORIZED, "once");
        client.token = ann;
        assert_eq!(client.get(&image).await.status, StatusCode::OK, "with the token, always");
        assert!(client.get("/datastore/?output=all").await.json()["objects"][id].is_object());
        client.token = None;
        assert_eq!(client.get(&image).await.status, StatusCode::UNAUTHORIZED, "a list opens nothing");
    });
}

#[test]
fn a_submitted_mask_is_reviewed_and_who_drew_what_is_told() {
    runtime().block_on(async {
        let server = Server::new();
        let (scan, _) = server.open("first", "a").await;
        // Label 1 is drawn in slices 1 and 5, and filled between by a machine.
        for (seq, z) in [(1, 1), (2, 5)] {
            let edit = stroke(seq, 1, z, 100, 9);
            assert_eq!(server.post(&format!("/api/scans/{scan}/edits"), edit).await.status, StatusCode::OK);
        }
        let asked = json!({"tab": "a", "label": 1});
        server.post(&format!("/api/scans/{scan}/interpolate"), asked).await;
        let client = Client::new(server).await;
        let id = client.next().await["id"].as_str().unwrap().to_owned();
        let space = space_of(&client.server, "first");
        let query = format!("image={id}");
        let held =
            client.ask("POST", &format!("/infer/workbench?{query}"), form(&[("params", None, b"{}")])).await;
        assert!(held.json()["detail"].as_str().unwrap().contains("Another tab"));
        client.server.desk.opened(&scan).unwrap().give_back("a");
        let (params, mask) = client.infer("workbench", &query, json!({})).await;
        assert_eq!(params["label_names"].to_string(), r#"{"liver":1,"spleen":2}"#);
        assert_eq!(mask.space, space);
        let objects = client.get("/datastore/?output=all").await.json();
        let names = &objects["objects"][&id]["labels"]["original"]["info"]["params"]["label_names"];
        assert_eq!(names.to_string(), r#"{"liver":1,"spleen":2}"#);
        let label = client.get(&format!("/datastore/label?label={id}&tag=original")).await;
        assert!(label.headers["content-disposition"].to_str().unwrap().ends_with("filename=\"first.nrrd\""));
        let downloaded = image_from_bytes(Format::Nrrd, &label.bytes, Path::new("x.nrrd")).unwrap();
        assert_eq!(downloaded.voxels, mask.voxels);

        // The file's slices run from the head down: its slice 4 is slice 3 of the page.
        let mut voxels: Vec<u16> = mask.voxels.iter().map(|value| *value as u16).collect();
        assert!((2..=6).all(|k| voxels[k * 320..][..320].contains(&1)), "drawn and filled");
        voxels[4 * 320] = 1;
        voxels[0] = 3;
        // As exported: an empty spleen leaves a gap, and a segment of the client's own is not sent.
        let info =
            json!([{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}, {"name": "kidney", "idx": 4}]);
        let told = client.submit(&id, &written(&space, voxels.clone()), info).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.json());
        assert_eq!(told.json()["reviewed_by"], "Ann");
        let file = client.server.folder.path().join("polycl/masks/first.nii.gz");
        assert_eq!(files::read_mask(&file).unwrap().voxels, voxels);
        assert_eq!(Records::default().maker(&file).unwrap().unwrap().origin, Origin::Reviewed);
        let table = std::fs::read_to_string(file.with_file_name("reviewed.csv")).unwrap();
        for row in [
            "first,1,liver,6,drawn,9,,interpolation,Ann,",
            "first,1,liver,5,viewed,9,,interpolation,Ann,",
            "first,1,liver,4,edited,10,,interpolation,Ann,",
            "first,3,kidney,0,drawn,1,,interpolation,Ann,",
        ] {
            assert!(table.contains(row), "{row} in {table}");
        }
        // What is done is done; the other scan is left, and then it is again the first that is not reviewed.
        assert_eq!(client.next().await["PatientID"], "second");
        assert_eq!(client.get("/info/").await.json()["datastore"]["completed"], 1);
        let (params, mask) = client.infer("workbench", &query, json!({})).await;
        assert_eq!(params["label_names"]["kidney"], 3);
        assert_eq!(mask.voxels[0], 3.0);
    });
}

#[test]
fn a_mask_that_lies_elsewhere_is_refused() {
    runtime().block_on(async {
        let client = Client::new(Server::new()).await;
        let id = client.next().await["id"].as_str().unwrap().to_owned();
        let info = json!([{"name": "liver", "idx": 1}]);
        let mut space = space_of(&client.server, "first");
        space.world_from_voxel.translation.z += 4.0;
        let told = client.submit(&id, &written(&space, vec![1; 2560]), info.clone()).await;
        assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
        let detail = told.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("expected the place of the scan, found a corner 4.00 mm away"), "{detail}");
        assert!(detail.contains("Hint: export"), "{detail}");
        let larger = Space::new([20, 16, 9], space.world_from_voxel);
        let told = client.submit(&id, &written(&larger, vec![1; 2880]), info.clone()).await;
        assert!(told.json()["detail"].as_str().unwrap().contains("2560 voxels at most"), "{}", told.json());
        let told = client.submit(&id, b"no file at all", info).await;
        assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!told.json()["detail"].as_str().unwrap().contains(".workbench"), "no path");
        let told = client.submit("../../etc/passwd", b"", json!([])).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND);
        assert_eq!(client.server.get("/info/").await.status, StatusCode::UNAUTHORIZED);
    });
}

/// Oblique, mirrored and sheared, with its axes in another order.
fn sheared() -> Space {
    let matrix3 =
        DMat3::from_cols(DVec3::new(0.1, -0.9, 0.05), DVec3::new(0.2, 0.3, 2.1), DVec3::new(-0.8, -0.1, 0.1));
    Space::new([7, 6, 5], DAffine3 { matrix3, translation: DVec3::new(31.0, -7.0, 88.0) })
}

fn write_sheared(folder: &Path) -> Image {
    let space = sheared();
    let voxels = (0..space.voxels()).map(|at| (at * at % 997) as f32).collect();
    let image = Volume { space, voxels };
    nifti::write_image(&folder.join("sheared.nii.gz"), &image).unwrap();
    image
}

#[test]
fn sheared_scans_are_sent_as_they_are_and_come_back_squared() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let image = write_sheared(folder.path());
        let client = Client::new(Server::of(folder)).await;
        let sample = client.next().await;
        assert_eq!(sample.get("path"), None, "3D Slicer would square it");
        let id = sample["id"].as_str().unwrap();
        let told = client.get(&format!("/datastore/image?image={id}")).await;
        let got = image_from_bytes(Format::Nrrd, &told.bytes, Path::new("x.nrrd")).unwrap();
        assert_eq!(got.voxels, image.voxels);
        assert!(got.space.corner_distance(&image.space) < 1e-4);
        // 3D Slicer's masks are NIfTI files, which ITK writes with axes at right angles.
        let squared = monai::squared(&got.space);
        assert!(squared.disagreement(&got.space).is_some(), "another place");
        let voxels: Vec<u16> = (0..210).map(|at| u16::from(at % 11 == 3)).collect();
        let info = json!([{"name": "liver", "idx": 1}]);
        let told = client.submit(id, &written(&squared, voxels.clone()), info).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.json());
        let (_, mask) = client.infer("workbench", &format!("image={id}"), json!({})).await;
        assert!(mask.voxels.iter().zip(&voxels).all(|(own, label)| *own == f32::from(*label)));
        assert_eq!(mask.space, got.space);
        // No machine had a part in it: it is drawn by hand.
        let file = client.server.folder.path().join("polycl/masks/sheared.nii.gz");
        assert!(file.is_file() && Records::default().maker(&file).unwrap().is_none());
    });
}

#[test]
fn drawn_slices_are_known_by_what_differs_and_lie_where_they_were_drawn() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let image = write_sheared(folder.path());
        let client = Client::new(Server::of(folder)).await;
        let sample = client.next().await;
        let query = format!("image={}", sample["id"].as_str().unwrap());
        let draw = async |voxels: &[u16]| {
            let params = json!({
                "label_info": [{"name": "spleen", "id": 1}, {"name": "foreground_scribbles", "id": 2},
                               {"name": "liver", "id": 3}, {"name": "background_scribbles", "id": 4}],
                "selected_label_name": "liver",
                "roi": [],
            });
            let map = written(&image.space, voxels.to_vec());
            let body =
                form(&[("params", None, params.to_string().as_bytes()), ("label", Some("x.nii.gz"), &map)]);
            let told = client.ask("POST", &format!("/infer/propagate?{query}"), body).await;
            // What is drawn is stored before the network is asked, which is not there.
            assert_eq!(told.status, StatusCode::CONFLICT, "{}", told.json());
        };
        let marks = || {
            let scan = client.server.desk.opened(&client.server.desk.all_open()[0]).unwrap();
            scan.peek(|sheet| {
                (
                    sheet.document.marks(1),
                    sheet.document.marks(2),
                    scan.in_file(sheet.document.mask.clone()).voxels,
                )
            })
        };
        // The file's third index runs to the left: its plane 3 is the fourth sagittal plane from the right.
        let mut voxels = vec![0_u16; 210];
        voxels[3 * 42 + 8..][..5].fill(3);
        voxels[3 * 42 + 13] = 2;
        voxels[3 * 42 + 22..][..5].fill(3);
        voxels[0] = 1;
        draw(&voxels).await;
        let (liver, spleen, mask) = marks();
        assert_eq!((&liver.sagittal, liver.coronal.len()), (&[3].into(), 0));
        assert_eq!((liver.text(), spleen.text()), (".c.c..".to_owned(), ".".repeat(6)));
        assert_eq!(mask[3 * 42 + 8..][..7], [1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(mask.iter().filter(|label| **label > 0).count(), 11);
        // The second index runs up: three rows of its plane 2 are an axial slice.
        for k in 0..5 {
            voxels[2 * 7 + 42 * k..][..7].fill(3);
        }
        draw(&voxels).await;
        let (liver, _, mask) = marks();
        assert_eq!(liver.text(), ".cdc..");
        assert!((0..5).all(|k| mask[2 * 7 + 42 * k..][..7] == [1; 7]));
        // A part that is scribbled away.
        voxels[3 * 42 + 8] = 4;
        draw(&voxels).await;
        let before = marks();
        assert_eq!(before.2[3 * 42 + 8], 0);
        // A client that has one slice alone, as it is, has drawn nothing.
        let mut voxels = vec![0_u16; 210];
        for k in 0..5 {
            voxels[2 * 7 + 42 * k..][..7].fill(3);
        }
        draw(&voxels).await;
        assert_eq!(marks(), before);
    });
}

#[test]
fn volumes_of_the_client_are_known_again_or_kept() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let image = write_sheared(folder.path());
        let mut client = Client::new(Server::of(folder)).await;
        // The same voxels in another order, in the same place, as a session and under a name of the client's own.
        let order = polycl_image::orient::Reorientation { axes: [2, 0, 1], flip: [true, false, true] };
        let other = order.apply(&image);
        let sent = |image: &Image| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sent.nii.gz");
            nifti::write_image(&path, image).unwrap();
            std::fs::read(path).unwrap()
        };
        let body = form(&[("client_id", None, b"user-xyz"), ("files", Some("sent.nii.gz"), &sent(&other))]);
        let session =
            client.ask("PUT", "/session/", body).await.json()["session_id"].as_str().unwrap().to_owned();
        assert_eq!(client.get(&format!("/session/{session}")).await.status, StatusCode::OK);
        let name = "image=Volume+%2F+1";
        let body = form(&[("params", None, b"{}"), ("file", Some("C:\\x\\sent.nii.gz"), &sent(&other))]);
        let id = client.ask("PUT", &format!("/datastore/?{name}"), body).await.json()["image"].clone();
        assert!(id.as_str().unwrap().len() == 32);
        let mut voxels = vec![0_u16; 210];
        voxels[17] = 1;
        let body = form(&[
            ("params", None, br#"{"label_info": [{"name": "spleen", "idx": 1}]}"#),
            ("label", Some("x.nii.gz"), &written(&other.space, voxels.clone())),
        ]);
        let told = client.ask("PUT", &format!("/datastore/label?{name}"), body).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.json());
        // It is the scan of the folder, in whose file the voxel lies elsewhere.
        let file = client.server.folder.path().join("polycl/masks/sheared.nii.gz");
        let expected = order.inverse().apply(&Volume { space: other.space.clone(), voxels });
        let written_mask = files::read_mask(&file).unwrap();
        assert_eq!(
            written_mask.voxels.iter().map(|v| u16::from(*v > 0)).collect::<Vec<_>>(),
            expected.voxels
        );
        // A client is answered in its own order.
        let query = format!("image=x&session_id={session}");
        let (_, mask) = client.infer("workbench", &query, json!({})).await;
        assert!(mask.voxels[17] == 2.0 && mask.space.shape == other.space.shape);
        assert!(mask.space.corner_distance(&other.space) < 1e-3);
        assert_eq!(
            client.ask("DELETE", &format!("/session/{session}"), Vec::new()).await.status,
            StatusCode::OK
        );
        assert_eq!(client.get(&format!("/session/{session}")).await.status, StatusCode::NOT_FOUND);

        // One that nobody knows is kept, with what is made of it, over a restart.
        let mut unknown = image.clone();
        unknown.voxels[3] += 1.0;
        let body = form(&[("file", Some("sent.nii.gz"), &sent(&unknown))]);
        client.ask("PUT", "/datastore/image?image=mine", body.clone()).await;
        let told = client
            .submit("mine", &written(&unknown.space, vec![1; 210]), json!([{"name": "liver", "idx": 1}]))
            .await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.json());
        assert_eq!(client.server.desk.entries().len(), 1, "an upload has no place in the queue");
        let uploads = client.server.folder.path().join("polycl/.workbench/uploads");
        let kept = std::fs::read_dir(uploads).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_dir(kept.join("masks")).unwrap().count(), 3);
        let Client { server, .. } = client;
        client = Client::new(server.again()).await;
        client.ask("PUT", "/datastore/?image=mine", body).await;
        let (_, mask) = client.infer("workbench", "image=mine", json!({})).await;
        assert!(mask.voxels.iter().all(|value| *value == 1.0));
    });
}
