//! Up to when a shard has heard everything.

use corecast_shards::Time;

/// The moment up to which everything that came has been read, as far as it is to be read.
///
/// A process may stand still for longer than any timeout: stopped, frozen with its control group,
/// suspended with its machine, or kept by a handler. What clients sent meanwhile waits in the
/// kernel, so that no client may be judged by the clock before it has been read. The clock itself
/// cannot tell: all that is known is when the kernel last had nothing more to say.
#[derive(Debug, Default)]
pub(super) struct EventProgress {
    /// Everything up to here was heard.
    events_until: Time,
    /// Everything up to here is noted, and is heard when those in line then have been read.
    pending: Option<(Time, Queued)>,
    /// The kernel has said everything up to here; it is noted in the next turn.
    polled: Option<Time>,
    /// Since when it has had more to say than fits one answer, and how much it has said.
    polling: Option<(Time, usize)>,
}

/// How many wait to be read, each line in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) sockets: usize,
    pub(super) pending: usize,
}

impl EventProgress {
    pub(super) fn events_until(&self) -> Time {
        self.events_until
    }

    /// The kernel was asked at `asked` and has told everything that it had.
    pub(super) fn on_polled(&mut self, asked: Time) {
        (self.polled, self.polling) = (Some(asked), None);
    }

    /// The kernel was asked at `asked` and has told so many events, with more to come. It tells
    /// them in their order: when it has told as many as there are descriptors, it has told
    /// everything of before.
    pub(super) fn on_partly_polled(&mut self, asked: Time, events: usize, descriptors: usize) {
        let (since, polled) = self.polling.unwrap_or((asked, 0));
        self.polling = Some((since, polled + events));
        if polled + events >= descriptors {
            self.on_polled(since);
        }
    }

    /// What it told is noted: so many are in line now.
    pub(super) fn on_noted(&mut self, now: Queued) {
        let polled = self.polled.take();
        match &mut self.pending {
            None => self.pending = polled.map(|polled| (polled, now)),
            // Some have left the line without being read.
            Some((_, before)) => {
                before.sockets = before.sockets.min(now.sockets);
                before.pending = before.pending.min(now.pending);
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

    /// The first pending handshake in line was read.
    pub(super) fn on_handshake_read(&mut self) {
        if let Some((_, before)) = &mut self.pending {
            before.pending = before.pending.saturating_sub(1);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some((polled, before)) = self.pending
            && before == Queued::default()
        {
            (self.events_until, self.pending) = (polled, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(sockets: usize) -> Queued {
        Queued { sockets, pending: 0 }
    }

    fn at(second: u64) -> Time {
        Time::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn what_the_kernel_had_is_heard_when_it_is_read() {
        let mut event_progress = EventProgress::default();
        event_progress.on_polled(at(1));
        assert_eq!(event_progress.events_until(), at(0), "nothing is noted yet");
        event_progress.on_noted(Queued { sockets: 1, pending: 1 });
        event_progress.on_socket_read();
        assert_eq!(event_progress.events_until(), at(0), "one is left");
        event_progress.on_handshake_read();
        assert_eq!(event_progress.events_until(), at(1));
        event_progress.on_polled(at(2));
        event_progress.on_noted(sockets(0));
        assert_eq!(event_progress.events_until(), at(2), "no event waits");
    }

    #[test]
    fn a_shard_that_always_has_something_to_read_hears_on() {
        let mut event_progress = EventProgress::default();
        for second in 1..=6 {
            event_progress.on_polled(at(second));
            event_progress.on_noted(sockets(3));
            event_progress.on_socket_read();
            event_progress.on_socket_read();
        }
        assert_eq!(
            event_progress.events_until(),
            at(5),
            "those that were in line then have been read"
        );
    }

    #[test]
    fn whoever_leaves_the_line_is_not_waited_for() {
        let mut event_progress = EventProgress::default();
        event_progress.on_polled(at(1));
        event_progress.on_noted(sockets(5));
        event_progress.on_noted(sockets(1));
        event_progress.on_socket_read();
        assert_eq!(event_progress.events_until(), at(1));
    }

    #[test]
    fn a_kernel_that_never_comes_to_an_end_is_heard_all_the_same() {
        let mut event_progress = EventProgress::default();
        for second in 1..=4 {
            event_progress.on_partly_polled(at(second), 256, 1000);
            event_progress.on_noted(sockets(0));
        }
        assert_eq!(
            event_progress.events_until(),
            at(1),
            "1,024 events were those of 1,000 descriptors"
        );
    }

    #[test]
    fn a_kernel_that_has_more_to_say_moves_nothing() {
        let mut event_progress = EventProgress::default();
        event_progress.on_polled(at(1));
        event_progress.on_noted(sockets(0));
        // The machine stands still, and the next answer is not everything.
        event_progress.on_noted(sockets(0));
        assert_eq!(event_progress.events_until(), at(1));
    }
}
