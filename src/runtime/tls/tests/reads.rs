//! What one read of a session takes, and what it counts for.

use std::io::Write;

use super::super::records::{READ_MAX, RECORD_COST};
use super::super::session::Received;
use super::Pair;

impl Pair {
    fn that_has_shaken_hands() -> Pair {
        let mut pair = Pair::new(None);
        while !pair.session.is_open() || pair.client.is_handshaking() {
            // Either waits for the other at times.
            let _ = pair.client.complete_io(&mut &pair.client_socket);
            let _ = pair.receive(usize::MAX);
        }
        pair
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
    let mut pair = Pair::that_has_shaken_hands();
    let len = pair.send(60, 1000);
    let reads = read_all(&mut pair, 4096);
    assert_eq!(reads.iter().map(|(plain, _)| plain).sum::<usize>(), 60_000);
    assert!(reads.len() >= len / 4096, "{reads:?}");
    // A record that was begun may be done with by the next read.
    assert!(reads.iter().all(|(plain, _)| *plain <= 4096 + 1000), "{reads:?}");
}

#[test]
fn a_record_that_brings_one_byte_counts_for_what_opening_it_costs() {
    let mut pair = Pair::that_has_shaken_hands();
    let records = 3000;
    let len = pair.send(records, 1);
    let reads = read_all(&mut pair, usize::MAX);
    assert_eq!(reads.iter().map(|(plain, _)| plain).sum::<usize>(), records);
    let cost: usize = reads.iter().map(|(_, cost)| cost).sum();
    assert_eq!(cost, len + records * RECORD_COST);
    let most = READ_MAX / (len / records) + 1;
    assert!(reads.iter().all(|(plain, _)| *plain <= most), "{reads:?}");
}
