//! Proves how TLS begins: which certificate, versions and protocols there are, what is resumed, and
//! what becomes of clients that never get so far.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::tls::{Certificates, TlsStream, Tunnel, client, client_hello, start};
use crate::support::{
    Client, PATIENCE, Response, Server, events_head, http, upgrade_head, wait_until,
};

/// A figure of the shards' threads, summed.
fn total(tunnel: &Tunnel, figure: &str) -> u64 {
    let stats = http(tunnel.address(), "GET", "/v1/stats", &[], "").json();
    let shards = stats["shards"].as_array().unwrap().clone();
    shards.iter().map(|shard: &Value| shard["runtime"][figure].as_u64().unwrap()).sum()
}

fn dial(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads up to the end, however it comes.
fn read_to_end(mut socket: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no end within {PATIENCE:?}"),
        _ => bytes,
    }
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let certificates = Certificates::new();
    let first = certificates.pair("first", &["localhost"]);
    let wild = certificates.pair("wild", &["*.example.com", "exact.example.org"]);
    let exact = certificates.pair("exact", &["a.example.com"]);
    let flags = [first.flags(), wild.flags(), exact.flags()].concat();
    let server = Server::start(&flags);
    for (name, pair) in [
        ("localhost", Some(&first)),
        ("a.example.com", Some(&exact)),
        ("b.example.com", Some(&wild)),
        ("B.EXAMPLE.com", Some(&wild)),
        ("exact.example.org", Some(&wild)),
        // A star is for one label, and others are shown the first.
        ("a.b.example.com", None),
        ("example.com", None),
        ("other.example", None),
    ] {
        let right = pair.unwrap_or(&first);
        let connected = TlsStream::connect(server.address(), name, &right.client());
        match pair {
            Some(_) => assert_eq!(shown(&connected.unwrap()), right.root.as_ref(), "{name}"),
            None => {
                let error = connected.err().expect("the certificate is for another").to_string();
                assert!(error.contains("not valid for name"), "{name}: {error}");
            }
        }
    }
}

fn shown(stream: &TlsStream) -> &[u8] {
    stream.tls.peer_certificates().unwrap()[0].as_ref()
}

#[test]
fn both_versions_are_spoken_and_http_11_is_the_one_protocol() {
    let (server, pair, _files) = start(&[]);
    let with = |versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&str]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pair.root.clone()).unwrap();
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsStream::connect(server.address(), "localhost", &Arc::new(config))
    };
    let (old, new) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (versions, spoken) in [(old, ProtocolVersion::TLSv1_2), (new, ProtocolVersion::TLSv1_3)] {
        for alpn in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
            let mut stream = with(&[versions], alpn).unwrap();
            assert_eq!(stream.tls.protocol_version(), Some(spoken));
            let chosen = stream.tls.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(chosen, (!alpn.is_empty()).then(|| b"http/1.1".to_vec()));
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.stream().write_all(request.as_bytes()).unwrap();
            let answer = stream.read_to_end().unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let refused = with(&[versions], &["h2"]).err().expect("HTTP/2 is not spoken").to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    }
}

#[test]
fn a_session_is_resumed_on_any_shard() {
    let (server, pair, _files) = start(&[]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = rustls::ClientConfig::clone(&pair.client());
        config.resumption = Resumption::in_memory_sessions(8);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pair.root.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let mut shards = [false; 2];
        let mut ticket_of = None;
        let mut crossed = false;
        for _ in 0..200 {
            let mut stream = TlsStream::connect(server.address(), "localhost", &config).unwrap();
            let resumed = stream.tls.handshake_kind() == Some(HandshakeKind::Resumed);
            stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
            let shard = read_shard(&mut stream);
            assert_eq!(resumed, ticket_of.is_some(), "each connection but the first is resumed");
            crossed |= ticket_of.is_some_and(|before| before != shard);
            (shards[shard], ticket_of) = (true, Some(shard));
            if crossed && shards == [true; 2] {
                break;
            }
        }
        assert!(crossed, "no ticket of one shard was taken to the other");
    }
}

/// The shard that greets this connection.
fn read_shard(stream: &mut TlsStream) -> usize {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let len = stream.stream().read(&mut buffer).unwrap();
        text += &String::from_utf8_lossy(&buffer[..len]);
        if let Some((_, rest)) = text.split_once(r#""shard":"#) {
            return rest[..1].parse().unwrap();
        }
        assert!(len > 0, "{text}");
    }
}

#[test]
fn clear_text_is_told_so_in_clear_text() {
    let (server, pair, _files) = start(&[]);
    for said in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "hello", "\0", "\x15\x03\x01\0\x02"] {
        let mut socket = dial(&server);
        socket.write_all(said.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to_end(&socket)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{said:?}: {answer}");
        assert!(answer.contains("wss://"), "{answer}");
    }
    let response: Response = http(server.address(), "GET", "/v1/stats", &[], "");
    response.assert_error(400);
    let tunnel = Tunnel::to(&server, &pair.client());
    assert_eq!(total(&tunnel, "tls_failed"), 5);
}

