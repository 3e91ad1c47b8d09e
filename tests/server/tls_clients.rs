//! Proves that TLS of others is understood: OpenSSL's own client, curl, Python's `websockets`,
//! Node's `ws` and Chromium.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::browser::Browser;
use crate::independent_clients::{Process, clients, installed};
use crate::support::tls::{Pair, start};
use crate::support::{PATIENCE, Server};

const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn s_client(server: &Server, pair: &Pair) -> Command {
    let mut command = Command::new("openssl");
    let port = server.address().port();
    command.args(["s_client", "-servername", "localhost", "-verify_return_error"]);
    command.args(["-connect", &format!("127.0.0.1:{port}"), "-CAfile"]).arg(&pair.certificate);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends a request over it, and returns what it printed.
fn ask(command: &mut Command) -> (bool, String) {
    let mut child = command.arg("-ign_eof").spawn().expect("openssl is installed");
    child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap_or_default();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// OpenSSL's client at its own command line.
struct Interactive {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Interactive {
    fn start(command: &mut Command) -> Interactive {
        let mut child = command.spawn().expect("openssl is installed");
        let (sender, lines) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.for_each(|line| sender.send(line).unwrap_or_default());
            });
        }
        let input = child.stdin.take().unwrap();
        Interactive { child, input, lines }
    }

    fn say(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
    }

    fn wait_for(&self, word: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            if line.unwrap_or_else(|_| panic!("{word} does not come")).contains(word) {
                return;
            }
        }
    }
}

impl Drop for Interactive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_is_served_in_both_versions_and_refused_in_older_ones() {
    let (server, pair, _files) = start(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (_, text) = ask(s_client(&server, &pair).arg(version));
        assert!(text.contains("HTTP/1.1 200 OK"), "{version}: {text}");
        assert!(text.contains("Verify return code: 0 (ok)"), "{version}: {text}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let older = [version, "-cipher", "DEFAULT@SECLEVEL=0"];
        let (ok, text) = ask(s_client(&server, &pair).args(older));
        assert!(!ok && text.contains("SSL alert number"), "{version}: {text}");
        assert!(!text.contains("HTTP/1.1 200"), "{version}: {text}");
    }
    let (ok, text) = ask(s_client(&server, &pair).args(["-alpn", "h2"]));
    assert!(!ok && text.contains("no application protocol"), "{text}");
    let (_, text) = ask(s_client(&server, &pair).args(["-alpn", "h2,http/1.1"]));
    assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
}

#[test]
fn openssl_comes_back_with_its_ticket() {
    let (server, pair, files) = start(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = files.path(version);
        let (_, first) = ask(s_client(&server, &pair).args([version, "-sess_out"]).arg(&session));
        assert!(first.contains("New, TLSv1."), "{version}: {first}");
        for _ in 0..6 {
            let mut again = s_client(&server, &pair);
            let (_, text) = ask(again.args([version, "-sess_in"]).arg(&session));
            assert!(text.contains("Reused, TLSv1."), "{version}: {text}");
            assert!(text.contains("HTTP/1.1 200 OK"), "{version}: {text}");
        }
    }
}

#[test]
fn openssl_updates_its_keys_and_ours() {
    let (server, pair, _files) = start(&[]);
    let mut client = Interactive::start(s_client(&server, &pair).arg("-tls1_3"));
    client.wait_for("Verify return code: 0");
    // Its own key alone, then both.
    for command in ["k\n", "K\n", "K\n"] {
        client.say(command);
        client.wait_for("KEYUPDATE");
        client.say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.wait_for("HTTP/1.1 200 OK");
    }
}

#[test]
fn curl_is_served() {
    let (server, pair, _files) = start(&[]);
    let url = format!("https://localhost:{}/healthz", server.address().port());
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--http1.1", "--write-out", "%{http_code}", "--cacert"])
        .arg(&pair.certificate)
        .arg(url)
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&curl.stdout).into_owned();
    assert!(text.ends_with("200"), "{text} {}", String::from_utf8_lossy(&curl.stderr));
}

#[test]
fn python_and_node_exchange_messages_over_tls() {
    let (server, pair, _files) = start(&[]);
    let url = format!("wss://localhost:{}/ws", server.address().port());
    let trusts = |command: &mut Command, certificate: &Path| {
        command.env("SSL_CERT_FILE", certificate).env("NODE_EXTRA_CA_CERTS", certificate);
    };
    let mut python = Command::new(installed("venv/bin/python"));
    python.args([clients("exchange.py").as_os_str(), url.as_ref(), "python".as_ref()]);
    trusts(&mut python, &pair.certificate);
    let mut python = Process::start(&mut python);
    let shard = python.read_shard();
    assert_eq!(python.read_line(), "joined");
    let mut node = Command::new("node");
    node.env("NODE_PATH", installed("node/node_modules/ws").parent().unwrap())
        .args([clients("exchange.mjs").as_os_str(), url.as_ref(), "node".as_ref()])
        .args(["--not-on", &shard]);
    trusts(&mut node, &pair.certificate);
    let mut node = Process::start(&mut node);
    assert_ne!(node.read_shard(), shard, "the two are on different shards");
    for (name, process) in [("python", &mut python), ("node", &mut node)] {
        process.assert_success(name);
    }
}

#[test]
fn chromium_opens_a_connection_and_an_event_stream() {
    let (server, _pair, _files) = start(&[]);
    let at = format!("localhost:{}", server.address().port());
    let mut browser = Browser::start();
    let page = browser.open(crate::browser::BLANK);
    browser.trust_any_certificate(&page);
    browser.navigate(&page, &format!("https://{at}/healthz"));
    browser.wait(&page, &format!("location.href == 'https://{at}/healthz'"));
    let script = format!(
        "said = []; socket = new WebSocket('wss://{at}/ws');
         socket.onmessage = message => said.push(message.data);
         socket.onopen = () => {{
             source = new EventSource('https://{at}/v1/rooms/r/events');
             source.onopen = () => socket.send(JSON.stringify(
                 {{event: 'cast:publish', room: 'r', data: {{event: 'e', data: 1}}}}));
             source.onmessage = message => said.push('stream ' + message.data);
         }}; true"
    );
    assert_eq!(browser.evaluate(&page, &script), true);
    browser.wait(&page, "said.some(text => text.includes('cast:welcome'))");
    browser.wait(&page, "said.some(text => text.startsWith('stream ') && text.includes('\"e\"'))");
}
