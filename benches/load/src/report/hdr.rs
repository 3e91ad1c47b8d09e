//! Histograms as text, in the form that other programs of HdrHistogram read, too: V2, compressed, in
//! base64. Programs know it by its beginning, `HISTFAAA`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::watch::histogram::histogram;

/// Of all histograms of a report.
const DIGITS: u8 = 3;

pub(super) fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.expect("a list takes what is written, and a histogram of three digits is not long");
    STANDARD.encode(bytes)
}

/// None if it is no such text, or a histogram of other bounds than those of reports.
pub(super) fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).ok()?;
    let mut sum = histogram(DIGITS);
    let bounds = |of: &Histogram<u64>| (of.low(), of.sigfig());
    if bounds(&read) != bounds(&sum) {
        return None;
    }
    sum.add(read).ok()?;
    Some(sum)
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
        for text in ["", "HISTFAAA", "äöü", &whole[..whole.len() - 24], &other, &whole[4..]] {
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
