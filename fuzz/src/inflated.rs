//! Compressed messages: whatever the bytes, an inflater makes the same message of them as
//! `miniz_oxide`, keeps to the limit of a message to the byte, and remembers nothing of the message
//! before. What either compresses, the other inflates.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{Inflated, deflate, inflate};

/// Limits of a message: small ones, so that they are met often.
const LIMITS: [usize; 8] = [0, 1, 2, 100, 1_000, 1_023, 4_096, 100_000];
/// More than one step of an inflater writes: a fault that it finds there it may find first.
const STEP: usize = 600;
/// Behind a payload: what a compressor leaves off (RFC 7692 section 7.2.1), and a last block, which
/// can only be read as one where a block has ended.
const END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// A payload of so many bytes may have more blocks than a message of any size may: 256, of ten bits each
/// at the least.
const MANY_BLOCKS_FROM: usize = 256 * 10 / 8;

/// With this bit in the first byte the others are a message, too, which takes longer.
const IS_MESSAGE: u8 = 0x80;

/// The first byte chooses a limit, the second one where the first of two payloads ends.
pub fn check(data: &[u8]) {
    let [choice, cut, bytes @ ..] = data else { return };
    let most = LIMITS[usize::from(*choice) % LIMITS.len()];
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let inflated = inflate(&[first, second], most);
    check_inflated(first, most, &inflated[0]);
    check_inflated(second, most, &inflated[1]);
    assert_eq!(inflate(&[second], most), inflated[1..], "the message before has an effect");
    if choice & IS_MESSAGE != 0 {
        check_deflated(bytes, choice % 10);
    }
}

/// What another inflater reads in a payload.
#[derive(Debug)]
enum Again {
    Message(Vec<u8>),
    /// Bytes that came before the fault.
    Corrupt(usize),
    /// Still going on where any limit is passed by more than a step.
    Endless,
}

fn check_inflated(payload: &[u8], most: usize, inflated: &Inflated) {
    match (inflated, inflate_again(payload, most)) {
        (Inflated::Message(ours), Again::Message(theirs)) => assert!(
            *ours == theirs && ours.len() <= most,
            "{} bytes and {} of {payload:x?}",
            ours.len(),
            theirs.len()
        ),
        (Inflated::TooLarge, _) if payload.len() >= MANY_BLOCKS_FROM => {}
        (Inflated::TooLarge, Again::Message(theirs)) => {
            assert!(theirs.len() > most, "{payload:x?}")
        }
        (Inflated::TooLarge, Again::Corrupt(before)) => assert!(before > most, "{payload:x?}"),
        (Inflated::TooLarge, Again::Endless) | (Inflated::Corrupt, Again::Corrupt(_)) => {}
        (ours, theirs) => panic!("{ours:?} and {theirs:?} of {payload:x?}, at most {most}"),
    }
}

/// Streams may follow one another (section 7.2.3.5); the last one ends with the payload, or what
/// follows it is whole.
fn inflate_again(payload: &[u8], most: usize) -> Again {
    if payload.is_empty() {
        return Again::Message(Vec::new());
    }
    let all = [payload, &END].concat();
    let (mut at, mut message) = (0, Vec::new());
    loop {
        let mut space = vec![0; (most + STEP).saturating_sub(message.len())];
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut state = DecompressorOxide::new();
        let (status, read, written) = decompress(&mut state, &all[at..], &mut space, 0, flags);
        at += read;
        message.extend_from_slice(&space[..written]);
        match status {
            TINFLStatus::Done if at == payload.len() || at == all.len() => {
                return Again::Message(message);
            }
            TINFLStatus::Done => {}
            TINFLStatus::HasMoreOutput => return Again::Endless,
            _ => return Again::Corrupt(message.len()),
        }
    }
}

/// The bytes are a message now.
fn check_deflated(message: &[u8], level: u8) {
    let theirs = miniz_oxide::deflate::compress_to_vec(message, level);
    let inflated = inflate(&[&theirs], message.len()).pop();
    assert_eq!(inflated, Some(Inflated::Message(message.to_vec())), "by miniz_oxide");
    for is_small in [false, true] {
        let Some(payload) = deflate(message, is_small) else { continue };
        match inflate_again(&payload, message.len()) {
            Again::Message(again) => assert!(again == message, "{payload:x?} is {again:x?}"),
            other => panic!("{other:?} of {payload:x?} for {message:x?}"),
        }
    }
}
