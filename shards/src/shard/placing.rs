//! Where connections begin whose first room is known, and how they are handed from shard to shard.

use super::Shard;
use crate::id::ShardId;
use crate::mesh::{Parcel, ToHome};
use crate::placement::{Placement, Stay, most_held};
use crate::room_name::RoomName;

impl Shard {
    /// Command: decides where a connection that has not begun is to live, whose first room is this.
    /// `held` says how many connections a shard has, those included that are on their way to it.
    /// `claim` adds one to those of a shard that has fewer than so many, and says whether it did:
    /// in one step, since other shards decide at the same time. It is called last, so that what it
    /// claims is used.
    ///
    /// A driver that is told [`Placement::There`] hands it over with [`hand_over`](Shard::hand_over)
    /// before anything else happens to the shard, or has it begin here after all.
    pub fn placement(
        &mut self,
        room: &RoomName,
        held: impl Fn(ShardId) -> u64,
        claim: impl FnOnce(ShardId, u64) -> bool,
    ) -> Placement {
        let home = self.home(room);
        let placement = match self.why_stay(home, held, claim) {
            Some(stay) => Placement::Here(stay),
            None => Placement::There(home),
        };
        if let Placement::Here(stay) = placement {
            self.host.counters.placement.stayed[stay.index()] += 1;
        }
        placement
    }

    /// Command: hands a connection to the shard where it is to live. It comes out of
    /// [`Outputs::next_parcel`](super::Outputs::next_parcel) of that one.
    pub fn hand_over(&mut self, to: ShardId, parcel: Parcel) {
        self.host.counters.placement.handed_over += 1;
        self.host.outboxes.push_to_home(to, ToHome::HandOver { parcel });
    }

    /// Event: a connection that another shard had handed over begins here.
    pub fn on_taken_over(&mut self) {
        self.host.counters.placement.taken_over += 1;
    }

    /// Whether connections begin here: not once it has stopped reading. One that was handed over
    /// before that is to be answered as it would have been by any shard.
    pub fn takes_connections(&self) -> bool {
        self.host.reading
    }

    /// Whether connections are here that another shard has handed over and that have not begun.
    pub fn has_parcels(&self) -> bool {
        !self.host.outputs.parcels.is_empty()
    }

    /// Why a connection stays here and does not go to this home.
    fn why_stay(
        &self,
        home: ShardId,
        held: impl Fn(ShardId) -> u64,
        claim: impl FnOnce(ShardId, u64) -> bool,
    ) -> Option<Stay> {
        if home == self.id {
            return Some(Stay::AtHome);
        } else if !self.host.reading {
            return Some(Stay::Draining);
        }
        let outboxes = &self.host.outboxes;
        let total = outboxes.shards().map(&held).sum();
        let most = most_held(total, u64::from(self.host.config.shards));
        if held(home) >= most {
            Some(Stay::Loaded)
        } else if !outboxes.has_capacity_for_caller(home) {
            Some(Stay::RingFull)
        } else if !claim(home, most) {
            // Others were faster.
            Some(Stay::Loaded)
        } else {
            None
        }
    }

    /// A connection is handed over to this shard.
    pub(super) fn take_parcel(&mut self, parcel: Parcel) {
        self.host.outputs.parcels.push_back(parcel);
    }
}
