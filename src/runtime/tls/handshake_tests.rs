//! A session and a client, byte for byte as they are read.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use corecast_shards::Time;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::certificates::provider;
use super::records::{READ_MAX, whole_record};
use super::session::{Received, TlsSession};

struct Pair {
    session: TlsSession,
    client: ClientConnection,
    ours: UnixStream,
    theirs: UnixStream,
    buffer: Vec<u8>,
}

impl Pair {
    /// A client whose records have at most so many bytes.
    fn new(fragment: usize) -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.max_fragment_size = Some(fragment);
        let name = ServerName::try_from("localhost").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        Pair {
            session: TlsSession::new(UnbufferedServerConnection::new(Arc::new(server)).unwrap()),
            client: ClientConnection::new(Arc::new(config), name).unwrap(),
            ours,
            theirs,
            buffer: vec![0; 64 << 10],
        }
    }

    /// Takes in what the client has to say in pieces that are read one by one. Returns the plaintext.
    fn hear(&mut self, cut: fn(&[u8]) -> usize) -> Vec<u8> {
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        while self.client.wants_write() {
            self.client.write_tls(&mut said).unwrap();
        }
        let mut said = &said[..];
        while !said.is_empty() {
            let (piece, rest) = said.split_at(cut(said));
            self.theirs.write_all(piece).unwrap();
            let received =
                self.session.receive(&self.ours, &mut self.buffer, READ_MAX, Time::default());
            let Ok(Received::Plain { len, .. }) = received else { panic!("{received:?}") };
            heard.extend_from_slice(&self.buffer[..len]);
            said = rest;
        }
        heard
    }

    /// Hands the client what the session has said.
    fn answer(&mut self) {
        let mut said = [0; 16 << 10];
        while let Ok(len @ 1..) = self.theirs.read(&mut said) {
            self.client.read_tls(&mut &said[..len]).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }
}

/// Up to the end of a record, as far as half of it, and everything.
const CUTS: [fn(&[u8]) -> usize; 3] = [
    |said| whole_record(said).expect("records are whole"),
    |said| whole_record(said).map_or(said.len(), |len| len.div_ceil(2)).min(said.len()),
    <[u8]>::len,
];

#[test]
fn a_message_of_the_handshake_may_come_in_many_records_however_they_are_read() {
    for fragment in [32, 33, 64, 100, 1_000, 16_384] {
        for (nth, cut) in CUTS.into_iter().enumerate() {
            let mut pair = Pair::new(fragment);
            while pair.client.is_handshaking() {
                assert!(pair.hear(cut).is_empty());
                pair.answer();
            }
            pair.client.writer().write_all(b"after that").unwrap();
            let heard = pair.hear(cut);
            assert_eq!(heard, b"after that", "records of {fragment} bytes, cut {nth}");
            assert!(pair.session.is_open());
        }
    }
}
