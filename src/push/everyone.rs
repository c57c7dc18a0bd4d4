//! Messages to every session of every node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::entry::Entry;
use super::hub::{Hub, store_failed};
use super::rules::Delivery;
use crate::failure::Result;
use crate::store::Signal;

/// The channel that every node hears.
const CHANNEL: &str = "everyone";

/// The pause before listening is tried again.
const RETRY: Duration = Duration::from_millis(500);

// === impl Hub ===

impl Hub {
    /// Sends a message to every session of every node. Who is not there misses it.
    pub(super) async fn to_everyone(&self, number: u32, payload: Bytes) -> Result<()> {
        let entry = Entry { epoch: String::new(), number, payload, leave: None };
        self.0.store.publish(CHANNEL, entry.encode_to_vec().into()).await.map(drop).map_err(store_failed)
    }

    fn say_to_all(&self, entry: &Entry) {
        let rules = self.rules();
        let Some(push) = rules.push(entry.number) else { return };
        if let Delivery::BestEffort(_) = push.delivery {
            let Ok(publication) = push.publication(entry.payload.clone()) else { return };
            let publication = Arc::new(publication);
            self.0.sessions.all().iter().for_each(|session| _ = session.publish(&publication));
        } else {
            let bytes_max = self.0.sessions.settings().ring_bytes_max;
            self.0.sessions.all().iter().for_each(|session| _ = session.push(entry.number, entry.payload.clone(), bytes_max));
        }
    }
}

/// Hears what is for everyone.
pub async fn keep_hearing(hub: Hub) {
    let mut signals: Option<mpsc::Receiver<Signal>> = None;
    loop {
        match &mut signals {
            None => match hub.0.store.listen(CHANNEL).await {
                Ok(channel) => signals = Some(channel),
                Err(_) => sleep(RETRY).await,
            },
            Some(channel) => match channel.recv().await {
                Some(Signal::Message(message)) => {
                    if let Ok(entry) = Entry::decode(message) {
                        hub.say_to_all(&entry);
                    }
                }
                // Who is not there misses it.
                Some(Signal::Gap) => {}
                None => signals = None,
            },
        }
    }
}
