//! How fast one may talk, counted in the store: over all processes, rooms and private messages.

use std::time::Duration;

use super::refusals;
use crate::services::refusal::Result;
use crate::store::{Key, Store};

const WINDOW: Duration = Duration::from_secs(10);
const MESSAGES: u64 = 20;

/// Counts a message that somebody wants to send.
pub async fn count(store: &Store, user: &str) -> Result<()> {
    let count = store.count(&Key::new("chatflood", user), 1, WINDOW).await?;
    if count.value > MESSAGES { Err(refusals::too_many_messages(count.left)) } else { Ok(()) }
}
