//! Whether a room's publishers are faster than its members here.

use super::Room;

impl Room {
    /// Decides whether publishers are too fast; returns whether the home is to learn of it.
    ///
    /// Counted are the bytes from where the previous pass began, and those that wait for members that are
    /// sent a history first: the backlog of slow members costs them their place in the log, and does not
    /// pause publishers.
    pub(crate) fn judge_back_pressure(&mut self) -> bool {
        let waiting = self.log.appended_bytes() - self.low_water_bytes;
        let waiting = waiting.max(self.log.bytes_behind_replays() as u64);
        let bytes_max = self.policy.log_bytes as u64;
        self.back_pressure.wanted = match self.back_pressure.wanted {
            true => waiting >= bytes_max / 4,
            false => waiting > bytes_max / 2,
        };
        self.back_pressure.announced != Some(self.back_pressure.wanted)
    }

    /// Whether publishers pause until members were sent their histories. Only a pass judges that anew.
    pub(crate) fn is_paused_for_replays(&self) -> bool {
        self.back_pressure.wanted && self.log.waits_for_replays()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{first, publish, room};

    #[test]
    fn pause_and_resume_have_a_distance() {
        let (mut room, mut pool) = room(1);
        for _ in 0..5 {
            publish(&mut room, &mut pool);
        }
        assert!(!room.judge_back_pressure(), "50 bytes are not more than half");
        publish(&mut room, &mut pool);
        assert!(room.judge_back_pressure());
        room.back_pressure.announced = Some(true);
        room.begin_pass();
        for _ in 0..3 {
            publish(&mut room, &mut pool);
        }
        room.move_cursor(first(), 7, &mut pool);
        room.end_pass(&mut pool);
        assert!(!room.judge_back_pressure(), "30 bytes are not below a quarter");
        room.begin_pass();
        room.move_cursor(first(), 10, &mut pool);
        room.end_pass(&mut pool);
        assert!(room.judge_back_pressure());
    }
}
