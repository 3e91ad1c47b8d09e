//! Members leave and others take their places while messages are measured: what is due to whom is
//! known to the message, and what a server does wrong with them is told.

use std::time::Duration;

use super::support::{Dialect, Fake, Faults, Late, Server, check_all_delivered, load};
use serde_json::Value;

/// Twenty members are due to leave in a second.
const TRAFFIC: [&str; 9] = [
    "--churn=20/s",
    "--rate=200",
    "--duration=1s",
    "--warm-up=100ms",
    "--drain=1s",
    "--connect-timeout=2s",
    "--settle=0s",
    "--json=-",
    "-q",
];

fn count(json: &Value, name: &str) -> u64 {
    json["churn"][name].as_u64().unwrap_or_else(|| panic!("{name} in {json}"))
}

/// Everybody who was due to leave did, and somebody came.
fn check_churn(json: &Value) {
    for (name, expected) in [("due", 20), ("left", 20), ("joined", 20), ("not_left", 0)] {
        assert_eq!(count(json, name), expected, "{name} in {json}");
    }
    assert_eq!((count(json, "failed"), count(json, "unanswered")), (0, 0), "{json}");
    assert_eq!(json["churn"]["joined_us"]["count"], 20, "{json}");
    assert!(json["churn"]["joined_us"]["p50"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn what_is_due_to_members_that_come_and_go_is_delivered() {
    let server = Server::start(&[]);
    for place in [&[][..], &["--place"]] {
        let args = ["-n12", "--rooms=2", "-p3", "--threads=2", "--strict"];
        let run = load(&[&[server.url()], &args[..], place, &TRAFFIC[..]].concat());
        let json = run.json();
        check_all_delivered(&json);
        check_churn(&json);
        assert_eq!(json["connections"]["opened"], 12, "{json}");
        // Twenty have left, and twelve are there that took the place of others.
        assert_eq!((count(&json, "stays"), count(&json, "stays_by_offsets")), (32, 32), "{json}");
        assert_eq!(json["churn"]["left_us"]["count"], 20, "{json}");
        let last = json["series"].as_array().unwrap().last().unwrap()["connections"].as_u64();
        assert!(last.unwrap().abs_diff(12) <= 2, "{json}");
        assert_eq!(json["last_member"], Value::Null, "{json}");
    }
}

#[test]
fn event_streams_come_and_go_like_others() {
    let server = Server::start(&[]);
    let args = ["-n8", "--rooms=2", "--event-streams=50%", "--strict"];
    let json = load(&[&[server.url()], &args[..], &TRAFFIC[..]].concat()).json();
    check_all_delivered(&json);
    check_churn(&json);
    // No answer says where a stream ends.
    let (stays, by_offsets) = (count(&json, "stays"), count(&json, "stays_by_offsets"));
    assert!(0 < by_offsets && by_offsets < stays, "{json}");
}

#[test]
fn messages_to_members_that_come_and_go_are_told_in_words() {
    let server = Server::start(&[]);
    let args = ["-n40", "--churn=50/s", "-r100", "-d500ms", "--warm-up=0s", "-q"];
    let assert = ["--assert=churn.p50<5s", "--assert=lost==0"];
    let run = load(&[&[server.url()], &args[..], &assert].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let rows = [
        "\nChurn\n  left                      25 of 25 due, 50/s\n",
        "  joined in their place     25\n",
        "  failed to join            0\n",
        "  joined, since due         p50 ",
        "  left, since said          p50 ",
        "  judged by offsets         50 of 50 stays\n",
        "churn.p50<5s              holds: ",
    ];
    for row in rows {
        assert!(run.out.contains(row), "{row} in {}", run.out);
    }
}

/// Without offsets a message at the edge may be due or not, and is never lost.
#[test]
fn servers_without_offsets_are_owed_no_guess() {
    let server = Fake::start(Dialect::Plain, Faults::default());
    let words = ["--hello=SUB {room}", "--ready=OK", "--publish=PUB {room} {payload}"];
    let run = load(&[&[&*server.url(), "-n6"], &words[..], &TRAFFIC[..]].concat());
    let json = run.json();
    check_all_delivered(&json);
    check_churn(&json);
    assert_eq!(count(&json, "stays_by_offsets"), 0, "{json}");
}

/// The report on six members of a server with these faults, of a run that ends with this exit code
/// and these words.
fn report(faults: Faults, code: i32, words: &str, more: &[&str]) -> Value {
    report_on("-n6", faults, code, words, more)
}

/// The same on so many members.
fn report_on(members: &str, faults: Faults, code: i32, words: &str, more: &[&str]) -> Value {
    let server = Fake::start(Dialect::Corecast, faults);
    let run = load(&[&[&*server.url(), members], &TRAFFIC[..], more].concat());
    assert_eq!(run.code, code, "{run:?}");
    assert!(run.errors.contains(words), "{words} in {}", run.errors);
    run.report()
}

#[test]
fn a_faultless_server_is_owed_nothing_more() {
    let json = report(Faults::default(), 0, "", &["--strict"]);
    check_all_delivered(&json);
    check_churn(&json);
    assert_eq!((count(&json, "stays"), count(&json, "stays_by_offsets")), (26, 26), "{json}");
}

#[test]
fn a_member_that_comes_back_and_misses_a_message_has_lost_it() {
    let faults = Faults { late: Some((3, Late::MissesFirst)), ..Faults::default() };
    let json = report(faults, 1, "1 deliveries were lost", &[]);
    assert_eq!(json["messages"]["lost"], 1, "{json}");
    check_churn(&json);
    let missing = json["series"].as_array().unwrap().iter().map(|it| it["missing"].as_u64());
    let missing: Vec<_> = missing.map(Option::unwrap).collect();
    assert_eq!(missing.iter().sum::<u64>(), 1, "{json}");
    // The fourth that came, after 150 ms; an interval has 100 ms.
    assert_eq!(missing[1], 1, "{json}");
}

/// It stays for 300 ms, in which 60 messages are published.
#[test]
fn a_member_that_gets_nothing_has_lost_everything() {
    let faults = Faults { late: Some((3, Late::MissesAll)), ..Faults::default() };
    let json = report(faults, 1, "deliveries were lost", &[]);
    let lost = json["messages"]["lost"].as_u64().unwrap();
    assert!((50..=61).contains(&lost), "{json}");
    check_churn(&json);
}

#[test]
fn what_is_delivered_outside_a_stay_is_damage() {
    let kind = "before joining or after leaving";
    let faults = Faults { late: Some((3, Late::GetsEarlier)), ..Faults::default() };
    let json = report(faults, 1, "1 were damaged", &[]);
    assert_eq!(
        (&json["messages"]["damage"][kind], &json["messages"]["lost"]),
        (&1.into(), &0.into())
    );
    let faults = Faults { understate_leaves: true, ..Faults::default() };
    let json = report(faults, 1, "were damaged", &[]);
    let damaged = json["messages"]["damage"][kind].as_u64().unwrap();
    assert!((18..=20).contains(&damaged), "{json}");
    assert_eq!(json["messages"]["delivered"], json["messages"]["expected"], "{json}");
}

#[test]
fn who_cannot_come_back_is_told() {
    // Six members, a publisher, and five that come back.
    let faults = Faults { refuse_from: Some(12), ..Faults::default() };
    let json = report(faults, 1, "15 members could not take the place of others", &[]);
    assert_eq!((count(&json, "joined"), count(&json, "failed")), (5, 15), "{json}");
    assert_eq!(json["connections"]["failed"], 0, "{json}");
    assert_eq!(json["messages"]["lost"], 0, "{json}");
    // Whoever could not come cannot leave at the next turn.
    assert_eq!(count(&json, "left") + count(&json, "not_left"), 20, "{json}");
    assert!(count(&json, "not_left") >= 8, "{json}");
    // Half of them took longer than what came.
    let missing_at = json["churn"]["missing_at"].as_array().unwrap();
    assert!(missing_at.contains(&"p50".into()), "{json}");
}

#[test]
fn a_leave_without_an_answer_is_told() {
    let faults = Faults { mute_leaves: true, ..Faults::default() };
    let words = "20 leaves of members were not answered";
    let json = report(faults, 1, words, &[]);
    assert_eq!((count(&json, "left"), count(&json, "joined")), (20, 20), "{json}");
    let errors: u64 = json["errors"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(errors, 20, "{json}");
    assert_eq!(json["messages"]["lost"], 0, "{json}");
}

#[test]
fn a_member_that_is_let_go_is_replaced_when_it_is_due() {
    let faults = Faults { late: Some((3, Late::IsClosed)), ..Faults::default() };
    let json = report(faults, 1, "of the connections of members ended early", &[]);
    assert_eq!((count(&json, "joined"), count(&json, "not_left")), (20, 1), "{json}");
    assert_eq!(json["connections"]["let_go"], 1, "{json}");
    let cut_off = json["messages"]["cut_off"].as_u64().unwrap();
    assert!((50..=61).contains(&cut_off), "{json}");
    assert_eq!(json["messages"]["lost"], 0, "{json}");
}

/// The server accepts nobody for 400 ms, in which eight are due: each of them feels it, and who is
/// due again meanwhile cannot leave.
#[test]
fn members_that_are_due_while_the_server_stands_still_feel_it() {
    let stall = Duration::from_millis(400);
    let faults = Faults { accept_late_at: Some((44, stall)), ..Faults::default() };
    let json = report_on("-n40", faults, 0, "", &[]);
    assert_eq!(count(&json, "joined"), 20, "{json}");
    let of = |name: &str| json["churn"]["joined_us"][name].as_f64().unwrap();
    assert!(of("max") >= 400e3, "{json}");
    // 400, 350, 300 … ms of twenty.
    assert!(of("mean") >= 60e3, "{json}");
    let faults = Faults { accept_late_at: Some((4, stall)), ..Faults::default() };
    let json = report_on("-n2", faults, 1, "something went wrong", &["--strict"]);
    assert!(count(&json, "not_left") >= 4 && count(&json, "missed") >= 4, "{json}");
    assert_eq!(json["messages"]["lost"], 0, "{json}");
}
