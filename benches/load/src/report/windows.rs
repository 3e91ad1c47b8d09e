//! Whether several reports measured at the same time, so that their rates add up.

use super::json::Report;

/// Of the longest time, what all must have measured.
const SHARED_MIN: f64 = 0.9;
/// Of the shortest stage, by what one may begin later than another.
const SHIFT_MAX: f64 = 0.1;

/// The time that all measured, in seconds since 1970; none if one does not say when it did.
pub(super) fn common(all: &[Report]) -> Option<(f64, f64)> {
    let each = all.iter().map(window).collect::<Option<Vec<_>>>()?;
    each.into_iter().reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))
}

/// Whether that is nearly all of what each measured, of each stage, too; none if it is not known.
pub(super) fn are_alike(all: &[Report]) -> Option<bool> {
    let (from, to) = common(all)?;
    let longest = all.iter().filter_map(window).map(|(from, to)| to - from).fold(0.0, f64::max);
    let is_shared = to >= from && to - from >= longest * SHARED_MIN;
    let earliest = all.iter().filter_map(|it| it.measured_from_unix).fold(from, f64::min);
    let stages = all.iter().flat_map(|it| &it.stages).map(|it| it.seconds);
    let shortest = stages.fold(f64::INFINITY, f64::min);
    Some(is_shared && from - earliest <= shortest * SHIFT_MAX)
}

fn window(report: &Report) -> Option<(f64, f64)> {
    report.measured_from_unix.zip(report.measured_to_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(from: f64, to: f64) -> Report {
        let (measured_from_unix, measured_to_unix) = (Some(from), Some(to));
        Report { measured_from_unix, measured_to_unix, ..Report::default() }
    }

    #[test]
    fn nine_tenths_of_the_longest_are_the_same_time() {
        let first = report(100.0, 110.0);
        let rows = [
            (100.9, 110.9, true),
            (101.1, 111.1, false),
            (111.0, 121.0, false),
            (100.0, 105.0, false),
            (90.0, 130.0, false),
        ];
        for (from, to, are_alike) in rows {
            let all = [first.clone(), report(from, to)];
            assert_eq!(super::are_alike(&all), Some(are_alike), "{from} to {to}");
        }
        assert_eq!(common(&[first.clone(), report(101.0, 109.5)]), Some((101.0, 109.5)));
        assert_eq!(are_alike(&[first, Report::default()]), None);
    }
}
