//! How often everything happened that the run is for.

macro_rules! happenings {
    ($($name:ident)*) => {
        /// Something that must happen often enough for the run to mean anything.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Happened { $($name),* }

        const ALL: &[Happened] = &[$(Happened::$name),*];
    };
}

happenings! {
    // What the client does in the middle of something else.
    LeaveWhileJoining CloseWhileJoining CloseMidFrame CloseMidPass CloseWithBegunSend
    SlotReusedWithMessageInFlight DescriptorReused
    // What the engine does under pressure.
    SpillUsed RoomPaused RoomResumed LogDroppedUnderBlockedMember Gap JumpedToNewest ExcludedSenderBehind
    PublisherHomeAndMemberOnOneShard Paused Resumed CallerToldFull
    // What it does while memory is short, all of it in the end to no avail or not needed any more.
    MemoryRefusedRoom MemoryRefusedJoin MemoryRefusedConnection MemoryLeftUnread MemoryStruckMember MemoryStruckSender
    MemoryPausedPublish MemoryEased EndedStruck MessageEvicted HistoryGaveWay
    // What the harness does to it.
    HeldWhole HeldPart HeldProgress HeldBeforeTheEnd
    ShortWrite RefusedSend WritableAgain FailedSend EndOfStream Reset StalledReader SplitMidFrame
    RingFull QuantumCutShort SendsOverlap StaleEvent LatePull OneClockBehind FragmentedMessage
    Slept SpuriousWritable SilentClient StubbornClient Drain DrainUnderFaults StalledInDrain
    // What clients and callers ask for, and get.
    GuidedIn GuidedOut GuidedButEnded ProgramRefused ExcludedByProgram
    Recovered TooOld Replayed RoomWentOn HistoryWaited RoomPausedForHistory
    NamedRoom HandedOver StayedAtHome StayedForLoad StayedForRing HandedIntoDrain EndedOnTheWay
    JoinAgain JoinRecovered JoinNotRecovered LeaveAnswered EchoFalsePublish NotAMember TooManyRooms
    TooManyRoomsInAll TooManyMemberships RateLimited TooManyFrames
    BadEnvelope UnknownEvent HandlerCalled HandlerFailed CallerAnswered Emitted EmitNotFound EmitDidNotFit
    Forbidden Decided Rewritten Refreshed BadToken EvictedByToken Revoked
    LargeMessage Verbatim TextCalled BinaryCalled RoomsListed RoomOutlivedItsMembers
    WatchedJoin WatchedLeave WatchedOccupied WatchedVacated
    KeyRepeated KeyAnew KeyForgotten KeyOutlivedRoom
    PresenceAsked PresenceWatched PresenceJoined PresenceLeft PresenceCoalesced PresenceExact PresenceOfTooMany
    PresenceChangeOfTooMany PresenceParked PresenceParkedAndLeft PresenceRefused
    LingerEnded LingerFull LingerEndedByDrain LingeredTogether LingeredBehindPass LeftWhileLingering
    RoomLivedAgain RoomEnded MessagesCounted MembersCounted PublishedCounted
    // What happens to event streams, and to rooms with members of several formats.
    StreamEvent StreamPositions StreamRecovered StreamNotRecovered StreamLineBreaks StreamBinary StreamGap StreamCommented StreamCutMidFrame StreamToldItsEnd
    StreamEndedIdle StreamWaited StreamGoneWhileJoining AllFormatsInOneRoom FormatJoinedMidPass FormatLeftMidPass
    // What happens to clients that agree to compression.
    Deflated NotDeflated NotDeflatedInThisTurn SentDeflated DeflateJoinedMidPass DeflateLeftMidPass
    // How connections end.
    EndedNormal EndedLost EndedIdle EndedMidMessage EndedShutdown EndedProtocol EndedBinary EndedBadUtf8
    EndedBadDeflate
    EndedKicked EndedExpired EndedTooBig EndedRate EndedCapacity EndedSlowTimer EndedSlowOwnBytes Pinged CloseTimedOut
}

/// One counter for each.
#[derive(Clone)]
pub(crate) struct Count([u64; ALL.len()]);

/// Each must happen so often over a whole run.
const LEAST: u64 = 300;

impl Count {
    pub(crate) fn new() -> Count {
        Count([0; ALL.len()])
    }

    pub(crate) fn add(&mut self, what: Happened) {
        self.0[what as usize] += 1;
    }

    pub(crate) fn add_many(&mut self, many: u64, what: Happened) {
        self.0[what as usize] += many;
    }

    pub(crate) fn add_if(&mut self, condition: bool, what: Happened) {
        self.0[what as usize] += u64::from(condition);
    }

    pub(crate) fn merge(&mut self, other: &Count) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// A run in which something hardly happened says nothing about it.
    pub(crate) fn check_coverage(&self, seeds: u64) {
        let rare = ALL.iter().filter(|what| self.0[**what as usize] < LEAST);
        let rare: Vec<String> =
            rare.map(|what| format!("{what:?} ({})", self.0[*what as usize])).collect();
        assert!(
            rare.is_empty(),
            "every one of the {seeds} seeds passed, so this is no defect of the engine: it is \
             coverage. These happened less than {LEAST} times, and a run without them shows \
             nothing about them: {}. The count is the same on every machine; so a change of the \
             engine or of this simulation has made them rarer. Make them likelier again, in \
             `faults.rs` or where `Happened` is counted, or run more seeds (CORECAST_SEEDS={}).",
            rare.join(", "),
            seeds * 2
        );
    }

    pub(crate) fn print(&self) {
        for what in ALL {
            println!("{:>10} {what:?}", self.0[*what as usize]);
        }
    }
}
