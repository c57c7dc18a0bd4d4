//! `protogate services`: a built-in service as a process of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::body::Incoming;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tonic::body::Body;
use tower::Service;
use tracing::{info, warn};

use super::serve::refused;
use super::{CANNOT_START, Config, Data, Exit};
use crate::backend::{EndpointSpec, GrpcSpec, SpecKind};
use crate::clock::Clock;
use crate::config::Environment;
use crate::config::value::{EndpointUrl, Value};
use crate::drain::Tasks;
use crate::gateway::{StartError, development, write_ready_file};
use crate::proto::Pools;
use crate::reload::{self, Inputs, log_findings};
use crate::services::hasher::Hasher;
use crate::services::pusher::Pusher;
use crate::services::{self, alone, auth, chat, game, notify};
use crate::store::{self, Store};
use crate::table::compile::Context;
use crate::table::link::Cells;
use crate::table::plan::Plan;
use crate::telemetry::log::{Format, Log};

/// Threads for calls. Hashing has its own.
const THREADS: usize = 2;

/// How long calls in flight may take when it ends.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection to the gateway may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Run built-in services as processes of their own.
///
/// A gateway calls one where its route file says `grpc: { endpoints: [...] }` instead of `builtin: …`. It takes the store from gateway.yaml.
/// It believes what gateways tell it of their clients, so nobody else may reach it: keep it on loopback or in a network of gateways alone.
///
/// Example: protogate services auth --listen 127.0.0.1:7090
#[derive(Subcommand)]
pub enum Services {
    /// Serve accounts to gateways elsewhere.
    ///
    /// A gateway calls it where its route file says `auth: { grpc: { endpoints: ["http://127.0.0.1:7090"] } }` instead of `builtin`. It
    /// takes the store, `auth.signing`, `auth.accounts` and `auth.mail` from gateway.yaml, and reads them again on SIGHUP. It believes
    /// what gateways tell it of their clients, so nobody else may reach it: keep it on loopback or in a network of gateways alone.
    ///
    /// Example: protogate services auth --listen 127.0.0.1:7090
    Auth(Alone),

    /// Serve games to gateways elsewhere.
    ///
    /// A gateway calls it where its route file says `game: { grpc: { endpoints: ["http://127.0.0.1:7091"] } }` instead of `builtin`. It
    /// takes the store from gateway.yaml, and reaches clients by the PushService of a gateway. It believes what gateways tell it of their
    /// clients, so nobody else may reach it: keep it on loopback or in a network of gateways alone.
    ///
    /// Example: protogate services game --push http://127.0.0.1:7082 --listen 127.0.0.1:7091
    Game(Pushing),

    /// Serve chat to gateways elsewhere.
    ///
    /// A gateway calls it where its route file says `chat: { grpc: { endpoints: ["http://127.0.0.1:7092"] } }` instead of `builtin`. It
    /// takes the store from gateway.yaml, and reaches clients by the PushService of a gateway. It believes what gateways tell it of their
    /// clients, so nobody else may reach it: keep it on loopback or in a network of gateways alone.
    ///
    /// Example: protogate services chat --push http://127.0.0.1:7082 --listen 127.0.0.1:7092
    Chat(Pushing),

    /// Serve notifications to gateways and senders elsewhere.
    ///
    /// A gateway calls it where its route file says `notify: { grpc: { endpoints: ["http://127.0.0.1:7093"] } }` instead of `builtin`;
    /// services that send call its NotifyAdmin. It takes the store and `auth.mail` from gateway.yaml, reads the latter again on SIGHUP, and
    /// reaches clients by the PushService of a gateway. Whoever reaches it may tell anybody anything: keep it on loopback or in a network
    /// of gateways and senders alone.
    ///
    /// Example: protogate services notify --push http://127.0.0.1:7082 --listen 127.0.0.1:7093
    Notify(Pushing),
}

/// What every service is told.
#[derive(Args)]
pub struct Alone {
    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,

    /// Where gateways connect [default: 127.0.0.1, port 7090 for auth, 7091 for game, 7092 for chat, 7093 for notify]. Port 0 takes any.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Write the address to this file once calls are answered, as JSON.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// What a service is told that reaches clients.
#[derive(Args)]
pub struct Pushing {
    #[command(flatten)]
    alone: Alone,

    #[command(flatten)]
    gateway: PushDoor,
}

/// How clients are reached. Not to be printed: it holds a token.
#[derive(Args)]
struct PushDoor {
    /// The PushService of a gateway, such as `http://127.0.0.1:7082`.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    push: EndpointUrl,

