//! The contract, tested from outside: each file starts `corecast serve` and proves one behaviour
//! over real sockets. Nothing here knows how the server is built.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

#[allow(dead_code)] // It serves the tests of the examples, which need more of it.
#[path = "../examples/browser.rs"]
mod browser;

// What a connection may say, and what it hears.
mod broadcast;
mod data;
mod deflate;
mod envelope;
mod epochs;
mod greeting;
mod history_dir;
mod ids;
mod join;
mod leave;
mod linger;
mod named_rooms;
mod order;
mod ping;
mod pipelining;
mod presence;
mod publish;
mod publish_keys;
mod rates;
mod recovery;
mod refresh;
mod room_limit;
mod room_policies;
mod server_limits;

// How a connection begins, lives and ends.
mod closing;
mod fragments;
mod frames;
mod handshake;
mod idle;
mod origins;

// Where a connection comes from, and how many may.
mod accept_rate;
mod address_limits;
mod client_addresses;
mod proxies;
mod proxy_protocol;

// Who a client is, and what it may do.
mod api_key_rights;
mod key_files;
mod token_command;
mod token_expiry;
mod token_forgeries;
mod token_keys;
mod token_places;
mod tokens;
mod users;

// The messages of a room over HTTP.
mod event_stream_clients;
mod event_stream_ends;
mod event_stream_requests;
mod event_streams;
mod events_of_rooms;

// HTTP on the same port.
mod anonymous;
mod api_keys;
mod endpoints;
mod http_conformance;
mod http_connections;
mod http_deadlines;
mod http_errors;
mod http_history;
mod http_keep_alive;
mod http_last_request;
mod http_limit;
mod http_memory;
mod http_messages;
mod http_requests;
mod http_rooms;
mod http_slow_readers;
mod stats;

// Many, slow, broken and dying clients; starting and ending the server.
mod big_room;
mod churn;
mod descriptors;
mod drain;
mod fast_publishers;
mod flags;
mod garbage;
mod independent_clients;
mod killed_clients;
mod limits;
mod lost_logs;
mod many_runs;
mod memory;
mod orphans;
mod paused;
mod placement;
mod refused_calls;
mod slow_broadcasts;
mod slow_readers;
mod slow_replies;
mod start_up;

// TLS.
mod tls_address_limits;
mod tls_certificates;
mod tls_clients;
mod tls_handshakes;
mod tls_traffic;
