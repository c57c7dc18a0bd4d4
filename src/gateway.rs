//! The composition root: builds each part once, wires them, runs, and takes them down in order.
//!
//! This is the only place where rooms are wired together, and nothing anywhere is global: a test may run many gateways in one process.
//! Order up: back room, first table, log, edge, admin, watch. Order down: see `draining`.

mod back_room;
pub mod development;
pub mod draining;
pub mod inherited;
mod push_side;
mod signals;
mod supervisor;

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::back_room::{BackRoom, wait_for, wait_on};
use self::inherited::Inherited;
use self::signals::Signals;
use crate::admin::{self, Admin, Ready};
use crate::clock::Clock;
use crate::config::Environment;
use crate::data::DataFolder;
use crate::drain::Tasks;
use crate::edge::{self, Edge};
use crate::failure::Failure;
use crate::files::Fingerprint;
use crate::proto::Pools;
use crate::push::{self, Hub};
use crate::reflection::{Bounds, Drift};
use crate::registry::Registry;
use crate::reload::desk::Desk;
use crate::reload::history::Cause;
use crate::reload::{self, Breaking, Checked, Inputs, Origin, Outcome, Reloader, log_findings};
use crate::services;
use crate::services::notify::sender::Sender;
use crate::services::pusher::Pusher;
use crate::session::revocation::Revocation;
use crate::session::{Node, PATIENCE, Sessions};
use crate::store;
use crate::table::link::{Cells, Living};
use crate::table::settings::AdminToken;
use crate::table::{Fixed, TableReader};
use crate::telemetry::log::{Format, Log};
use crate::telemetry::observers::Observers;
use crate::telemetry::seldom::Seldom;
use crate::telemetry::verbosity::Verbosity;
use crate::watch;

/// How often the log says that somebody asks the admin side with a wrong token.
const STRANGERS_SAID_EVERY: Duration = Duration::from_secs(10);

/// What a gateway is started with.
pub struct Options {
    pub inputs: Inputs,
    pub data: DataFolder,
    /// Written once connections are accepted and signals are heard: `{"edge": "127.0.0.1:41234", "admin": "127.0.0.1:41235"}`, and
    /// `push` where services push from outside.
    pub ready_file: Option<PathBuf>,
    /// Whether the process is the gateway's: it installs the log, and hears signals.
    pub own_process: bool,
    /// Sockets that listen already, instead of those that would be bound.
    pub inherited: Inherited,
}

/// A running gateway. Dropping it ends it without waiting for calls in flight.
pub struct Gateway {
    edge: Edge,
    admin: SocketAddr,
    push: Option<SocketAddr>,
    reloader: Arc<Reloader>,
    sessions: Sessions,
    /// Heard from before the first client is served, where the process is the gateway's.
    signals: Option<Signals>,
    ready: Ready,
    /// Asks it to drain, and says that it does.
    draining: CancellationToken,
    /// Its listener was open before it and will be after it.
    inherited: bool,
    ready_file: Option<PathBuf>,
    tasks: Arc<Tasks>,
    back_room: BackRoom,
}

/// Why a gateway did not start.
pub enum StartError {
    /// What `check` says.
    Configuration(Box<Checked>),
    Io {
        what: String,
        error: io::Error,
    },
}

// === impl Gateway ===

