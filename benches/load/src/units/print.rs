//! Numbers as people read them.

/// Three digits and a unit: `12.3 M`.
pub(crate) fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", " k", " M", " G", " T"])
}

/// Bytes: `1.50 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A duration given in nanoseconds: `12.3 ms`.
pub(crate) fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// A ratio: `1.03`.
pub(crate) fn ratio(value: f64) -> String {
    digits(value)
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The same where little is not nothing: `0.16 %`.
pub(crate) fn small_percent(share: f64) -> String {
    match share * 100.0 {
        p if p <= 0.0 || p >= 0.995 => percent(share),
        p if p < 0.01 => "< 0.01 %".to_owned(),
        p => format!("{p:.2} %"),
    }
}

/// A whole number in groups of three.
pub(crate) fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    // 999.5 would be written as 1000.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    if unit == 0 && value.fract() == 0.0 {
        return format!("{value}{}", units[0]);
    }
    format!("{}{}", digits(value), units[unit])
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_share_is_not_none() {
        let rows = [(0.0, "0 %"), (1e-6, "< 0.01 %"), (0.0016, "0.16 %"), (0.14, "14 %")];
        assert!(rows.iter().all(|(value, text)| small_percent(*value) == *text));
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!([count(0.0), count(950.0), count(1_234_567.0)], ["0", "950", "1.23 M"]);
        assert_eq!([count(999.7), count(0.5), count(12_345.0)], ["1.00 k", "0.50", "12.3 k"]);
        assert_eq!([bytes(512.0), bytes(3e9)], ["512 B", "2.79 GiB"]);
        assert_eq!([time(60.0), time(1_500.0), time(2.5e9)], ["60.0 ns", "1.50 µs", "2.50 s"]);
        assert_eq!(
            [whole(0), whole(999), whole(1_000), whole(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
