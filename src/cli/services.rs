//! `protogate services`: a built-in service as a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::serve::refused;
use super::{CANNOT_START, Config, Data, Exit};
use crate::clock::Clock;
use crate::config::Environment;
use crate::drain::Tasks;
use crate::gateway::{StartError, development, write_ready_file};
use crate::proto::Pools;
use crate::reload::{self, Inputs, log_findings};
use crate::services::hasher::Hasher;
use crate::services::{self, alone, auth};
use crate::store::{self, Store};
use crate::table::compile::Context;
use crate::table::link::Cells;
use crate::table::plan::Plan;
use crate::telemetry::log::{Format, Log};

/// Threads for calls. Hashing has its own.
const THREADS: usize = 2;

/// How long calls in flight may take when it ends.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// Built-in services as processes of their own.
///
/// Example: protogate services auth --listen 127.0.0.1:7090
#[derive(Subcommand)]
pub enum Services {
    Auth(Auth),
}

/// Serve accounts to gateways elsewhere.
///
/// A gateway calls it where its route file says `auth: { grpc: { endpoints: ["http://127.0.0.1:7090"] } }` instead of `builtin`. It takes
/// the store, `auth.signing`, `auth.accounts` and `auth.mail` from gateway.yaml, and reads them again on SIGHUP. It believes what gateways
/// tell it of their clients, so nobody else may reach it: keep it on loopback or in a network of gateways alone.
///
/// Example: protogate services auth --listen 127.0.0.1:7090
#[derive(Args)]
pub struct Auth {
    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,

    /// Where gateways connect. Port 0 takes any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7090")]
    listen: SocketAddr,

    /// Write the address to this file once calls are answered, as JSON.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

// === impl Services ===

impl Services {
    pub fn run(self) -> Result<(), Exit> {
        let Services::Auth(auth) = self;
        auth.run()
    }
}

// === impl Auth ===

impl Auth {
    fn run(self) -> Result<(), Exit> {
        let mut inputs = self.inputs()?;
        let pools = Pools::default();
        let mut checked = reload::check(&inputs, None, &pools);
        let Some(plan) = checked.plan.take() else { return Err(refused(StartError::Configuration(Box::new(checked)))) };
        let log = plan.settings.log;
        Log::install(if log.json { Format::Json } else { Format::Human }, log.level.into())
            .map_err(cannot("the log cannot be installed"))?;
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
        let ran = runtime.block_on(self.serve(&inputs, store, plan, &tasks));
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

    async fn serve(&self, inputs: &Inputs, store: Store, plan: Plan, tasks: &Arc<Tasks>) -> Result<(), Exit> {
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
        let listener = TcpListener::bind(self.listen).map_err(cannot(format!("cannot listen on {}", self.listen)))?;
        let address = alone::serve(auth::service(context, Hasher::new(), &Handle::current()), listener, &Handle::current(), tasks);
        let address = address.map_err(cannot(format!("cannot listen on {}", self.listen)))?;
        if !address.ip().is_loopback() {
            warn!(%address, "whoever reaches this address is believed to be a gateway");
        }
        if let Some(path) = &self.ready_file {
            write_ready_file(path, &json!({ "services": address.to_string() }))
                .map_err(cannot(format!("cannot write {}", path.display())))?;
        }
        info!(%address, "serving accounts");
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

fn cannot<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl Fn(E) -> Exit {
    move |error| Exit::new(CANNOT_START, format!("error: {what}: {error}"))
}
