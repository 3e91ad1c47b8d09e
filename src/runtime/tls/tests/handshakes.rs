//! Messages of the handshake, however many records they have and however these are read.

use std::io::{Read, Write};

use super::super::records::{READ_MAX, whole_record};
use super::super::session::Received;
use super::Pair;

impl Pair {
    /// Takes in what the client has to say in pieces that are read one by one. Returns the plaintext.
    fn hear(&mut self, cut: fn(&[u8]) -> usize) -> Vec<u8> {
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        while self.client.wants_write() {
            self.client.write_tls(&mut said).unwrap();
        }
        let mut said = &said[..];
        while !said.is_empty() {
            let (piece, rest) = said.split_at(cut(said));
            self.client_socket.write_all(piece).unwrap();
            let received = self.receive(READ_MAX);
            let Ok(Received::Plain { len, .. }) = received else { panic!("{received:?}") };
            heard.extend_from_slice(&self.buffer[..len]);
            said = rest;
        }
        heard
    }

    /// Hands the client what the session has said.
    fn answer(&mut self) {
        let mut said = [0; 16 << 10];
        while let Ok(len @ 1..) = self.client_socket.read(&mut said) {
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
            let mut pair = Pair::new(Some(fragment));
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
