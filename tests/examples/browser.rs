//! A headless Chromium, driven over its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// A browser with a profile of its own, which ends with the test.
pub(crate) struct Browser {
    child: Child,
    profile: PathBuf,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    last_id: u64,
}

/// A page, open in a browser as if by somebody else than its other pages.
pub(crate) struct Page(String);

/// A browser takes seconds to start on a busy machine; a longer wait is in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The page without anything on it.
pub(crate) const BLANK: &str = "about:blank";

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

impl Browser {
    pub(crate) fn start() -> Browser {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-browser-{}-{nth}", std::process::id());
        let profile = env::temp_dir().join(name);
        let user_data = format!("--user-data-dir={}", profile.display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            &user_data,
        ];
        let start = |name: &&str| {
            Command::new(name)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .ok()
        };
        let mut child = NAMES.iter().find_map(start).unwrap_or_else(|| {
            panic!("none of {NAMES:?} is there; scripts/setup installs chromium")
        });
        let errors = BufReader::new(child.stderr.take().unwrap());
        let mut lines = errors.lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        // What else it complains about is read, so that it never waits for a reader.
        thread::spawn(move || lines.for_each(drop));
        let (socket, _) = tungstenite::connect(address.expect("it says where it listens")).unwrap();
        Browser { child, profile, socket, last_id: 0 }
    }

    /// Opens an address in a window of a new user, and waits until the page is complete.
    pub(crate) fn open(&mut self, address: &str) -> Page {
        let context = self.call(None, "Target.createBrowserContext", json!({}));
        let context = &context["browserContextId"];
        let target = json!({"url": address, "browserContextId": context, "newWindow": true});
        let target = self.call(None, "Target.createTarget", target);
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call(None, "Target.attachToTarget", attach);
        let page = Page(session["sessionId"].as_str().unwrap().to_owned());
        if address != BLANK {
            // Until the page is there, another one is, which is empty and complete.
            self.wait(&page, &format!("location.href !== '{BLANK}'"));
            self.wait(&page, "document.readyState === 'complete'");
        }
        page
    }

    /// Lets a page load from servers whose certificate no authority signed.
    pub(crate) fn trust_any_certificate(&mut self, page: &Page) {
        self.call(Some(page), "Security.setIgnoreCertificateErrors", json!({"ignore": true}));
    }

    /// Opens an address on a page.
    pub(crate) fn navigate(&mut self, page: &Page, address: &str) {
        self.call(Some(page), "Page.navigate", json!({"url": address}));
    }

    /// The value of an expression on a page.
    pub(crate) fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let answer = self.call(Some(page), "Runtime.evaluate", parameters);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression on a page is true.
    pub(crate) fn wait(&mut self, page: &Page, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.evaluate(page, expression) != true {
            if Instant::now() > end {
                let seen = self.evaluate(page, "document.body.innerText");
                panic!("waited in vain for {expression} on a page that shows {seen}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types into a field, and presses Enter.
    pub(crate) fn type_into(&mut self, page: &Page, field: &str, text: &str) {
        self.evaluate(page, &format!("document.getElementById('{field}').focus()"));
        self.evaluate(page, &format!("document.getElementById('{field}').select()"));
        self.call(Some(page), "Input.insertText", json!({"text": text}));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
                "windowsVirtualKeyCode": 13,
            });
            self.call(Some(page), "Input.dispatchKeyEvent", key);
        }
    }

    fn call(&mut self, page: Option<&Page>, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut call = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(Page(session)) = page {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let text = self.socket.read().unwrap();
            let answer: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
