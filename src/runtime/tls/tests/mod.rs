//! A session and a client that we did not write, byte for byte.

mod handshakes;
mod reads;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use corecast_shards::Time;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::certificates::provider;
use super::session::{Received, TlsSession};

/// What a shard reads into.
const BUFFER: usize = 96 << 10;

/// A session and its client, before they have shaken hands.
struct Pair {
    session: TlsSession,
    socket: UnixStream,
    client: ClientConnection,
    client_socket: UnixStream,
    buffer: Vec<u8>,
}

impl Pair {
    /// A client whose records have at most so many bytes, if that is limited.
    fn new(fragment: Option<usize>) -> Pair {
        let (socket, client_socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        client_socket.set_nonblocking(true).unwrap();
        let (server, mut client) = configs();
        client.max_fragment_size = fragment;
        let name = ServerName::try_from("localhost").unwrap();
        Pair {
            session: TlsSession::new(UnbufferedServerConnection::new(Arc::new(server)).unwrap()),
            socket,
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
            client_socket,
            buffer: vec![0; BUFFER],
        }
    }

    fn receive(&mut self, most: usize) -> io::Result<Received> {
        self.session.receive(&self.socket, &mut self.buffer, most, Time::default(), || true)
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
