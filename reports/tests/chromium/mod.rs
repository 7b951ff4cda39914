//! A headless Chromium, spoken to by its DevTools protocol over two pipes: no port, no crate for it.

#![allow(dead_code)] // each user takes a part

use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The browser to test with: `GLISTEN_CHROMIUM`, else one on the path.
pub(crate) fn find() -> Option<PathBuf> {
    let given = std::env::var_os("GLISTEN_CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    given.or_else(|| {
        names
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|path| path.is_file())
    })
}

/// A running browser with one page.
pub(crate) struct Chromium {
    process: Child,
    to: File,
    from: BufReader<File>,
    session: String,
    n_sent: u64,
    /// Events of the page that nobody has looked at yet.
    events: Vec<Value>,
}

impl Chromium {
    /// Starts it with its profile in `folder`.
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        let pipes = ["to", "from"].map(|name| folder.join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        let mut profile = OsString::from("--user-data-dir=");
        profile.push(folder.join("profile"));
        let process = Command::new("sh")
            .args(["-c", "to=$1; from=$2; shift 2; exec \"$0\" \"$@\" 3<\"$to\" 4>\"$from\""])
            .arg(program)
            .args(&pipes)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-pipe",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--disable-dev-shm-usage"])
            .arg(profile)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In the order in which the shell opens them, as opening waits for the other end.
        let to = File::options().write(true).open(&pipes[0]).unwrap();
        let from = BufReader::new(File::open(&pipes[1]).unwrap());
        let mut browser = Self { process, to, from, session: String::new(), n_sent: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method of the protocol and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.n_sent += 1;
        let mut message = json!({"id": self.n_sent, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let message = self.read();
            if message["id"] == json!(self.n_sent) {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "Chromium has ended");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Opens a file as a reader would: `scheme` is what the system prefers, `media` is `screen` or `print`.
    pub(crate) fn open(&mut self, file: &Path, width: u32, scheme: &str, media: &str) {
        let is_phone = width < 500;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": is_phone}),
        );
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
    }

    /// The value of a JavaScript expression, a promise's when it is kept.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// What the page has complained about or asked for since it was opened.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Events come in order: after an answer, those of before are there.
        self.value("0");
        let events = std::mem::take(&mut self.events);
        // What the page's policy has stopped was said in the console.
        let is_stopped = |request: &Value| {
            events.iter().any(|event| {
                event["method"] == "Network.loadingFailed"
                    && event["params"]["requestId"] == *request
                    && event["params"]["blockedReason"] == "csp"
            })
        };
        let told = |event: &Value| {
            let method = event["method"].as_str().unwrap_or_default();
            match method {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => {
                    Some(event.to_string())
                }
                "Network.requestWillBeSent" => {
                    let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                    let is_own = event["params"]["type"] == "Document" && url.starts_with("file:");
                    let is_asked =
                        !is_own && !url.starts_with("data:") && !is_stopped(&event["params"]["requestId"]);
                    is_asked.then(|| format!("asked for {url}"))
                }
                _ => None,
            }
        };
        events.iter().filter_map(told).collect()
    }

    /// A picture of the whole page as a PNG file, in base64.
    pub(crate) fn picture(&mut self) -> String {
        let result = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        result["data"].as_str().unwrap().to_owned()
    }

    /// Scrolls from the top of the page to its end, a step each frame, and returns the milliseconds from each frame to the next.
    pub(crate) fn scroll(&mut self, n_frames: u32) -> Vec<f64> {
        let gaps = self.value(&format!(
            "new Promise((done) => {{
               const step = (document.documentElement.scrollHeight - innerHeight) / {n_frames};
               const times = [];
               const frame = (now) => {{
                 times.push(now);
                 if (times.length > {n_frames} + 1) {{
                   const isAtEnd = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
                   return done(isAtEnd ? times.slice(1).map((time, at) => time - times[at]) : []);
                 }}
                 scrollTo(0, step * times.length);
                 requestAnimationFrame(frame);
               }};
               requestAnimationFrame(frame);
             }})"
        ));
        let gaps: Vec<f64> = gaps.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(gaps.len(), n_frames as usize + 1, "the page was scrolled to its end");
        gaps
    }

    /// Presses a key on what has the focus.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" && key == "Enter" { "\r" } else { "" };
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code}),
            );
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
