//! Proves that each stay is complete, while half of 5,000 members join and leave all the time.

use crate::big_room::{Story, publish_share};
use crate::support::{Crowd, Dice, Envelope, Member, Outbox, Server, heavy, wait_until};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const STEADY: usize = 2500;
const RESTLESS: usize = 2500;
const SHARDS: usize = 4;
const PUBLISHERS: u64 = 8;
const MESSAGES: u64 = 1000;

#[test]
fn every_stay_is_complete_from_joined_to_left() {
    let _heavy = heavy();
    let server = Server::start_with_shards(SHARDS, &[]);
    let (story, stays) = (Story::new(MESSAGES), AtomicU64::new(0));
    let said = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (server, story, stays, said) = (&server, &story, &stays, &said);
            scope.spawn(move || {
                let members = (0..(STEADY + RESTLESS) / 2).map(|n| {
                    let dice = Dice::new((thread * 10_000 + n) as u64);
                    let restless = n >= STEADY / 2;
                    Guest { story, stays, said, dice, restless, stay: Stay::Outside { least: 0 } }
                });
                Crowd::connect(server.address(), members).run();
            });
        }
        story.wait_for_listeners(STEADY);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let server = &server;
                scope.spawn(move || publish_share(server, publisher))
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        said.store(true, Ordering::SeqCst);
    });
    let stays = stays.into_inner();
    assert!(stays > RESTLESS as u64, "each restless member came more than once: {stays} stays");
    wait_until("nobody is left", || server.members("r") == 0);
    assert_eq!(server.closed("slow"), 0);
}

/// Where a guest stands between its commands and their answers.
#[derive(Debug)]
enum Stay {
    /// No message may come; the next join tells at least the offset of the last leave.
    Outside {
        least: u64,
    },
    /// Message `next` comes next; before it leaves it sends so many more pings.
    Inside {
        next: u64,
        pings: u64,
        leaving: bool,
    },
    Over,
}

struct Guest<'a> {
    story: &'a Story,
    stays: &'a AtomicU64,
    /// Whether everything was published, so that the restless may rest.
    said: &'a AtomicBool,
    dice: Dice,
    restless: bool,
    stay: Stay,
}

impl Guest<'_> {
    fn on_joined(&mut self, offset: u64, out: &mut Outbox) {
        let Stay::Outside { least } = self.stay else { panic!("joined, but {self:?}") };
        assert!(offset >= least, "offsets never go back: {self:?}");
        if !self.restless {
            self.story.begin_listening();
            self.stay = Stay::Inside { next: offset + 1, pings: 0, leaving: false };
            return;
        }
        let pings = self.dice.roll(6);
        self.stay = Stay::Inside { next: offset + 1, pings, leaving: false };
        self.step(out);
    }

    /// A pong is the clock of a stay: some are long and some end at once.
    fn step(&mut self, out: &mut Outbox) {
        let Stay::Inside { pings, leaving, .. } = &mut self.stay else { panic!("in {self:?}") };
        if *pings > 0 {
            *pings -= 1;
            out.send(r#"{"event":"cast:ping","id":"p"}"#);
        } else {
            *leaving = true;
            out.send(LEAVE);
        }
    }

    fn on_left(&mut self, offset: u64, out: &mut Outbox) {
        let Stay::Inside { next, leaving: true, .. } = self.stay else { panic!("in {self:?}") };
        assert_eq!(next, offset + 1, "the stay ends with its last message: {self:?}");
        self.stays.fetch_add(1, Ordering::Relaxed);
        if !self.restless || self.said.load(Ordering::SeqCst) {
            self.stay = Stay::Over;
        } else {
            self.stay = Stay::Outside { least: offset };
            out.send(JOIN);
        }
    }

    /// Counts one message of the room, which must be the next one.
    fn advance(&mut self, out: &mut Outbox) {
        let last = self.story.last_offset();
        let Stay::Inside { next, leaving, .. } = &mut self.stay else { unreachable!() };
        *next += 1;
        if *next > last && !self.restless && !*leaving {
            *leaving = true;
            out.send(LEAVE);
        }
    }
}

const JOIN: &str = r#"{"event":"cast:join","room":"r"}"#;
const LEAVE: &str = r#"{"event":"cast:leave","room":"r"}"#;

impl Member for Guest<'_> {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(JOIN);
    }

    fn on_message(&mut self, text: &str, out: &mut Outbox) {
        if let Stay::Inside { next, .. } = self.stay
            && self.story.is_told(next, text)
        {
            return self.advance(out);
        }
        let envelope = Envelope::parse(text);
        match envelope.event().as_str() {
            "cast:joined" => self.on_joined(envelope.data_number("offset"), out),
            "cast:left" => self.on_left(envelope.data_number("offset"), out),
            "cast:pong" => self.step(out),
            _ => {
                let Stay::Inside { next, .. } = self.stay else {
                    panic!("{envelope:?} came to {self:?}");
                };
                assert_eq!(envelope.offset(), next, "no hole, no repeat: {self:?}");
                self.story.tell(&envelope, text);
                self.advance(out);
            }
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.stay, Stay::Over)
    }
}

impl fmt::Debug for Guest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} guest {:?}", if self.restless { "restless" } else { "steady" }, self.stay)
    }
}
