//! What is measured, and how it is written.

use serde::Serialize;

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Metric {
    /// Deliveries per second, as fast as the window allows.
    DeliveriesPerSecond,
    /// Server CPU per delivery then, in seconds.
    CpuAtSaturation,
    /// Messages in one send then, on average.
    MessagesPerSend,
    /// Median latency at half of that rate, in seconds.
    LatencyHalf,
    /// Its 99th percentile, in seconds.
    LatencyHalfP99,
    /// Server CPU per delivery at half of that rate, in seconds.
    CpuAtHalf,
    /// Server CPU per delivery at 50 messages per second, in seconds.
    CpuQuiet,
    /// Resident bytes per idle connection.
    MemoryPerConnection,
    /// Server CPU per connection opened, in seconds.
    CpuPerConnect,
}

impl Metric {
    /// As a row's title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Metric::DeliveriesPerSecond => "deliveries per second, saturated",
            Metric::CpuAtSaturation => "CPU per delivery, saturated",
            Metric::MessagesPerSend => "messages per send, saturated",
            Metric::LatencyHalf => "latency at 50 % of its own rate, median",
            Metric::LatencyHalfP99 => "latency at 50 % of its own rate, 99 %",
            Metric::CpuAtHalf => "CPU per delivery at 50 % of its own rate",
            Metric::CpuQuiet => "CPU per delivery at 50 messages/s",
            Metric::MemoryPerConnection => "memory per idle connection",
            Metric::CpuPerConnect => "CPU per connect",
        }
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
        assert_eq!(Metric::CpuAtHalf.format(85.4e-9), "85.4 ns");
        assert_eq!(Metric::CpuPerConnect.format(43e-6), "43.0 µs");
        assert_eq!(Metric::LatencyHalf.format(0.0999e-3), "99.9 µs");
        assert_eq!(Metric::LatencyHalf.format(12.0), "12.0 s");
        assert_eq!(Metric::MemoryPerConnection.format(999.7), "1.00 kB");
    }
}
