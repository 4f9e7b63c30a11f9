//! Domains: introducing and releasing them, their shutdown, and rights lent by `SET_TARGET`.

use super::effects::{Effect, Effects, Ticket};
use super::nodes::{CountDelta, DOMID_FIRST_RESERVED, Edit, NodeCounts};
use super::{Conn, ConnId, Peer, State, Subject};
use serde::{Deserialize, Serialize};
use triomphe::Arc;
use xen_wire::xenstore::{Perm, XsError};

/// The special watch for new domains.
pub const INTRODUCE_DOMAIN: &str = "@introduceDomain";
/// The special watch for domains that shut down, crash or go away.
pub const RELEASE_DOMAIN: &str = "@releaseDomain";

/// A domain that we talk to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Frame of its ring page.
    pub gfn: u64,
    /// Its event channel.
    pub port: u32,
    /// Its shutdown was told to the watchers already.
    pub shutdown: bool,
    /// The domain whose rights it has as well.
    pub target: Option<u16>,
}

/// An `INTRODUCE` that waits for the ring to be mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRing {
    /// The reply's address; `None` if the daemon itself introduces (the control domain at start).
    pub ticket: Ticket,
    /// Whom.
    pub domid: u16,
    /// Frame of the ring page.
    pub gfn: u64,
    /// The event channel.
    pub port: u32,
}

