//! Proves that a program decides whether messages are compressed, for all rooms and for some, and that
//! its handlers read what clients compressed as if they had not.

use std::sync::mpsc::channel;

use corecast::{Builder, Client, Message, RoomPolicy, Server};

use crate::socket::{PATIENCE, builder};
use crate::support::frames::{BINARY, FIN, frame};
use crate::support::{Raw, upgrade_head};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const RSV1: u8 = 0x40;

/// "Hello" as RFC 7692 section 7.2.3.1 has it.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn dial(server: &Server) -> (Raw, bool) {
    let mut raw = Raw::dial(server.local_addr());
    raw.write(upgrade_head(OFFER).as_bytes());
    let agreed = raw.expect_upgraded().header("sec-websocket-extensions").is_some();
    (raw, agreed)
}

/// Whether the server agrees to compression, and whether what is published to `news` is compressed.
fn compresses(builder: Builder) -> (bool, bool) {
    let server = builder.shards(1).start().unwrap();
    let (mut raw, agreed) = dial(&server);
    assert_eq!(raw.envelope().event(), "cast:welcome");
    assert_eq!(raw.outcome("cast:join", "news"), "cast:joined");
    let message = Message::event("m", "x".repeat(1_000)).unwrap();
    server.broadcaster().to_room("news").publish_blocking(message).unwrap();
    let first = raw.take(1)[0];
    (agreed, first & RSV1 != 0)
}

#[test]
fn the_program_decides_what_is_compressed() {
    let never = RoomPolicy::default().deflate(false);
    assert_eq!(compresses(builder()), (true, true), "by default");
    assert_eq!(compresses(builder().deflate(false)), (false, false));
    assert_eq!(compresses(builder().room("news", never.clone())), (true, false));
    assert_eq!(compresses(builder().room("secret.*", never)), (true, true));
}

#[test]
fn a_handler_reads_what_a_client_compressed() {
    let (said, sayings) = channel();
    let server =
        builder().on_binary(async move |_: Client, bytes| Ok(said.send(bytes)?)).start().unwrap();
    let (mut raw, agreed) = dial(&server);
    assert!(agreed);
    raw.write(&frame(FIN | RSV1 | BINARY, &HELLO));
    assert_eq!(sayings.recv_timeout(PATIENCE).unwrap(), b"Hello");
}
