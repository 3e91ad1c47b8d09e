//! Up to when a shard has heard everything.

use corecast_shards::Time;

/// The moment up to which everything that came has been read, as far as it is to be read.
///
/// A process may stand still for longer than any timeout: stopped, frozen with its control group,
/// suspended with its machine, or kept by a handler. What clients sent meanwhile waits in the
/// kernel, so that nobody may be judged by the clock before it has been read. The clock itself
/// cannot tell: all that is known is when the kernel last had nothing more to say.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Everything up to here was heard.
    heard: Time,
    /// Everything up to here is noted, and is heard when those in line then have been read.
    pending: Option<(Time, InLine)>,
    /// The kernel has said everything up to here; it is noted in the next turn.
    told: Option<Time>,
    /// Since when it has had more to say than fits one answer, and how much it has said.
    telling: Option<(Time, usize)>,
}

/// How many wait to be read, each line in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InLine {
    pub(super) sockets: usize,
    pub(super) greetings: usize,
}

impl Hearing {
    pub(super) fn heard(&self) -> Time {
        self.heard
    }

    /// The kernel was asked at `asked` and has told everything that it had.
    pub(super) fn on_told(&mut self, asked: Time) {
        (self.told, self.telling) = (Some(asked), None);
    }

    /// The kernel was asked at `asked` and has told so many events, with more to come. It tells
    /// them in their order: when it has told as many as there are descriptors, it has told
    /// everything of before.
    pub(super) fn on_part_told(&mut self, asked: Time, events: usize, descriptors: usize) {
        let (since, told) = self.telling.unwrap_or((asked, 0));
        self.telling = Some((since, told + events));
        if told + events >= descriptors {
            self.on_told(since);
        }
    }

    /// What it told is noted: so many are in line now.
    pub(super) fn on_noted(&mut self, now: InLine) {
        let told = self.told.take();
        match &mut self.pending {
            None => self.pending = told.map(|told| (told, now)),
            // Some have left the line without being read.
            Some((_, before)) => {
                before.sockets = before.sockets.min(now.sockets);
                before.greetings = before.greetings.min(now.greetings);
            }
        }
        self.settle();
    }

    /// The first socket in line was read.
    pub(super) fn on_socket_read(&mut self) {
        if let Some((_, before)) = &mut self.pending {
            before.sockets = before.sockets.saturating_sub(1);
        }
        self.settle();
    }

    /// The first greeting in line was read.
    pub(super) fn on_greeting_read(&mut self) {
        if let Some((_, before)) = &mut self.pending {
            before.greetings = before.greetings.saturating_sub(1);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some((told, before)) = self.pending
            && before == InLine::default()
        {
            (self.heard, self.pending) = (told, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(sockets: usize) -> InLine {
        InLine { sockets, greetings: 0 }
    }

    fn at(second: u64) -> Time {
        Time::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn what_the_kernel_had_is_heard_when_it_is_read() {
        let mut hearing = Hearing::default();
        hearing.on_told(at(1));
        assert_eq!(hearing.heard(), at(0), "nothing is noted yet");
        hearing.on_noted(InLine { sockets: 1, greetings: 1 });
        hearing.on_socket_read();
        assert_eq!(hearing.heard(), at(0), "one is left");
        hearing.on_greeting_read();
        assert_eq!(hearing.heard(), at(1));
        hearing.on_told(at(2));
        hearing.on_noted(sockets(0));
        assert_eq!(hearing.heard(), at(2), "nobody waits");
    }

    #[test]
    fn a_shard_that_always_has_something_to_read_hears_on() {
        let mut hearing = Hearing::default();
        for second in 1..=6 {
            hearing.on_told(at(second));
            hearing.on_noted(sockets(3));
            hearing.on_socket_read();
            hearing.on_socket_read();
        }
        assert_eq!(hearing.heard(), at(5), "those that were in line then have been read");
    }

    #[test]
    fn whoever_leaves_the_line_is_not_waited_for() {
        let mut hearing = Hearing::default();
        hearing.on_told(at(1));
        hearing.on_noted(sockets(5));
        hearing.on_noted(sockets(1));
        hearing.on_socket_read();
        assert_eq!(hearing.heard(), at(1));
    }

    #[test]
    fn a_kernel_that_never_comes_to_an_end_is_heard_all_the_same() {
        let mut hearing = Hearing::default();
        for second in 1..=4 {
            hearing.on_part_told(at(second), 256, 1000);
            hearing.on_noted(sockets(0));
        }
        assert_eq!(hearing.heard(), at(1), "1,024 events were those of 1,000 descriptors");
    }

    #[test]
    fn a_kernel_that_has_more_to_say_moves_nothing() {
        let mut hearing = Hearing::default();
        hearing.on_told(at(1));
        hearing.on_noted(sockets(0));
        // The machine stands still, and the next answer is not everything.
        hearing.on_noted(sockets(0));
        assert_eq!(hearing.heard(), at(1));
    }
}
