//! Proves that certificates are replaced while a server runs: under load, by signal and by
//! themselves, and never by something that does not work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ClientConfig;
use serde_json::json;

use crate::support::tls::{Certificates, Pair, TlsStream, Tunnel, client, replace, start};
use crate::support::{Client, Server, http, wait_until};

fn is_shown(server: &Server, pair: &Pair, config: &Arc<ClientConfig>) -> bool {
    let stream = TlsStream::connect(server.address(), "localhost", config).unwrap();
    stream.tls.peer_certificates().unwrap()[0] == pair.root
}

/// How often certificates were read again, and how often that failed.
fn reloads(tunnel: &Tunnel) -> (u64, u64) {
    let tls = http(tunnel.address(), "GET", "/v1/stats", &[], "").json()["tls"].clone();
    (tls["reloads"].as_u64().unwrap(), tls["reload_failures"].as_u64().unwrap())
}

/// Without tickets, which show no certificate.
fn forgetful(pairs: &[&Pair]) -> Arc<ClientConfig> {
    let roots: Vec<_> = pairs.iter().map(|pair| pair.root.clone()).collect();
    let mut config = ClientConfig::clone(&client(&roots));
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[test]
fn certificates_are_replaced_under_load_without_a_lost_connection() {
    let (mut server, old, files) = start(&[]);
    let new = files.pair("new", &["localhost"]);
    let config = forgetful(&[&old, &new]);
    let tunnel = Tunnel::to(&server, &config);
    let stops = AtomicBool::new(false);
    let mut member = Client::connect(&tunnel);
    member.join("r");
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut publisher = Client::connect(&tunnel);
            let mut offset = 0;
            while !stops.load(Ordering::Relaxed) {
                offset = publisher.publish("r", "m", json!(offset));
            }
            offset
        });
        let comers = scope.spawn(|| {
            while !stops.load(Ordering::Relaxed) {
                Client::connect(&tunnel).assert_alive();
            }
        });
        assert!(is_shown(&server, &old, &config));
        for text in [&new, &old, &new].map(|pair| [&pair.certificate, &pair.key]) {
            // The names of the first pair are those that the server was given.
            let [certificate, key] = text.map(|path| std::fs::read_to_string(path).unwrap());
            replace(&files.path("server.pem"), &certificate);
            replace(&files.path("server.key"), &key);
            let before = reloads(&tunnel).0;
            server.signal(libc::SIGHUP);
            wait_until("they are read again", || reloads(&tunnel).0 > before);
        }
        wait_until("the new one is shown", || is_shown(&server, &new, &config));
        stops.store(true, Ordering::Relaxed);
        comers.join().unwrap();
        let last = publisher.join().unwrap();
        for offset in 1..=last {
            assert_eq!(member.recv_event("m").offset(), offset);
        }
        member.assert_alive();
    });
    assert!(server.terminate().success());
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_named_in_the_log() {
    let (mut server, old, files) = start(&[]);
    let other = files.pair("other", &["localhost"]);
    let config = forgetful(&[&old, &other]);
    let tunnel = Tunnel::to(&server, &config);
    let good = std::fs::read_to_string(&old.certificate).unwrap();
    let foreign = std::fs::read_to_string(&other.certificate).unwrap();
    let broken = good.replace("BEGIN CERTIFICATE", "BEGIN NOTHING");
    let cut = good[..good.len() / 2].to_owned();
    for (nth, text) in [&foreign, &broken, &cut, "", "garbage"].into_iter().enumerate() {
        replace(&files.path("server.pem"), text);
        server.signal(libc::SIGHUP);
        wait_until("it was tried", || reloads(&tunnel) == (0, nth as u64 + 1));
        assert!(is_shown(&server, &old, &config), "{text:.40}");
    }
    std::fs::remove_file(files.path("server.pem")).unwrap();
    server.signal(libc::SIGHUP);
    wait_until("it was tried", || reloads(&tunnel) == (0, 6));
    wait_until("each is logged", || server.log().matches("stay as they were").count() == 6);
    for words in ["is not the key of the certificate", "has no certificate", "cannot be read"] {
        assert!(server.log().contains(words), "{words}: {}", server.log());
    }
    replace(&files.path("server.pem"), &good);
    server.signal(libc::SIGHUP);
    wait_until("it is read", || reloads(&tunnel) == (1, 6));
    Client::connect(&tunnel).assert_alive();
    assert!(server.terminate().success());
}

/// Looked at every ten seconds.
#[test]
fn files_that_change_are_noticed_without_a_signal() {
    let (server, old, files) = start(&[]);
    let new = files.pair("new", &["localhost"]);
    let config = forgetful(&[&old, &new]);
    let tunnel = Tunnel::to(&server, &config);
    std::fs::rename(&new.key, files.path("server.key")).unwrap();
    std::fs::rename(&new.certificate, files.path("server.pem")).unwrap();
    wait_until("it is noticed", || reloads(&tunnel).0 > 0);
    assert!(is_shown(&server, &new, &config));
}

#[test]
fn a_key_that_every_user_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let files = Certificates::new();
    let pair = files.pair("server", &["localhost"]);
    let closed = Server::start(&pair.flags());
    assert!(!closed.log().contains("chmod"), "{}", closed.log());
    std::fs::set_permissions(&pair.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = Server::start(&pair.flags());
    wait_until("it says so", || open.log().contains("can be read by every user"));
    assert!(open.log().contains("server.key") && open.log().contains("chmod"), "{}", open.log());
}
