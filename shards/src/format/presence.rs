//! The texts of who is in a room: lists of users, and changes of them.

use std::sync::Arc;

use super::json::{push_fmt, push_opening, push_string};
use crate::presence::{Changed, Listed, User};
use crate::room_name::RoomName;
use crate::wire::{Opcode, push_frame};

/// A JSON array of users.
pub(crate) fn user_list<'a>(users: impl Iterator<Item = Listed<'a>>) -> Arc<str> {
    let mut text = vec![b'['];
    for Listed { user, connections, info } in users {
        push_comma(&mut text);
        push_user(&mut text, user);
        push_fmt(&mut text, format_args!(r#","connections":{connections},"info":"#));
        push_info(&mut text, info);
    }
    text.push(b']');
    String::from_utf8(text).expect("it is made of texts").into()
}

/// The text frame of a change that leads to this version, with so many users; without changes there are
/// too many of them to name.
pub(crate) fn presence_change<'a, C>(
    room: &RoomName,
    version: u64,
    count: usize,
    changes: Option<C>,
) -> Arc<[u8]>
where
    C: Iterator<Item = Changed<'a>>,
{
    let mut text = Vec::new();
    push_opening(&mut text, "cast:presence_change", None, Some(room));
    push_fmt(&mut text, format_args!(r#","data":{{"version":{version},"count":{count},"join":["#));
    let more = if changes.is_none() { r#","more":true"# } else { "" };
    let mut left = vec![b'['];
    for changed in changes.into_iter().flatten() {
        match changed {
            Changed::Joined(user, info) => {
                push_comma(&mut text);
                push_user(&mut text, user);
                text.extend_from_slice(br#","info":"#);
                push_info(&mut text, info);
            }
            Changed::Left(user) => {
                push_comma(&mut left);
                push_user(&mut left, user);
                left.push(b'}');
            }
        }
    }
    text.extend_from_slice(br#"],"leave":"#);
    text.extend_from_slice(&left);
    push_fmt(&mut text, format_args!("]{more}}}}}"));
    let mut frame = Vec::new();
    push_frame(&mut frame, Opcode::Text, &text);
    frame.into()
}

fn push_comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
}

fn push_user(out: &mut Vec<u8>, user: &User) {
    out.extend_from_slice(br#"{"user":"#);
    match user {
        User::Named(name) => push_string(out, name.as_str()),
        User::Anonymous(conn) => push_fmt(out, format_args!(r#""{conn}""#)),
    }
}

/// Appends what is shown of a user, which is JSON, and the end of its object.
fn push_info(out: &mut Vec<u8>, info: Option<&str>) {
    out.extend_from_slice(info.unwrap_or("null").as_bytes());
    out.push(b'}');
}
