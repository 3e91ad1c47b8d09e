//! Proves that proxies we did not write, nginx and haproxy, hand on where a client comes from: in
//! `X-Forwarded-For`, and by the PROXY protocol, version 1 and 2; and that their connections to the
//! server serve request after request, and handshakes behind them.

use crate::client_addresses::Watched;
use crate::support::{PATIENCE, Raw, Server, parse_head, upgrade_head, wait_until};
use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A client whose address differs from the proxy's.
const CLIENT: [u8; 4] = [127, 0, 0, 77];

struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Proxy {
    /// Runs a proxy with a configuration in which `PORT` is a free port and `FOLDER` its own
    /// folder, and waits until it listens.
    fn start(program: &str, arguments: &[&str], configuration: &str) -> Proxy {
        // An address of their own, so that no other test takes the port before they do.
        let free = TcpListener::bind("127.0.7.1:0").unwrap();
        let address = free.local_addr().unwrap();
        let folder = env::temp_dir().join(format!("corecast-{program}-{}", address.port()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.to_str().unwrap();
        let port = address.port().to_string();
        let text = configuration.replace("PORT", &port).replace("FOLDER", path);
        fs::write(folder.join("conf"), text).unwrap();
        drop(free);
        let mut command = Command::new(find(program));
        let fill = |argument: &&str| argument.replace("FOLDER", path);
        command.args(arguments.iter().map(fill)).stdin(Stdio::null());
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut proxy = Proxy { child, address, folder };
        proxy.wait();
        proxy
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "the proxy ended by itself");
            assert!(Instant::now() < end, "the proxy does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Exchanges a message with the server through the proxy.
    fn connect(&self, fields: &str) -> Raw {
        let mut raw = Raw::dial_from(CLIENT, self.address);
        raw.write(upgrade_head(fields).as_bytes());
        raw.expect_upgraded();
        assert_eq!(raw.envelope().event(), "cast:welcome");
        raw.send_text(r#"{"event":"cast:ping","id":1}"#);
        assert_eq!(raw.envelope().event(), "cast:pong");
        raw
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `scripts/setup` installed. To pass without it would prove nothing, so its absence fails.
fn find(program: &str) -> PathBuf {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let mut found = path.split(':').map(|folder| Path::new(folder).join(program));
    found
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{program} is missing: scripts/setup installs it"))
}

/// nginx with what the README says of it.
fn nginx(server: &Server) -> Proxy {
    let page = include_str!("../../README.md");
    let location = page.split_once("\n```nginx\n").and_then(|(_, rest)| rest.split_once("```"));
    let (location, _) = location.expect("the README says how nginx is set up");
    let address = server.address().to_string();
    assert_eq!(location.matches("127.0.0.1:8080").count(), 1, "{location}");
    let configuration = "
        daemon off; master_process off; pid FOLDER/pid; error_log stderr crit;
        events { worker_connections 64; }
        http {
            access_log off;
            client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
            fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi;
            scgi_temp_path FOLDER/scgi;
            server {
                listen 127.0.7.1:PORT;
                LOCATION
            }
        }";
    let location = location.replace("127.0.0.1:8080", &address);
    let configuration = configuration.replace("LOCATION", &location);
    let arguments = ["-p", "FOLDER", "-e", "stderr", "-c", "FOLDER/conf"];
    Proxy::start("nginx", &arguments, &configuration)
}

fn haproxy(server: &Server, mode: &str, options: &str) -> Proxy {
    let configuration = format!(
        "global\n    maxconn 64\ndefaults\n    mode {mode}\n    timeout connect 30s\n    \
         timeout client 60s\n    timeout server 60s\nlisten corecast\n    bind 127.0.7.1:PORT\n    \
         {options}\n",
    );
    let configuration = configuration.replace("SERVER", &server.address().to_string());
    Proxy::start("haproxy", &["-db", "-q", "-f", "FOLDER/conf"], &configuration)
}

#[test]
fn nginx_hands_on_the_client_in_x_forwarded_for() {
    let server = Watched::start(&["--trusted-proxy", "127.0.0.1"]);
    let proxy = nginx(&server);
    for spoofed in ["", "X-Forwarded-For: 192.0.2.1\r\n", "Forwarded: for=192.0.2.1\r\n"] {
        let _connected = proxy.connect(spoofed);
        server.assert_client("127.0.0.77");
    }
}

/// The status of a handshake, or of another request, of a page of this origin.
fn status(proxy: &Proxy, target: &str, more: &str) -> u16 {
    let host = proxy.address;
    let head = match target {
        "/ws" => upgrade_head(more).replace("Host: localhost", &format!("Host: {host}")),
        _ => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"),
    };
    let mut raw = Raw::dial(proxy.address);
    raw.write(head.as_bytes());
    parse_head(&raw.head()).status
}

#[test]
fn behind_nginx_pages_connect_and_listen_at_the_host_and_port_that_they_came_from() {
    let server = Server::start(&["--api-key", "key", "--trusted-proxy", "loopback"]);
    let proxy = nginx(&server);
    let own = format!("Origin: http://{}\r\n", proxy.address);
    let with_key = format!("{own}Authorization: Bearer key\r\n");
    assert_eq!(status(&proxy, "/ws", &own), 101);
    assert_eq!(status(&proxy, "/v1/rooms/r/events", &with_key), 200);
    assert_eq!(status(&proxy, "/v1/stats", &with_key), 200);
    for foreign in ["http://127.0.7.1", "https://evil.example"] {
        let fields = format!("Origin: {foreign}\r\nAuthorization: Bearer key\r\n");
        assert_eq!(status(&proxy, "/ws", &fields), 403, "{foreign}");
        assert_eq!(status(&proxy, "/v1/rooms/r/events", &fields), 403, "{foreign}");
    }
}

#[test]
fn behind_nginx_a_server_without_keys_is_open_and_says_so() {
    let server = Server::start(&[]);
    let proxy = nginx(&server);
    for (target, expected) in [("/ws", 101), ("/v1/stats", 200)] {
        assert_eq!(status(&proxy, target, ""), expected, "{target}");
    }
    wait_until("the log warns", || server.log().contains("a request came over a proxy"));
}

#[test]
fn haproxy_hands_on_the_client_by_the_proxy_protocol() {
    for version in ["send-proxy", "send-proxy-v2"] {
        let server = Watched::start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "on"]);
        let proxy = haproxy(&server, "tcp", &format!("server one SERVER {version}"));
        for spoofed in ["", "X-Forwarded-For: 192.0.2.1\r\n"] {
            let _connected = proxy.connect(spoofed);
            server.assert_client("127.0.0.77");
        }
    }
}

#[test]
fn haproxy_hands_on_the_client_in_x_forwarded_for() {
    let server = Watched::start(&["--trusted-proxy", "127.0.0.1"]);
    let proxy = haproxy(&server, "http", "option forwardfor\n    server one SERVER");
    let _connected = proxy.connect("X-Forwarded-For: 192.0.2.1\r\n");
    server.assert_client("127.0.0.77");
}

/// A few seconds of what `scripts/conformance proxies` does for a minute.
#[test]
fn clients_behind_proxies_that_use_connections_again_meet_no_error() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance");
    let mut command = Command::new(script);
    command.args(["proxies", "--seconds", "3", "--server", env!("CARGO_BIN_EXE_corecast")]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("requests behind haproxy: "), "{said}");
}

#[test]
fn a_chain_of_proxies_is_followed_to_the_client() {
    let server = Watched::start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "on"]);
    let inner = haproxy(&server, "tcp", "server one SERVER send-proxy-v2");
    let outer = {
        let configuration = "defaults\n    mode http\n    timeout connect 30s\n    timeout client \
            60s\n    timeout server 60s\nlisten outer\n    bind 127.0.7.1:PORT\n    option \
            forwardfor\n    server one INNER\n";
        let configuration = configuration.replace("INNER", &inner.address.to_string());
        Proxy::start("haproxy", &["-db", "-q", "-f", "FOLDER/conf"], &configuration)
    };
    let _connected = outer.connect("");
    server.assert_client("127.0.0.77");
}
