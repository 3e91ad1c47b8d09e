//! Which address a server listens on, and that no other process does.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::start_error::StartError;
use super::sys;

/// One listener per shard on the first of these addresses that this machine has; and that address,
/// of which the system may have chosen the port.
///
/// The first listener asks for the address alone, and lets the others in when it has it. So of two
/// servers that start at the same moment exactly one gets it, and the other is told.
pub(super) fn listen(
    addresses: &[SocketAddr],
    send_buffer: usize,
    shards: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    let (asked, first) = listen_alone(addresses, send_buffer)?;
    let others = || {
        let address = first.local_addr()?;
        sys::share(&first)?;
        let others = (1..shards).map(|_| sys::shared_listener(address, send_buffer));
        Ok((address, others.collect::<io::Result<Vec<_>>>()?))
    };
    let (address, others) =
        others().map_err(|error| StartError::Listen { address: asked, error })?;
    Ok((address, [first].into_iter().chain(others).collect()))
}

/// An address that is taken ends the search: who asks for a name shall not get a second server
/// beside another's.
fn listen_alone(
    addresses: &[SocketAddr],
    send_buffer: usize,
) -> Result<(SocketAddr, TcpListener), StartError> {
    let mut refused = StartError::Address { reason: "it has no address".to_owned() };
    for &address in addresses {
        let error = match sys::sole_listener(address, send_buffer) {
            Ok(listener) => return Ok((address, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(StartError::PortTaken { address });
            }
            Err(error) => error,
        };
        let elsewhere = is_of_another_machine(&error);
        refused = StartError::Listen { address, error };
        if !elsewhere {
            break;
        }
    }
    Err(refused)
}

fn is_of_another_machine(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// 192.0.2.0/24 is reserved for documentation, so no machine has it.
    const ELSEWHERE: &str = "192.0.2.1:0";

    fn address_of(addresses: &[SocketAddr]) -> Result<SocketAddr, StartError> {
        listen(addresses, 0, 2).map(|(address, _)| address)
    }

    #[test]
    fn the_first_address_that_this_machine_has_is_chosen() {
        let [elsewhere, here] = [ELSEWHERE, "127.0.0.1:0"].map(|text| text.parse().unwrap());
        let chosen = address_of(&[elsewhere, here]).unwrap();
        assert!(chosen.ip().is_loopback() && chosen.port() != 0, "{chosen}");
        assert!(matches!(address_of(&[elsewhere]), Err(StartError::Listen { .. })));
        assert!(matches!(address_of(&[]), Err(StartError::Address { .. })));
    }

    #[test]
    fn a_taken_address_ends_the_search() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [taken.local_addr().unwrap(), "127.0.0.2:0".parse().unwrap()];
        assert!(matches!(address_of(&addresses), Err(StartError::PortTaken { .. })));
    }

    /// The threads meet between bind and listen, where the kernel would let all of them on.
    #[test]
    fn of_many_that_ask_at_the_same_moment_exactly_one_gets_the_address() {
        const ROUNDS: usize = 200;
        const THREADS: usize = 4;
        // No other test asks for a port of this address.
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let unused = (Ipv4Addr::new(127, 200, high, low), 0);
        let free = TcpListener::bind(unused).unwrap().local_addr().unwrap();
        let barrier = std::sync::Barrier::new(THREADS);
        let ask = |_| {
            barrier.wait();
            let got = listen(&[free], 0, 3);
            // No thread lets go before all have asked.
            barrier.wait();
            let got_it = got.is_ok();
            drop(got);
            barrier.wait();
            usize::from(got_it)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(move || (0..ROUNDS).map(ask).collect::<Vec<_>>()))
                .collect();
            let got: Vec<Vec<usize>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            for round in 0..ROUNDS {
                let winners: usize = got.iter().map(|got| got[round]).sum();
                assert_eq!(winners, 1, "in round {round}");
            }
        });
    }
}
