use axum::body::Body;
use axum::http::{Request as Asked, StatusCode};
use polycl_base::Kind;
use serde_json::json;

use super::*;

#[test]
fn a_foreign_host_is_refused() {
    runtime().block_on(async {
        let server = Server::new();
        let hosts = [
            "evil.example:8765",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost.evil.example:8765",
            "192.168.0.9:8765",
            "",
        ];
        for host in hosts {
            let asked = Asked::builder().uri("/api/scans").header("host", host);
            let asked = asked.header("authorization", format!("Bearer {}", server.token));
            let answer = server.ask(asked.body(Body::empty()).unwrap()).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "host"), "{host}");
        }
        for host in ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"] {
            let asked = Asked::builder().uri("/api/scans").header("host", host);
            let asked = asked.header("authorization", format!("Bearer {}", server.token));
            assert_eq!(server.ask(asked.body(Body::empty()).unwrap()).await.status, StatusCode::OK, "{host}");
        }
    });
}

#[test]
fn browsers_leave_the_port_of_plain_http_out() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::new(request(folder.path())).unwrap());
        let guard = Arc::new(Guard::new("127.0.0.1:80".parse().unwrap(), None, &[]).unwrap());
        let token = guard.token().to_owned();
        let router = guarded(&desk, guard);
        let hosts =
            [("127.0.0.1", 200), ("localhost:80", 200), ("evil.example", 403), ("127.0.0.1:8765", 403)];
        for (host, status) in hosts {
            let asked = Asked::builder().uri("/api/session").header("host", host);
            let asked = asked.header("authorization", format!("Bearer {token}"));
            let answer = router.clone().oneshot(asked.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{host}");
        }
    });
}

#[test]
fn another_page_is_refused() {
    runtime().block_on(async {
        let server = Server::new();
        let ask = |name: &'static str, value: &'static str| {
            let asked = server.builder("POST", "/api/session").header("content-type", "application/json");
            server.ask(asked.header(name, value).body(Body::from(r#"{"who": "Ann"}"#)).unwrap())
        };
        for origin in ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:8766"] {
            let answer = ask("origin", origin).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (StatusCode::FORBIDDEN, "origin"),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(ask("sec-fetch-site", site).await.code(), "origin", "{site}");
        }
        assert_eq!(ask("origin", "http://127.0.0.1:8765").await.status, StatusCode::OK);
        assert_eq!(ask("sec-fetch-site", "same-origin").await.status, StatusCode::OK);
    });
}

#[test]
fn a_token_is_exchanged_for_a_cookie() {
    runtime().block_on(async {
        let server = Server::new();
        let bare = |path: String, cookie: Option<String>| {
            let asked = Asked::builder().uri(path).header("host", HOST);
            let asked = cookie.into_iter().fold(asked, |asked, cookie| asked.header("cookie", cookie));
            server.ask(asked.body(Body::empty()).unwrap())
        };
        for path in ["/", "/page/style.css", "/api/scans", "/api/events?tab=a", "/no/such/route"] {
            let answer = bare(path.to_owned(), None).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
        let mut wrong = server.token.clone();
        wrong.replace_range(..1, if wrong.starts_with('0') { "1" } else { "0" });
        assert_eq!(bare(format!("/?token={wrong}"), None).await.status, StatusCode::UNAUTHORIZED);
        let answer = bare(format!("/?token={}", server.token), None).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.headers["location"], "/");
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/")
        );
        assert!(!cookie.contains(&server.token), "the cookie does not give the token away");
        let pair = cookie.split(';').next().unwrap().to_owned();
        assert_eq!(bare("/api/scans".to_owned(), Some(pair.clone())).await.status, StatusCode::OK);
        assert_eq!(bare("/".to_owned(), Some(format!("a=b; {pair}"))).await.status, StatusCode::OK);
        assert_eq!(bare("/".to_owned(), Some(format!("{pair}0"))).await.status, StatusCode::UNAUTHORIZED);
    });
}

#[test]
fn a_token_for_once_opens_the_page_once() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::new(request(folder.path())).unwrap());
        let guard = Arc::new(Guard::new(HOST.parse().unwrap(), None, &[]).unwrap());
        let once = guard.token_for_once().unwrap();
        let router = guarded(&desk, guard);
        for status in [StatusCode::SEE_OTHER, StatusCode::UNAUTHORIZED] {
            let asked = Asked::builder().uri(format!("/?token={once}")).header("host", HOST);
            let answer = router.clone().oneshot(asked.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status);
        }
    });
}

