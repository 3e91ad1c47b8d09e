//! The echo example gives back text and binary messages as they came, without a welcome.

use tungstenite::Message;

use crate::program::Program;

#[test]
fn text_and_binary_come_back_as_they_were() {
    let example = Program::start("echo", &["127.0.0.1:0"]);
    let address = example.address("echoing on ");
    let (mut socket, _) = tungstenite::connect(&address).unwrap();
    let messages = [
        Message::text("no envelope: é🦀"),
        Message::text(""),
        Message::binary(vec![0_u8, 159, 146, 150]),
        Message::binary(vec![7_u8; 200_000]),
        Message::text("x".repeat(100_000)),
    ];
    for message in &messages {
        socket.send(message.clone()).unwrap();
        assert_eq!(&socket.read().unwrap(), message);
    }
    for message in &messages {
        socket.send(message.clone()).unwrap();
    }
    for message in &messages {
        assert_eq!(&socket.read().unwrap(), message, "sent without waiting for the answers");
    }
}
