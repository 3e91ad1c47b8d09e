//! What one read of a session takes, and what it counts for.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use corecast_shards::Time;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::certificates::provider;
use super::records::{READ_MAX, RECORD_COST};
use super::session::{Received, TlsSession};

/// What a shard reads into.
const BUFFER: usize = 96 << 10;

/// A session that has shaken hands, and its client.
struct Pair {
    session: TlsSession,
    socket: UnixStream,
    client: ClientConnection,
    client_socket: UnixStream,
    buffer: Vec<u8>,
}

impl Pair {
    fn new() -> Pair {
        let (socket, client_socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        client_socket.set_nonblocking(true).unwrap();
        let (server, client) = configs();
        let session = TlsSession::new(UnbufferedServerConnection::new(Arc::new(server)).unwrap());
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        let buffer = vec![0; BUFFER];
        let mut pair = Pair { session, socket, client, client_socket, buffer };
        while !pair.session.is_open() || pair.client.is_handshaking() {
            // Either waits for the other at times.
            let _ = pair.client.complete_io(&mut &pair.client_socket);
            let _ = pair.receive(usize::MAX);
        }
        pair
    }

    fn receive(&mut self, most: usize) -> std::io::Result<Received> {
        self.session.receive(&self.socket, &mut self.buffer, most, Time::default())
    }

    /// Sends so many records with so many bytes each. Returns their length.
    fn send(&mut self, records: usize, bytes: usize) -> usize {
        let mut sealed = Vec::new();
        for _ in 0..records {
            self.client.writer().write_all(&vec![b'x'; bytes]).unwrap();
            while self.client.wants_write() {
                self.client.write_tls(&mut sealed).unwrap();
            }
        }
        self.client_socket.write_all(&sealed).unwrap();
        sealed.len()
    }
}

fn configs() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key: PrivateKeyDer<'static> = made.signing_key.serialize_der().try_into().unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(provider()));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(provider()));
    let client = client.with_safe_default_protocol_versions().unwrap();
    (server, client.with_root_certificates(roots).with_no_client_auth())
}

/// Reads until the socket is empty. Returns the plaintext and the cost of each read.
fn read_all(pair: &mut Pair, most: usize) -> Vec<(usize, usize)> {
    let mut reads = Vec::new();
    loop {
        match pair.receive(most) {
            Ok(Received::Plain { len, cost, is_drained }) => {
                reads.push((len, cost));
                if is_drained {
                    return reads;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_read_takes_no_more_than_it_may() {
    let mut pair = Pair::new();
    let len = pair.send(60, 1000);
    let reads = read_all(&mut pair, 4096);
    assert_eq!(reads.iter().map(|(plain, _)| plain).sum::<usize>(), 60_000);
    assert!(reads.len() >= len / 4096, "{reads:?}");
    // A record that was begun may be done with by the next read.
    assert!(reads.iter().all(|(plain, _)| *plain <= 4096 + 1000), "{reads:?}");
}

#[test]
fn a_record_that_brings_one_byte_counts_for_what_opening_it_costs() {
    let mut pair = Pair::new();
    let records = 3000;
    let len = pair.send(records, 1);
    let reads = read_all(&mut pair, usize::MAX);
    assert_eq!(reads.iter().map(|(plain, _)| plain).sum::<usize>(), records);
    let cost: usize = reads.iter().map(|(_, cost)| cost).sum();
    assert_eq!(cost, len + records * RECORD_COST);
    let most = READ_MAX / (len / records) + 1;
    assert!(reads.iter().all(|(plain, _)| *plain <= most), "{reads:?}");
}
