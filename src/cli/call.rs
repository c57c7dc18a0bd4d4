//! `protogate call`: be a client from the terminal, once or for as long as there is something to hear.
//!
//! With `--format json` the gateway does the translating and nothing but an address is needed; with `--format proto` the request is
//! encoded here, by the descriptors of `--config`, exactly as a game's client would. What `--follow` does stands in `follow`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::timeout;

use super::client::{Client, Lost};
use super::dictionary::{Dictionary, Request, cannot_ask};
use super::follow::Follow;
use super::streaming::{self, Asked};
use super::typing::typed_lines;
use super::{Config, Data, Exit};
use crate::pipeline::signer::Signer;
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;
use crate::table::plan::Plan;
use crate::wire::{Codec, v1};

/// How long a token of `--as` is good. One that follows renews it.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// Call a route and print the reply as JSON; with --follow, stay and take part in what comes.
///
/// A stream is printed line by line as it comes, and ends with its failure or well.
///
/// Followed, a reply is `= NUMBER JSON`, a push is `← NUMBER [NAME] [TOPIC#OFFSET] JSON`, what becomes of the connection begins with `*`, and
/// failures go to standard error. Lines on standard input are further calls, such as `2003 {"roomId":"42"}`. Pushes are acknowledged, and
/// a lost connection is resumed where the gateway allows it. The end of standard input ends nothing; SIGINT and --for end it well.
///
/// Example: protogate call 9001 '{"text":"hello"}' --as alice --roles player
#[derive(Args)]
pub struct Call {
    /// The protocol number. It may be left out where there is something to follow.
    #[arg(required_unless_present = "follow")]
    protocol: Option<u32>,

    /// The request, as JSON; `{}` where nothing is said.
    request: Option<String>,

    /// The method takes a stream: each line on standard input is a further message, and the end of it ends the stream. With --config that
    /// is known by itself. Without a request the first line is the first message.
    #[arg(long, conflicts_with = "follow")]
    stream: bool,

    /// Call this next, once the call before it is answered: a number and JSON. As often as you like.
    #[arg(long, value_name = "CALL")]
    then: Vec<Request>,

    /// Stay connected: print pushes as they come, and call what is typed.
    #[arg(long)]
    follow: bool,

    /// Follow for so many seconds.
    #[arg(long = "for", value_name = "SECONDS", requires = "follow", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,

    /// Where the gateway listens.
    #[arg(long, env = "PROTOGATE_URL", default_value = "ws://127.0.0.1:7080/ws")]
    url: String,

    /// Show this token.
    #[arg(long, value_name = "TOKEN", env = "PROTOGATE_TOKEN", hide_env_values = true, conflicts_with = "user")]
    token: Option<String>,

    /// Call as this user, with a token of the development issuer.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,

    /// The roles of that token.
    #[arg(long, value_delimiter = ',', requires = "user")]
    roles: Vec<String>,

    /// How the envelope travels.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,

    /// Call so many times, one after the other, over one connection.
    #[arg(long, default_value_t = 1)]
    repeat: u32,

    /// Longest wait for one reply, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,

    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Proto,
}

/// How a client comes to its gateway, and comes back.
pub struct Way {
    pub url: String,
    pub codec: Codec,
    pub patience: Duration,
    token: Token,
}

/// What a client shows.
enum Token {
    None,
    Given(String),
    /// Made when it is needed.
    Issued {
        signer: Box<Signer>,
        user: String,
        roles: Vec<String>,
    },
}

// === impl Call ===

impl Call {
    pub fn run(self) -> Result<(), Exit> {
        let script = self.script()?;
        let way =
            Way { url: self.url.clone(), codec: self.format.codec(), patience: Duration::from_secs(self.patience), token: self.token()? };
        let dictionary = self.dictionary()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for one connection");
        if self.follow {
            let follow = Follow::new(way, dictionary, script.into(), typed_lines());
            return runtime.block_on(follow.run(self.seconds.map(Duration::from_secs)));
        }
        runtime.block_on(converse(&way, &dictionary, &script, &self))
    }

