//! `CONTROL live-update`: asking for another version of the daemon's program, in the steps of `xenstore-control`.

use super::effects::{Effect, Effects, Ticket};
use super::{ConnId, State};
use serde::{Deserialize, Serialize};
use xen_wire::xenstore::XsError;

/// What a connection asked for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The new program (`-f`); `None`: what now stands in the present one's file.
    pub program: Option<String>,
    /// The request (`-s`) whose reply says how it went: it waits until a daemon knows.
    pub begun: Option<Ticket>,
}

impl State {
    pub(super) fn live_update(&mut self, to: &Ticket, args: &[&[u8]], fx: &mut Effects) -> Result<(), XsError> {
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::EINVAL)?;
        match args {
            [b"-f", program] => {
                let program = str::from_utf8(program).map_err(|_| XsError::EINVAL)?;
                // Relative to whose folder?
                if !program.starts_with('/') {
                    return Err(XsError::EINVAL);
                }
                conn.update = Some(Update { program: Some(program.to_owned()), begun: None });
                fx.ok(to);
            }
            [b"-a"] => {
                conn.update = None;
                fx.ok(to);
            }
            // Open transactions go over as they are: nothing is waited for (-t), nobody is forced (-F).
            [b"-s"] | [b"-s", b"-F"] | [b"-s", b"-t", _] | [b"-s", b"-t", _, b"-F"] => {
                let update = conn.update.get_or_insert_default();
                update.begun = Some(*to);
                fx.list.push(Effect::Update { requester: to.conn, program: update.program.clone() });
            }
            _ => return Err(XsError::EINVAL),
        }
        Ok(())
    }

    /// The answer to [`Effect::Update`], by the daemon that serves now.
    pub fn updated(&mut self, requester: ConnId, result: &Result<(), String>, fx: &mut Effects) {
        let Some(ticket) = self.conns.get_mut(&requester).and_then(|c| c.update.take()).and_then(|u| u.begun) else {
            return;
        };
        match result {
            Ok(()) => fx.ok(&ticket),
            Err(why) => fx.reply(&ticket, |out| {
                out.extend_from_slice(why.as_bytes());
                out.push(0);
            }),
        }
    }

    /// Updates that were begun: requester, program.
    pub fn pending_updates(&self) -> impl Iterator<Item = (ConnId, Option<String>)> {
        self.conns
            .iter()
            .filter_map(|(id, c)| c.update.as_ref().filter(|u| u.begun.is_some()).map(|u| (*id, u.program.clone())))
    }
}
