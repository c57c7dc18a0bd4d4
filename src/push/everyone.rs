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
use super::written::Asked;
use crate::failure::Result;
use crate::session::{Keeping, Pending, Place, Session};
use crate::store::Signal;

/// The channel that every node hears.
const CHANNEL: &str = "everyone";

/// The pause before listening is tried again.
const RETRY: Duration = Duration::from_millis(500);

// === impl Hub ===

impl Hub {
    /// Sends a message to every session of every node. Who is not there misses it. How many nodes hear it; they are `asked`, or not.
    pub(super) async fn to_everyone(&self, number: u32, payload: Bytes, asked: Option<Asked>) -> Result<u64> {
        let entry = Entry { number, payload, asked, said_ms: self.0.clock.now_ms(), ..Entry::default() };
        let hearing = self.0.store.publish(CHANNEL, entry.encode_to_vec().into()).await.map_err(store_failed)?;
        self.0.sessions.pushes().published.one();
        Ok(hearing)
    }

    async fn hear_for_all(&self, entry: Entry) {
        self.note_lag(&entry);
        let sessions = self.0.sessions.all();
        let keeping = self.say_to(&sessions, &entry);
        let Some(asked) = entry.asked else { return };
        // Where nobody knows the number, nobody gets it.
        let sessions = if keeping.is_some() { sessions } else { Vec::new() };
        let given = sessions.into_iter().map(|session| (session, Place(0)));
        self.0.sessions.answer(asked.question(), Pending::new(keeping.unwrap_or(Keeping::Passing), given)).await;
    }

    /// Nothing: there is no such push.
    fn say_to(&self, sessions: &[Arc<Session>], entry: &Entry) -> Option<Keeping> {
        let rules = self.rules();
        let push = rules.push(entry.number)?;
        if let Delivery::BestEffort(_) = push.delivery {
            let publication = Arc::new(push.publication(entry.payload.clone()).ok()?);
            sessions.iter().for_each(|session| _ = session.publish(&publication));
        } else {
            let bytes_max = self.0.sessions.settings().ring_bytes_max;
            sessions.iter().for_each(|session| _ = session.push(entry.number, entry.payload.clone(), bytes_max));
        }
        Some(push.delivery.keeping())
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
                        hub.hear_for_all(entry).await;
                    }
                }
                // Who is not there misses it.
                Some(Signal::Gap) => {}
                None => signals = None,
            },
        }
    }
}
