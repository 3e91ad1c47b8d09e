//! What was asserted of the figures decides on the exit code, and which did not hold is told.

use super::support::{Dialect, Fake, Faults, load};

const TRAFFIC: [&str; 5] = ["-n4", "-r200", "-d500ms", "--warm-up=0s", "--drain=300ms"];

#[test]
fn assertions_that_hold_are_told_and_change_nothing() {
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let asserted = ["--assert=max<1h", "--assert=lost==0", "--assert=published>=99%"];
    let run = load(&[&[&*server.url()], &TRAFFIC[..], &asserted].concat());
    assert_eq!(run.code, 0, "{run:?}");
    for row in ["lost==0                   holds: 0\n", "published>=99%            holds: 100 %\n"]
    {
        assert!(run.out.contains(row), "{row} in {}", run.out);
    }
}

/// A percentile of what never came is none, however long was waited for it.
#[test]
fn what_never_came_is_below_no_bound() {
    let server = Fake::start(Dialect::Corecast, Faults { drop_every: 10, ..Faults::default() });
    let asserted = ["--assert=p99<3s", "--assert=p99>=3s", "--lenient", "--json=-"];
    let run = load(&[&[&*server.url()], &TRAFFIC[..], &asserted].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("1 of 2 assertions failed: p99<3s (it is longer"), "{run:?}");
}

#[test]
fn what_does_not_hold_sets_the_exit_code() {
    let faults = Faults { drop_every: 50, ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let asserted = ["--assert=p50<1ns", "--assert=delivered==98%", "--assert=lost<8", "--json=-"];
    let run = load(&[&[&*server.url()], &TRAFFIC[..], &asserted].concat());
    assert_eq!(run.code, 1, "{run:?}");
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let holds = json["assertions"].as_array().unwrap().iter().map(|it| it["holds"] == true);
    assert_eq!(holds.collect::<Vec<_>>(), [false, true, false], "{}", json["assertions"]);
    assert!(run.errors.contains("2 of 3 assertions failed: p50<1ns (it is"), "{}", run.errors);
    assert!(run.errors.contains("lost<8 (it is 8)"), "{}", run.errors);
}
