//! The records of a journal as bytes.

use crate::epoch::Epoch;
use crate::room_name::RoomName;
use crate::wire::{Opcode, server_frame_len, server_payload};

/// One record of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A room's life has this name, and its last offset so far is this one or a later message's.
    Room { epoch: Epoch, offset: u64, name: &'a str },
    /// A message, as a WebSocket frame, and the second in which it was numbered.
    Message { epoch: Epoch, offset: u64, second: u32, frame: &'a [u8] },
}

/// Bytes before a record's name or frame: a checksum of everything behind it; how long that name or
/// frame is, with [`IS_ROOM`]; the epoch, the offset, the second. All numbers are little-endian.
pub(crate) const HEAD: usize = 28;

/// No room comes as far: ten million messages per second would take 28 years.
const OFFSET_MAX: u64 = 1 << 53;

/// The bit of the length that says that a record is of a room.
const IS_ROOM: u32 = 1 << 31;

impl<'a> Record<'a> {
    fn body(&self) -> &'a [u8] {
        match self {
            Record::Room { name, .. } => name.as_bytes(),
            Record::Message { frame, .. } => frame,
        }
    }

    /// Bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        HEAD + self.body().len()
    }

    /// Appends it. Its checksum is that of this journal and this position, so that it is valid
    /// nowhere else.
    pub(crate) fn push(&self, seal: u32, position: u64, out: &mut Vec<u8>) {
        let (epoch, offset, second, kind) = match *self {
            Record::Room { epoch, offset, .. } => (epoch, offset, 0, IS_ROOM),
            Record::Message { epoch, offset, second, .. } => (epoch, offset, second, 0),
        };
        let body = self.body();
        let len = u32::try_from(body.len()).expect("a message is far below 2 GiB");
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(len | kind).to_le_bytes());
        out.extend_from_slice(&epoch.bits().to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        out.extend_from_slice(body);
        let sum = checksum(seal, position, &out[begin + 4..]);
        out[begin..begin + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// The record that begins here, if it is one, and all of its bytes are there.
    pub(super) fn read(seal: u32, position: u64, bytes: &'a [u8]) -> Option<Record<'a>> {
        let length = number::<4>(bytes, 4).map(u32::from_le_bytes)?;
        let len = (length & !IS_ROOM) as usize;
        let all = bytes.get(..HEAD.checked_add(len)?)?;
        let sum = number::<4>(all, 0).map(u32::from_le_bytes)?;
        if sum != checksum(seal, position, &all[4..]) {
            return None;
        }
        let epoch = Epoch::from_bits(u64::from_le_bytes(number(all, 8)?));
        let offset = u64::from_le_bytes(number(all, 16)?);
        if offset > OFFSET_MAX {
            return None;
        }
        let second = u32::from_le_bytes(number(all, 24)?);
        let body = &all[HEAD..];
        match length & IS_ROOM {
            0 => (offset > 0 && is_message(body)).then_some(Record::Message {
                epoch,
                offset,
                second,
                frame: body,
            }),
            _ => {
                let name = str::from_utf8(body).ok()?;
                RoomName::new(name).ok()?;
                Some(Record::Room { epoch, offset, name })
            }
        }
    }
}

/// These bytes of a longer list, if they are there.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Whether these bytes are one whole message as a server sends it: uncompressed, and UTF-8 if it is a
/// text.
fn is_message(frame: &[u8]) -> bool {
    const FINAL: u8 = 0x80;
    if server_frame_len(frame) != Some(frame.len()) || frame[1] & 0x80 != 0 {
        return false;
    }
    match frame[0] {
        first if first == FINAL | Opcode::Text.bits() => {
            str::from_utf8(server_payload(frame)).is_ok()
        }
        first => first == FINAL | Opcode::Binary.bits(),
    }
}

fn checksum(seal: u32, position: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seal, &position.to_le_bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::push_frame;

    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(&mut frame, opcode, payload);
        frame
    }

    fn encoded(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        record.push(7, 1_000, &mut bytes);
        assert_eq!(bytes.len(), 6 + record.len());
        bytes.split_off(6)
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_nowhere_else() {
        let (text, binary) = (frame(Opcode::Text, "ü".as_bytes()), frame(Opcode::Binary, &[0xff]));
        let epoch = Epoch::from_bits(9);
        let messages = [&text[..], &binary].map(|frame| Record::Message {
            epoch,
            offset: OFFSET_MAX,
            second: u32::MAX,
            frame,
        });
        let room = Record::Room { epoch, offset: 3, name: "zimmer-ü" };
        for record in messages.into_iter().chain([room]) {
            let mut bytes = encoded(&record);
            assert_eq!(Record::read(8, 1_000, &bytes), None, "another journal");
            assert_eq!(Record::read(7, 1_001, &bytes), None, "another position");
            for len in 0..bytes.len() {
                assert_eq!(Record::read(7, 1_000, &bytes[..len]), None, "{len} bytes");
            }
            for bit in 0..8 * bytes.len() {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Record::read(7, 1_000, &bytes), None, "bit {bit} is another");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            bytes.push(0);
            assert_eq!(Record::read(7, 1_000, &bytes), Some(record));
        }
    }

    #[test]
    fn what_no_server_sends_is_no_message_and_what_names_no_room_no_room() {
        let epoch = Epoch::from_bits(9);
        let text = frame(Opcode::Text, b"text");
        let mut compressed = text.clone();
        compressed[0] |= 0x40;
        let mut masked = text.clone();
        masked[1] |= 0x80;
        let ping = frame(Opcode::Ping, b"");
        let (two, no_text) = ([&text[..], &text].concat(), frame(Opcode::Text, &[0xff]));
        for frame in [&compressed[..], &masked, &ping, &two, &no_text, &text[..5], b"", b"\x81"] {
            let bytes = encoded(&Record::Message { epoch, offset: 1, second: 1, frame });
            assert_eq!(Record::read(7, 1_000, &bytes), None, "{frame:?}");
        }
        let frame = &text[..];
        for offset in [0, OFFSET_MAX + 1] {
            let bytes = encoded(&Record::Message { epoch, offset, second: 1, frame });
            assert_eq!(Record::read(7, 1_000, &bytes), None, "offset {offset}");
        }
        for name in ["", "a\n", &"x".repeat(201)] {
            let bytes = encoded(&Record::Room { epoch, offset: 1, name });
            assert_eq!(Record::read(7, 1_000, &bytes), None, "{name:?}");
        }
    }
}