#[test]
fn a_handshake_may_be_cut_anywhere_and_come_byte_by_byte() {
    let (server, pair, _files) = start(&[]);
    let hello = client_hello(&pair);
    for cut in 1..hello.len() {
        let mut socket = dial(&server);
        socket.write_all(&hello[..cut]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&socket), b"", "cut at {cut}: nothing can be said");
    }
    let mut socket = dial(&server);
    for byte in &hello {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut first = [0; 3];
    socket.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x16, 3, 3], "the server's hello");
    Client::connect(&Tunnel::to(&server, &pair.client())).assert_alive();
}

#[test]
fn a_handshake_that_is_late_is_ended_and_the_others_go_on() {
    let (server, pair, _files) = start(&["--handshake-timeout", "1s"]);
    let hello = client_hello(&pair);
    let late: Vec<TcpStream> = (0..200)
        .map(|nth| {
            let mut socket = dial(&server);
            socket.write_all(&hello[..nth % hello.len()]).unwrap();
            socket
        })
        .collect();
    Client::connect(&Tunnel::to(&server, &pair.client())).assert_alive();
    for socket in &late {
        assert_eq!(read_to_end(socket), b"");
    }
    // One that has shaken hands and says nothing is as late.
    let mut silent = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
    let mut buffer = [0; 16];
    assert!(matches!(silent.stream().read(&mut buffer), Ok(0) | Err(_)));
}