    /// What the PushService asks for. Whoever lists processes sees arguments: the environment keeps it to this one.
    #[arg(long, value_name = "TOKEN", env = "PROTOGATE_PUSH_TOKEN", hide_env_values = true)]
    push_token: String,
}

/// What a service is made of.
struct Parts {
    context: services::Context,
    hasher: Hasher,
    runtime: Handle,
    tasks: Arc<Tasks>,
}

// === impl Services ===

impl Services {
    pub fn run(self) -> Result<(), Exit> {
        match self {
            Services::Auth(alone) => alone.run("auth", 7090, |parts| Ok(auth::service(parts.context, parts.hasher, &parts.runtime))),
            Services::Game(Pushing { alone, gateway }) => alone.run("game", 7091, |parts| {
                let pusher = gateway.pusher(&parts.runtime)?;
                Ok(game::service(parts.context, pusher, parts.hasher, &parts.runtime, &parts.tasks))
            }),
            Services::Chat(Pushing { alone, gateway }) => alone.run("chat", 7092, |parts| {
                let pusher = gateway.pusher(&parts.runtime)?;
                Ok(chat::service(parts.context.store, parts.context.clock, pusher, &parts.runtime))
            }),
            Services::Notify(Pushing { alone, gateway }) => alone.run("notify", 7093, |parts| {
                let pusher = gateway.pusher(&parts.runtime)?;
                Ok(notify::service(&parts.context, pusher, &parts.runtime))
            }),
        }
    }
}

// === impl PushDoor ===

impl PushDoor {
    fn pusher(&self, runtime: &Handle) -> Result<Pusher, Exit> {
        let EndpointUrl { tls, host, port } = self.push.clone();
        let at = GrpcSpec::at(vec![EndpointSpec::new(host, port, tls)]);
        let kind = SpecKind::Grpc(Box::new(GrpcSpec { connect_timeout: CONNECT_TIMEOUT, ..at }));
        Pusher::remote(kind, &self.push_token, runtime).map_err(cannot("clients cannot be reached"))
    }
}

// === impl Alone ===

impl Alone {
    fn run<S>(self, name: &'static str, port: u16, make: impl FnOnce(Parts) -> Result<S, Exit>) -> Result<(), Exit>
    where
        S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let mut inputs = self.inputs()?;
        let pools = Pools::default();
        let mut checked = reload::check(&inputs, None, &pools);
        let Some(plan) = checked.plan.take() else { return Err(refused(StartError::Configuration(Box::new(checked)))) };
        let (json, level) = (plan.fixed.log_json, plan.settings.log_level);
        Log::install(if json { Format::Json } else { Format::Human }, level.into()).map_err(cannot("the log cannot be installed"))?;
        log_findings(&checked);

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(cannot("it cannot start"))?;
        let tasks = Arc::new(Tasks::new());
        let store = runtime.block_on(store::open(&plan.fixed.store, &self.data.folder())).map_err(cannot("the store cannot be opened"))?;
        let plan = match inputs.context.development.take() {
            None => plan,
            // Gateways that share this store believe the key in it.
            Some(own) => {
                let shared = development::share(&store, runtime.handle(), &self.data.folder(), &own).map_err(refused)?;
                tasks.spawn(runtime.handle(), development::keep(store.clone(), shared.pkcs8().to_vec()));
                inputs.context.development = Some(shared);
                reload::check(&inputs, None, &pools).plan.unwrap_or(plan)
            }
        };
        let ran = runtime.block_on(self.serve((name, port), &inputs, (store, plan), &tasks, make));
        runtime.shutdown_timeout(Duration::from_secs(2));
        ran
    }

    /// The files, and in development the key that a gateway with this data folder signs with too.
    fn inputs(&self) -> Result<Inputs, Exit> {
        let mut context = Context::default();
        if self.config.environment != Environment::Production {
            context.development = Some(development::signer(&self.data.folder()).map_err(refused)?);
        }
        Ok(self.config.inputs(context))
    }

