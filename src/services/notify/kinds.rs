//! What the types of notifications mean where a sender says nothing else.

use std::time::Duration;

use super::v1::{Importance, NotificationType};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest that a notification is worth telling, and with it the longest that anything is kept of it.
pub const LIFE_MAX: Duration = DAY.saturating_mul(90);

/// How loud a notification of this type is.
pub fn importance(kind: NotificationType) -> Importance {
    match kind {
        NotificationType::System => Importance::High,
        _ => Importance::Normal,
    }
}

/// How long a notification of this type is worth telling.
pub fn life(kind: NotificationType) -> Duration {
    match kind {
        NotificationType::System => LIFE_MAX,
        NotificationType::Chat => DAY * 14,
        _ => DAY * 30,
    }
}

/// What a sender said, else what the template says, else the last resort.
pub fn kind(said: NotificationType, template: Option<NotificationType>) -> NotificationType {
    let chosen = [Some(said), template].into_iter().flatten().find(|kind| *kind != NotificationType::Unspecified);
    chosen.unwrap_or(NotificationType::Custom)
}

/// The same for the importance of a type.
pub fn loudness(said: Importance, template: Option<Importance>, kind: NotificationType) -> Importance {
    let chosen = [Some(said), template].into_iter().flatten().find(|importance| *importance != Importance::Unspecified);
    chosen.unwrap_or_else(|| importance(kind))
}
