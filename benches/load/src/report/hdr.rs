//! Histograms as text, in the form that other programs of HdrHistogram read, too: V2, compressed, in
//! base64. Programs know it by its beginning, `HISTFAAA`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::watch::histogram::histogram;

/// Of all histograms of a report.
const DIGITS: u8 = 3;
/// What stands before the compressed part: how all of V2, compressed, begin, and its length.
const HEAD: usize = 8;
const COOKIE: u32 = 0x1c84_9314;
/// What stands before the counts, once it is inflated: a cookie, their length, and bounds.
const INNER_HEAD: usize = 40;
/// More than three digits of any bounds take.
const INFLATED_MAX: usize = 1 << 20;
const WINDOW_BITS: u8 = 15;

pub(super) fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.expect("a list takes what is written, and a histogram of three digits is not long");
    STANDARD.encode(bytes)
}

/// None if it is no such text, or a histogram of other bounds than those of reports.
pub(super) fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let plain = inflated(&bytes)?;
    let read: Histogram<u64> = Deserializer::new().deserialize(&mut &plain[..]).ok()?;
    let mut sum = histogram(DIGITS);
    let bounds = |of: &Histogram<u64>| (of.low(), of.sigfig());
    if bounds(&read) != bounds(&sum) {
        return None;
    }
    sum.add(read).ok()?;
    Some(sum)
}

/// The same uncompressed. The library takes a length for what it says before anything is there, and
/// no notice of a sum that is wrong or missing.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let packed = bytes.get(HEAD..)?;
    if number(bytes, 0)? != COOKIE || number(bytes, 4)? as usize != packed.len() {
        return None;
    }
    let mut plain = vec![0; INFLATED_MAX];
    let mut inflate = Inflate::new(true, WINDOW_BITS);
    let status = inflate.decompress(packed, &mut plain, InflateFlush::Finish).ok()?;
    if status != Status::StreamEnd || inflate.total_in() != packed.len() as u64 {
        return None;
    }
    plain.truncate(usize::try_from(inflate.total_out()).ok()?);
    let counts = plain.get(INNER_HEAD..)?;
    (number(&plain, 4)? as usize == counts.len()).then_some(plain)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
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

    /// As a text has it, with a length that is as it should be.
    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut room = vec![0; 2 * plain.len() + 1_000];
        let config = zlib_rs::DeflateConfig::default();
        let (packed, code) = zlib_rs::compress_slice(&mut room, plain, config);
        assert_eq!(code, zlib_rs::ReturnCode::Ok);
        let length = u32::try_from(packed.len()).unwrap();
        [&COOKIE.to_be_bytes()[..], &length.to_be_bytes(), packed].concat()
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut plain = Vec::new();
        let mut serializer = hdrhistogram::serialization::V2Serializer::new();
        serializer.serialize(&example(), &mut plain).unwrap();
        let decoded = |bytes: &[u8]| decode(&STANDARD.encode(bytes));
        let good = packed(&plain);
        assert_eq!(counts(&decoded(&good).unwrap()), counts(&example()));
        for length in [0_u32, 1, 1 << 30, u32::MAX] {
            let mut spoilt = plain.clone();
            spoilt[4..8].copy_from_slice(&length.to_be_bytes());
            assert!(decoded(&packed(&spoilt)).is_none(), "{length}");
        }
        let long = packed(&[&plain[..], &vec![0; INFLATED_MAX]].concat());
        assert!(decoded(&long).is_none(), "what inflates without end is not inflated");
        for cut in 1..good.len() {
            let mut short = good[..good.len() - cut].to_vec();
            if let Some(length) = short.len().checked_sub(HEAD) {
                let length = u32::try_from(length).unwrap();
                short[4..8].copy_from_slice(&length.to_be_bytes());
            }
            assert!(decoded(&short).is_none(), "without its last {cut} bytes");
        }
        let mut sum = good;
        *sum.last_mut().unwrap() ^= 1;
        assert!(decoded(&sum).is_none(), "its sum is another");
    }

    #[test]
    fn what_is_no_histogram_of_ours_is_refused() {
        let whole = encode(&example());
        let other = encode(&crate::watch::histogram::histogram(2));
        let cut = [8, 24].map(|by| &whole[..whole.len() - by]);
        for text in ["", "HISTFAAA", "äöü", cut[0], cut[1], &other, &whole[4..]] {
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
