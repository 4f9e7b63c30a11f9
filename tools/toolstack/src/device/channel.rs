//! Channels: consoles with a name, for programs (channel.txt). libxl makes them; these tools show them.

use crate::{Host, Result, paths};
use serde::Serialize;
use xenctl::Hypercalls;

/// A channel of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelInfo {
    /// Its number: that of the console.
    pub index: u32,
    /// The backend's domain.
    pub backend_domid: u32,
    /// The frontend's state.
    pub state: u32,
    /// The guest's event channel.
    pub event_channel: i64,
    /// The guest's grant of its ring.
    pub ring_ref: i64,
    /// What it is called.
    pub name: String,
    /// What it leads to: `pty` or `socket`.
    pub connection: String,
}

impl<H: Hypercalls> Host<H> {
    /// All channels of a domain.
    ///
    /// # Errors
    /// The store's.
    pub fn channels_of(&mut self, domid: u16) -> Result<Vec<ChannelInfo>> {
        let mut all = Vec::new();
        for index in self.devices(domid, "console")? {
            let front = paths::device(domid, "console", index).front;
            let name = self.node(&format!("{front}/name"))?;
            if name.is_empty() {
                // A console for people.
                continue;
            }
            let back = self.node(&format!("{front}/backend"))?;
            all.push(ChannelInfo {
                index,
                backend_domid: self.node(&format!("{front}/backend-id"))?.parse().unwrap_or(0),
                state: self.device_state(&front)?,
                event_channel: self.node(&format!("{front}/port"))?.parse().unwrap_or(-1),
                ring_ref: self.node(&format!("{front}/ring-ref"))?.parse().unwrap_or(-1),
                name,
                connection: self.node(&format!("{back}/connection"))?,
            });
        }
        Ok(all)
    }
}
