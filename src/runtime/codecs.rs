//! How messages are compressed and inflated (RFC 7692 section 7.2): by zlib-rs 0.6, which is Rust and
//! under the Zlib licence.
//!
//! One fresh stream per message, real JSON in our envelope (24 files and 8 order books), time per message
//! and what is left of its bytes; best of 5 runs, one core of a 2-core AMD EPYC at rest, zlib-rs 0.6.8,
//! flate2 1.1.11, libdeflater 1.26.1:
//!
//! | | 300 B | 512 B | 1 KB | 2 KB | 4 KB |
//! |---|---|---|---|---|---|
//! | zlib-rs, level 1, window 15 | 3.1 µs, 66 % | 3.0 µs, 47 % | 3.4 µs, 34 % | 4.9 µs, 34 % | 8.2 µs, 32 % |
//! | zlib-rs, level 1, window 9 | 2.7 µs, 66 % | 2.9 µs, 50 % | 5.0 µs, 39 % | 9.3 µs, 44 % | 20.2 µs, 48 % |
//! | zlib-rs, level 6, window 15 | 7.8 µs, 57 % | 8.7 µs, 40 % | 10.6 µs, 28 % | 18.2 µs, 26 % | 35.0 µs, 24 % |
//! | flate2, level 1, window 15 | 3.6 µs, 66 % | 2.9 µs, 47 % | 3.4 µs, 34 % | 4.9 µs, 34 % | 7.9 µs, 32 % |
//! | libdeflate, level 1, window 15 | 5.2 µs, 57 % | 6.0 µs, 40 % | 6.6 µs, 28 % | 8.0 µs, 27 % | 14.1 µs, 25 % |
//! | inflating, zlib-rs | 0.6 µs | 0.6 µs | 0.9 µs | 1.7 µs | 3.1 µs |
//! | inflating, libdeflate | 0.4 µs | 0.6 µs | 0.8 µs | 1.7 µs | 2.7 µs |
//!
//! With 3 MiB of other memory touched between messages each is 0.5 to 3 µs slower. Level 1 of zlib-rs is
//! the cheapest there is, which counts at the home, where all messages of a room pass. libdeflate leaves a
//! sixth less at up to twice its time, knows no smaller window, and is C. flate2 wraps zlib-rs, is as fast,
//! and hides the size of its buffers (`memLevel`).
//!
//! Noise of 64 KiB, which becomes no smaller, takes 0.8 ms at level 1. Inflating takes some 3 ns per byte
//! of payload, and 110 ns where a client has it made of blocks of long codes that hold nothing, 4 µs for
//! each block: so blocks have a limit, and the bytes of a payload count several times for what a turn may
//! inflate.

use std::fmt;

use corecast_shards::{Codecs, Deflater, Inflater, NotInflated, Window, blocks_max};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// What every shard compresses and inflates with.
pub(crate) const CODECS: Codecs = Codecs {
    deflater: || Box::new(ZlibDeflater::default()),
    inflater: || Box::new(ZlibInflater::default()),
};

/// What a compressor ends a message with, and what is left off on the wire (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Makes inflaters say that a message ended where a block ends, and not within one: an empty block that
/// is the last one.
const LAST_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// The fastest one: a home compresses between the messages of all its rooms.
const LEVEL: i32 = 1;

/// A compressor for each window, once it was needed.
#[derive(Default)]
struct ZlibDeflater {
    full: Option<Deflate>,
    small: Option<Deflate>,
    /// Where a message is compressed, since it may become larger by that.
    scratch: Vec<u8>,
}

/// An inflater, once it was needed.
#[derive(Default)]
struct ZlibInflater(Option<Inflate>);

/// Bytes to which a message of this length is compressed at most: nine bits for each byte, a header, and
/// the end.
const fn deflated_most(len: usize) -> usize {
    len + len / 8 + 64
}

impl ZlibDeflater {
    fn place(&mut self, window: Window) -> &mut Option<Deflate> {
        match window {
            Window::Full => &mut self.full,
            Window::Small => &mut self.small,
        }
    }

