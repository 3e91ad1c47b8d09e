//! What an evil server does to messages is named in the table and in JSON, and sets the exit code.

use serde_json::{Value, json};

use super::support::{Dialect, Fake, Faults, Spoil, load};

/// 200 messages to each of 5 members.
const TRAFFIC: [&str; 7] =
    ["-n5", "-r500", "-d400ms", "--warm-up=0s", "--drain=300ms", "--settle=0s", "-q"];
const PUBLISHED: u64 = 200 * 5;
/// Every 20th of them is spoilt.
const EVERY: u64 = 20;
const SPOILT: u64 = PUBLISHED / EVERY;

fn spoil(spoil: Spoil) -> Faults {
    Faults { spoil_every: Some((EVERY, spoil)), ..Faults::default() }
}

/// The report on a server with these faults, which set the exit code.
fn report(faults: Faults, more: &[&str]) -> Value {
    let server = Fake::start(Dialect::Corecast, faults);
    let run = load(&[&[&*server.url(), "--json=-"], &TRAFFIC[..], more].concat());
    assert_eq!(run.code, 1, "{run:?}");
    run.report()
}

#[test]
fn whatever_is_wrong_with_a_message_is_damage_and_named() {
    let rows = [
        (Spoil::Cut, "without its end"),
        (Spoil::WipePadding, "other content"),
        (Spoil::FlipPadding, "other content"),
        (Spoil::BadUtf8, "not UTF-8"),
        (Spoil::FlipSequence, "a number that was not published"),
        (Spoil::LateDue, "a time to come"),
        (Spoil::EarlyDue, "other content"),
    ];
    for (kind, name) in rows {
        let json = report(spoil(kind), &[]);
        let messages = &json["messages"];
        assert_eq!(messages["damage"], json!({ name: SPOILT }), "{kind:?}: {json}");
        assert_eq!(messages["damaged"], SPOILT, "{kind:?}: {json}");
        assert_eq!(messages["delivered"], PUBLISHED - SPOILT, "{kind:?}: {json}");
        assert_eq!((&messages["lost"], &messages["disordered"]), (&SPOILT.into(), &0.into()));
    }
}

#[test]
fn a_message_that_nobody_published_is_no_delivery() {
    let json = report(spoil(Spoil::Invent), &[]);
    let messages = &json["messages"];
    assert_eq!(messages["damage"], json!({ "a number that was not published": SPOILT }), "{json}");
    assert_eq!((&messages["delivered"], &messages["lost"]), (&PUBLISHED.into(), &0.into()));
}

/// Of large payloads some are compared, more of them with `--strict`, and it says how many.
#[test]
fn how_much_is_compared_is_told() {
    for (strict, share, damaged) in
        [(None, 0.25, PUBLISHED / 4), (Some("--strict"), 1.0, PUBLISHED)]
    {
        let faults = Faults { spoil_every: Some((1, Spoil::FlipPadding)), ..Faults::default() };
        let json = report(faults, &[&["--size=4KiB"], strict.as_slice()].concat());
        assert_eq!(json["messages"]["damaged"], damaged, "{json}");
        assert_eq!(json["messages"]["compared_share"], share, "{json}");
    }
}

#[test]
fn each_evil_stands_in_the_table_and_sets_the_exit_code() {
    let faults = Faults::default();
    let rows = [
        (Faults { drop_every: EVERY, ..faults }, "lost                      50\n"),
        (Faults { swap_at: Some(7), ..faults }, "out of order              5\n"),
        (Faults { double_at: Some(7), ..faults }, "repeated                  5\n"),
        (spoil(Spoil::Cut), "without its end         50\n"),
        (spoil(Spoil::FlipPadding), "other content           50\n"),
        (spoil(Spoil::BadUtf8), "not UTF-8               50\n"),
        (spoil(Spoil::LateDue), "a time to come          50\n"),
        (spoil(Spoil::Invent), "a number that was not published 50\n"),
        (spoil(Spoil::Invent), "damaged or misdelivered   50\n"),
    ];
    for (faults, row) in rows {
        let server = Fake::start(Dialect::Corecast, faults);
        let run = load(&[&[&*server.url()], &TRAFFIC[..]].concat());
        assert_eq!(run.code, 1, "{row}: {run:?}");
        assert!(run.out.contains(row), "{row} in {}", run.out);
        assert!(run.errors.contains("--lenient takes that for success"), "{}", run.errors);
    }
}

#[test]
fn what_is_wrong_can_be_taken_for_success() {
    let server = Fake::start(Dialect::Corecast, spoil(Spoil::Cut));
    let run = load(&[&[&*server.url(), "--lenient"], &TRAFFIC[..]].concat());
    assert_eq!(run.code, 0, "{run:?}");
}
