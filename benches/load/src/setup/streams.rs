//! Which publisher speaks in which room.

use std::ops::Range;

/// A stream is one publisher in one room: the unit in which messages have an order.
///
/// With more publishers than rooms several share a room; with fewer, each serves several rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) rooms: u32,
    pub(crate) publishers: u32,
}

impl Streams {
    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        self.rooms.max(self.publishers)
    }

    /// Streams that a room has at most.
    pub(crate) fn most(self) -> usize {
        self.of(0).len()
    }

    /// The numbers of the streams of a room.
    pub(crate) fn of(self, room: u32) -> Range<u32> {
        let (each, more) = match self.publishers < self.rooms {
            true => (1, 0),
            false => (self.publishers / self.rooms, self.publishers % self.rooms),
        };
        let first = room * each + room.min(more);
        first..first + each + u32::from(room < more)
    }

    /// The first room of a publisher.
    pub(crate) fn first_room(self, publisher: u32) -> u32 {
        publisher % self.rooms
    }

    /// The rooms that a publisher speaks in.
    pub(crate) fn rooms_of(self, publisher: u32) -> impl Iterator<Item = u32> {
        let step = self.publishers.min(self.rooms) as usize;
        (self.first_room(publisher)..self.rooms).step_by(step)
    }

    /// The publisher of the nth stream of a room.
    pub(crate) fn publisher(self, room: u32, nth: u32) -> u32 {
        match self.publishers < self.rooms {
            true => room % self.publishers,
            false => room + nth * self.rooms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_one_room_and_every_publisher_a_stream() {
        for (rooms, publishers) in [(1, 1), (1, 5), (3, 7), (7, 3), (4, 4), (5, 1)] {
            let streams = Streams { rooms, publishers };
            let mut next = 0;
            let mut busy = vec![false; publishers as usize];
            for room in 0..rooms {
                let of = streams.of(room);
                assert_eq!(of.start, next, "{streams:?}");
                assert!((1..=streams.most()).contains(&of.len()), "{streams:?} room {room}");
                for nth in 0..of.end - of.start {
                    let publisher = streams.publisher(room, nth);
                    assert!(streams.rooms_of(publisher).any(|it| it == room), "{streams:?}");
                    let is_first = !std::mem::replace(&mut busy[publisher as usize], true);
                    assert!(!is_first || streams.first_room(publisher) == room, "{streams:?}");
                }
                next = of.end;
            }
            assert_eq!(next, streams.count());
            let rooms = (0..publishers).map(|publisher| streams.rooms_of(publisher).count());
            assert_eq!(rooms.sum::<usize>(), streams.count() as usize, "{streams:?}");
            assert!(busy.iter().all(|&busy| busy), "{streams:?}");
        }
    }
}
