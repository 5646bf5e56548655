//! The page in Chromium, by keyboard. Chromium is driven by WebDriver (W3C, <https://www.w3.org/TR/webdriver2/>).

use std::{ffi::OsString, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Process, free_port, wait_for};
use tokio::process::Command;

use super::{Studio, url};
use crate::{clients::said, rig::PATIENCE};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tools/chromium.sh");
/// Presses of Tab until a page has no more to go to.
const MOST_TABS: usize = 40;
/// Keys as WebDriver has them (section 17.4.2).
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A Chromium, and the driver by which it is told what to do.
struct Chromium {
    http: reqwest::Client,
    /// Where the session's commands go.
    session: String,
    _process: Process,
    _profile: TempDir,
}

impl Chromium {
    async fn start() -> Self {
        let found = Command::new(SCRIPT).output().await.expect("a script");
        assert!(
            found.status.success(),
            "there is no Chromium; get it with e2e/tools/chromium.sh: {}",
            said(&found)
        );
        let paths = String::from_utf8(found.stdout).expect("paths");
        let (browser, driver) = paths.trim().split_once('\n').expect("two paths");
        let (port, profile) = (free_port().expect("a port"), tempfile::tempdir().expect("a folder"));
        let log = std::fs::File::create(profile.path().join("driver.log")).expect("a log");
        let args = [OsString::from(format!("--port={port}"))];
        let process = Process::spawn_logged(driver, args, log).expect("chromedriver");
        let driver = format!("http://127.0.0.1:{port}");
        let folder = format!("--user-data-dir={}", profile.path().join("profile").display());
        // Root has no sandbox, and containers have little shared memory. By its pipe the browser ends with its driver.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            &folder,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": browser, "args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let http = reqwest::Client::new();
        let session = wait_for("Chromium", PATIENCE, async || {
            let answer = http.post(format!("{driver}/session")).json(&wanted).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            answer["value"]["sessionId"].as_str().map(|id| format!("{driver}/session/{id}"))
        });
        let session = match session.await {
            Ok(session) => session,
            Err(error) => {
                let log = std::fs::read_to_string(profile.path().join("driver.log")).unwrap_or_default();
                panic!("{error}: {log}")
            }
        };
        Self { http, session, _process: process, _profile: profile }
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let mut answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        self.command(Method::POST, path, Some(body)).await
    }

    async fn goto(&self, url: &str) {
        self.ask("/url", json!({"url": url})).await;
    }

    /// A screen so wide, in pixels.
    async fn width(&self, width: u32) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        let order = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.ask("/goog/cdp/execute", order).await;
    }

    /// What the console says, of CSP too.
    async fn complaints(&self) -> Vec<String> {
        let entries = self.ask("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("entries").iter();
        entries.filter_map(|entry| entry["message"].as_str()).map(str::to_owned).collect()
    }

    async fn evaluate(&self, expression: &str) -> Value {
        self.ask("/execute/sync", json!({"script": format!("return {expression};"), "args": []})).await
    }

    /// Presses these keys, one after another.
    async fn press(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        let presses: Vec<Value> = keys.chars().flat_map(press).collect();
        self.ask("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": presses}]}))
            .await;
    }

    /// Presses Tab until what has the focus is as asked.
    async fn tab_to(&self, is_it: &str) {
        for _ in 0..MOST_TABS {
            if self.evaluate(&format!("(element => {is_it})(document.activeElement)")).await == json!(true) {
                return;
            }
            self.press(TAB).await;
        }
        panic!("Tab never comes to {is_it}");
    }

    /// Waits until the page is as asked.
    async fn shows(&self, what: &str, script: &str) {
        let shown = async || (self.evaluate(script).await == json!(true)).then_some(());
        if wait_for(what, PATIENCE, shown).await.is_err() {
            let source = self.command(Method::GET, "/source", None).await;
            panic!("no {what}: {:?} {source}", self.complaints().await);
        }
    }

    async fn end(self) {
        self.command(Method::DELETE, "", None).await;
    }
}

#[tokio::test]
async fn by_keyboard_somebody_signs_in_asks_for_a_picture_and_sees_it_come() {
    let studio = Studio::open(Duration::from_secs(3)).await;
    let chromium = Chromium::start().await;
    chromium.goto(&url(&studio.replica, "/")).await;
    chromium.tab_to("element.id === 'key'").await;
    chromium.press(&format!("{}{ENTER}", studio.key)).await;
    chromium.shows("recipe", "document.getElementById('recipe') !== null").await;
    // The first thing that Tab comes to leads past the navigation.
    chromium.press(TAB).await;
    assert_eq!(chromium.evaluate("document.activeElement.className").await, "skip");
    chromium.tab_to("element.id === 'recipe'").await;
    chromium.press("portrait").await;
    chromium.tab_to("element.textContent === 'Show its form'").await;
    chromium.press(ENTER).await;
    chromium.shows("input.style", "document.getElementById('input.style') !== null").await;
    chromium.tab_to("element.id === 'input.prompt'").await;
    chromium.press("a lighthouse at dusk").await;
    chromium.tab_to("element.textContent === 'Make'").await;
    chromium.press(ENTER).await;
    chromium.shows(".notice.good", "document.querySelector('.notice.good') !== null").await;
    // A page that is loaded again forgets this.
    chromium.evaluate("window.notReloaded = true").await;
    chromium.shows("progress", "document.querySelector('#gallery .card progress') !== null").await;
    chromium.shows("a picture", "[...document.querySelectorAll('#gallery .card img')].some(img => img.complete && img.naturalWidth > 0)").await;
    assert_eq!(
        chromium.evaluate("document.querySelector('#gallery .card h3').textContent").await,
        "a lighthouse at dusk"
    );
    assert_eq!(chromium.evaluate("window.notReloaded").await, json!(true));
    let job = chromium.evaluate("document.querySelector('#gallery .card h3 a').getAttribute('href')").await;
    chromium.width(360).await;
    for path in ["/", "/?recipe=portrait", "/ui/status", "/ui/failed", job.as_str().unwrap()] {
        chromium.goto(&url(&studio.replica, path)).await;
        let root = "document.documentElement";
        let fits = chromium.evaluate(&format!("{root}.scrollWidth <= {root}.clientWidth")).await;
        assert_eq!(fits, json!(true), "{path} is wider than the screen");
    }
    assert_eq!(chromium.complaints().await, Vec::<String>::new());
    chromium.end().await;
}