impl Gateway {
    /// Starts everything; when this returns, connections are accepted.
    pub fn start(mut options: Options) -> Result<Gateway, StartError> {
        if options.inputs.environment != Environment::Production {
            options.inputs.context.development = Some(development::signer(&options.data)?);
        }
        let back_room = BackRoom::open().map_err(io_error("the back room cannot start"))?;
        let files = match &options.inputs.origin {
            Origin::Folder(folder) => folder.display().to_string(),
            Origin::Shipped => "compiled in, since there is no folder `routes`".to_owned(),
        };
        let desk = Desk::open().map_err(io_error("the thread that compiles cannot start"))?;
        let (mut inputs, mut pools, mut checked) = check_at(&desk, options.inputs, Pools::default());
        if checked.plan.is_none() {
            return Err(StartError::Configuration(Box::new(checked)));
        }
        let (tasks, clock, cells) = (Arc::new(Tasks::new()), Clock::system(), Cells::default());
        let room = back_room.handle();
        let store = wait_on(&room, store::open(&checked.fixed.store, &options.data))
            .map_err(|problem| io_error("the store cannot be opened")(io::Error::other(problem)))?;
        if let Some(signer) = inputs.context.development.take() {
            let shared = development::share(&store, &room, &options.data, &signer)?;
            // With another key other tokens are believed; whether the files are sound does not depend on it.
            if shared.pkcs8() != signer.pkcs8() {
                inputs.context.development = Some(shared);
                (inputs, pools, checked) = check_at(&desk, inputs, pools);
            } else {
                inputs.context.development = Some(signer);
            }
        }
        if let Some(signer) = &inputs.context.development {
            tasks.spawn(&room, development::keep(store.clone(), signer.pkcs8().to_vec()));
        }
        let sessions = Sessions::new(store.clone(), clock.clone(), room.clone());
        let node = wait_for(&room, || Node::join(sessions.clone()))
            .map_err(|error| io_error("the store cannot be used")(io::Error::other(error)))?;
        node.start(&tasks, &room);
        let hub = Hub::new(sessions.clone(), store.clone(), clock.clone(), room.clone());
        hub.start(&tasks);
        let pusher = Pusher::inside(push::api::service(hub.clone()), &room);
        let (rules, registered_in) = (cells.registry.clone(), store.clone());
        let services = services::Context {
            store,
            clock: clock.clone(),
            signing: cells.signing.clone(),
            accounts: cells.accounts.clone(),
            outbox: options.data.path().join("outbox"),
        };
        let builtins = Arc::new(services::builtins(room.clone(), services, pusher, &tasks));
        let registry = Registry::new(registered_in, rules, builtins.directory().clone());
        registry.start(&tasks, &room);
        let notify = Sender::to(&builtins);
        let observers = Arc::new(Observers::default());
        tasks.spawn_gently(&room, export_spans(Arc::clone(&observers), tasks.stopping()));
        let living =
            Living::new(Arc::clone(&builtins), sessions.clone(), hub.clone(), cells, Arc::clone(&observers), checked.fixed.workers);
        let reloader = Arc::new(Reloader::start(desk, inputs, pools, &mut checked, living));
        let reader = reloader.reader();
        let log = match options.own_process {
            true => Some(install_log(reloader.fixed(), &reader)?),
            false => None,
        };
        log_findings(&checked);

        let fixed = reloader.fixed().clone();
        let token = match fixed.admin_token {
            Some(token) => token,
            None => AdminToken(options.data.admin_token().map_err(io_error("the admin token cannot be made"))?.into()),
        };
        let Inherited { edge: inherited_edge, admin: inherited_admin, push: inherited_push } = options.inherited;
        let inherited = inherited_edge.is_some();
        let listener = inherited_admin
            .map_or_else(|| TcpListener::bind(fixed.admin), Ok)
            .map_err(io_error(format!("the admin side cannot listen on {}", fixed.admin)))?;
        let admin = listener.local_addr().map_err(io_error("the admin side has no address"))?;
        let signals = {
            let _inside = room.enter();
            options.own_process.then(Signals::new).transpose().map_err(io_error("signals cannot be received"))?
        };
        let edge = inherited_edge
            .map_or_else(|| edge::bind(fixed.listen), Ok)
            .and_then(|socket| Edge::start(socket, fixed.workers, reader.clone(), admin.port()))
            .map_err(io_error(format!("cannot listen on {}", fixed.listen)))?;
        let (ready, draining) = (Ready::default(), CancellationToken::new());
        let drift = Drift::default();
        let verbosity = Arc::new(Verbosity::default());
        let door = Admin {
            token,
            reloader: Arc::clone(&reloader),
            ready: ready.clone(),
            draining: draining.clone(),
            notify,
            drift: drift.clone(),
            edge: edge.address(),
            connections: Box::new(edge.counter()),
            anonymous: Box::new(edge.anonymous_counter()),
            connected: edge.inquirer(),
            outboxes: edge.outboxes(),
            observers,
            started_ms: clock.now_ms(),
            verbosity: Arc::clone(&verbosity),
            strangers: Seldom::new(STRANGERS_SAID_EVERY),
        };
        let admin = admin::start(door, listener, &back_room.handle(), &tasks).map_err(io_error("the admin side cannot start"))?;
        let push = match fixed.push {
            None => None,
            Some(side) => Some(push_side::open(side, inherited_push, hub.clone(), registry, &reader, &room, &tasks)?),
        };
        tasks.spawn(&back_room.handle(), watch::watch(Arc::clone(&reloader)));
        tasks.spawn(&back_room.handle(), reload::recent::follow(Arc::clone(&reloader)));
        tasks.spawn(&back_room.handle(), drift.watch(reader.clone(), builtins, Bounds::default()));
        tasks.spawn(&back_room.handle(), follow_log_settings(log, reader, verbosity));

        ready.set(true);
        let ready_file = options.ready_file;
        let gateway = Gateway { edge, admin, push, reloader, sessions, signals, ready, draining, inherited, ready_file, tasks, back_room };
        let routes = gateway.reloader.reader().load().routes().count();
        let push = push.map(tracing::field::display);
        info!(edge = %gateway.edge_address(), admin = %admin, push, files, routes, "protogate is ready");
        Ok(gateway)
    }

