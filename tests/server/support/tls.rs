//! Servers that speak TLS: certificates for them, and a way for every plain client of these tests
//! to reach them.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, Server};

/// A directory with certificates, gone at the end of the test.
pub(crate) struct Certificates(PathBuf);

/// A self-signed certificate and its key, as files.
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) root: CertificateDer<'static>,
}

impl Certificates {
    pub(crate) fn new() -> Certificates {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-tls-{}-{nth}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Certificates(directory)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Makes a certificate for these names, in files that are called so.
    pub(crate) fn pair(&self, file: &str, names: &[&str]) -> Pair {
        self.pair_with(&KeyPair::generate().unwrap(), file, names)
    }

    /// The same with this key.
    pub(crate) fn pair_with(&self, key: &KeyPair, file: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = CertificateParams::new(names).unwrap().self_signed(key).unwrap();
        let pair = Pair {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            root: made.der().clone(),
        };
        replace(&pair.certificate, &made.pem());
        replace(&pair.key, &key.serialize_pem());
        pair
    }
}

/// Puts a file in the place of another in one step, as certbot does.
pub(crate) fn replace(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Pair {
    /// The flags of a server with this certificate.
    pub(crate) fn flags(&self) -> [&str; 4] {
        let path = |path: &'_ Path| path.to_str().expect("it is ASCII").to_owned().leak() as &str;
        ["--tls-cert", path(&self.certificate), "--tls-key", path(&self.key)]
    }

    /// A client that trusts this certificate alone, and keeps a ticket.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        client(std::slice::from_ref(&self.root))
    }
}

/// A client that trusts these certificates.
pub(crate) fn client(roots: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).unwrap());
    Arc::new(builder().with_root_certificates(store).with_no_client_auth())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    builder.with_safe_default_protocol_versions().unwrap()
}

/// Starts a server for `localhost` with these further flags.
pub(crate) fn start(flags: &[&str]) -> (Server, Pair, Certificates) {
    let certificates = Certificates::new();
    let pair = certificates.pair("server", &["localhost"]);
    let server = Server::start(&[&pair.flags(), flags].concat());
    (server, pair, certificates)
}

/// What a client says first.
pub(crate) fn client_hello(pair: &Pair) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(pair.client(), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    hello
}

/// A TLS connection over a blocking socket.
pub(crate) struct TlsStream {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
}

impl TlsStream {
    /// Connects, and shakes hands.
    ///
    /// # Errors
    ///
    /// When the two do not come together.
    pub(crate) fn connect(
        address: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream> {
        TlsStream::over(TcpStream::connect(address)?, name, config)
    }

    /// The same over a socket that is connected.
    pub(crate) fn over(
        socket: TcpStream,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut waits = &socket;
        while tls.is_handshaking() {
            tls.complete_io(&mut waits)?;
        }
        Ok(TlsStream { tls, socket })
    }

    pub(crate) fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.socket)
    }

    /// Reads up to the end, which the server must have said.
    pub(crate) fn read_to_end(&mut self) -> io::Result<String> {
        let mut text = Vec::new();
        self.stream().read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A port at which plain clients reach a TLS server: each connection is carried to one of its own,
/// byte by byte, with one ticket store for all.
pub(crate) struct Tunnel(SocketAddr);

impl From<&Tunnel> for SocketAddr {
    fn from(tunnel: &Tunnel) -> SocketAddr {
        tunnel.0
    }
}

impl Tunnel {
    pub(crate) fn to(server: &Server, config: &Arc<ClientConfig>) -> Tunnel {
        Self::dig(server.address(), config, false)
    }

    /// The same with tiny receive buffers, so that the server soon feels it when a client does not
    /// read.
    pub(crate) fn narrow(server: &Server, config: &Arc<ClientConfig>) -> Tunnel {
        Self::dig(server.address(), config, true)
    }

    fn dig(server: SocketAddr, config: &Arc<ClientConfig>, is_narrow: bool) -> Tunnel {
        let config = Arc::clone(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // It ends with the process, as do the connections that a test leaves open.
        thread::spawn(move || {
            for plain in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                thread::spawn(move || {
                    let socket = dial(server, is_narrow).unwrap();
                    if let Ok(sealed) = TlsStream::over(socket, "localhost", &config) {
                        let _ = carry(&plain, sealed);
                    }
                    let _ = plain.shutdown(Shutdown::Both);
                });
            }
        });
        Tunnel(address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

fn dial(server: SocketAddr, is_narrow: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if is_narrow {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Carries bytes both ways until both ends have ended. A side that takes nothing stops the other.
fn carry(plain: &TcpStream, mut sealed: TlsStream) -> io::Result<()> {
    plain.set_nonblocking(true)?;
    sealed.socket.set_nonblocking(true)?;
    let (mut plain_in, mut plain_out) = (plain, plain);
    let (mut to_client, mut client_ended, mut server_ended) = (Vec::new(), false, false);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut moved = false;
        if !client_ended && !sealed.tls.wants_write() {
            match plain_in.read(&mut buffer) {
                Ok(0) => {
                    sealed.tls.send_close_notify();
                    (client_ended, moved) = (true, true);
                }
                Ok(len) => {
                    sealed.tls.writer().write_all(&buffer[..len])?;
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        while sealed.tls.wants_write() {
            match sealed.tls.write_tls(&mut &sealed.socket) {
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if client_ended && !sealed.tls.wants_write() {
            let _ = sealed.socket.shutdown(Shutdown::Write);
        }
        if to_client.is_empty() && !server_ended {
            match sealed.tls.read_tls(&mut &sealed.socket) {
                Ok(0) => server_ended = true,
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let state = sealed.tls.process_new_packets().map_err(io::Error::other)?;
            let len = state.plaintext_bytes_to_read();
            to_client.resize(len, 0);
            sealed.tls.reader().read_exact(&mut to_client)?;
            server_ended |= state.peer_has_closed();
        }
        match plain_out.write(&to_client) {
            Ok(len) => {
                moved |= len > 0;
                to_client.drain(..len);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if server_ended && to_client.is_empty() {
            let _ = plain.shutdown(Shutdown::Write);
            if client_ended {
                return Ok(());
            }
        }
        if !moved {
            let (to_plain, to_sealed) = (!to_client.is_empty(), sealed.tls.wants_write());
            let plain_events = events(to_plain, !to_sealed && !client_ended);
            wait([
                (plain, plain_events),
                (&sealed.socket, events(to_sealed, !to_plain && !server_ended)),
            ])?;
        }
    }
}

fn events(writes: bool, reads: bool) -> libc::c_short {
    (if writes { libc::POLLOUT } else { 0 }) | (if reads { libc::POLLIN } else { 0 })
}

/// Waits until one of the two has something to say, or takes what waits for it; or for a moment.
fn wait(sockets: [(&TcpStream, libc::c_short); 2]) -> io::Result<()> {
    // A descriptor below zero is passed over (poll(2)).
    let mut entries = sockets.map(|(socket, events)| libc::pollfd {
        fd: if events == 0 { -1 } else { socket.as_raw_fd() },
        events,
        revents: 0,
    });
    // SAFETY: the kernel reads and writes two entries, borrowed exclusively until it returns.
    let count = unsafe { libc::poll(entries.as_mut_ptr(), 2, 100) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
