//! Where which holes of templates can be filled in.

use super::streams::Streams;
use super::template::{Hole, MessageTemplate};

/// A place where templates stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The path of the address.
    Address,
    Header,
    Hello,
    PublisherHello,
    Publish,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "the address",
            Self::Header => "--header",
            Self::Hello => "--hello",
            Self::PublisherHello => "--publisher-hello",
            Self::Publish => "--publish",
        }
    }

    /// What is filled in there, beside columns.
    fn holes(self) -> &'static [Hole] {
        match self {
            Self::Address | Self::Header => &[Hole::Room, Hole::Member],
            Self::Hello => &[Hole::Room, Hole::Member, Hole::Id],
            Self::PublisherHello => &[Hole::Room, Hole::Member, Hole::Publisher, Hole::Id],
            Self::Publish => &[Hole::Room, Hole::Payload, Hole::Id, Hole::Publisher, Hole::Member],
        }
    }

    /// Looks columns up, and refuses what cannot be filled in here.
    pub(crate) fn check(
        self,
        template: &mut MessageTemplate,
        columns: &[String],
    ) -> Result<(), String> {
        template.resolve(columns).map_err(|name| self.refusal(&name, columns))?;
        let is_unknown =
            |hole: &&Hole| !matches!(hole, Hole::Column(..)) && !self.holes().contains(hole);
        match template.holes().find(is_unknown) {
            Some(hole) => Err(self.refusal(hole.name(), columns)),
            None => Ok(()),
        }
    }

    fn refusal(self, name: &str, columns: &[String]) -> String {
        let known = self.holes().iter().map(Hole::name).chain(columns.iter().map(String::as_str));
        let known: Vec<_> = known.map(|name| format!("{{{name}}}")).collect();
        let more = if columns.is_empty() { ", and columns with --csv" } else { "" };
        format!("{} has no {{{name}}}; there are {}{more}", self.name(), known.join(", "))
    }
}

/// With the room in its request a connection is in one room, also one that publishes.
pub(crate) fn check_publishers(
    streams: Streams,
    path: &MessageTemplate,
    headers: &[MessageTemplate],
) -> Result<(), String> {
    let names_room = path.has(&Hole::Room) || headers.iter().any(|line| line.has(&Hole::Room));
    match names_room && streams.publishers < streams.rooms {
        true => Err(format!(
            "with {{room}} in the address or a --header a publisher is in one room; give \
             --publishers {}, or fewer --rooms",
            streams.rooms
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_filled_in_is_refused_with_what_can() {
        let columns = ["token".to_owned()];
        let rows = [
            (Place::Address, "/{room}/{member}?{token}", ""),
            (Place::Header, "X: {id}", "--header has no {id}; there are {room}, {member}, {token}"),
            (Place::Hello, "{publisher}", "--hello has no {publisher}"),
            (Place::Hello, "{payload}", "--hello has no {payload}"),
            (Place::PublisherHello, "{room}{publisher}{member}{id}", ""),
            (Place::Publish, "{payload}{rom}", "--publish has no {rom}; there are {room}"),
        ];
        for (place, text, refusal) in rows {
            let checked = place.check(&mut text.parse().unwrap(), &columns);
            let error = checked.err().unwrap_or_default();
            assert!(
                error.starts_with(refusal) && error.is_empty() == refusal.is_empty(),
                "{error}"
            );
        }
    }

    #[test]
    fn a_publisher_with_a_room_in_its_request_has_one_room() {
        let check = |publishers, path: &str| {
            let path = path.parse().unwrap();
            check_publishers(Streams { rooms: 3, publishers }, &path, &["X: y".parse().unwrap()])
        };
        assert!(check(3, "/{room}").is_ok() && check(1, "/").is_ok());
        let error = check(1, "/{room}").unwrap_err();
        assert!(error.contains("--publishers 3"), "{error}");
    }
}
