//! Saturated servers beside the floor, where their sends are as full.
//!
//! What a delivery costs falls with the messages that one send carries, and with the same window
//! one server's sends are fuller than another's. So CPU per delivery is compared with what the floor
//! needs at as many messages per send: measured there, or read off between two of its windows.

use std::io;

use super::site::{Seen, Side, Site, ratio};
use crate::compare::table::is_equal;
use crate::load::Broadcast;

/// What the floor needs at so many messages per send.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FloorPoint {
    messages_per_send: f64,
    cpu: f64,
}

/// Windows that are tried besides, each twice or half the last.
const FURTHER_MAX: usize = 3;

/// The floor's CPU per delivery ÷ the engine's, at as many messages per send. None, with a remark,
/// where that cannot be had.
pub(super) fn cpu_share(
    site: &Site<'_>,
    (engine, floor): (&Seen, &Seen),
    room: impl Fn(usize) -> Broadcast,
    window: usize,
    side: &Side,
) -> io::Result<Option<f64>> {
    let (Some(at), Some(mut last)) = (engine.messages_per_send, FloorPoint::of(floor)) else {
        return Ok(None);
    };
    if is_equal(at, last.messages_per_send) {
        return Ok(ratio(Some(last.cpu), engine.cpu));
    }
    let (first, mut window) = (last, window);
    for _ in 0..FURTHER_MAX {
        window = if first.messages_per_send < at { 2 * window } else { (window / 2).max(1) };
        let seen = site.start(side)?.broadcast(&room(window))?;
        let Some(next) = FloorPoint::of(&seen) else { break };
        if let Some(cpu) = between(last, next, at) {
            let (from, to) = (last.messages_per_send, next.messages_per_send);
            site.remark(format!(
                "floor's CPU at {at:.0} messages per send is read off between {from:.0} and {to:.0}"
            ));
            return Ok(ratio(Some(cpu), engine.cpu));
        }
        last = next;
    }
    site.remark(format!(
        "no ratio of CPU: {at:.0} messages per send, and the floor {:.0} to {:.0}",
        first.messages_per_send, last.messages_per_send
    ));
    Ok(None)
}

/// The engine's rate ÷ the floor's. None, with a remark, where the floor may be capable of more
/// than the generator, or where sends are not as full.
pub(super) fn rate_share(site: &Site<'_>, engine: &Seen, floor: &Seen) -> Option<f64> {
    let (ours, theirs) = (engine.messages_per_send?, floor.messages_per_send?);
    if floor.run.generator.limited {
        site.remark("no ratio of rates: the floor's was the generator's");
        return None;
    }
    if !is_equal(ours, theirs) {
        site.remark(format!(
            "no ratio of rates: {ours:.0} messages per send, and the floor {theirs:.0}"
        ));
        return None;
    }
    ratio(Some(engine.rate()), Some(floor.rate()))
}

impl FloorPoint {
    fn of(seen: &Seen) -> Option<FloorPoint> {
        Some(FloorPoint { messages_per_send: seen.messages_per_send?, cpu: seen.cpu? })
    }
}

/// What lies between two points at so many messages per send: on a line where both scales are
/// logarithmic, as the curve of all windows is nearly. None beyond them.
fn between(one: FloorPoint, other: FloorPoint, at: f64) -> Option<f64> {
    let [from, to] = [one, other].map(|point| point.messages_per_send.ln());
    let share = (at.ln() - from) / (to - from);
    let [low, high] = [one, other].map(|point| point.cpu.ln());
    (0.0..=1.0).contains(&share).then(|| (low + share * (high - low)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_points_is_read_off_the_curve() {
        let point = |messages_per_send, cpu| FloorPoint { messages_per_send, cpu };
        let (few, many) = (point(50.0, 80e-9), point(200.0, 20e-9));
        for (one, other) in [(few, many), (many, few)] {
            for (at, expected) in [(60.0, 200e-9 / 3.0), (100.0, 40e-9), (160.0, 25e-9)] {
                let cpu = between(one, other, at).unwrap();
                assert!((cpu - expected).abs() < 1e-15, "{cpu} at {at}");
            }
            assert_eq!((between(one, other, 40.0), between(one, other, 250.0)), (None, None));
        }
        assert_eq!(between(few, few, 60.0), None, "a floor that does not fill its sends");
    }
}
