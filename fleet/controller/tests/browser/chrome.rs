//! A headless Chromium of its own per test, driven through WebDriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// A browser with its driver.
pub(crate) struct Chrome {
    pub(crate) page: Client,
    session: String,
    port: u16,
    driver: Child,
    _profile: tempfile::TempDir,
}

/// How large a window is and which colours its user prefers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

impl Chrome {
    /// Starts a driver and a browser with an empty profile.
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs (Debian package chromium-driver)");
        let port = port(&mut driver);
        let profile = tempfile::tempdir().unwrap();
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let capabilities = json!({
            "goog:chromeOptions": {"args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars", user_data,
            ]},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!()
        };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("chromium runs (Debian package chromium)");
        let session = page.session_id().await.unwrap().expect("a session");
        Chrome {
            page,
            session,
            port,
            driver,
            _profile: profile,
        }
    }

    /// Sets the size of the window, also below what a window manager allows, and the preferred colours.
    pub(crate) async fn look(&self, look: Look) {
        let Look { width, height, dark } = look;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Writes a picture of the window, or of the whole page.
    pub(crate) async fn picture(&self, name: &str, whole: bool) -> PathBuf {
        let options = json!({"format": "png", "captureBeyondViewport": whole});
        let answer = self.devtools("Page.captureScreenshot", options).await;
        let png = base64::engine::general_purpose::STANDARD
            .decode(answer["data"].as_str().unwrap())
            .unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).unwrap();
        path
    }

    /// What the browser complained about since the last call: script errors, broken policies, missing files.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.send("se/log", json!({"type": "browser"})).await;
        log.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until a script's value is true; says what was waited for otherwise.
    pub(crate) async fn eventually(&self, what: &str, script: &str) {
        let script = format!("return Boolean({script})");
        for _ in 0..100 {
            if self.page.execute(&script, vec![]).await.unwrap() == json!(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let path = self.picture("failed", true).await;
        panic!("{what}: {script} stays false; see {}", path.display());
    }

    /// Value of a script.
    pub(crate) async fn value(&self, script: &str) -> Value {
        self.page
            .execute(&format!("return {script}"), vec![])
            .await
            .unwrap()
    }

    /// Clicks on an element.
    pub(crate) async fn click(&self, css: &str) {
        self.page
            .find(Locator::Css(css))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    /// Types into an element.
    pub(crate) async fn keys(&self, css: &str, text: &str) {
        self.page
            .find(Locator::Css(css))
            .await
            .unwrap()
            .send_keys(text)
            .await
            .unwrap();
    }

    /// Sends a command of the developer tools.
    pub(crate) async fn devtools(&self, method: &str, params: Value) -> Value {
        self.send("goog/cdp/execute", json!({"cmd": method, "params": params}))
            .await
    }

    async fn send(&self, path: &'static str, body: Value) -> Value {
        self.page.issue_cmd(Post { path, body }).await.unwrap()
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // A killed driver leaves its browser behind, so it is asked first; without waiting for the executor,
        // which may be unwinding from a failed test.
        if let Err(error) = self.quit() {
            eprintln!("the browser could not be ended: {error}");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Chrome {
    fn quit(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let session = &self.session;
        write!(
            stream,
            "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )?;
        // The answer comes when the browser is gone.
        stream.read(&mut [0; 64]).map(drop)
    }
}

/// The port a driver says it listens on.
fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, rest) = line.split_once("started successfully on port ")?;
            rest.trim_end_matches('.').parse().ok()
        })
        .expect("chromedriver says its port");
    // It must be able to go on writing.
    std::thread::spawn(move || lines.for_each(drop));
    port
}

/// A command beside the standard.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(self.body.to_string()))
    }
}