    /// Compresses into the scratch. Returns how many bytes that are, less the end that is left off.
    fn deflate_whole(&mut self, window: Window, message: &[u8]) -> Option<usize> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let most = deflated_most(message.len());
        if scratch.len() < most {
            scratch.resize(most, 0);
        }
        let place = self.place(window);
        let deflate = place.get_or_insert_with(|| new_deflate(window));
        deflate.reset();
        let status = deflate.compress(message, &mut scratch, DeflateFlush::SyncFlush);
        let (read, written) = (deflate.total_in() as usize, deflate.total_out() as usize);
        // With room left everything was flushed.
        let is_whole = status == Ok(Status::Ok) && read == message.len() && written < scratch.len();
        if !is_whole {
            // A rest that it did not get rid of stays in its way, for all that it is reset: after some
            // of that zlib-rs 0.6.8 panics. So there is always room for all.
            *place = None;
        }
        let len = written.checked_sub(TAIL.len()).filter(|_| is_whole);
        debug_assert!(len.is_some_and(|len| scratch[len..written] == TAIL), "a flush has an end");
        self.scratch = scratch;
        len
    }
}

fn new_deflate(window: Window) -> Deflate {
    // A negative number asks for a stream without header.
    let window_bits = -i32::from(window.bits());
    Deflate::new_with_config(DeflateConfig { level: LEVEL, window_bits, ..Default::default() })
}

impl Deflater for ZlibDeflater {
    fn deflate(&mut self, window: Window, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = self.deflate_whole(window, message)?;
        out.get_mut(..len)?.copy_from_slice(&self.scratch[..len]);
        Some(len)
    }

    fn heap_bytes(&self) -> usize {
        let bytes = |some: &Option<Deflate>, window: Window| match some {
            // Two windows of bytes, one of positions in two bytes; a table of 64 Ki such positions; what
            // is not written yet, and its symbols, of 112 KiB together; and its state.
            Some(_) => 4 * window.bytes() + (128 << 10) + (112 << 10) + (8 << 10),
            None => 0,
        };
        bytes(&self.full, Window::Full)
            + bytes(&self.small, Window::Small)
            + self.scratch.capacity()
    }
}

impl Inflater for ZlibInflater {
    fn inflate(
        &mut self,
        payload: &[u8],
        frames: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), NotInflated> {
        out.clear();
        // An empty message is one byte (section 7.2.3.6), but some send none.
        if payload.is_empty() {
            return Ok(());
        }
        let inflate = self.0.get_or_insert_with(|| Inflate::new(false, Window::Full.bits()));
        // Whatever became of the message before, and so that nothing of that can be referred to.
        inflate.reset(false);
        out.resize(SPACE_LEAST.max(4 * payload.len()).min(most.saturating_add(1)), 0);
        let mut message = Inflating { inflate, out, written: 0, blocks: 0, frames, most };
        let done = message.read_all(payload);
        let written = message.written;
        out.truncate(written);
        match done {
            // The last block may end without a look for more space.
            Ok(()) if written > most => Err(NotInflated::TooLarge),
            done => done,
        }
    }

    fn heap_bytes(&self) -> usize {
        // Its window, and its state with the tables of codes.
        self.0.as_ref().map_or(0, |_| Window::Full.bytes() + (16 << 10))
    }
}

/// A message that is being inflated.
struct Inflating<'a> {
    inflate: &'a mut Inflate,
    /// What is written, and space for more: it grows to twice as much, so that no byte is cleared often.
    out: &'a mut Vec<u8>,
    written: usize,
    blocks: usize,
    frames: usize,
    most: usize,
}

/// Where reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    OfInput,
    /// At a block that is the last one, with nothing behind it.
    OfStream,
}

/// Space for a message at first, at least.
const SPACE_LEAST: usize = 1 << 10;

