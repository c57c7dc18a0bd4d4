//! The task that hears one topic for all of this node.
//!
//! Promise: whatever becomes of the signals, the entries of a topic with a history are said in order and once, and what its history does
//! not hold any more is said to be missing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::debug;

use super::entry::{Entry, Position};
use super::history::{channel, heard};
use super::hub::Hub;
use super::topic::{Next, Topic};
use crate::store::{Result, Signal};

/// The pause before the store is asked again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Listens as long as the topic is open. `ready` is told once everything that is said from then on is heard.
pub async fn keep_listening(hub: Hub, topic: Arc<Topic>, ready: watch::Sender<bool>) {
    let mut signals: Option<mpsc::Receiver<Signal>> = None;
    loop {
        let heard = match &mut signals {
            None => match hub.0.store.listen(&channel(&topic.name)).await {
                Ok(channel) => {
                    signals = Some(channel);
                    begin(&hub, &topic).await
                }
                Err(error) => Err(error),
            },
            Some(channel) => match channel.recv().await {
                Some(Signal::Message(message)) => match heard(&message) {
                    Some((offset, entry)) => hear(&hub, &topic, offset, entry).await,
                    None => Ok(()),
                },
                Some(Signal::Gap) => fetch(&hub, &topic).await,
                None => {
                    signals = None;
                    continue;
                }
            },
        };
        match heard {
            Ok(()) => drop(ready.send_if_modified(|ready| !std::mem::replace(ready, true))),
            Err(error) => {
                debug!(topic = &*topic.name, %error, "a topic could not be heard, trying again");
                // What is said meanwhile is found in the history.
                signals = None;
                sleep(RETRY).await;
            }
        }
    }
}

/// Finds out where the topic is, or what was said since it was last heard.
async fn begin(hub: &Hub, topic: &Topic) -> Result<()> {
    match (topic.rule.history, topic.at()) {
        (None, _) => Ok(()),
        (Some(bounds), None) => {
            topic.begin(hub.0.histories.end(&topic.name, bounds).await?);
            Ok(())
        }
        (Some(_), Some(_)) => fetch(hub, topic).await,
    }
}

async fn hear(hub: &Hub, topic: &Arc<Topic>, offset: u64, entry: Entry) -> Result<()> {
    if let Some(leave) = &entry.leave {
        hub.expelled(topic, leave);
        return Ok(());
    }
    if let Some(asked) = entry.asked {
        hub.asked_of_topic(topic, asked).await;
        return Ok(());
    }
    hub.note_lag(&entry);
    match topic.next(&entry.epoch, offset) {
        Next::Old => Ok(()),
        Next::Missing => fetch(hub, topic).await,
        Next::Say { new_epoch } => {
            say(hub, topic, offset, &entry, new_epoch, 0);
            Ok(())
        }
    }
}

/// Says all that the history holds and that was not said here.
async fn fetch(hub: &Hub, topic: &Topic) -> Result<()> {
    let (Some(bounds), Some(at)) = (topic.rule.history, topic.at()) else { return Ok(()) };
    let since = hub.0.histories.since(&topic.name, bounds, &at).await?;
    let same = since.end.epoch == at.epoch;
    if same && since.end.offset < at.offset {
        // It has lost what was said here already, and would use those offsets again.
        return hub.0.histories.doubt(&topic.name, bounds, &at).await;
    }
    let mut new_epoch = !same;
    let mut before = if same { at.offset } else { 0 };
    for (offset, entry) in &since.entries {
        let dropped = u32::try_from(offset - before - 1).unwrap_or(u32::MAX);
        say(hub, topic, *offset, entry, std::mem::take(&mut new_epoch), dropped);
        before = *offset;
    }
    Ok(())
}

fn say(hub: &Hub, topic: &Topic, offset: u64, entry: &Entry, new_epoch: bool, dropped: u32) {
    let at = (offset > 0).then(|| Position { epoch: entry.epoch.as_str().into(), offset });
    let epoch = if new_epoch { entry.epoch.as_str() } else { "" };
    // A number that no configuration knows any more still has its place.
    match hub.publication(topic, epoch, offset, entry, dropped) {
        Some(publication) => drop(topic.say(&publication, at)),
        None => topic.pass(at),
    }
}
