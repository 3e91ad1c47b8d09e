//! Messages that come compressed, where that was agreed on: from their payloads on they are as others.

use super::member::Member;
use super::receive_path::{Content, Notice, ReceivePath};

impl ReceivePath {
    /// Takes the payload of a whole message, of one frame or several.
    pub(crate) fn on_compressed(
        &mut self,
        member: &mut Member,
        payload: &Content<'_>,
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        // It is away while what it holds is looked at; what is taken for compressed was agreed on.
        let Some(mut inflater) = self.inflater.take() else { return };
        match inflater.message(payload.bytes) {
            Ok(message) => {
                let received = self.tally.received;
                let content = Content { bytes: message, is_text: payload.is_text };
                self.on_message(member, &content, now, notices);
                if self.tally.received > received {
                    let compression = &mut self.tally.compression;
                    compression.messages += 1;
                    compression.compressed_bytes += payload.bytes.len() as u64;
                    compression.inflated_bytes += message.len() as u64;
                }
            }
            Err(fault) => notices.push(Notice::Violation(fault)),
        }
        self.inflater = Some(inflater);
    }
}
