//! Values as people write them.

use std::str::FromStr;
use std::time::Duration;

/// Reads `500ms`, `10s`, `2m`, `1h` or plain seconds such as `2.5`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
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
pub(super) fn size(text: &str) -> Result<usize, String> {
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
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !text.is_empty() => "the number is too large".to_owned(),
        _ => "write a whole number, such as 4".to_owned(),
    })
}

/// Reads a number, with a fraction or without.
pub(super) fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "write a number, such as 100 or 2.5".to_owned())
}

/// Reads yes or no, as people write them into environments.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        _ => Err("write 1 or 0, yes or no, on or off, true or false".to_owned()),
    }
}

/// Reads `HOST:PORT`; a port alone is one of this machine's own address.
pub(super) fn address(text: &str) -> Result<String, String> {
    if text.parse::<u16>().is_ok() {
        return Ok(format!("127.0.0.1:{text}"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("add a port: {text}:8080"));
    };
    if host.is_empty() && port.parse::<u16>().is_ok() {
        return Err(format!(
            "write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for all that can \
             reach it"
        ));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("write an IPv6 address in brackets: [::1]:8080".to_owned());
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("a port is a number up to 65535; write HOST:PORT, such as 127.0.0.1:8080"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_know_the_usual_words() {
        for (yes, no) in [("1", "0"), ("yes", "no"), ("ON", "Off"), ("true", "FALSE")] {
            assert_eq!((boolean(yes), boolean(no)), (Ok(true), Ok(false)), "{yes}, {no}");
        }
        for text in ["", "2", "y", "maybe", " yes"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

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
    fn an_address_is_a_host_and_a_port() {
        for text in ["127.0.0.1:0", "localhost:8081", "[::1]:80", "example.org:443"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        assert_eq!(address("8081").as_deref(), Ok("127.0.0.1:8081"));
        let rows = [
            (":8081", "127.0.0.1:8081 for this machine alone, or 0.0.0.0:8081"),
            ("::1:8081", "brackets"),
            ("localhost", "localhost:8080"),
            ("localhost:", "HOST:PORT"),
            ("localhost:http", "HOST:PORT"),
            ("1.2.3.4:99999", "up to 65535"),
            ("", "port"),
        ];
        for (text, advice) in rows {
            let error = address(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
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
