//! A real browser without a window: Debian's chromium, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>), which
//! is JSON over HTTP, so that a few requests are enough.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{free_port, wait_until};

/// A browser; ended when dropped.
pub struct Browser {
    driver: Child,
    client: reqwest::Client,
    /// Of the session.
    url: String,
}

impl Browser {
    pub async fn start() -> Browser {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        // In a group of its own, with the browser that it starts.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let driver =
            command.spawn().expect("chromedriver starts; it is in Debian's chromium-driver: run `make setup`");
        let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().expect("a client");
        let mut browser = Browser { driver, client, url: format!("http://127.0.0.1:{port}") };
        wait_until("chromedriver listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        // Tests may run as root, and in a container with little shared memory.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "binary": "/usr/bin/chromium"},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.post("/session", capabilities).await;
        let id = session["sessionId"].as_str().unwrap_or_else(|| panic!("chromium starts: {session}"));
        browser.url += &format!("/session/{id}");
        browser
    }

    /// Width and height in CSS pixels, the preferred language, and whether dark is preferred.
    pub async fn be(&self, width: u32, height: u32, language: &str, dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": language}})).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Opens an address, and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// What a function's body gives.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until an expression is true.
    pub async fn wait_for(&self, expression: &str) {
        let script = format!("return Boolean({expression});");
        let waiting = async {
            while self.run(&script).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(super::PATIENCE, waiting).await.is_err() {
            let page = self.run("return document.body.innerText;").await;
            panic!("{expression} did not come true in\n{}", page.as_str().unwrap_or_default());
        }
    }

    /// What the console has said since it was last asked.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// A picture (PNG) of the page down to this height, whether it is seen at once or not.
    pub async fn picture(&self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let how = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.devtools("Page.captureScreenshot", how).await;
        STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }

    /// A command of the browser's own protocol, where WebDriver has none.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.expect("chromedriver answers");
        let (status, text) = (answer.status(), answer.text().await.expect("an answer"));
        assert!(status.is_success(), "{path} {body}: {text}");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The group that was made above: the driver and its browser, and nobody else.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
    }
}
