//! `protogate register`: an endpoint is known to gateways for as long as it runs.
//!
//! Promises: a command is known once its port accepts connections; whenever it is to end, gateways are told first, and it is asked to end
//! only after they have stopped to call it; what it ends with is what this ends with.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitStatus;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::services::{cannot, endpoint};
use super::{CANNOT_START, Exit, UNREADABLE, USAGE};
use crate::backend::{EndpointSpec, GrpcSpec, SpecKind, Written};
use crate::config::value::{Duration, EndpointUrl, Value};
use crate::registry::v1::RegisterRequest;
use crate::services::registrar::Registrar;
use crate::telemetry::log::{Format, Log};

/// The variable that may hold the token. The command does not get it.
const TOKEN: &str = "PROTOGATE_REGISTRY_TOKEN";

/// What the Registry takes.
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 5..=300;

/// How long a command may take until its port accepts connections.
const START_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// How often it is tried whether it does, and how long one try may take.
const TRY: std::time::Duration = std::time::Duration::from_millis(100);

/// Register an endpoint of a backend with `registry:` for as long as this runs, or as COMMAND does.
///
/// It registers where services push (`push:` in gateway.yaml). COMMAND is registered once its port accepts connections. When this is asked
/// to end (SIGTERM, SIGINT), gateways are told first, then COMMAND gets the signal, and its exit code is that of this. COMMAND runs in the
/// background of the terminal, so that Ctrl-C reaches this first.
///
/// Example: protogate register --push http://127.0.0.1:7082 --backend game --url http://127.0.0.1:50051 -- ./game-server
#[derive(Args)]
pub struct Register {
    /// Where services push at a gateway, such as `http://127.0.0.1:7082`. Several may be named: one of them suffices.
    #[arg(long, value_name = "URL", value_parser = endpoint, required = true)]
    push: Vec<EndpointUrl>,

    /// The backend in the route files.
    #[arg(long, value_name = "NAME")]
    backend: String,

    /// The endpoint: `http://10.0.0.5:50051`, `https://` for TLS; without an address (`http://:50051`) the one that the gateway sees.
    #[arg(long, value_name = "URL")]
    url: String,

    /// Its share of the calls, compared with the others'.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    weight: u32,

    /// Where it is, for people.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,

    /// What it runs, for people.
    #[arg(long, value_name = "NAME")]
    version: Option<String>,

    /// How long it is called after it was last heard of, if it ends without a word.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    ttl: Duration,

    /// How long gateways have to stop calling it before COMMAND is asked to end.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    grace: Duration,

    /// A file that holds the backend's token [default: the token is in the environment, as PROTOGATE_REGISTRY_TOKEN].
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,

