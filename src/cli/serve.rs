//! `protogate serve`: start, say where, run until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::check::{error_code, summary};
use super::{CANNOT_START, Config, Data, Exit, USAGE};
use crate::diagnostic::render::{self, Color};
use crate::gateway::inherited::Inherited;
use crate::gateway::{Gateway, Options, StartError};
use crate::table::compile::Context;

/// Start the gateway.
///
/// It runs until SIGTERM, SIGINT, or `protogate drain`, and then has every client move before it ends, as `drain` in gateway.yaml says: in
/// development at once, else within 30 s. A second signal ends it at once. SIGHUP reads the files again. Sockets that systemd gives
/// (`LISTEN_FDS`, named `edge`, `admin`, `push`) are used instead of the addresses.
///
/// Example: protogate serve --config routes --listen 127.0.0.1:7080
#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    data: Data,

    /// Where clients connect; over `listen.address` of gateway.yaml. Port 0 takes any.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The operator's door; over `admin.address` of gateway.yaml. Port 0 takes any.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,

    /// Where services push from outside; over `push.address` of gateway.yaml, which must have a `push` section. Port 0 takes any.
    #[arg(long, value_name = "ADDRESS")]
    push: Option<SocketAddr>,

    /// Write the addresses to this file once connections are accepted, as JSON.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

// === impl Serve ===

impl Serve {
    pub fn run(self) -> Result<(), Exit> {
        let unusable = |error| Exit::new(CANNOT_START, format!("error: the sockets that were given cannot be used: {error}"));
        let inherited = Inherited::take().map_err(unusable)?;
        // What is safe depends on where it really listens.
        let [listen, admin, push] = inherited.addresses().map_err(unusable)?;
        let push_wanted = self.push.or(push).is_some();
        let context =
            Context { listen: listen.or(self.listen), admin: admin.or(self.admin), push: push.or(self.push), ..Context::default() };
        let (inputs, data) = (self.config.inputs(context), self.data.folder());
        let options = Options { inputs, data, ready_file: self.ready_file, own_process: true, inherited };
        let gateway = Gateway::start(options).map_err(refused)?;
        if push_wanted && gateway.push_address().is_none() {
            return Err(Exit::new(
                USAGE,
                "error: `--push`, or a socket of that name, says where services push, but gateway.yaml has no `push`, which says who may",
            ));
        }
        gateway.run_until_signalled().map_err(refused)
    }
}

/// Why something did not start, for the terminal.
pub(super) fn refused(error: StartError) -> Exit {
    match error {
        StartError::Configuration(checked) => {
            let told = render::human(&checked.report, &checked.sources, Color::Plain);
            Exit::new(
                error_code(&checked.report),
                format!("{told}{}\nerror: not started, because the configuration has errors", summary(&checked)),
            )
        }
        StartError::Io { what, error } => Exit::new(CANNOT_START, format!("error: {what}: {error}")),
    }
}
