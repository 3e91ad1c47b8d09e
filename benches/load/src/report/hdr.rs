//! Histograms as text, in the form that the other libraries of HdrHistogram read, too: V2,
//! compressed, in base64. Programs know it by its beginning, `HISTFAAA`.
//!
//! ```text
//! cookie, length | zlib( cookie, length, 0, digits | lowest, highest, 1.0 | counts )
//! ```
//!
//! Whole numbers in front of the counts have their most significant byte first. A count below zero
//! stands for so many zeros. Counts are zigzag-coded, seven bits to the byte, from the least
//! significant on; what ends with zeros ends before them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use zlib_rs::{DeflateConfig, InflateConfig, compress_bound, compress_slice, decompress_slice};

use crate::watch::histogram::histogram;

const COOKIE: u32 = 0x1c84_9313;
const COOKIE_COMPRESSED: u32 = 0x1c84_9314;
/// Between two values, as floating point numbers have it.
const CONVERSION: f64 = 1.0;
const HEADER: usize = 40;
/// What a count takes at most.
const COUNT_MAX: usize = 9;
/// Of all histograms of a report.
const DIGITS: u8 = 3;

pub(super) fn encode(histogram: &Histogram<u64>) -> String {
    let mut counts = Vec::new();
    push_counts(&mut counts, histogram);
    let mut plain = Vec::with_capacity(HEADER + counts.len());
    for number in [COOKIE, counts.len() as u32, 0, histogram.sigfig().into()] {
        plain.extend_from_slice(&number.to_be_bytes());
    }
    plain.extend_from_slice(&histogram.low().to_be_bytes());
    plain.extend_from_slice(&histogram.high().to_be_bytes());
    plain.extend_from_slice(&CONVERSION.to_be_bytes());
    plain.extend_from_slice(&counts);
    let mut room = vec![0; compress_bound(plain.len())];
    let (compressed, _) = compress_slice(&mut room, &plain, DeflateConfig::default());
    let [cookie, length] = [COOKIE_COMPRESSED, compressed.len() as u32].map(u32::to_be_bytes);
    STANDARD.encode([&cookie[..], &length, compressed].concat())
}

fn push_counts(out: &mut Vec<u8>, histogram: &Histogram<u64>) {
    let mut zeros = 0_i64;
    for value in histogram.iter_all() {
        match value.count_at_value().cast_signed() {
            0 => zeros += 1,
            count => {
                match zeros {
                    0 => {}
                    1 => push_number(out, 0),
                    _ => push_number(out, -zeros),
                }
                zeros = 0;
                push_number(out, count);
            }
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// None if it is no such text, or a histogram of other bounds than those of reports.
pub(super) fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (cookie, rest) = number(&bytes)?;
    let (length, compressed) = number(rest)?;
    if cookie != COOKIE_COMPRESSED || length as usize != compressed.len() {
        return None;
    }
    let mut sum = histogram(DIGITS);
    let values: Vec<_> = sum.iter_all().map(|value| value.value_iterated_to()).collect();
    let mut room = vec![0; HEADER + values.len() * COUNT_MAX];
    let (plain, _) = decompress_slice(&mut room, compressed, InflateConfig::default());
    let (header, mut counts) = plain.split_at_checked(HEADER)?;
    let ours: Vec<u8> = [0, DIGITS.into()].into_iter().flat_map(u32::to_be_bytes).collect();
    let has_our_bounds = header[8..16] == ours && header[16..24] == sum.low().to_be_bytes();
    if header[..4] != COOKIE.to_be_bytes() || !has_our_bounds {
        return None;
    }
    let mut nth = 0;
    while !counts.is_empty() {
        let (count, rest) = take_number(counts)?;
        counts = rest;
        match u64::try_from(count) {
            Ok(count) => {
                let value = *values.get(nth)?;
                // A value that never came is not the longest.
                if count > 0 {
                    sum.saturating_record_n(value, count);
                }
                nth += 1;
            }
            Err(_) => nth = nth.checked_add(usize::try_from(count.unsigned_abs()).ok()?)?,
        }
    }
    Some(sum)
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn take_number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (nth, &byte) in bytes.iter().enumerate().take(COUNT_MAX - 1) {
        value |= u64::from(byte & 0x7f) << (7 * nth);
        if byte < 0x80 {
            let count = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
            return Some((count, &bytes[nth + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in several of the ranges that are kept to different digits, with zeros between them.
    fn example() -> Histogram<u64> {
        let mut histogram = histogram(DIGITS);
        for (value, count) in [
            (0, 1),
            (64, 2),
            (128, 1),
            (1_000, 1),
            (5_000, 3),
            (131_071, 1),
            (131_072, 1),
            (1_000_000, 70_000),
            (3_600_000_000_000, 1),
        ] {
            histogram.record_n(value, count).unwrap();
        }
        histogram
    }

    const REFERENCE: &str = "HISTFAAAAEd4nAE8AMP/HISTEwAAABQAAAAAAAAAAwAAAAAAAABkAAAGjGFxQAA/8AAAAAAA\
                             AAIEAhcCewbfHgICvy7gxQjT2wIC4dgKhA==";

    fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        let recorded = histogram.iter_recorded();
        recorded.map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
    }

    #[test]
    fn a_histogram_is_read_as_it_was_written() {
        for histogram in [histogram(DIGITS), example()] {
            let text = encode(&histogram);
            assert!(text.starts_with("HISTFAAA"), "{text}");
            assert_eq!(counts(&decode(&text).unwrap()), counts(&histogram));
        }
    }

    /// What the library of HdrHistogram for Rust, 7.6.0, writes for the same.
    #[test]
    fn a_histogram_of_another_library_is_read() {
        assert_eq!(counts(&decode(REFERENCE).unwrap()), counts(&example()));
    }

    #[test]
    fn what_is_no_histogram_of_ours_is_refused() {
        let whole = encode(&example());
        let other = encode(&crate::watch::histogram::histogram(2));
        for text in ["", "HISTFAAA", "äöü", &whole[..whole.len() - 8], &other, &whole[4..]] {
            assert!(decode(text).is_none(), "{text}");
        }
        for nth in 8..whole.len() - 4 {
            let mut spoilt = whole.clone().into_bytes();
            spoilt[nth] = if spoilt[nth] == b'A' { b'B' } else { b'A' };
            // Whatever comes of it, it is no panic.
            let _ = decode(&String::from_utf8(spoilt).unwrap());
        }
    }
}