impl Inflating<'_> {
    fn read_all(&mut self, payload: &[u8]) -> Result<(), NotInflated> {
        if self.read(payload)? == End::OfStream {
            return Ok(());
        }
        self.read(&TAIL)?;
        match self.read(&LAST_BLOCK)? {
            End::OfStream => Ok(()),
            End::OfInput => Err(NotInflated::Corrupt),
        }
    }

    /// Reads all of this. Blocks may follow the last one, as the messages of some compressors have it
    /// (section 7.2.3.5).
    fn read(&mut self, mut input: &[u8]) -> Result<End, NotInflated> {
        loop {
            self.make_space()?;
            let status = self.step(&mut input)?;
            let is_full = self.written == self.out.len();
            match status {
                Status::StreamEnd if input.is_empty() => return Ok(End::OfStream),
                // Its last block is counted.
                Status::StreamEnd => self.inflate.reset(false),
                // There may be more to write.
                _ if is_full => {}
                // Behind a block that is the last one there may be nothing more to read.
                Status::BufError if input.is_empty() => return Ok(End::OfInput),
                _ if input.is_empty() => {}
                _ => self.count_block()?,
            }
        }
    }

    /// A message that fills the space of one byte more than it may have is too large.
    fn make_space(&mut self) -> Result<(), NotInflated> {
        if self.written < self.out.len() {
            return Ok(());
        }
        if self.written > self.most {
            return Err(NotInflated::TooLarge);
        }
        self.out.resize((2 * self.written).min(self.most + 1), 0);
        Ok(())
    }

    /// Inflates up to the end of a block, of the input or of the space.
    fn step(&mut self, input: &mut &[u8]) -> Result<Status, NotInflated> {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let space = &mut self.out[self.written..];
        let status = self.inflate.decompress(input, space, InflateFlush::Block);
        self.written += (self.inflate.total_out() - written) as usize;
        *input = &input[(self.inflate.total_in() - read) as usize..];
        status.map_err(|_| NotInflated::Corrupt)
    }

    fn count_block(&mut self) -> Result<(), NotInflated> {
        self.blocks += 1;
        match self.blocks > blocks_max(self.written, self.frames) {
            true => Err(NotInflated::TooLarge),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for ZlibDeflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZlibDeflater").finish_non_exhaustive()
    }
}

