//! What is measured, and how it is written.

use std::fmt;

use serde::{Serialize, Serializer};

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// Deliveries per second, as fast as the window allows.
    DeliveriesPerSecond,
    /// Server CPU per delivery then, in seconds.
    CpuAtSaturation,
    /// Messages in one send then, on average.
    MessagesPerSend,
    /// Server CPU per delivery while so many messages per second are offered, in seconds.
    CpuAt(u32),
    /// Median latency then, in seconds.
    MedianAt(u32),
    /// Its 99th percentile, in seconds.
    P99At(u32),
    /// Resident bytes per idle connection.
    MemoryPerConnection,
    /// Server CPU per connection opened, in seconds.
    CpuPerConnect,
}

impl Metric {
    /// As a row's title.
    pub(super) fn title(self) -> String {
        match self {
            Metric::DeliveriesPerSecond => "deliveries per second, saturated".to_owned(),
            Metric::CpuAtSaturation => "CPU per delivery, saturated".to_owned(),
            Metric::MessagesPerSend => "messages per send, saturated".to_owned(),
            Metric::CpuAt(rate) => format!("CPU per delivery at {} messages/s", grouped(rate)),
            Metric::MedianAt(rate) => format!("latency at {} messages/s, median", grouped(rate)),
            Metric::P99At(rate) => format!("latency at {} messages/s, 99 %", grouped(rate)),
            Metric::MemoryPerConnection => "memory per idle connection".to_owned(),
            Metric::CpuPerConnect => "CPU per connect".to_owned(),
        }
    }

    /// Whether a figure depends on how many messages went into one send, so that two systems are
    /// only comparable where those are as many.
    pub(super) fn is_of_saturation(self) -> bool {
        matches!(self, Metric::DeliveriesPerSecond | Metric::CpuAtSaturation)
    }

    /// Which way is up; none for a figure that only explains the others.
    pub(super) fn better(self) -> Option<&'static str> {
        match self {
            Metric::DeliveriesPerSecond => Some("more is better"),
            Metric::MessagesPerSend => None,
            _ => Some("less is better"),
        }
    }

    /// A value with its unit.
    pub(super) fn format(self, value: f64) -> String {
        match self {
            Metric::DeliveriesPerSecond => format!("{}/s", scaled(value, &["", " k", " M"])),
            Metric::MessagesPerSend => scaled(value, &[""]),
            Metric::MemoryPerConnection => scaled(value, &[" B", " kB", " MB"]),
            _ => scaled(value * 1e9, &[" ns", " µs", " ms", " s"]),
        }
    }
}

/// As in the report's JSON.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::DeliveriesPerSecond => f.write_str("deliveries_per_second"),
            Metric::CpuAtSaturation => f.write_str("cpu_at_saturation"),
            Metric::MessagesPerSend => f.write_str("messages_per_send"),
            Metric::CpuAt(rate) => write!(f, "cpu_at_{rate}"),
            Metric::MedianAt(rate) => write!(f, "median_at_{rate}"),
            Metric::P99At(rate) => write!(f, "p99_at_{rate}"),
            Metric::MemoryPerConnection => f.write_str("memory_per_connection"),
            Metric::CpuPerConnect => f.write_str("cpu_per_connect"),
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `15000` is `15,000`.
pub(super) fn grouped(number: u32) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

/// Three digits, with the unit that fits.
pub(super) fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        if value.abs() < 999.5 || units.peek().is_none() {
            let decimals = if value.abs() < 9.995 { 2 } else { usize::from(value.abs() < 99.95) };
            return format!("{value:.decimals$}{unit}");
        }
        value /= 1000.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_unit() {
        assert_eq!(Metric::DeliveriesPerSecond.format(9_876_543.0), "9.88 M/s");
        assert_eq!(Metric::DeliveriesPerSecond.format(130_000.0), "130 k/s");
        assert_eq!(Metric::CpuAt(50).format(85.4e-9), "85.4 ns");
        assert_eq!(Metric::CpuPerConnect.format(43e-6), "43.0 µs");
        assert_eq!(Metric::MedianAt(50).format(0.0999e-3), "99.9 µs");
        assert_eq!(Metric::MedianAt(50).format(12.0), "12.0 s");
        assert_eq!(Metric::MemoryPerConnection.format(999.7), "1.00 kB");
    }

    #[test]
    fn metrics_are_named_for_people_and_for_programs() {
        let metric = Metric::P99At(2000);
        assert_eq!(metric.title(), "latency at 2,000 messages/s, 99 %");
        assert_eq!(serde_json::to_string(&metric).unwrap(), "\"p99_at_2000\"");
    }
}
