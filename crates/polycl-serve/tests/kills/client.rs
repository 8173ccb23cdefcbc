//! HTTP over a plain socket, one connection for each request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

#[derive(Clone)]
pub struct Client {
    pub address: String,
    pub token: String,
}

impl Client {
    /// Status and body; nothing where the server is gone before it has answered.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
        let Self { address, token } = self;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
        let body = answer.split_off(at + 4);
        (body.len() == length).then_some((status, body))
    }

    pub fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.ask("GET", path, "")
    }

    pub fn get_json(&self, path: &str) -> Option<Value> {
        Some(serde_json::from_slice(&self.get(path)?.1).unwrap())
    }

    pub fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let (status, bytes) = self.ask("POST", path, &body.to_string())?;
        Some((status, serde_json::from_slice(&bytes).unwrap()))
    }

    /// The scans of the folder, once they are listed.
    pub fn scans(&self) -> Vec<String> {
        loop {
            let queue = self.get_json("/api/scans").unwrap();
            if queue["listing"] == false {
                let rows = queue["scans"].as_array().unwrap().iter();
                return rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn first_scan(&self) -> String {
        self.scans().into_iter().min().unwrap()
    }
}
