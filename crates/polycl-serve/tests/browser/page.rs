//! Chromium without a screen, and the page in it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{Actions, InputSource, KeyAction, KeyActions, MouseActions, PointerAction};
use fantoccini::{Client, ClientBuilder, Locator};
use glam::DVec3;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Time that a page may take for one thing.
const PATIENCE: Duration = Duration::from_secs(120);
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1366,900",
];

/// A running chromedriver.
pub struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// Nothing where there is none.
    pub fn start() -> Option<Self> {
        let mut process = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().ok()?;
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        Some(Self { process, url: format!("http://127.0.0.1:{}", port.expect("chromedriver says its port")) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Page {
    client: Client,
}

impl Page {
    pub async fn open(driver: &Driver, url: &str) -> Self {
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": {"args": FLAGS}});
        let Value::Object(wanted) = wanted else { unreachable!() };
        let builder = &mut ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(wanted).connect(&driver.url).await.unwrap();
        client.goto(url).await.unwrap();
        Self { client }
    }

    pub async fn close(self) {
        self.client.close().await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The value of an expression over `bench`, the page's state.
    pub async fn ask(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             Promise.all([import('/page/bench.js'), import('/page/geometry.js')]).then(([{{ bench }}, geometry]) => done({expression}))"
        );
        self.client.execute_async(&script, Vec::new()).await.unwrap()
    }

    pub async fn number(&self, expression: &str) -> f64 {
        self.ask(expression).await.as_f64().unwrap()
    }

    /// The slice that the large view shows.
    pub async fn slice(&self) -> usize {
        self.number("bench.slice()").await as usize
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let start = Instant::now();
        while self.ask(&format!("Boolean({expression})")).await != true {
            if start.elapsed() > PATIENCE {
                let said =
                    self.ask("[document.getElementById('said').textContent, bench.scan?.slices]").await;
                panic!("{expression} does not come true; the page says {said}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The page's mask, once all is stored, as runs of a label and their lengths.
    pub async fn mask(&self) -> Vec<(u16, usize)> {
        self.until("bench.scan.outbox.state === 'stored'").await;
        let runs = self
            .ask(
                "(() => { const { mask } = bench.scan, runs = [];
                   for (let at = 0; at < mask.length;) {
                     const from = at, label = mask[at];
                     while (at < mask.length && mask[at] === label) at++;
                     runs.push([label, at - from]);
                   }
                   return runs; })()",
            )
            .await;
        serde_json::from_value(runs).unwrap()
    }

    /// The middle of a label by the page, in RAS+ millimetres.
    pub async fn centre_of(&self, label: u16) -> DVec3 {
        let sum = self
            .ask(&format!(
                "(() => {{ const {{ mask, shape: [nx, ny], world }} = bench.scan, sum = [0, 0, 0]; let n = 0;
                   mask.forEach((label, at) => {{
                     if (label !== {label}) return;
                     const place = geometry.worldOf(world, [at % nx, Math.floor(at / nx) % ny, Math.floor(at / nx / ny)]);
                     place.forEach((mm, axis) => (sum[axis] += mm));
                     n++;
                   }});
                   return sum.map((mm) => mm / n); }})()"
            ))
            .await;
        DVec3::from_array(serde_json::from_value(sum).unwrap())
    }

    pub async fn click(&self, selector: &str) {
        self.client.wait().for_element(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    pub async fn write(&self, text: &str) {
        for letter in text.chars() {
            self.press(letter).await;
        }
    }

    pub async fn press(&self, key: impl IntoKey) {
        self.keys(None, key.into_key()).await;
    }

    pub async fn press_often(&self, key: impl IntoKey, times: usize) {
        let key = key.into_key();
        for _ in 0..times {
            self.keys(None, key).await;
        }
    }

    pub async fn press_with(&self, held: impl IntoKey, key: impl IntoKey) {
        self.keys(Some(held.into_key()), key.into_key()).await;
    }

    async fn keys(&self, held: Option<char>, key: char) {
        let mut keys = KeyActions::new("keys".to_owned());
        if let Some(value) = held {
            keys = keys.then(KeyAction::Down { value });
        }
        keys = keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        if let Some(value) = held {
            keys = keys.then(KeyAction::Up { value });
        }
        self.client.perform_actions(keys).await.unwrap();
    }

    pub async fn click_at(&self, at: [f64; 2]) {
        self.drag(&[at]).await;
    }

    pub async fn double_click_at(&self, [x, y]: [f64; 2]) {
        let mouse = MouseActions::new("mouse".to_owned())
            .then(PointerAction::MoveTo { duration: None, x, y })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::Up { button: 0 })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::Up { button: 0 });
        self.client.perform_actions(Actions::from(mouse)).await.unwrap();
    }

    /// Presses the left button at the first place, and lets go at the last.
    pub async fn drag(&self, places: &[[f64; 2]]) {
        let mut mouse = MouseActions::new("mouse".to_owned());
        for (at, &[x, y]) in places.iter().enumerate() {
            mouse = mouse.then(PointerAction::MoveTo { duration: None, x, y });
            if at == 0 {
                mouse = mouse.then(PointerAction::Down { button: 0 });
            }
        }
        mouse = mouse.then(PointerAction::Up { button: 0 });
        self.client.perform_actions(Actions::from(mouse)).await.unwrap();
    }
}

/// A letter, or a key that has none.
pub trait IntoKey {
    fn into_key(self) -> char;
}

impl IntoKey for &str {
    fn into_key(self) -> char {
        self.chars().next().unwrap()
    }
}

impl IntoKey for char {
    fn into_key(self) -> char {
        self
    }
}

impl IntoKey for fantoccini::key::Key {
    fn into_key(self) -> char {
        self.into()
    }
}
