//! A plain HTTP connection's socket and its shard, as HTTP sees them.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use super::addresses::Claim;
use super::driver_ref::DriverRef;
use super::handle::ShardHandle;
use super::reception::HttpConnection;
use super::registrations::Registrations;
use super::sys;
use crate::http::{EventStream, Transport};
use crate::program::Caller;

/// A socket in the shard's epoll: so the loop sleeps in one place, whether or not there are HTTP
/// connections.
pub(crate) struct HttpSocket {
    handle: ShardHandle,
    connection: HttpConnection,
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
        HttpSocket { handle, connection, registration }
    }
}

impl Transport for HttpSocket {
    type Shard = ShardHandle;

    fn shard(&self) -> &ShardHandle {
        &self.handle
    }

    fn caller(&self) -> Caller {
        self.connection.caller
    }

    fn poll_receive(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match sys::receive(&self.connection.fd, buffer) {
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
        match sys::send(&self.connection.fd, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.registration.with(|registrations, key| {
                    registrations.wait_to_write(key, cx.waker());
                });
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }

    fn unsent(&self) -> usize {
        sys::unsent(&self.connection.fd)
    }

    fn shutdown_write(&self) {
        sys::shutdown_write(&self.connection.fd);
    }

    fn reset_on_close(&self) {
        sys::reset_on_close(&self.connection.fd);
    }

    fn set_idle(&self, is_idle: bool) {
        self.registration.with(|registrations, key| registrations.set_idle(key, is_idle));
    }

    fn is_evicted(&self) -> bool {
        let evicted = self.registration.with(|registrations, key| registrations.is_evicted(key));
        evicted.unwrap_or(true)
    }

    fn claim_address(&mut self, client: IpAddr) -> bool {
        let HttpConnection { caller, address_place, .. } = &mut self.connection;
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
        self.handle.take_back(self.connection, bytes);
    }

    fn open_event_stream(self, events: EventStream) {
        drop(self.registration);
        let HttpConnection { fd, address_place, .. } = self.connection;
        self.handle.open_event_stream((fd, address_place), events);
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