impl fmt::Debug for ZlibInflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZlibInflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(window: Window, message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 2 * message.len() + 64];
        let len = ZlibDeflater::default().deflate(window, message, &mut out);
        out.truncate(len.expect("there is room"));
        out
    }

    fn inflated(payload: &[u8], most: usize) -> Result<Vec<u8>, NotInflated> {
        let mut out = Vec::new();
        ZlibInflater::default().inflate(payload, 1, most, &mut out)?;
        Ok(out)
    }

    /// JSON of about this many bytes.
    fn json(len: usize) -> Vec<u8> {
        let row = |n: usize| format!(r#"{{"id":{n},"name":"member {}","on":true}},"#, n * 7_919);
        (0..).flat_map(|n| row(n).into_bytes()).take(len).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_message_survives_both_windows_and_any_size() {
        let (mut deflater, mut inflater) = (ZlibDeflater::default(), ZlibInflater::default());
        for len in [0, 1, 255, 256, 511, 512, 513, 1_024, 4_096, 64 << 10, 300_000] {
            let message = json(len);
            for window in [Window::Full, Window::Small] {
                let mut payload = vec![0; len + 64];
                let used = deflater.deflate(window, &message, &mut payload).expect("room");
                let mut out = Vec::new();
                assert_eq!(inflater.inflate(&payload[..used], 1, len, &mut out), Ok(()));
                assert!(out == message, "{len} {window:?}");
                assert!(len < 1_024 || used < len / 2, "{len} {window:?}: {used}");
            }
        }
    }

    /// The samples of RFC 7692 sections 7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5 and 7.2.3.6.
    #[test]
    fn the_samples_of_the_rfc_are_inflated() {
        let rows: [(&[u8], &[u8]); 6] = [
            (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
            (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], b"Hello"),
            (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
            (
                &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
                b"Hello",
            ),
            (&[0x00], b""),
            (&[], b""),
        ];
        for (payload, message) in rows {
            assert_eq!(inflated(payload, 10).as_deref(), Ok(message), "{payload:x?}");
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_corrupt() {
        let message = json(400);
        let payload = deflated(Window::Full, &message);
        assert_eq!(inflated(&payload, 400), Ok(message.clone()));
        for cut in 1..payload.len() {
            let verdict = inflated(&payload[..cut], 400);
            assert_ne!(verdict.as_deref(), Ok(&message[..]), "cut at {cut}");
        }
        let half = inflated(&payload[..payload.len() / 2], 400);
        assert_eq!(half, Err(NotInflated::Corrupt));
        let reserved_block = [0x07; 20];
        assert_eq!(inflated(&reserved_block, 400), Err(NotInflated::Corrupt));
        let behind = [&payload[..], b"more"].concat();
        assert_eq!(inflated(&behind, 400), Err(NotInflated::Corrupt));
    }

    #[test]
    fn a_message_has_as_many_bytes_as_it_may_and_never_more_are_written() {
        for len in [1, 4_096, 100_000] {
            let payload = deflated(Window::Full, &vec![b' '; len]);
            assert_eq!(inflated(&payload, len).map(|out| out.len()), Ok(len));
            let mut out = Vec::new();
            let verdict = ZlibInflater::default().inflate(&payload, 1, len - 1, &mut out);
            assert_eq!((verdict, out.len()), (Err(NotInflated::TooLarge), len));
        }
    }

    /// The end of a block takes no space, and nothing has to follow the last one.
    #[test]
    fn a_message_that_ends_with_its_last_block_has_no_byte_more_than_it_may() {
        for len in [1, 101, 1_024, 4_096, 100_000] {
            let (mut payload, mut deflate) = (vec![0; len + 64], Deflate::new(9, false, 15));
            let status = deflate.compress(&vec![b' '; len], &mut payload, DeflateFlush::Finish);
            assert_eq!(status, Ok(Status::StreamEnd));
            payload.truncate(deflate.total_out() as usize);
            assert_eq!(inflated(&payload, len).map(|out| out.len()), Ok(len));
            assert_eq!(inflated(&payload, len - 1), Err(NotInflated::TooLarge), "{len}");
        }
    }

    #[test]
    fn a_thousand_bytes_for_each_one_take_no_more_memory_than_a_message_may() {
        let (mut bomb, mut best) = (vec![0; 64 << 10], Deflate::new(9, false, 15));
        let status = best.compress(&vec![0; 16 << 20], &mut bomb, DeflateFlush::SyncFlush);
        assert_eq!(status, Ok(Status::Ok));
        bomb.truncate(best.total_out() as usize - TAIL.len());
        assert!(bomb.len() < 20 << 10);
        let mut out = Vec::new();
        let verdict = ZlibInflater::default().inflate(&bomb, 1, 256 << 10, &mut out);
        assert_eq!(verdict, Err(NotInflated::TooLarge));
        assert!(out.capacity() <= 1 << 20, "{}", out.capacity());
    }

    #[test]
    fn what_does_not_fit_is_not_compressed() {
        let message = json(1_000);
        let len = deflated(Window::Full, &message).len();
        let mut deflater = ZlibDeflater::default();
        for (space, fits) in [(0, false), (len - 1, false), (len, true), (len + 1, true)] {
            let mut out = vec![0; space];
            let done = deflater.deflate(Window::Full, &message, &mut out);
            assert_eq!(done, fits.then_some(len), "{space}");
        }
    }

    /// Noise becomes larger when it is compressed, by up to an eighth, and does not fit where a tenth is
    /// to be saved. However much of it comes, a compressor goes on.
    #[test]
    fn noise_leaves_no_trace_in_a_compressor() {
        let mut deflater = ZlibDeflater::default();
        let (message, noise) = (json(4_000), noise(64 << 10));
        let longest_codes: Vec<u8> = noise.iter().map(|byte| byte | 0x90).collect();
        for window in [Window::Full, Window::Small] {
            let expected = deflated(window, &message);
            for round in 0..200 {
                for bytes in [&noise[..1 + 320 * round], &longest_codes, &noise] {
                    let mut out = vec![0; bytes.len() - bytes.len() / 10];
                    let len = deflater.deflate(window, bytes, &mut out);
                    assert!(len.is_none() || bytes != noise, "{round}");
                }
                let mut out = vec![0; 4_000];
                let len = deflater.deflate(window, &message, &mut out);
                assert_eq!(len.map(|len| &out[..len]), Some(&expected[..]), "{round}");
            }
        }
    }

    /// Bits of RFC 1951, the least significant one first.
    #[derive(Default)]
    struct Bits {
        bytes: Vec<u8>,
        used: u32,
    }

    impl Bits {
        fn push(mut self, value: u32, count: u32) -> Bits {
            for bit in 0..count {
                if self.used.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                let last = self.bytes.last_mut().expect("a byte was begun");
                *last |= (((value >> bit) & 1) as u8) << (self.used % 8);
                self.used += 1;
            }
            self
        }
    }

    /// A block that holds nothing and takes long to read: 257 codes of up to 15 bits (RFC 1951 section
    /// 3.2.7).
    fn laborious_block(bits: Bits) -> Bits {
        const ORDER: [u32; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let reversed =
            |code: u32| (0..4).fold(0, |sum, bit| sum | ((code >> bit) & 1) << (3 - bit));
        // The lengths 1 to 15 and runs of zeros (18) have codes of four bits, in this order.
        let length = |bits: Bits, length: u32| bits.push(reversed(length - 1), 4);
        let zeros = |bits: Bits, count: u32| bits.push(reversed(15), 4).push(count - 11, 7);
        let bits = bits.push(0b100, 3).push(0, 5).push(0, 5).push(15, 4);
        let bits = ORDER.iter().fold(bits, |bits, symbol| {
            bits.push(if *symbol == 18 || (1..=15).contains(symbol) { 4 } else { 0 }, 3)
        });
        let bits = (1..=15).fold(bits, length);
        let bits = length(zeros(zeros(bits, 138), 256 - 15 - 138), 15);
        // The one code of a distance, and the end of the block.
        length(bits, 1).push((1 << 15) - 1, 15)
    }

    #[test]
    fn a_message_has_as_many_blocks_as_it_may_and_no_more() {
        let empty_final = |count: usize| [0x03, 0x00].repeat(count);
        let stored = |count: usize| [0x00, 0x00, 0x00, 0xff, 0xff].repeat(count);
        let laborious = |count: usize| {
            (0..count).fold(Bits::default(), |bits, _| laborious_block(bits)).push(0, 3).bytes
        };
        let most = blocks_max(0, 1);
        let ended = |blocks: Vec<u8>| [&blocks[..], &[0x00]].concat();
        for payload in [ended(stored(most)), empty_final(most), laborious(most)] {
            assert_eq!(inflated(&payload, 100), Ok(Vec::new()), "{:x?}", &payload[..4]);
        }
        // One that ends with the payload is not counted.
        for payload in [ended(stored(most + 1)), empty_final(most + 2), laborious(most + 2)] {
            let verdict = inflated(&payload, 100);
            assert_eq!(verdict, Err(NotInflated::TooLarge), "{:x?}", &payload[..4]);
        }
        // The same for a message with bytes: each block holds as many as are asked of it.
        let held = [&[0x00, 128, 0, 127, 0xff][..], &[b'x'; 128]].concat().repeat(20_000);
        let payload = [&held[..], &[0x00]].concat();
        assert_eq!(inflated(&payload, 4 << 20).map(|out| out.len()), Ok(128 * 20_000));
    }

    /// What zlib makes with its smallest buffers, and what it makes when it is flushed after each 256 bytes.
    #[test]
    fn no_compressor_makes_too_many_blocks() {
        const LEN: usize = 256 << 10;
        let base64 = |byte: &u8| b'0' + (byte & 0x3f);
        let text: Vec<u8> = noise(LEN).iter().map(base64).collect();
        for (mem_level, piece) in [(1, LEN), (8, 256)] {
            for (level, message) in
                [1, 6, 9].into_iter().flat_map(|level| [(level, text.clone()), (level, json(LEN))])
            {
                let config =
                    DeflateConfig { level, window_bits: -15, mem_level, ..Default::default() };
                let mut deflate = Deflate::new_with_config(config);
                let mut payload = vec![0; 2 * LEN];
                for piece in message.chunks(piece) {
                    let at = deflate.total_out() as usize;
                    let flush = DeflateFlush::SyncFlush;
                    assert_eq!(deflate.compress(piece, &mut payload[at..], flush), Ok(Status::Ok));
                }
                payload.truncate(deflate.total_out() as usize - TAIL.len());
                let out = inflated(&payload, LEN);
                assert!(out.as_ref() == Ok(&message), "level {level}, in pieces of {piece}");
            }
        }
    }

    /// As a client does that sends a piece of text after the other, and flushes each to a frame.
    #[test]
    fn a_message_may_be_flushed_at_the_end_of_each_frame() {
        const FRAMES: usize = 4_000;
        let mut deflate =
            Deflate::new_with_config(DeflateConfig { window_bits: -15, ..Default::default() });
        let mut payload = vec![0; 32 * FRAMES];
        for piece in noise(4 * FRAMES).chunks(4) {
            let at = deflate.total_out() as usize;
            let flush = DeflateFlush::SyncFlush;
            assert_eq!(deflate.compress(piece, &mut payload[at..], flush), Ok(Status::Ok));
        }
        payload.truncate(deflate.total_out() as usize - TAIL.len());
        let inflate = |frames: usize| {
            ZlibInflater::default().inflate(&payload, frames, 4 * FRAMES, &mut Vec::new())
        };
        assert_eq!((inflate(FRAMES), inflate(1)), (Ok(()), Err(NotInflated::TooLarge)));
    }

    /// One client's bytes are nothing that another's message can refer to.
    #[test]
    fn nothing_of_one_message_is_seen_by_the_next() {
        let mut inflater = ZlibInflater::default();
        let secret = noise(40_000);
        let payload = deflated(Window::Full, &secret);
        // Three bytes from 1 back, where there is none: a fixed block of a match, and its end.
        let refers = Bits::default().push(0b010, 3).push(0b1000000, 7).push(0, 5).push(0, 7).bytes;
        // The same behind a block that is the last one.
        let behind_last = [&[0x03, 0x00][..], &refers].concat();
        // And ten KiB back, behind a byte.
        let far = Bits::default()
            .push(0b010, 3)
            .push(u32::from((0x30_u8 + b'x').reverse_bits()), 8)
            .push(0b1000000, 7)
            .push(0b01011, 5)
            .push(0, 12)
            .push(0, 7)
            .bytes;
        for wrong in [refers, behind_last, far] {
            let mut out = Vec::new();
            assert_eq!(inflater.inflate(&payload, 1, 40_000, &mut out), Ok(()));
            assert!(out == secret);
            let verdict = inflater.inflate(&wrong, 1, 40_000, &mut out);
            assert_eq!(verdict, Err(NotInflated::Corrupt), "{wrong:x?}");
            assert!(out.len() <= 1, "{out:x?}");
        }
    }

    #[test]
    fn an_inflater_goes_on_after_any_error() {
        let mut inflater = ZlibInflater::default();
        let message = json(10_000);
        let payload = deflated(Window::Full, &message);
        let mut out = Vec::new();
        let noise = noise(1 << 20);
        for (n, garbage) in noise.chunks(97).enumerate() {
            let mut changed = payload.clone();
            changed[n % payload.len()] ^= garbage[0];
            let wrong = [garbage, &changed, &payload[..n % payload.len()], &[0x03, 0x00, 0x07]];
            // Whatever they are found to be.
            let _ = inflater.inflate(wrong[n % 4], 1, 20_000, &mut out);
            assert!(out.len() <= 20_001);
            assert_eq!(inflater.inflate(&payload, 1, 10_000, &mut out), Ok(()), "{n}");
            assert!(out == message, "{n}");
            assert_eq!(inflater.inflate(&payload, 1, 9_999, &mut out), Err(NotInflated::TooLarge));
        }
    }

    /// For a window of 512 bytes nothing may refer further back: an inflater that has no more says so.
    #[test]
    fn a_small_window_is_kept_to() {
        // The same noise twice, 600 bytes apart.
        let once = noise(600);
        let message = [&once[..], &once].concat();
        let (full, small) = (deflated(Window::Full, &message), deflated(Window::Small, &message));
        assert!(full.len() < 700 && small.len() > 1_100, "{} and {}", full.len(), small.len());
        let mut inflate = Inflate::new(false, Window::Small.bits());
        let (mut out, mut at) = (Vec::new(), 0);
        while at < small.len() {
            // In pieces, so that it has to keep what it may refer to.
            let mut piece = [0; 100];
            let (read, written) = (inflate.total_in(), inflate.total_out());
            inflate.decompress(&small[at..], &mut piece, InflateFlush::SyncFlush).expect("legal");
            at += (inflate.total_in() - read) as usize;
            out.extend_from_slice(&piece[..(inflate.total_out() - written) as usize]);
        }
        assert!(message.starts_with(&out) && out.len() > 1_000);
    }
}
