//! Proves that the server starts at both bounds of every limit, and not beyond them.

use crate::support::{Server, refused, serve};
use corecast_shards::{Amount, Limit, Limits};
use std::time::Duration;

/// The last second that a floating-point number of seconds can name, which is how they are read.
const SECONDS_MAX: u64 = u64::MAX - 2047;

/// An amount as it is typed.
fn typed(amount: Amount) -> String {
    match amount {
        Amount::Time(Duration::MAX) => format!("{SECONDS_MAX}s"),
        amount => amount.to_string(),
    }
}

/// What is typed for the next amount below the least one.
fn below(limit: &Limit) -> String {
    match limit.least {
        Amount::Bytes(0) | Amount::Count(0) | Amount::Time(Duration::ZERO) => "-1".to_owned(),
        Amount::Bytes(number) | Amount::Count(number) => (number - 1).to_string(),
        Amount::Time(time) => typed(Amount::Time(time - Duration::from_nanos(1))),
    }
}

/// What is typed for the next amount above the most.
fn above(limit: &Limit) -> String {
    match limit.most {
        Amount::Bytes(number) | Amount::Count(number) => (number as u128 + 1).to_string(),
        Amount::Time(time) => format!("{}s", u128::from(time.as_secs()) + 1),
    }
}

#[test]
fn the_next_amount_beyond_a_bound_is_refused() {
    for limit in Limit::all() {
        for amount in [below(limit), above(limit)] {
            let flag = format!("--{}={amount}", limit.flag);
            let outcome = refused(serve(&["--listen", "127.0.0.1:0", &flag]));
            let (code, said) = (outcome.code, outcome.stderr);
            assert!(matches!(code, Some(1 | 2)), "{flag} ends with {code:?}: {said}");
            assert!(!said.contains("panicked"), "{flag}: {said}");
            assert!(said.contains(&format!("--{}", limit.flag)), "{flag}: {said}");
        }
    }
}

#[test]
fn a_refusal_names_the_bound() {
    for (flag, words) in [
        ("--max-head=511", "must be at least 512"),
        ("--max-head=32769", "must be at most 32768"),
        ("--max-rooms=10001", "must be at most 10000"),
        ("--mesh-items=65537", "must be at most 65536"),
        ("--handshake-timeout=0", "must be more than 0"),
        ("--shards=257", "choose 1 to 256"),
    ] {
        refused(serve(&["--listen", "127.0.0.1:0", flag])).assert_readable(&[words]);
    }
}

/// Starts with all limits at once at one of their bounds, and ends the server again.
fn start_with(amount: impl Fn(&Limit) -> Amount) {
    let rows = Limits::TABLE.iter().chain([&Limit::SEND_BUFFER, &Limit::DRAIN_TIMEOUT]);
    let flags: Vec<_> =
        rows.map(|limit| format!("--{}={}", limit.flag, typed(amount(limit)))).collect();
    let mut server = Server::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(server.terminate().success(), "{}", server.log());
}

#[test]
fn it_starts_with_every_limit_at_its_least() {
    // The least of --ping-interval is 0, which never pings; so --ping-timeout may be 0, too.
    start_with(|limit| limit.least);
}

#[test]
fn it_starts_with_every_limit_at_its_most() {
    start_with(|limit| limit.most);
}