    /// Where clients connect.
    pub fn edge_address(&self) -> SocketAddr {
        self.edge.address()
    }

    /// Where the operator's door is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where services push from outside, if they may.
    pub fn push_address(&self) -> Option<SocketAddr> {
        self.push
    }

    /// What is live.
    pub fn fingerprint(&self) -> Fingerprint {
        self.reloader.reader().load().fingerprint
    }

    /// Which table is live: 1 at the start, one more for each reload that changed something.
    pub fn generation(&self) -> u64 {
        self.reloader.reader().load().generation.0
    }

    /// Reads the files again, as SIGHUP does. Blocks while it compiles.
    pub fn reload(&self) -> Outcome {
        self.reloader.reload(Cause::Signal, None, Breaking::AsConfigured)
    }

    /// Reads the certificates again, and them alone, as happens by itself when their files change.
    pub fn renew_certificates(&self) {
        self.reloader.renew_certificates();
    }

    /// Sends a message to every session of a user, on whatever node, as its number is declared, and else as a session's own; in protobuf.
    /// How many were reached, or are on their way to another node.
    pub async fn push(&self, user: &str, number: u32, payload: Bytes) -> Result<usize, Failure> {
        let user = user.to_owned();
        let declared = self.reloader.reader().load().push(number).cloned();
        let send = |sessions: Sessions| async move {
            match declared {
                Some(declared) => declared.send(&sessions, &user, None, payload).await,
                None => sessions.push(&user, None, number, payload).await,
            }
        };
        self.sessions.ask(PATIENCE, send).await.map(|reached| reached.len())
    }

    /// The bytes that wait for clients to read them, over all connections.
    pub fn outbox_bytes(&self) -> usize {
        self.edge.outboxes().used()
    }

    /// From now on no node believes what is revoked, and whoever is connected by it is sent away.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), Failure> {
        self.sessions.ask(PATIENCE, |sessions| async move { sessions.revoke(&revocation).await }).await
    }

    fn addresses(&self) -> Value {
        let mut addresses = json!({ "edge": self.edge_address().to_string(), "admin": self.admin.to_string() });
        if let Some(push) = self.push {
            addresses["push"] = push.to_string().into();
        }
        addresses
    }
}

/// The first check, where every later one is made too.
fn check_at(desk: &Desk, inputs: Inputs, pools: Pools) -> (Inputs, Pools, Checked) {
    let check = move || {
        let checked = reload::check(&inputs, None, &pools);
        (inputs, pools, checked)
    };
    desk.work(check).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Says to whoever waits for this file where a process listens, once it does.
pub fn write_ready_file(path: &Path, addresses: &Value) -> io::Result<()> {
    // Written beside and renamed, so that whoever waits for the file never reads half of it.
    let draft = path.with_extension("new");
    std::fs::write(&draft, format!("{addresses}\n"))?;
    std::fs::rename(&draft, path)
}

/// Keeps the log's level what the live table says, once a second, or what the operator says instead, at once.
async fn follow_log_settings(log: Option<Log>, reader: TableReader, verbosity: Arc<Verbosity>) {
    let Some(log) = log else { return };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = verbosity.changed() => {}
            _ = tick.tick() => {}
        }
        let live = reader.load();
        log.set_level(verbosity.said(live.generation).unwrap_or(live.settings.log_level).into());
    }
}

/// Exports the spans of calls until the gateway ends.
async fn export_spans(observers: Arc<Observers>, stopping: impl Future<Output = ()>) {
    observers.tracer.export(stopping).await;
}

fn install_log(fixed: &Fixed, reader: &TableReader) -> Result<Log, StartError> {
    let format = if fixed.log_json { Format::Json } else { Format::Human };
    Log::install(format, reader.load().settings.log_level.into())
        .map_err(|error| StartError::Io { what: "the log cannot be installed".to_owned(), error: io::Error::other(error) })
}

fn io_error(what: impl Display) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Io { what: what.to_string(), error }
}