#[test]
fn garbage_ends_its_own_connection_alone() {
    let (server, pair, _files) = start(&[]);
    let tunnel = Tunnel::to(&server, &pair.client());
    let mut witness = Client::connect(&tunnel);
    let hello = client_hello(&pair);
    let mut said = vec![
        vec![0x16; 40_000],
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"\x16\x03\x01\x00\x00".repeat(5_000),
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(),
        [b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc".to_vec(), vec![0; 16_380]].concat().repeat(4),
    ];
    for at in (0..hello.len()).step_by(7) {
        let mut broken = hello.clone();
        broken[at] ^= 0x55;
        said.push(broken);
    }
    for said in &said {
        let mut socket = dial(&server);
        // It may be refused before all of it is said.
        let _ = socket.write_all(said);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = read_to_end(&socket);
    }
    witness.assert_alive();
    assert!(total(&tunnel, "tls_failed") > 0);
}

#[test]
fn a_server_that_cannot_read_its_certificate_says_which_file_is_wrong() {
    use crate::support::{refused, serve};
    let files = Certificates::new();
    let (one, other) = (files.pair("one", &["one"]), files.pair("other", &["other"]));
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (missing, empty) = (text(&files.path("missing.pem")), text(&files.path("empty.pem")));
    std::fs::write(&empty, "no pem\n").unwrap();
    let (certificate, key) = (text(&one.certificate), text(&one.key));
    let refuse = |flags: &[&str], words: &[&str]| {
        let listen = ["--listen", "127.0.0.1:0"];
        refused(serve(&[&listen, flags].concat())).assert_readable(words);
    };
    refuse(&["--tls-cert", &missing, "--tls-key", &key], &["missing.pem", "cannot be read"]);
    refuse(&["--tls-cert", &empty, "--tls-key", &key], &["empty.pem", "has no certificate"]);
    refuse(&["--tls-cert", &certificate, "--tls-key", &empty], &["empty.pem", "private key"]);
    let foreign = text(&other.key);
    refuse(&["--tls-cert", &certificate, "--tls-key", &foreign], &["other.key", "is not the key"]);
    let two = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-cert", &certificate];
    refuse(&two, &["--tls-key", "one key for each"]);
}

#[test]
fn a_page_of_the_same_host_comes_over_https() {
    let (server, pair, _files) = start(&[]);
    let tunnel = Tunnel::to(&server, &pair.client());
    let port = server.address().port();
    let own = format!("https://localhost:{port}");
    let host = format!("localhost:{port}");
    let open = |origin: &str, host: &str| {
        let headers = [("origin", origin), ("host", host)];
        Client::open(&tunnel, "/ws", &headers).map(|_| ()).map_err(|refused| refused.status())
    };
    assert_eq!(open(&own, &host), Ok(()));
    assert_eq!(open("https://localhost", "localhost"), Ok(()));
    for (origin, host) in [
        (format!("http://localhost:{port}"), host.as_str()),
        ("http://localhost".to_owned(), "localhost"),
        ("https://localhost".to_owned(), host.as_str()),
    ] {
        assert_eq!(open(&origin, host).unwrap_err().as_u16(), 403, "{origin} at {host}");
    }
}

#[test]
fn what_a_proxy_says_first_stands_before_tls() {
    let flags = ["--proxy-protocol", "on", "--trusted-proxy", "loopback"];
    let (server, pair, _files) = start(&flags);
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    let name = || ServerName::try_from("localhost").unwrap();
    for is_one_piece in [true, false] {
        let mut socket = dial(&server);
        let mut tls = ClientConnection::new(pair.client(), name()).unwrap();
        let mut first = header.to_vec();
        if is_one_piece {
            tls.write_tls(&mut first).unwrap();
        }
        socket.write_all(&first).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(upgrade_head("").as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
    let mut clear = dial(&server);
    clear.write_all(&[header.as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat()).unwrap();
    let answer = String::from_utf8(read_to_end(&clear)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wss://"), "{answer}");
}

#[test]
fn the_announcement_says_wss() {
    use std::io::{BufRead, BufReader};
    let files = Certificates::new();
    let pair = files.pair("server", &["localhost"]);
    let listen = ["--listen", "127.0.0.1:0", "--shards", "1"];
    let mut child = crate::support::serve(&[&listen[..], &pair.flags()].concat()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take(4).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.iter().any(|line| line.contains("connect to wss://127.0.0.1:")), "{said:?}");
}

#[test]
fn handshakes_are_counted() {
    let (server, pair, _files) = start(&[]);
    let config = client(std::slice::from_ref(&pair.root));
    let tunnel = Tunnel::to(&server, &config);
    let _clients: Vec<Client> = (0..5).map(|_| Client::connect(&tunnel)).collect();
    wait_until("five and the question are counted", || total(&tunnel, "tls_handshakes") >= 6);
    assert!(total(&tunnel, "tls_resumed") > 0);
    let address: SocketAddr = (&tunnel).into();
    assert_eq!(http(address, "GET", "/v1/stats", &[], "").json()["tls"]["reloads"], 0);
}

/// A signature with such a key takes longer than the time that a turn has for handshakes, so that a
/// turn has one.
#[test]
fn a_turn_signs_once_when_its_time_is_over() {
    const CLIENTS: u64 = 40;
    let files = Certificates::new();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap();
    let pair = files.pair_with(&key, "server", &["localhost"]);
    let hello = client_hello(&pair);
    let mut server = Server::start_with_shards(1, &pair.flags());
    let tunnel = Tunnel::to(&server, &pair.client());
    let before = total(&tunnel, "turns");
    server.signal(libc::SIGSTOP);
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut socket = dial(&server);
            socket.write_all(&hello).unwrap();
            socket
        })
        .collect();
    server.signal(libc::SIGCONT);
    for socket in &mut clients {
        let mut first = [0; 3];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(first, [0x16, 3, 3], "the server's hello");
    }
    let turns = total(&tunnel, "turns") - before;
    assert!(turns >= CLIENTS, "{turns} turns for {CLIENTS} signatures");
}

#[test]
fn a_flight_that_a_socket_takes_in_pieces_is_sent_to_its_end() {
    let files = Certificates::new();
    let pair = files.pair("long", &["localhost"]);
    let mut chain = std::fs::read_to_string(&pair.certificate).unwrap();
    let more = std::fs::read_to_string(files.pair("more", &["more"]).certificate).unwrap();
    chain += &more.repeat(60);
    std::fs::write(&pair.certificate, &chain).unwrap();
    let flags = ["--send-buffer", "4KiB", "--handshake-timeout", "60s"];
    let server = Server::start(&[&pair.flags(), &flags[..]].concat());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2304).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut stream = TlsStream::over(socket.into(), "localhost", &pair.client()).unwrap();
    assert!(stream.tls.peer_certificates().unwrap().len() > 60, "all of the chain came");
    stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.stream().read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn the_end_that_comes_with_a_request_is_noticed() {
    let (server, pair, _files) = start(&["--ping-interval", "1h", "--ping-timeout", "1h"]);
    let tunnel = Tunnel::to(&server, &pair.client());
    for head in [upgrade_head(""), events_head("r", "")] {
        let mut stream = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
        stream.tls.writer().write_all(head.as_bytes()).unwrap();
        stream.tls.send_close_notify();
        let mut sealed = Vec::new();
        while stream.tls.wants_write() {
            stream.tls.write_tls(&mut sealed).unwrap();
        }
        stream.socket.write_all(&sealed).unwrap();
        // The socket stays open in both directions.
        let mut answer = [0; 10];
        stream.stream().read_exact(&mut answer).unwrap();
        wait_until("the connection has gone", || {
            let stats = http(tunnel.address(), "GET", "/v1/stats", &[], "").json();
            stats["connections"] == 0
        });
    }
}
