//! Quantities as people write them.

use std::str::FromStr;
use std::time::Duration;

/// Reads `500ms`, `10s`, `2m`, `1h` or plain seconds such as `2.5`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit} is no unit of time; write 500ms, 10s, 2m or 1h")),
    };
    let value: f64 =
        number.parse().map_err(|_| "a duration looks like 500ms, 10s, 2m, 1h or 2.5".to_owned())?;
    Duration::try_from_secs_f64(value * seconds)
        .map_err(|_| "a duration is neither negative nor endless".to_owned())
}

/// Reads `64KiB`, `1MiB`, `1GiB`, `64k` (1,024 bytes each) or plain bytes.
pub fn size(text: &str) -> Result<usize, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        unit => return Err(format!("{unit} is no unit of size; write 64KiB, 1MiB or 65536")),
    };
    let value: usize =
        number.parse().map_err(|_| "a size looks like 64KiB, 1MiB or 65536".to_owned())?;
    value.checked_mul(1 << shift).ok_or_else(|| "the size does not fit this machine".to_owned())
}

/// Reads a whole number.
pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !text.is_empty() => "the number is too large".to_owned(),
        _ => "write a whole number, such as 4".to_owned(),
    })
}

/// Reads a number, with a fraction or without.
pub fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "write a number, such as 100 or 2.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_refused_in_words() {
        assert_eq!(whole::<usize>("17"), Ok(17));
        for text in ["", "abc", "-1", "1.5", "1_000"] {
            assert!(whole::<usize>(text).unwrap_err().contains("whole number"), "{text}");
        }
        assert!(whole::<u8>("256").unwrap_err().contains("too large"));
        assert_eq!(number("2.5"), Ok(2.5));
        assert!(number("fast").unwrap_err().contains("2.5"));
    }

    #[test]
    fn durations_have_units() {
        let rows = [("500ms", 500), ("10s", 10_000), ("2.5", 2_500), ("2m", 120_000), ("0", 0)];
        for (text, millis) in rows {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "10 s", "-1", "1d", "inf", "NaN"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("1m", 1 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5k", "1x", "99999999999999999999", "99999999999g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