    /// What is to run.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What this is asked by.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

// === impl Register ===

impl Register {
    pub fn run(self) -> Result<(), Exit> {
        let port = self.own_port()?;
        let token = self.token()?;
        Log::install(Format::Human, tracing::Level::INFO.into()).map_err(cannot("the log cannot be installed"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot("it cannot start"))?;
        runtime.block_on(async {
            let signals = Signals::new().map_err(cannot("signals cannot be received"))?;
            let registrar = self.registrar(&token)?;
            let command = self.start()?;
            self.accompany(registrar, port, command, signals).await
        })
    }

    /// Where the endpoint is tried, once it was seen that it could be one.
    fn own_port(&self) -> Result<SocketAddr, Exit> {
        let url = self.url.replacen("://:", "://127.0.0.1:", 1);
        if !TTL_SECONDS.contains(&self.ttl.0.as_secs()) || self.ttl.0.subsec_nanos() != 0 {
            return Err(Exit::new(USAGE, "error: a lease (`--ttl`) lasts 5s to 5m, in whole seconds"));
        }
        let written = Written { weight: self.weight, zone: self.zone.clone(), version: self.version.clone(), ..Written::at(url) };
        let wrong = |problem| Exit::new(USAGE, format!("error: {problem}"));
        let spec = written.read().map_err(wrong)?;
        let address = spec.host.parse().map(|address| SocketAddr::new(address, spec.port));
        address.map_err(|_| wrong(format!("`{}` is no IP address, and the host of an endpoint is one, or nothing", spec.host)))
    }

    fn token(&self) -> Result<String, Exit> {
        if let Some(path) = &self.token_file {
            let unreadable = |error| Exit::new(UNREADABLE, format!("error: cannot read {}: {error}", path.display()));
            return std::fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(unreadable);
        }
        let help = format!("error: there is no token\n  help: set {TOKEN}, or name a file that holds it with `--token-file`");
        std::env::var(TOKEN).map_err(|_| Exit::new(USAGE, help))
    }

    fn registrar(&self, token: &str) -> Result<Registrar, Exit> {
        let gateways = self.push.iter().map(|url| EndpointSpec::new(url.host.as_str(), url.port, url.tls)).collect();
        let request = RegisterRequest {
            backend: self.backend.clone(),
            url: self.url.clone(),
            weight: self.weight,
            zone: self.zone.clone().unwrap_or_default(),
            version: self.version.clone().unwrap_or_default(),
            ttl_seconds: u32::try_from(self.ttl.0.as_secs()).unwrap_or(u32::MAX),
        };
        let kind = SpecKind::Grpc(Box::new(GrpcSpec::at(gateways)));
        Registrar::new(kind, token, request, &Handle::current()).map_err(cannot("gateways cannot be asked"))
    }

    /// In a group of its own: what is typed at the terminal must not reach it before gateways have heard that it leaves.
    fn start(&self) -> Result<Option<Child>, Exit> {
        let [program, arguments @ ..] = self.command.as_slice() else { return Ok(None) };
        let mut command = Command::new(program);
        command.args(arguments).env_remove(TOKEN).process_group(0).kill_on_drop(true);
        command.spawn().map(Some).map_err(cannot(format!("cannot run {program}")))
    }

    async fn accompany(
        &self,
        registrar: Registrar,
        port: SocketAddr,
        mut command: Option<Child>,
        mut signals: Signals,
    ) -> Result<(), Exit> {
        let leave = CancellationToken::new();
        let process = command.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        let is_command = process.is_some();
        let mut registered = pin!(async {
            match is_command {
                true if !accepts(port, &leave).await => Err(Exit::new(CANNOT_START, late(port))),
                _ => registrar.stay(&leave).await.map_err(|failure| {
                    Exit::new(1, super::harmless(&format!("error: the gateway refused: {} ({})", failure.message(), failure.reason())))
                }),
            }
        });
        let (mut asked, mut left, mut ended) = (None, None, None);
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => match (signal, &left) {
                    (Signal::HUP, _) | (_, Some(_)) => send(process.filter(|_| ended.is_none()), signal),
                    (signal, None) => {
                        asked = Some(signal);
                        leave.cancel();
                    }
                },
                status = wait(&mut command), if ended.is_none() => {
                    ended = Some(status.map_err(cannot("the command is lost"))?);
                    leave.cancel();
                }
                result = &mut registered, if left.is_none() => {
                    // One that was never registered is not called.
                    if result.is_ok() && asked.is_some() && is_command {
                        sleep(self.grace.0).await;
                    }
                    let signal = if result.is_ok() { asked } else { Some(Signal::TERM) };
                    left = Some(result);
                    if let Some(signal) = signal.filter(|_| ended.is_none()) {
                        send(process, signal);
                    }
                }
            }
            if let Some(result) = left.take_if(|_| ended.is_some() || !is_command) {
                return result.and(ended.map_or(Ok(()), ending));
            }
        }
    }
}

/// Waits until the port takes connections. True also when nobody wants to know any more.
async fn accepts(port: SocketAddr, leave: &CancellationToken) -> bool {
    let port = if port.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, port.port())) } else { port };
    let patience = Instant::now() + START_PATIENCE;
    while !leave.is_cancelled() && !matches!(timeout(TRY, TcpStream::connect(port)).await, Ok(Ok(_))) {
        if Instant::now() > patience {
            return false;
        }
        sleep(TRY).await;
    }
    true
}

fn late(port: SocketAddr) -> String {
    format!("error: nothing accepts connections at {port}, so it was not registered and is ended")
}

async fn wait(command: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match command {
        Some(command) => command.wait().await,
        None => pending().await,
    }
}

fn send(process: Option<Pid>, signal: Signal) {
    if let Some(process) = process
        && let Err(error) = kill_process(process, signal)
    {
        warn!(%error, "the command does not get the signal");
    }
}

/// As shells say it.
fn ending(status: ExitStatus) -> Result<(), Exit> {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if code == 0 { Ok(()) } else { Err(Exit::new(code, "")) }
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).map_err(|problem| format!("{}; write it like {}", problem.why, Duration::EXAMPLE))
}

// === impl Signals ===

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
