//! What gives way when there is no room.
//!
//! Promises: nothing is dropped for what would not fit even so into its own outbox; every byte that is dropped is given back at once; the
//! work is bounded by what waits in this outbox.

use super::lane::Loss;
use super::{Full, Outbox, State};
use crate::telemetry::labels::Dropped;

// === impl Outbox ===

impl Outbox {
    /// Lets go of so many bytes, if so many may be dropped; latest states are kept. How many it let go.
    pub fn relieve(&self, bytes: usize) -> usize {
        let mut state = self.lock();
        let before = state.waiting();
        while before - state.waiting() < bytes && self.drop_oldest(&mut state, &[Loss::Oldest]) {}
        before - state.waiting()
    }

    /// Counts so many bytes, for which what may be dropped gives way.
    pub(super) fn make_room(&self, state: &mut State, added: usize) -> Result<(), Full> {
        self.make_own_room(state, added)?;
        self.take_room(state, added)
    }

    /// Makes room for so many bytes in this outbox, without counting them.
    pub(super) fn make_own_room(&self, state: &mut State, added: usize) -> Result<(), Full> {
        let bytes_max = self.budget.outbox_bytes_max();
        let droppable = state.lane.as_ref().map_or(0, |lane| lane.droppable_bytes());
        // Nothing is dropped for what does not fit anyway.
        if state.waiting() - droppable + added > bytes_max {
            return Err(Full::Own);
        }
        while state.waiting() + added > bytes_max {
            if !self.drop_oldest(state, &[Loss::Oldest, Loss::LatestState]) {
                return Err(Full::Own);
            }
        }
        Ok(())
    }

    /// Counts so many bytes, for which there is room in this outbox.
    pub(super) fn take_room(&self, state: &mut State, added: usize) -> Result<(), Full> {
        while !self.budget.try_take(added) {
            if !self.drop_oldest(state, &[Loss::Oldest, Loss::LatestState]) {
                return Err(Full::All);
            }
        }
        Ok(())
    }

    /// Drops one message, of the first kind of which there is one.
    fn drop_oldest(&self, state: &mut State, losses: &[Loss]) -> bool {
        let Some(lane) = &mut state.lane else { return false };
        let Some((loss, bytes)) = losses.iter().find_map(|loss| Some((*loss, lane.drop_oldest(*loss)?))) else { return false };
        self.budget.give_back(bytes);
        self.budget.pushes.dropped.count(match loss {
            Loss::Oldest => Dropped::DropOldest,
            Loss::LatestState => Dropped::Conflate,
        });
        state.count_loss();
        true
    }
}
