//! Going over to another version of the program: this daemon leaves a snapshot and an empty journal, the supervisor starts the
//! other one, and whichever serves then answers those who asked.

use super::Daemon;
use crate::engine::Happening;
use crate::journal::StoreError;
use crate::keeper::{self, ToKeeper};
use crate::program;
use crate::rings::DomainTransport;
use crate::state::ConnId;
use rustix::net::SendFlags;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tracing::{info, warn};

impl<T: DomainTransport> Daemon<T> {
    /// Somebody asked for an update.
    pub(super) fn update(&mut self, requester: ConnId, program: Option<String>) -> Result<(), StoreError> {
        match self.outcome.clone() {
            // It was asked of the daemon before this one.
            Some(outcome) => self.durable.happened(&Happening::Updated(requester, outcome)),
            None => {
                self.next = program.map(PathBuf::from);
                self.hand_over.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Makes ready for the next daemon; whether this one is to end.
    pub(super) fn hands_over(&mut self) -> Result<bool, StoreError> {
        let named = self.next.take();
        let Err(why) = self.make_ready(named.as_deref()) else { return Ok(true) };
        let program = named.or(self.program.clone()).unwrap_or_default();
        let mut line = format!("no update: {}: {why}; the running daemon goes on", program.display());
        line.truncate(line.floor_char_boundary(1000));
        warn!("{line}");
        let asked: Vec<ConnId> = self.durable.engine().state().pending_updates().map(|(id, _)| id).collect();
        for requester in asked {
            self.durable.happened(&Happening::Updated(requester, Err(line.clone())))?;
        }
        self.work()?;
        Ok(false)
    }

    fn make_ready(&mut self, named: Option<&Path>) -> Result<(), String> {
        let control = self.control.as_ref().ok_or("there is no supervisor to start another")?;
        let program = named.or(self.program.as_deref()).ok_or("the supervisor does not say what it would start")?;
        program::check(program)?;
        self.durable.compact().map_err(|error| error.to_string())?;
        let message = ToKeeper::HandOver(program.display().to_string());
        keeper::send(control, &message, &[], SendFlags::empty()).map_err(|error| error.to_string())?;
        info!("handing over to {}", program.display());
        Ok(())
    }
}
