//! A plain HTTP connection's socket and its shard, as HTTP sees them.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use super::addresses::Claim;
use super::driver_ref::DriverRef;
use super::handle::ShardHandle;
use super::reception::HttpConnection;
use super::registrations::Registrations;
use super::sys;
use super::tls::{Flushed, Received, TlsSession};
use crate::http::{EventStream, Prepaid, Transport};
use crate::program::Caller;

/// A socket in the shard's epoll: so the loop sleeps in one place, whether or not there are HTTP
/// connections.
pub(crate) struct HttpSocket {
    handle: ShardHandle,
    connection: RefCell<HttpConnection>,
    /// What was opened of a record that was larger than what was asked for.
    opened: RefCell<Vec<u8>>,
    registration: Registered,
}

/// A registration with the poller, which ends with this.
struct Registered {
    driver: DriverRef,
    key: u64,
}

impl HttpSocket {
    /// Takes a non-blocking socket over that the poller watches under the key `registration`.
    pub(super) fn new(
        handle: ShardHandle,
        connection: HttpConnection,
        registration: u64,
    ) -> HttpSocket {
        let registration = Registered { driver: handle.driver().clone(), key: registration };
        let (connection, opened) = (RefCell::new(connection), RefCell::default());
        HttpSocket { handle, connection, opened, registration }
    }

    /// Reads once. Records are opened in the buffer of the shard.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.handle.state().now();
        let mut connection = self.connection.borrow_mut();
        let link = &mut connection.link;
        if link.session().is_none() {
            return Ok(match link.receive(buffer, now, || true)? {
                Received::Plain { len, .. } => len,
                Received::End | Received::NotTls(_) => 0,
            });
        }
        let mut opened = self.opened.borrow_mut();
        while opened.is_empty() {
            let received = self.registration.driver.with(|driver| {
                let shared = &mut driver.reception.buffer;
                let received = link.receive(shared, now, || true)?;
                if let Received::Plain { len, .. } = received {
                    opened.extend_from_slice(&shared[..len]);
                }
                Ok(received)
            });
            match received.unwrap_or(Ok(Received::End)) {
                Ok(Received::Plain { .. }) => {}
                Ok(Received::End | Received::NotTls(_)) => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        let len = opened.len().min(buffer.len());
        buffer[..len].copy_from_slice(&opened[..len]);
        opened.drain(..len);
        if opened.is_empty() {
            // An idle connection keeps no memory.
            *opened = Vec::new();
        }
        Ok(len)
    }

    fn wait_to_write<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.registration.with(|registrations, key| registrations.wait_to_write(key, cx.waker()));
        Poll::Pending
    }
}

impl Transport for HttpSocket {
    type Shard = ShardHandle;

    fn shard(&self) -> &ShardHandle {
        &self.handle
    }

    fn caller(&self) -> Caller {
        self.connection.borrow().caller
    }

    fn prepaid(&self) -> Prepaid {
        self.connection.borrow().prepaid.clone()
    }

    fn poll_receive(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.receive(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.registration.with(|registrations, key| {
                    registrations.wait_to_read(key, cx.waker());
                });
                Poll::Pending
            }
            received => Poll::Ready(received),
        }
    }

    fn poll_send(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.connection.borrow_mut().link.send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_to_write(cx),
            sent => Poll::Ready(sent),
        }
    }

    fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self.connection.borrow_mut().link.flush() {
            Ok(Flushed::All) => Poll::Ready(Ok(())),
            Ok(Flushed::Some | Flushed::None) => self.wait_to_write(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn unsent(&self) -> usize {
        self.connection.borrow().link.unsent()
    }

    fn shutdown_write(&self) {
        self.connection.borrow_mut().link.shutdown_write();
    }

    fn reset_on_close(&self) {
        sys::reset_on_close(self.connection.borrow().link.fd());
    }

    fn set_idle(&self, is_idle: bool) {
        self.registration.with(|registrations, key| registrations.set_idle(key, is_idle));
    }

    fn set_held(&self, bytes: usize) {
        let sealed = self.connection.borrow().link.session().map_or(0, TlsSession::kept);
        let bytes = bytes + self.opened.borrow().capacity() + sealed;
        self.registration.with(|registrations, key| registrations.set_held(key, bytes));
    }

    fn is_evicted(&self) -> bool {
        let evicted = self.registration.with(|registrations, key| registrations.is_evicted(key));
        evicted.unwrap_or(true)
    }

    fn claim_address(&mut self, client: IpAddr) -> bool {
        let HttpConnection { caller, address_place, .. } = self.connection.get_mut();
        if !self.handle.state().rules().proxies.trust(caller.client_addr) {
            return true;
        }
        match self.handle.state().claim_address(client) {
            Claim::Free => *address_place = None,
            Claim::Placed(place) => *address_place = Some(place),
            Claim::Refused => return false,
        }
        true
    }

    fn take_back(self, bytes: &[u8]) {
        drop(self.registration);
        let bytes = [bytes, &self.opened.into_inner()].concat();
        self.handle.take_back(self.connection.into_inner(), &bytes);
    }

    fn open_event_stream(self, events: EventStream) {
        drop(self.registration);
        self.handle.open_event_stream(self.connection.into_inner(), events);
    }
}

impl Registered {
    /// Looks at the registrations or changes them; none when the shard has ended.
    fn with<T>(&self, look: impl FnOnce(&mut Registrations, u64) -> T) -> Option<T> {
        self.driver.with(|driver| look(&mut driver.reception.registrations, self.key))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.with(|registrations, key| registrations.remove(key));
    }
}