    /// What to call, in this order.
    fn script(&self) -> Result<Vec<Request>, Exit> {
        let first = self.protocol.map(|number| Request::new(number, self.request.as_deref().unwrap_or_default())).transpose();
        let first = first.map_err(cannot_ask)?;
        let round: Vec<Request> = first.into_iter().chain(self.then.iter().cloned()).collect();
        Ok(round.iter().cycle().take(round.len() * self.repeat as usize).cloned().collect())
    }

    fn token(&self) -> Result<Token, Exit> {
        Ok(match (&self.token, &self.user) {
            (Some(token), _) => Token::Given(token.clone()),
            (None, Some(user)) => Token::Issued { signer: Box::new(self.data.signer()?), user: user.clone(), roles: self.roles.clone() },
            (None, None) => Token::None,
        })
    }

    /// Binary needs the files. JSON takes names from them, where they are named: others than the gateway's would only mislead.
    fn dictionary(&self) -> Result<Dictionary, Exit> {
        let plan = match self.format {
            Format::Json if self.config.config.is_none() => None,
            Format::Json => self.plan(),
            Format::Proto => match self.plan() {
                Some(plan) => Some(plan),
                None => return Err(Exit::new(1, "error: the configuration has errors, see `protogate check`")),
            },
        };
        Ok(Dictionary::new(self.format.codec(), plan))
    }

    fn plan(&self) -> Option<Plan> {
        reload::check(&self.config.inputs(Context::default()), None, &Pools::default()).plan
    }
}

// === impl Format ===

impl Format {
    fn codec(self) -> Codec {
        match self {
            Format::Json => Codec::Json,
            Format::Proto => Codec::Proto,
        }
    }
}

// === impl Way ===

impl Way {
    /// A token that is good now, if there is any.
    pub fn token(&self) -> Option<String> {
        match &self.token {
            Token::None => None,
            Token::Given(token) => Some(token.clone()),
            Token::Issued { .. } => self.fresh_token(),
        }
    }

    /// A token that is better than the one before.
    pub fn fresh_token(&self) -> Option<String> {
        match &self.token {
            Token::Issued { signer, user, roles } => Some(signer.issue_development(user, roles, TOKEN_LIFE)),
            _ => None,
        }
    }

    pub async fn connect(&self) -> Result<Client, Exit> {
        Client::connect(&self.url, self.codec, self.token().as_deref(), self.patience).await
    }
}

/// Calls, one after the other, and leaves. With `takes_stream`, what is typed goes on with what each call began.
async fn converse(way: &Way, dictionary: &Dictionary, script: &[Request], call: &Call) -> Result<(), Exit> {
    let payloads: Result<Vec<_>, Exit> = script.iter().map(|request| Ok((request.number, dictionary.encode(request)?))).collect();
    let payloads = payloads?;
    let mut typed = None;
    let mut client = way.connect().await?;
    let hello = timeout(way.patience, client.hear()).await.map_err(|_| Lost::Broken("no greeting in time".to_owned()))??;
    let hello: v1::Hello = dictionary.read("Hello", &hello.payload).map_err(Lost::Malformed)?;
    for ((number, payload), id) in payloads.iter().zip(1..) {
        let takes_stream = call.stream || dictionary.takes_stream(*number);
        let is_typed = takes_stream && call.request.is_none() && call.protocol == Some(*number);
        let first = (!is_typed).then_some(payload.as_slice());
        let asked = Asked { number: *number, id, first, patience: way.patience, credit: hello.stream_credit };
        let typed = takes_stream.then(|| typed.get_or_insert_with(typed_lines));
        streaming::ask(&mut client, dictionary, asked, typed).await?;
    }
    client.leave().await;
    Ok(())
}