#[test]
fn every_answer_is_sealed_and_none_is_shared() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let paths = [
            "/".to_owned(),
            "/api/scans".to_owned(),
            "/api/none".to_owned(),
            format!("/api/scans/{id}/plane/axial/0"),
        ];
        let mut answers = Vec::new();
        for path in paths {
            answers.push(server.get(&path).await);
        }
        answers.push(
            server.ask(Asked::builder().uri("/").header("host", "evil").body(Body::empty()).unwrap()).await,
        );
        for answer in answers {
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'")
                    && !policy.contains("unsafe")
                    && !policy.contains("http")
            );
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers["referrer-policy"], "no-referrer");
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        }
    });
}

#[test]
fn bodies_are_limited_by_route() {
    runtime().block_on(async {
        let server = Server::new();
        let (id, _) = server.open("first", "a").await;
        let note = json!({"tab": "a", "note": "x".repeat(300 << 10)});
        let answer = server.post(&format!("/api/scans/{id}/note"), note).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
        let long = json!({"tab": "a", "note": "x".repeat(5000)});
        assert_eq!(server.post(&format!("/api/scans/{id}/note"), long).await.code(), "note");
        let runs = vec![[0, 1]; 1_500_000];
        let edit =
            json!({"tab": "a", "seq": 1, "plane": "axial", "label": 1, "planes": [{"k": 0, "set": runs}]});
        assert_eq!(server.post(&format!("/api/scans/{id}/edits"), edit).await.code(), "too_large");
    });
}

#[test]
fn ids_are_no_paths() {
    runtime().block_on(async {
        let server = Server::new();
        let id = server.id("first").await;
        assert!(id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit()));
        for id in ["first.nii.gz", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", ".", "first"] {
            let answer = server.get(&format!("/api/scans/{id}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
        }
        for name in ["..%2FAPI.md", "%2e%2e%2fCargo.toml"] {
            assert_eq!(server.get(&format!("/page/{name}")).await.code(), "no_such_page", "{name}");
        }
    });
}

#[test]
fn others_are_served_with_a_token_that_a_person_chose() {
    let address = "192.168.0.9:8765".parse().unwrap();
    let ip = "192.168.0.9".parse().unwrap();
    for short in ["", "fifteen-letters", "sixteen letters and spaces"] {
        let error = Guard::new(address, Some(&(ip, short.to_owned())), &[]).err().unwrap();
        assert_eq!(error.kind, Kind::Request);
    }
    let guard =
        Guard::new(address, Some(&(ip, "sixteen-letters-0".to_owned())), &["box".to_owned()]).unwrap();
    assert_eq!(guard.token(), "sixteen-letters-0");
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::new(request(folder.path())).unwrap());
        let router = guarded(&desk, Arc::new(guard));
        for (host, status) in [
            ("192.168.0.9:8765", StatusCode::OK),
            ("box:8765", StatusCode::OK),
            ("evil:8765", StatusCode::FORBIDDEN),
        ] {
            let asked = Asked::builder().uri("/api/scans").header("host", host);
            let asked =
                asked.header("authorization", "Bearer sixteen-letters-0").body(Body::empty()).unwrap();
            assert_eq!(router.clone().oneshot(asked).await.unwrap().status(), status, "{host}");
        }
    });
}

#[test]
fn a_second_server_is_refused_and_told_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = Desk::new(request(folder.path())).unwrap();
    first.sign("http://127.0.0.1:8765").unwrap();
    let error = Desk::new(request(folder.path())).err().unwrap();
    assert_eq!(error.kind, Kind::Request);
    assert!(error.to_string().contains("http://127.0.0.1:8765"), "{error}");
    drop(first);
    Desk::new(request(folder.path())).unwrap();
}

/// Patients' names are in no row, no id, and no file's name.
#[test]
fn patients_are_not_named() {
    runtime().block_on(async {
        let server = Server::of(polycl_fixtures::dicom::unpack("axial"));
        let rows = server.get("/api/scans").await;
        let text = String::from_utf8(rows.bytes.clone()).unwrap();
        let row = rows.json()["scans"][0].clone();
        assert_eq!(row["format"], "dicom", "{text}");
        let (_, scan) = server.open(row["name"].as_str().unwrap(), "a").await;
        for text in [text, scan.to_string()] {
            assert!(
                !text.contains("Mustermann") && !text.contains("Erika") && !text.contains("4711"),
                "{text}"
            );
        }
    });
}
