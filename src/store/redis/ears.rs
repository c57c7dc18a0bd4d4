//! The one connection on which this process listens, for all of its listeners.
//!
//! Promises: after the connection was lost, everybody hears again within about a second of the server's return, and is told first that
//! something may have been missed. A connection that only seems to be alive is found within two seconds.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::aio::{PubSub, PubSubSink};
use bb8_redis::redis::{Msg, RedisResult};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::connection::Dialer;
use crate::store::listeners::Listeners;
use crate::store::{Result, Signal, StoreError};

/// The task that listens. Ends when dropped.
pub struct Ears {
    asks: mpsc::Sender<Ask>,
    _task: AbortOnDropHandle<()>,
}

struct Ask {
    channel: String,
    reply: oneshot::Sender<Result<mpsc::Receiver<Signal>>>,
}

/// What the task owns.
struct Task {
    dialer: Arc<Dialer>,
    asks: mpsc::Receiver<Ask>,
    listeners: Listeners,
}

/// Requests to listen that may wait.
const ASKS_MAX: usize = 64;

/// How long the server may take to confirm; less than the patience of whoever asks.
const CONFIRM_PATIENCE: Duration = Duration::from_millis(200);

/// How often the connection is tried, and channels without listeners are left.
const BEAT: Duration = Duration::from_secs(1);

/// Before the first attempt to connect again, and at most before any.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

// === impl Ears ===

impl Ears {
    /// Listens on a connection that was just made, and on others after it.
    pub fn start(dialer: Arc<Dialer>, connection: PubSub) -> Ears {
        let (asks, queue) = mpsc::channel(ASKS_MAX);
        let runtime = dialer.runtime().clone();
        let task = Task { dialer, asks: queue, listeners: Listeners::default() };
        Ears { asks, _task: AbortOnDropHandle::new(runtime.spawn(task.run(connection))) }
    }

    pub async fn listen(&self, channel: String) -> Result<mpsc::Receiver<Signal>> {
        let (reply, answer) = oneshot::channel();
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        self.asks.try_send(Ask { channel, reply }).map_err(|_| unavailable("too many want to listen at once"))?;
        answer.await.unwrap_or_else(|_| Err(unavailable("nobody listens any more")))
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut connection: PubSub) {
        loop {
            let Err(lost) = self.serve(connection).await else { return };
            warn!("nothing is heard from redis, connecting again: {lost}");
            let mut pause = PAUSE_MIN;
            connection = loop {
                if self.rest(pause).await.is_none() {
                    return;
                }
                match self.dialer.dial_to_listen().await {
                    Ok(connection) => break connection,
                    Err(_) => pause = PAUSE_MAX.min(pause * 2),
                }
            };
        }
    }

    /// Hears until the connection is lost, or nobody can ask any more.
    async fn serve(&mut self, connection: PubSub) -> std::result::Result<(), String> {
        let (mut sink, mut stream) = connection.split();
        let channels: Vec<String> = self.listeners.channels().map(str::to_owned).collect();
        if !channels.is_empty() {
            confirmed(sink.subscribe(&channels)).await?;
            info!("redis is heard again");
            self.listeners.gap();
        }
        let mut beat = interval(BEAT);
        loop {
            // Each of these loses nothing when another is first; messages, which may never end, come last.
            tokio::select! {
                biased;
                _ = beat.tick() => self.beat(&mut sink).await?,
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.add(ask, &mut sink).await?,
                    None => return Ok(()),
                },
                message = stream.next() => self.say(&message.ok_or("the connection was closed")?),
            }
        }
    }

    /// Waits, and refuses whoever asks meanwhile. Nothing: nobody can ask any more.
    async fn rest(&mut self, pause: Duration) -> Option<()> {
        let mut over = pin!(sleep(spread(pause)));
        loop {
            tokio::select! {
                biased;
                () = &mut over => return Some(()),
                ask = self.asks.recv() => {
                    ask?.reply.send(Err(StoreError::Unavailable("no connection to listen on".to_owned()))).ok();
                }
            }
        }
    }

    async fn add(&mut self, ask: Ask, sink: &mut PubSubSink) -> std::result::Result<(), String> {
        // First the listener, then the subscription, or what comes right behind its confirmation would be lost.
        let receiver = self.listeners.add(&ask.channel);
        let answer = confirmed(sink.subscribe(&ask.channel)).await;
        // Whoever asked may have stopped waiting.
        match &answer {
            Ok(()) => drop(ask.reply.send(Ok(receiver))),
            Err(why) => drop(ask.reply.send(Err(StoreError::Unavailable(why.clone())))),
        }
        answer
    }

    async fn beat(&mut self, sink: &mut PubSubSink) -> std::result::Result<(), String> {
        let left = self.listeners.sweep();
        if !left.is_empty() {
            confirmed(sink.unsubscribe(&left)).await?;
        }
        // Without it, a server that vanished would be waited for as long as TCP does.
        timeout(2 * CONFIRM_PATIENCE, sink.ping::<bb8_redis::redis::Value>())
            .await
            .map_err(|_| "no answer to a ping".to_owned())?
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    fn say(&mut self, message: &Msg) {
        self.listeners.say(message.get_channel_name(), &Bytes::copy_from_slice(message.get_payload_bytes()));
    }
}

async fn confirmed(answer: impl Future<Output = RedisResult<()>>) -> std::result::Result<(), String> {
    match timeout(CONFIRM_PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not confirmed within {CONFIRM_PATIENCE:?}")),
    }
}

/// Between half of it and all of it, so that not all gateways come back in the same moment.
fn spread(pause: Duration) -> Duration {
    // Every `RandomState` has keys of its own.
    let half = pause / 2;
    half + half.mul_f64(f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX))
}
