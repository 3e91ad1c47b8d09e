//! `corecast load`, tested from outside: against a server that misbehaves by the book, and against
//! `corecast serve`. What the generator says is compared with what is known to have happened.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

mod arguments;
mod assertions;
mod capacity;
mod churn;
mod connecting;
mod damage;
mod deflate;
mod diff;
mod endings;
mod evil;
mod exactness;
mod handshake;
mod interruption;
mod last_member;
mod merge;
mod other_servers;
mod publishers;
mod punctuality;
mod report;
mod scenarios;
mod stages;
mod tls;
mod totals;
