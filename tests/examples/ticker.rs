//! The ticker publishes its updates in order, and ends with everybody told.

use crate::member::join;
use crate::program::Program;

#[test]
fn a_member_gets_every_tick_until_the_end() {
    let example = Program::start("ticker", &["127.0.0.1:0"]);
    let mut socket = join(&example.address("ticking on "), "ticker");
    let first = socket.recv();
    assert_eq!(first["event"], "tick");
    let (n, offset) = (first["data"]["n"].as_u64().unwrap(), first["offset"].as_u64().unwrap());
    for step in 1..500 {
        let tick = socket.recv();
        assert_eq!(
            (&tick["data"]["n"], &tick["offset"]),
            (&(n + step).into(), &(offset + step).into())
        );
    }
    example.interrupt();
    assert!(socket.goodbye().reason.starts_with("shutdown retry="));
    drop(socket);
    example.end();
}
