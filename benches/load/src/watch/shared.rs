//! What the threads of a run tell one another: plain counters, each written by one thread.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

use super::begins::Begins;
use super::clock::Clock;
use super::parts::Parts;
use crate::client::link::ClientLink;
use crate::client::tls::Agreed;
use crate::setup::payload::Marker;
use crate::setup::plan::Plan;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) marker: Marker,
    phase: AtomicU8,
    /// Set by Ctrl-C.
    pub(crate) interrupted: Arc<AtomicBool>,
    early_end: OnceLock<EarlyEnd>,
    pub(crate) milestones: Milestones,
    /// Measured messages of each stream so far: what a member may receive.
    pub(crate) published: Arc<[AtomicU32]>,
    /// Of these, what the kernel has taken: what a member is owed.
    pub(crate) taken: Vec<AtomicU32>,
    pub(crate) begins: Begins,
    /// Members of each room that are connected and read as fast as they can.
    pub(crate) connected: Vec<AtomicU32>,
    /// Odd: members are to be connected; even: not. Only storms count past one.
    pub(crate) wave: AtomicU32,
    pub(crate) readers: Vec<ReaderGauges>,
    pub(crate) publisher: PublisherGauges,
    /// What the first connection with TLS has agreed on.
    pub(crate) agreed: OnceLock<Agreed>,
}

/// What everybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connections are opened and kept.
    Open = 0,
    /// Messages are published.
    Publish = 1,
    /// What was published is waited for.
    Drain = 2,
    /// Threads end.
    End = 3,
}

/// A run ends before its time, though nobody interrupted it: there is nothing left to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlyEnd {
    pub(crate) gone: Gone,
    /// When that was noticed.
    pub(crate) at: u64,
}

/// Whose connections the server has ended, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Those of all members that read as fast as they can.
    Members,
    /// That of the last publisher of this room.
    Publisher(u32),
    /// In this wave of a storm nobody could connect.
    Wave(u32),
}

/// When what happens, in the clock's time; 0 until it is known.
#[derive(Debug, Default)]
pub(crate) struct Milestones {
    pub(crate) start: AtomicU64,
    /// The warm-up is over.
    pub(crate) mark: AtomicU64,
    pub(crate) end: AtomicU64,
}

/// The figures of one receiving thread while it runs; a cache line pair of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ReaderGauges {
    /// The kernel's number of the thread.
    pub(crate) thread: AtomicU32,
    /// Connections that have said hello and been understood.
    pub(crate) ready: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Connections that ended by themselves after they had been ready.
    pub(crate) closed: AtomicU64,
    /// Of these, those of members that read as fast as they can.
    pub(crate) let_go: AtomicU64,
    /// Members that joined in the place of others, and members that left.
    pub(crate) came: AtomicU64,
    pub(crate) left: AtomicU64,
    /// Measured messages, repeated ones too.
    pub(crate) received: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Calls that read something.
    pub(crate) reads: AtomicU64,
    /// Nanoseconds in which sockets that were ready were read, one after the other.
    pub(crate) reading: AtomicU64,
    pub(crate) warm_up: AtomicU64,
    /// How far members have come in their streams, together.
    pub(crate) progress: AtomicU64,
    /// While draining: messages that have not arrived; the maximum until counted.
    pub(crate) outstanding: AtomicU64,
    /// See [`Turns`](super::turns::Turns).
    pub(crate) longest_gap: AtomicU64,
}

/// The figures of the publishing thread while it runs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct PublisherGauges {
    pub(crate) thread: AtomicU32,
    pub(crate) ready: AtomicBool,
    pub(crate) published: AtomicU64,
    /// Everything due was handed to the kernel.
    pub(crate) done: AtomicBool,
    /// See [`Turns`](super::turns::Turns).
    pub(crate) longest_gap: AtomicU64,
}

impl Shared {
    /// `run` is random, so that no two runs have the same marker.
    pub(crate) fn new(plan: Plan, interrupted: Arc<AtomicBool>, run: &[u8]) -> Self {
        let run = run.iter().fold(0, |run, &byte| run << 8 | u32::from(byte));
        let (rooms, streams) = (plan.streams.rooms, plan.streams.count());
        let gauges =
            || ReaderGauges { outstanding: AtomicU64::new(u64::MAX), ..ReaderGauges::default() };
        Self {
            clock: Clock::start(),
            marker: Marker::new(run & 0x00ff_ffff),
            phase: AtomicU8::new(Phase::Open as u8),
            interrupted,
            early_end: OnceLock::new(),
            milestones: Milestones::default(),
            published: (0..streams).map(|_| AtomicU32::new(0)).collect(),
            taken: (0..streams).map(|_| AtomicU32::new(0)).collect(),
            begins: Begins::new(streams),
            connected: (0..rooms).map(|_| AtomicU32::new(0)).collect(),
            wave: AtomicU32::new(0),
            readers: (0..plan.threads).map(|_| gauges()).collect(),
            publisher: PublisherGauges::default(),
            agreed: OnceLock::new(),
            plan,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Open,
            1 => Phase::Publish,
            2 => Phase::Drain,
            _ => Phase::End,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Release);
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// The first reason to end early counts.
    pub(crate) fn end_early(&self, gone: Gone) {
        let _ = self.early_end.set(EarlyEnd { gone, at: self.clock.now() });
    }

    pub(crate) fn early_end(&self) -> Option<EarlyEnd> {
        self.early_end.get().copied()
    }

    /// Whether what goes on ends now, whatever was planned.
    pub(crate) fn is_over(&self) -> bool {
        self.is_interrupted() || self.early_end.get().is_some()
    }

    /// A connection is open: what its TLS has agreed on, if it has.
    pub(crate) fn note_agreed(&self, link: &ClientLink) {
        if self.plan.trust.is_some() && self.agreed.get().is_none() {
            // Another thread's is as good.
            let _ = link.agreed().map(|agreed| self.agreed.set(agreed));
        }
    }

    /// One figure, summed over the receiving threads.
    pub(crate) fn sum(&self, figure: impl Fn(&ReaderGauges) -> &AtomicU64) -> u64 {
        let values = self.readers.iter().map(|gauges| figure(gauges).load(Acquire));
        values.fold(0, u64::saturating_add)
    }

    /// The parts of the measured time, once it is known when that begins and ends.
    pub(crate) fn parts(&self) -> Parts {
        let times = &self.milestones;
        Parts::new(&self.plan, times.mark.load(Acquire), times.end.load(Acquire))
    }

    /// Connections that there are, when so many were ended by the leading thread.
    pub(crate) fn connected(&self, dropped: u64) -> u64 {
        let opened = self.sum(|gauges| &gauges.ready) + self.sum(|gauges| &gauges.came);
        let gone = self.sum(|gauges| &gauges.closed) + self.sum(|gauges| &gauges.left);
        opened.saturating_sub(gone + dropped)
    }

    /// Members that are connected and read as fast as they can.
    pub(crate) fn readers_left(&self) -> u64 {
        self.connected.iter().map(|room| u64::from(room.load(Acquire))).sum()
    }

    pub(crate) fn published_in(&self, stream: u32) -> u32 {
        self.published[stream as usize].load(Acquire)
    }

    pub(crate) fn taken_in(&self, stream: u32) -> u32 {
        self.taken[stream as usize].load(Acquire)
    }
}
