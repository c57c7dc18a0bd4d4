//! What the process is told from outside: SIGTERM and SIGINT end it gently, and at once when they come again; SIGHUP reads the files again.

use std::future::pending;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::warn;

use super::draining::BACK_ROOM_PATIENCE;
use super::{Gateway, StartError, io_error, supervisor, write_ready_file};
use crate::reload::Breaking;
use crate::reload::history::Cause;

/// All that is heard.
pub(super) struct Signals {
    pub stop: Stop,
    pub hangup: Signal,
}

/// SIGTERM and SIGINT are one request.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Gateway ===

impl Gateway {
    /// Runs until SIGTERM, SIGINT or the operator asks it to drain; SIGHUP reloads. The next SIGTERM or SIGINT ends it at once.
    pub fn run_until_signalled(mut self) -> Result<(), StartError> {
        let back_room = self.back_room.take();
        let ran = back_room.block_on(async {
            let Signals { mut stop, hangup: mut again } = match self.signals.take() {
                Some(signals) => signals,
                None => Signals::new().map_err(io_error("signals cannot be received"))?,
            };
            if let Some(path) = &self.ready_file {
                write_ready_file(path, &self.addresses()).map_err(io_error(format!("cannot write {}", path.display())))?;
            }
            supervisor::is_ready(self.edge_address());
            // While the files are read again this is heard all the same: however long that takes, no end waits for it.
            let mut reload: Option<JoinHandle<()>> = None;
            let by_operator = loop {
                tokio::select! {
                    biased;
                    () = stop.asked() => break false,
                    () = self.draining.cancelled() => break true,
                    () = ended(&mut reload), if reload.is_some() => {
                        reload = None;
                        supervisor::is_ready(self.edge_address());
                    }
                    // What comes meanwhile waits, once for all.
                    Some(()) = again.recv(), if reload.is_none() => {
                        supervisor::is_reloading();
                        let reloader = Arc::clone(&self.reloader);
                        reload = Some(spawn_blocking(move || drop(reloader.reload(Cause::Signal, None, Breaking::AsConfigured))));
                    }
                }
            };
            let pace = self.reloader.reader().load().settings.drain;
            let again = async {
                if by_operator {
                    // The first that a supervisor says, who does not know of it.
                    stop.asked().await;
                }
                stop.asked().await;
            };
            tokio::select! {
                biased;
                () = again => {
                    warn!("asked twice, ending at once");
                    self.edge.end_at_once().await;
                }
                () = self.drain_at(pace) => {}
            }
            Ok(())
        });
        back_room.shutdown_timeout(BACK_ROOM_PATIENCE);
        ran
    }
}

/// When the reload has ended. Cancel-safe.
async fn ended(reload: &mut Option<JoinHandle<()>>) {
    match reload {
        Some(reload) => reload.await.expect("a reload does not panic and is not aborted"),
        None => pending().await,
    }
}

// === impl Signals ===

impl Signals {
    /// Must be called on a runtime. From then on they do not end the process by themselves.
    pub(super) fn new() -> std::io::Result<Signals> {
        Ok(Signals { stop: Stop::new()?, hangup: signal(SignalKind::hangup())? })
    }
}

// === impl Stop ===

impl Stop {
    fn new() -> std::io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