impl State {
    pub(super) fn introduce(
        &mut self,
        to: &Ticket,
        domid: u16,
        gfn: u64,
        port: u32,
        fx: &mut Effects,
    ) -> Result<(), XsError> {
        if domid == 0 || domid >= DOMID_FIRST_RESERVED {
            return Err(XsError::EINVAL);
        }
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::EINVAL)?;
        conn.pending = Some(PendingRing { ticket: *to, domid, gfn, port });
        fx.list.push(Effect::ConnectRing { requester: to.conn, domid, gfn, port });
        Ok(())
    }

    /// The answer to [`Effect::ConnectRing`].
    pub fn ring_connected(&mut self, requester: ConnId, result: Result<(), XsError>, fx: &mut Effects) {
        let Some(pending) = self.conns.get_mut(&requester).and_then(|c| c.pending.take()) else { return };
        match result {
            Ok(()) => {
                let new = self.add_domain(pending.domid, pending.gfn, pending.port);
                fx.ok(&pending.ticket);
                if new {
                    self.fire_special(INTRODUCE_DOMAIN, pending.domid, fx);
                }
            }
            Err(e) => fx.error(&pending.ticket, e),
        }
    }

    /// A domain's ring is there (again). Returns whether the domain is new.
    fn add_domain(&mut self, domid: u16, gfn: u64, port: u32) -> bool {
        let id = ConnId::domain(domid);
        self.reset_connection(id);
        self.conns.entry(id).or_insert_with(|| Conn::new(Peer { domid, read_only: false }));
        match self.domains.get_mut(&domid) {
            Some(d) => {
                d.gfn = gfn;
                d.port = port;
                false
            }
            None => {
                self.domains.insert(domid, Domain { gfn, port, shutdown: false, target: None });
                true
            }
        }
    }

    /// The control domain's own ring, which no request introduces.
    pub fn introduce_control_domain(&mut self, gfn: u64, port: u32, fx: &mut Effects) {
        if self.add_domain(0, gfn, port) {
            self.fire_special(INTRODUCE_DOMAIN, 0, fx);
        }
    }

    fn known(&self, domid: u16) -> Result<(), XsError> {
        if self.domains.contains_key(&domid) { Ok(()) } else { Err(XsError::ENOENT) }
    }

    pub(super) fn release(&mut self, to: &Ticket, domid: u16, fx: &mut Effects) -> Result<(), XsError> {
        if domid == 0 {
            return Err(XsError::EINVAL);
        }
        self.known(domid)?;
        fx.ok(to);
        self.domain_gone(domid, fx);
        Ok(())
    }

    /// A domain no longer exists (or was released): its ring, watches, transactions and nodes go, and no
    /// permission names it any more, so that the next domain with its number inherits nothing.
    pub fn domain_gone(&mut self, domid: u16, fx: &mut Effects) {
        if domid == 0 || self.domains.remove(&domid).is_none() {
            return;
        }
        for d in self.domains.values_mut().filter(|d| d.target == Some(domid)) {
            d.target = None;
        }
        self.disconnect(ConnId::domain(domid));
        fx.list.push(Effect::DisconnectRing(domid));
        self.forget_owner(domid, fx);
        self.fire_special(RELEASE_DOMAIN, domid, fx);
    }

    fn forget_owner(&mut self, domid: u16, fx: &mut Effects) {
        let (mut owned, mut named) = (Vec::new(), Vec::new());
        self.tree.walk("/", &mut |path, node, parent| {
            if node.owner() == domid {
                if parent.owner() != domid {
                    owned.push(path.to_owned());
                }
            } else if node.perms.iter().any(|p| p.domid == domid) {
                named.push(path.to_owned());
            }
        });
        let mut events = Vec::new();
        let mut delta = CountDelta::new();
        let none = NodeCounts::new();
        let mut edit = Edit {
            tree: &mut self.tree,
            clock: &mut self.clock,
            counts: &none,
            delta: &mut delta,
            events: (!self.watches.is_empty()).then_some(&mut events),
            reads: None,
            subject: Subject { domid: 0, target: None },
            quotas: &self.quotas,
        };
        for path in &owned {
            // The root always stays.
            if path != "/" && edit.tree.get(path).is_some() {
                edit.remove_subtree(path);
            }
        }
        for path in &named {
            *edit.clock += 1;
            let generation = *edit.clock;
            if let Some(node) = edit.tree.get(path).is_some().then(|| edit.tree.get_mut(path)).flatten() {
                let kept: Vec<Perm> = node
                    .perms
                    .iter()
                    .enumerate()
                    .filter(|(i, p)| *i == 0 || p.domid != domid)
                    .map(|(_, p)| *p)
                    .collect();
                node.perms = Arc::new(kept);
                node.generation = generation;
                node.writer = 0;
            }
        }
        self.apply_delta(&delta);
        self.fire_all(&events, fx);
    }

    /// A domain shut down or crashed, and still exists.
    pub fn domain_shutdown(&mut self, domid: u16, fx: &mut Effects) {
        if let Some(d) = self.domains.get_mut(&domid)
            && !d.shutdown
        {
            d.shutdown = true;
            self.fire_special(RELEASE_DOMAIN, domid, fx);
        }
    }

    pub(super) fn resume(&mut self, domid: u16) -> Result<(), XsError> {
        if domid == 0 {
            return Err(XsError::EINVAL);
        }
        self.domains.get_mut(&domid).ok_or(XsError::ENOENT)?.shutdown = false;
        Ok(())
    }

    pub(super) fn set_target(&mut self, domid: u16, target: u16) -> Result<(), XsError> {
        if domid == 0 {
            return Err(XsError::EINVAL);
        }
        self.known(target)?;
        self.domains.get_mut(&domid).ok_or(XsError::ENOENT)?.target = Some(target);
        Ok(())
    }

    /// Domains that are connected, in order.
    pub fn domains(&self) -> impl Iterator<Item = (u16, &Domain)> {
        self.domains.iter().map(|(id, d)| (*id, d))
    }

    /// Rings whose mapping was asked for and not yet answered: requester, domain, frame, port.
    pub fn pending_rings(&self) -> impl Iterator<Item = (ConnId, u16, u64, u32)> {
        self.conns.iter().filter_map(|(id, c)| c.pending.as_ref().map(|p| (*id, p.domid, p.gfn, p.port)))
    }
}
