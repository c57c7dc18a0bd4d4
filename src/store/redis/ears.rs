//! The one connection on which this process listens, for all of its listeners.
//!
//! Promises: after the connection was lost, everybody hears again within about a second of the server's return, and is told first that
//! something may have been missed. A connection that only seems to be alive is found within two seconds. Whoever wants to listen while
//! others do shares their way to the server, and may wait for it as long as its patience lasts.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::aio::{PubSub, PubSubSink, PubSubStream};
use bb8_redis::redis::{Msg, RedisResult, Value};
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

/// What came of a command; the error, of which the connection is lost, is for the log.
type Confirmed = std::result::Result<(), String>;

/// Requests to listen that are taken to the server together. As many wait in the queue; who comes then waits for a place in it.
const ASKS_MAX: usize = 1024;

/// Channels that one command names.
const CHANNELS_MAX: usize = 1024;

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
        let ended = || StoreError::Unavailable("nobody listens any more".to_owned());
        self.asks.send(Ask { channel, reply }).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
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
    async fn serve(&mut self, connection: PubSub) -> Confirmed {
        let (mut sink, mut stream) = connection.split();
        let channels: Vec<String> = self.listeners.channels().map(str::to_owned).collect();
        if !channels.is_empty() {
            subscribe(&mut sink, &channels).await?;
            info!("redis is heard again");
            self.listeners.gap();
        }
        let mut beat = interval(BEAT);
        let mut asked = Vec::with_capacity(ASKS_MAX);
        loop {
            // Each of these loses nothing when another is first; messages, which may never end, come last.
            tokio::select! {
                biased;
                _ = beat.tick() => self.beat(&mut sink, &mut stream).await?,
                count = self.asks.recv_many(&mut asked, ASKS_MAX) => match count {
                    0 => return Ok(()),
                    _ => self.add(asked.drain(..), &mut sink, &mut stream).await?,
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

    async fn add(&mut self, asked: impl Iterator<Item = Ask>, sink: &mut PubSubSink, stream: &mut PubSubStream) -> Confirmed {
        // First the listeners, then the subscription, or what comes right behind its confirmation would be lost. Whoever stopped waiting
        // wants none.
        let (mut waiting, mut channels) = (Vec::new(), Vec::new());
        for Ask { channel, reply } in asked.filter(|ask| !ask.reply.is_closed()) {
            waiting.push((reply, self.listeners.add(&channel)));
            channels.push(channel);
        }
        channels.sort_unstable();
        channels.dedup();
        let answer = self.hearing(stream, subscribe(sink, &channels)).await;
        for (reply, receiver) in waiting {
            drop(reply.send(answer.clone().map(|()| receiver).map_err(StoreError::Unavailable)));
        }
        answer
    }

    async fn beat(&mut self, sink: &mut PubSubSink, stream: &mut PubSubStream) -> Confirmed {
        let left = self.listeners.sweep();
        self.hearing(stream, async {
            for some in left.chunks(CHANNELS_MAX) {
                confirmed(sink.unsubscribe(some)).await?;
            }
            // Without it, a server that vanished would be waited for as long as TCP does.
            match timeout(2 * CONFIRM_PATIENCE, sink.ping::<Value>()).await {
                Ok(answer) => answer.map(drop).map_err(|error| error.to_string()),
                Err(_) => Err("no answer to a ping".to_owned()),
            }
        })
        .await
    }

    /// Waits for an answer of the server, and says meanwhile what comes, however often somebody asks.
    async fn hearing(&mut self, stream: &mut PubSubStream, answer: impl Future<Output = Confirmed>) -> Confirmed {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                message = stream.next() => self.say(&message.ok_or("the connection was closed")?),
            }
        }
    }

    fn say(&mut self, message: &Msg) {
        self.listeners.say(message.get_channel_name(), &Bytes::copy_from_slice(message.get_payload_bytes()));
    }
}

async fn subscribe(sink: &mut PubSubSink, channels: &[String]) -> Confirmed {
    for some in channels.chunks(CHANNELS_MAX) {
        confirmed(sink.subscribe(some)).await?;
    }
    Ok(())
}

async fn confirmed(answer: impl Future<Output = RedisResult<()>>) -> Confirmed {
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
