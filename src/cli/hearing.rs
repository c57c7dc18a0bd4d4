//! What a client that stays does about what it hears.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{Client, Heard, Lost, Said};
use super::follow::{End, Follow, show};
use super::lines;
use crate::failure::Code;
use crate::wire::{Status, number, v1};

/// How long a stream may say nothing. Gateways end one sooner.
const STREAM_WAIT: Duration = Duration::from_secs(30 * 86_400);

// === impl Follow ===

impl Follow {
    /// Prints it, remembers it, answers it: whatever it is for.
    pub(super) async fn take(&mut self, client: &mut Client, heard: &Heard) -> Result<(), End> {
        if heard.protocol == number::STREAM && heard.failure.is_none() {
            return self.take_stream(client, heard).await;
        }
        let asked = if heard.id == 0 { None } else { self.waiting.remove(&heard.id) };
        match &heard.failure {
            Some(status) if asked.as_ref().is_some_and(|asked| asked.number == number::RESUME) => Err(not_resumed(status)),
            // Without being asked it is a topic that ended, and the status says why.
            Some(status) if heard.protocol != number::UNSUBSCRIBE || heard.id != 0 => {
                eprintln!("{}", lines::failed(heard.protocol, status));
                Ok(())
            }
            _ if heard.protocol < number::APPLICATION_MIN => match self.take_own(client, heard).await {
                Ok(went) => went,
                Err(problem) => show(&lines::notice(&format!("{} could not be read: {problem}", heard.protocol))),
            },
            _ if heard.id != 0 => show(&lines::reply(heard.protocol, &self.json(heard))),
            _ => {
                if self.standing.is_new(heard) {
                    show(&lines::push(heard, &self.dictionary))?;
                }
                self.owe();
                Ok(())
            }
        }
    }

    /// A message of a stream, or its good end.
    async fn take_stream(&mut self, client: &mut Client, heard: &Heard) -> Result<(), End> {
        let Some(stream) = self.waiting.get_mut(&heard.id) else { return Ok(()) };
        let number = stream.number;
        if heard.is_done {
            self.waiting.remove(&heard.id);
            return show(&lines::notice(&format!("the stream of {number} has ended")));
        }
        if !heard.more {
            return Ok(());
        }
        // It takes as long as it takes.
        stream.until = Instant::now() + STREAM_WAIT;
        show(&lines::reply(number, &self.dictionary.reply(number, &heard.payload).unwrap_or_else(|problem| problem)))?;
        client.say(Said { id: heard.id, credit: 1, ..Said::default() }).await.map_err(End::Lost)
    }

    /// One of the gateway's own. The error says why it is none that is known here.
    async fn take_own(&mut self, client: &mut Client, heard: &Heard) -> Result<Result<(), End>, String> {
        let (dictionary, payload) = (&self.dictionary, &*heard.payload);
        let line = match heard.protocol {
            number::HELLO => lines::hello(&dictionary.read("Hello", payload)?),
            number::READY | number::REFRESH_TOKEN => {
                let ready: v1::Ready = dictionary.read("Ready", payload)?;
                self.standing.ready(&ready);
                self.token_user.get_or_insert_with(|| ready.user.clone());
                self.tries = 0;
                lines::ready(&ready)
            }
            number::RESUMED => {
                let resumed: v1::Resumed = dictionary.read("Resumed", payload)?;
                self.standing.resumed(&resumed);
                self.tries = 0;
                lines::resumed(&resumed)
            }
            number::PING => return Ok(self.say(client, number::PONG, heard.id, &heard.payload).await),
            number::PONG => return Ok(Ok(())),
            number::TOKEN_EXPIRING => match self.way.fresh_token().filter(|_| self.is_by_token()) {
                Some(token) => {
                    let refresh = dictionary.write("RefreshToken", &v1::RefreshToken { token });
                    return Ok(self.ask(client, number::REFRESH_TOKEN, &refresh).await);
                }
                None => lines::notice("the token expires soon"),
            },
            number::RECONNECT => {
                let reconnect: v1::Reconnect = dictionary.read("Reconnect", payload)?;
                if reconnect.can_resume {
                    self.move_at = Some(Instant::now() + Duration::from_millis(reconnect.delay_ms.into()));
                }
                lines::notice(&format!("asked to move to another connection in {} ms: {}", reconnect.delay_ms, reconnect.reason))
            }
            number::GOODBYE => {
                let goodbye: v1::Goodbye = dictionary.read("Goodbye", payload)?;
                let line = lines::goodbye(&goodbye);
                self.goodbye = Some(goodbye);
                line
            }
            number::SUBSCRIBE => {
                let subscribed: v1::Subscribed = dictionary.read("Subscribed", payload)?;
                self.standing.subscribed(&subscribed);
                lines::subscribed(&subscribed)
            }
            number::UNSUBSCRIBE => {
                let ended: v1::Unsubscribe = dictionary.read("Unsubscribe", payload)?;
                self.standing.unsubscribed(&ended.topic);
                lines::unsubscribed(&ended.topic, heard.failure.as_ref())
            }
            _ => return Err("it is none of the gateway's messages".to_owned()),
        };
        Ok(show(&line))
    }

    fn json(&self, heard: &Heard) -> String {
        self.dictionary.reply(heard.protocol, &heard.payload).unwrap_or_else(|problem| problem)
    }
}

/// A gateway that cannot do it now may be asked again.
fn not_resumed(status: &Status) -> End {
    if status.code == Code::Unavailable.number() {
        return End::Lost(Lost::Broken(format!("{}: {}", status.reason, status.message)));
    }
    End::Gone(status.clone())
}
