//! The coarse clock's moments: enough for limits given in seconds, and four bytes each.

use std::time::Duration;

/// The coarse clock's step: fine enough for limits given in seconds.
pub const STEP: Duration = Duration::from_millis(250);

/// A moment of the coarse clock, counted from its start. 32 bits last 34 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Tick(pub(super) u32);

// === impl Tick ===

impl Tick {
    pub const ZERO: Tick = Tick(0);
    pub const NEVER: Tick = Tick(u32::MAX);

    /// The first tick that is certainly not before `wait` has passed.
    pub fn after(self, wait: Duration) -> Tick {
        let steps = wait.as_millis().div_ceil(STEP.as_millis());
        Tick(u32::try_from(steps).map_or(u32::MAX, |steps| self.0.saturating_add(steps)))
    }

    /// How long it has been since an earlier one.
    pub fn since(self, earlier: Tick) -> Duration {
        STEP * self.0.saturating_sub(earlier.0)
    }
}