    async fn serve<S>(
        &self,
        (name, port): (&'static str, u16),
        inputs: &Inputs,
        (store, plan): (Store, Plan),
        tasks: &Arc<Tasks>,
        make: impl FnOnce(Parts) -> Result<S, Exit>,
    ) -> Result<(), Exit>
    where
        S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let cannot_hear = cannot("signals cannot be received");
        let mut terminate = signal(SignalKind::terminate()).map_err(&cannot_hear)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(&cannot_hear)?;
        let mut again = signal(SignalKind::hangup()).map_err(&cannot_hear)?;

        let cells = Cells::default();
        let context = services::Context {
            store,
            clock: Clock::system(),
            signing: cells.signing.clone(),
            accounts: cells.accounts.clone(),
            outbox: self.data.folder().path().join("outbox"),
        };
        cells.tell(plan);
        let runtime = Handle::current();
        let service = make(Parts { context, hasher: Hasher::new(), runtime: runtime.clone(), tasks: Arc::clone(tasks) })?;
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listener = TcpListener::bind(listen).map_err(cannot(format!("cannot listen on {listen}")))?;
        let address = alone::serve(service, listener, &runtime, tasks);
        let address = address.map_err(cannot(format!("cannot listen on {listen}")))?;
        if !address.ip().is_loopback() {
            warn!(%address, "whoever reaches this address is believed to be a gateway");
        }
        if let Some(path) = &self.ready_file {
            write_ready_file(path, &json!({ "services": address.to_string() }))
                .map_err(cannot(format!("cannot write {}", path.display())))?;
        }
        info!(%address, service = name, "serving");
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(()) = again.recv() => read_again(inputs, &cells),
            }
        }
        tasks.drain(DRAIN_PATIENCE).await;
        info!("stopped");
        Ok(())
    }
}

/// What is hot of the settings. Compiling takes milliseconds, in which the other thread answers.
fn read_again(inputs: &Inputs, cells: &Cells) {
    let mut checked = reload::check(inputs, None, &Pools::default());
    log_findings(&checked);
    match checked.plan.take() {
        Some(plan) => {
            cells.tell(plan);
            info!("the settings were read again");
        }
        None => warn!("the settings have errors, the old ones stay"),
    }
}

pub(super) fn cannot<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl Fn(E) -> Exit {
    move |error| Exit::new(CANNOT_START, format!("error: {what}: {error}"))
}

pub(super) fn endpoint(text: &str) -> Result<EndpointUrl, String> {
    EndpointUrl::parse(text).map_err(|problem| format!("{}; write it like {}", problem.why, EndpointUrl::EXAMPLE))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        services: Services,
    }

    fn parse(line: &str) -> Result<Services, String> {
        Line::try_parse_from(line.split(' ')).map(|line| line.services).map_err(|error| error.to_string())
    }

    #[test]
    fn accounts_push_to_nobody_and_games_want_to_know_how() {
        let Ok(Services::Auth(auth)) = parse("services auth") else { panic!("it needs nothing") };
        assert_eq!(auth.listen, None);
        assert!(parse("services auth --push http://127.0.0.1:7082").is_err());
        assert!(parse("services game --push-token secret").err().unwrap().contains("--push <URL>"));
        assert!(parse("services game --push http://127.0.0.1:7082").err().unwrap().contains("--push-token <TOKEN>"));
        let line = "services game --push https://gateway.internal:7082 --push-token secret --listen 127.0.0.1:0";
        let Ok(Services::Game(Pushing { alone, gateway })) = parse(line) else { panic!("it is complete") };
        let EndpointUrl { tls, host, port } = gateway.push;
        assert_eq!((tls, host.as_str(), port, gateway.push_token.as_str()), (true, "gateway.internal", 7082, "secret"));
        assert_eq!(alone.listen.unwrap().port(), 0);
        assert!(matches!(parse(&line.replace("game", "chat")), Ok(Services::Chat(_))));
    }

    #[test]
    fn what_is_no_gateway_is_refused_with_an_example_and_the_token_is_not_shown() {
        for url in ["127.0.0.1:7082", "ws://127.0.0.1:7082", "http://127.0.0.1", "http://u:p@127.0.0.1:1", "http://127.0.0.1:1/x"] {
            let told = parse(&format!("services game --push-token s3cr3t --push {url}")).err().unwrap();
            assert!(told.contains("http://127.0.0.1:50051") && !told.contains("s3cr3t"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_token_that_http_does_not_allow_is_refused_unshown() {
        let push = endpoint("http://127.0.0.1:7082").unwrap();
        let door = PushDoor { push, push_token: "s3cr3t\n".to_owned() };
        let told = door.pusher(&Handle::current()).err().unwrap().message;
        assert!(told.contains("token") && !told.contains("s3cr3t"), "{told}");
    }
}
