//! One request: checks that hold for its type, then the operation, in a transaction or outside.

use super::access::Need;
use super::effects::{Effect, Effects, Ticket};
use super::nodes::{CountDelta, Edit, LOOKED_AT_LIST, LOOKED_AT_NODE, Refused};
use super::transaction::{CommitError, PARENT, REMOVED, Transaction, WRITTEN};
use super::{ConnId, INTRODUCE_DOMAIN, QuotaKind, RELEASE_DOMAIN, State, Subject, Watch};
use crate::tree::Node;
use std::borrow::Cow;
use std::io::Write as _;
use xen_wire::xenstore::{
    Header, MsgType, PermList, Request, XENSTORE_PAYLOAD_MAX, XENSTORE_REL_PATH_MAX, XsError, path,
};

/// Whether the type carries a transaction id that means something.
const fn takes_transaction(kind: MsgType) -> bool {
    !matches!(kind, MsgType::Watch | MsgType::Unwatch)
}

/// Whether only the control domain may send it.
const fn control_domain_only(kind: MsgType) -> bool {
    matches!(
        kind,
        MsgType::Control
            | MsgType::Introduce
            | MsgType::Release
            | MsgType::IsDomainIntroduced
            | MsgType::Resume
            | MsgType::SetTarget
    )
}

/// Whether a read-only connection may not send it.
const fn changes_something(kind: MsgType) -> bool {
    matches!(
        kind,
        MsgType::Control
            | MsgType::Write
            | MsgType::Mkdir
            | MsgType::Rm
            | MsgType::SetPerms
            | MsgType::Introduce
            | MsgType::Release
            | MsgType::Resume
            | MsgType::SetTarget
    )
}

fn home(domid: u16) -> String {
    format!("/local/domain/{domid}")
}

impl State {
    /// Handles one request. Every request gets exactly one reply (an `INTRODUCE`, once its ring is mapped).
    pub fn request(&mut self, id: ConnId, header: Header, payload: &[u8], fx: &mut Effects) {
        if !self.conns.contains_key(&id) {
            return;
        }
        let mut to = Ticket { conn: id, kind: MsgType::Error, req_id: header.req_id, tx_id: header.tx_id };
        let Some(kind) = MsgType::from_u32(header.kind) else {
            return fx.error(&to, XsError::ENOSYS);
        };
        to.kind = kind;
        if let Err(refused) = self.dispatch(&to, payload, fx) {
            if let Some((quota, limit)) = refused.quota {
                let domid = self.conns.get(&id).map_or(0, |c| c.peer.domid);
                fx.list.push(Effect::QuotaHit { domid, quota, limit });
            }
            fx.error(&to, refused.error);
        }
    }

    fn dispatch(&mut self, to: &Ticket, payload: &[u8], fx: &mut Effects) -> Result<(), Refused> {
        let kind = to.kind;
        if matches!(kind, MsgType::WatchEvent | MsgType::Error) {
            return Err(XsError::ENOSYS.into());
        }
        let Some(conn) = self.conns.get(&to.conn) else { return Ok(()) };
        let subject = self.subject(conn);
        if control_domain_only(kind) && !subject.privileged() {
            return Err(XsError::EACCES.into());
        }
        if conn.peer.read_only && changes_something(kind) {
            return Err(XsError::EROFS.into());
        }
        let tx = if takes_transaction(kind) && to.tx_id != 0 { Some(to.tx_id) } else { None };
        if let Some(tx) = tx
            && !conn.transactions.contains_key(&tx)
        {
            return Err(XsError::ENOENT.into());
        }
        match Request::parse(kind, payload)? {
            Request::Control(args) => self.control(to, args, fx)?,
            Request::Directory(p) => {
                let node = self.look(to.conn, tx, subject, p, LOOKED_AT_NODE | LOOKED_AT_LIST)?;
                fx.reply(to, |out| list_children(&node, out));
            }
            Request::DirectoryPart(p, offset) => {
                let node = self.look(to.conn, tx, subject, p, LOOKED_AT_NODE | LOOKED_AT_LIST)?;
                fx.reply(to, |out| list_part(&node, offset, out));
            }
            Request::Read(p) => {
                let node = self.look(to.conn, tx, subject, p, LOOKED_AT_NODE)?;
                fx.reply(to, |out| out.extend_from_slice(node.value()));
            }
            Request::GetPerms(p) => {
                let node = self.look(to.conn, tx, subject, p, LOOKED_AT_NODE)?;
                fx.reply(to, |out| {
                    for perm in node.perms.iter() {
                        // Writing into a Vec cannot fail.
                        let _ = write!(out, "{perm}\0");
                    }
                });
            }
            Request::Write(p, value) => {
                let p = self.resolve(subject, p)?;
                self.change(to.conn, tx, subject, &p, WRITTEN, fx, |edit| edit.write(&p, value).map(|()| true))?;
                fx.ok(to);
            }
            Request::Mkdir(p) => {
                let p = self.resolve(subject, p)?;
                self.change(to.conn, tx, subject, &p, WRITTEN, fx, |edit| edit.mkdir(&p))?;
                fx.ok(to);
            }
            Request::Rm(p) => {
                let p = self.resolve(subject, p)?;
                self.change(to.conn, tx, subject, &p, REMOVED, fx, |edit| edit.rm(&p))?;
                fx.ok(to);
            }
            Request::SetPerms(p, perms) => {
                if p.starts_with(b"@") {
                    self.set_special_perms(subject, p, perms)?;
                } else {
                    let p = self.resolve(subject, p)?;
                    let set = |edit: &mut Edit<'_>| edit.set_perms(&p, &perms).map(|()| true);
                    self.change(to.conn, tx, subject, &p, WRITTEN, fx, set)?;
                }
                fx.ok(to);
            }
            Request::Watch { path, token, depth } => self.watch(to, subject, path, token, depth, fx)?,
            Request::Unwatch(path, token) => self.unwatch(to, subject, path, token, fx)?,
            Request::ResetWatches => {
                self.reset_connection(to.conn);
                fx.ok(to);
            }
            Request::TransactionStart => self.start(to, subject, tx, fx)?,
            Request::TransactionEnd(commit) => self.end(to, subject, tx, commit, fx)?,
            Request::Introduce { domid, gfn, port } => self.introduce(to, domid, gfn, port, fx)?,
            Request::Release(domid) => self.release(to, domid, fx)?,
            Request::GetDomainPath(domid) => {
                fx.reply(to, |out| {
                    // Writing into a Vec cannot fail.
                    let _ = write!(out, "/local/domain/{domid}\0");
                });
            }
            Request::IsDomainIntroduced(domid) => {
                let yes = self.domains.contains_key(&domid);
                fx.reply(to, |out| out.extend_from_slice(if yes { b"T\0" } else { b"F\0" }));
            }
            Request::Resume(domid) => {
                self.resume(domid)?;
                fx.ok(to);
            }
            Request::SetTarget(domid, target) => {
                self.set_target(domid, target)?;
                fx.ok(to);
            }
        }
        Ok(())
    }

    /// The absolute path that a client means.
    fn resolve<'p>(&self, subject: Subject, sent: &'p [u8]) -> Result<Cow<'p, str>, XsError> {
        let path: Cow<'p, str> = match sent.first() {
            Some(b'/') => Cow::Borrowed(path::check(sent).map_err(|_| XsError::EINVAL)?),
            Some(b'@') => return Err(XsError::EINVAL),
            _ => {
                if sent.len() > XENSTORE_REL_PATH_MAX {
                    return Err(XsError::EINVAL);
                }
                path::check_bytes(sent).map_err(|_| XsError::EINVAL)?;
                let whole = format!("{}/{}", home(subject.domid), String::from_utf8_lossy(sent));
                path::check(whole.as_bytes()).map_err(|_| XsError::EINVAL)?;
                Cow::Owned(whole)
            }
        };
        let limit = self.quotas.get(QuotaKind::PathMax);
        if path.len() as u64 > limit {
            let own = path.strip_prefix("/local/domain/").and_then(|p| p.split_once('/'));
            let free = match own {
                Some((domid, _)) if domid.parse::<u16>().is_ok() => "/local/domain/".len() + domid.len() + 1,
                _ => 0,
            };
            if (path.len() - free) as u64 > limit {
                return Err(XsError::EINVAL);
            }
        }
        Ok(path)
    }

    /// Runs an operation outside of any transaction, and tells the watchers.
    pub(super) fn edit<R>(
        &mut self,
        subject: Subject,
        op: impl FnOnce(&mut Edit<'_>) -> Result<R, Refused>,
        fx: &mut Effects,
    ) -> Result<R, Refused> {
        let mut events = Vec::new();
        let mut delta = CountDelta::new();
        let mut edit = Edit {
            tree: &mut self.tree,
            clock: &mut self.clock,
            counts: &self.counts,
            delta: &mut delta,
            events: (!self.watches.is_empty()).then_some(&mut events),
            reads: None,
            subject,
            quotas: &self.quotas,
        };
        let done = op(&mut edit)?;
        self.apply_delta(&delta);
        self.fire_all(&events, fx);
        Ok(done)
    }

    /// Runs an operation in a transaction's copy.
    fn edit_in<R>(
        &mut self,
        id: ConnId,
        tx: u32,
        subject: Subject,
        op: impl FnOnce(&mut Edit<'_>) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let conn = self.conns.get_mut(&id).ok_or(XsError::ENOENT)?;
        let t = conn.transactions.get_mut(&tx).ok_or(XsError::ENOENT)?;
        let mut edit = Edit {
            tree: &mut t.tree,
            clock: &mut self.clock,
            counts: &self.counts,
            delta: &mut t.delta,
            events: None,
            reads: Some(&mut t.reads),
            subject,
            quotas: &self.quotas,
        };
        let done = op(&mut edit);
        let memory = self.quotas.get(QuotaKind::Memory);
        let nodes = self.quotas.get(QuotaKind::TransactionNodes);
        let hit = if t.reads.paths.len() as u64 > nodes {
            Some((QuotaKind::TransactionNodes, nodes))
        } else if t.reads.bytes > memory / self.quotas.get(QuotaKind::Transactions).max(1) {
            Some((QuotaKind::Memory, memory))
        } else {
            None
        };
        if !subject.privileged() && hit.is_some() {
            // It cannot go on, and what it holds is not worth keeping: its end will say ENOENT.
            conn.transactions.remove(&tx);
            return Err(Refused { error: XsError::ENOSPC, quota: hit });
        }
        done
    }

    /// An operation that changes the node at `path`; `op` returns whether it did.
    #[allow(clippy::too_many_arguments)]
    fn change(
        &mut self,
        id: ConnId,
        tx: Option<u32>,
        subject: Subject,
        path: &str,
        how: u8,
        fx: &mut Effects,
        op: impl FnOnce(&mut Edit<'_>) -> Result<bool, Refused>,
    ) -> Result<(), Refused> {
        let Some(tx) = tx else {
            return self.edit(subject, op, fx).map(|_| ());
        };
        let t = self.conns.get(&id).and_then(|c| c.transactions.get(&tx)).ok_or(XsError::ENOENT)?;
        // Which ancestors are missing is known only before; whether they were made, only afterwards.
        let parents = if how == WRITTEN { t.missing_parents(path) } else { Vec::new() };
        if self.edit_in(id, tx, subject, op)?
            && let Some(t) = self.conns.get_mut(&id).and_then(|c| c.transactions.get_mut(&tx))
        {
            for parent in &parents {
                t.mark(parent, PARENT);
            }
            t.mark(path, how);
        }
        Ok(())
    }

    fn look(
        &mut self,
        id: ConnId,
        tx: Option<u32>,
        subject: Subject,
        sent: &[u8],
        what: u8,
    ) -> Result<triomphe::Arc<Node>, Refused> {
        let path = self.resolve(subject, sent)?;
        match tx {
            None => {
                let (node, _, found) = self.tree.nearest(&path);
                match (subject.rights(&node.perms).allow(Need::Read), found) {
                    (true, true) => Ok(node.clone()),
                    (true, false) => Err(XsError::ENOENT.into()),
                    (false, _) => Err(XsError::EACCES.into()),
                }
            }
            Some(tx) => self.edit_in(id, tx, subject, |edit| Ok(edit.look(&path, Need::Read, what)?)),
        }
    }

    fn set_special_perms(&mut self, subject: Subject, name: &[u8], perms: PermList) -> Result<(), XsError> {
        if !subject.privileged() {
            return Err(XsError::EACCES);
        }
        match name {
            n if n == INTRODUCE_DOMAIN.as_bytes() => self.introduce_perms = perms,
            n if n == RELEASE_DOMAIN.as_bytes() => self.release_perms = perms,
            _ => return Err(XsError::EINVAL),
        }
        Ok(())
    }

    /// The watched path, and how much of it the client does not see.
    fn watched<'p>(&self, subject: Subject, sent: &'p [u8]) -> Result<(Cow<'p, str>, usize), XsError> {
        if sent.first() == Some(&b'@') {
            path::check_bytes(sent).map_err(|_| XsError::EINVAL)?;
            if sent.len() > XENSTORE_REL_PATH_MAX {
                return Err(XsError::EINVAL);
            }
            return Ok((String::from_utf8_lossy(sent), 0));
        }
        let path = self.resolve(subject, sent)?;
        let hidden = path.len() - sent.len();
        Ok((path, hidden))
    }

    fn watch(
        &mut self,
        to: &Ticket,
        subject: Subject,
        sent: &[u8],
        token: &[u8],
        depth: Option<u32>,
        fx: &mut Effects,
    ) -> Result<(), Refused> {
        let (path, hidden) = self.watched(subject, sent)?;
        let limit = self.quotas.get(QuotaKind::Watches);
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::EINVAL)?;
        if conn.watches.values().any(|w| *w.path == *path && *w.token == *token) {
            return Err(XsError::EEXIST.into());
        }
        if !subject.privileged() && conn.watches.len() as u64 >= limit {
            return Err(Refused { error: XsError::E2BIG, quota: Some((QuotaKind::Watches, limit)) });
        }
        self.last_watch += 1;
        conn.watches.insert(self.last_watch, Watch { path: path.as_ref().into(), hidden, token: token.into(), depth });
        self.watches.add(&path, to.conn, self.last_watch);
        fx.ok(to);
        // Once up front: clients count on it.
        fx.event(to.conn, &[path.get(hidden..).unwrap_or("")], token);
        Ok(())
    }

    fn unwatch(
        &mut self,
        to: &Ticket,
        subject: Subject,
        sent: &[u8],
        token: &[u8],
        fx: &mut Effects,
    ) -> Result<(), Refused> {
        // There is no watch on a path that cannot be.
        let (path, _) = self.watched(subject, sent).map_err(|_| XsError::ENOENT)?;
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::EINVAL)?;
        let found = conn.watches.iter().find(|(_, w)| *w.path == *path && *w.token == *token).map(|(n, _)| *n);
        let n = found.ok_or(XsError::ENOENT)?;
        conn.watches.remove(&n);
        self.watches.remove(&path, to.conn, n);
        fx.ok(to);
        Ok(())
    }

    fn start(&mut self, to: &Ticket, subject: Subject, tx: Option<u32>, fx: &mut Effects) -> Result<(), Refused> {
        if tx.is_some() {
            return Err(XsError::EBUSY.into());
        }
        let limit = self.quotas.get(QuotaKind::Transactions);
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::EINVAL)?;
        if !subject.privileged() && conn.transactions.len() as u64 >= limit {
            return Err(Refused { error: XsError::ENOSPC, quota: Some((QuotaKind::Transactions, limit)) });
        }
        let mut n = conn.last_transaction;
        loop {
            n = n.wrapping_add(1);
            if n != 0 && !conn.transactions.contains_key(&n) {
                break;
            }
        }
        conn.last_transaction = n;
        conn.transactions.insert(n, Transaction::new(&self.tree));
        fx.reply(to, |out| {
            // Writing into a Vec cannot fail.
            let _ = write!(out, "{n}\0");
        });
        Ok(())
    }

    fn end(
        &mut self,
        to: &Ticket,
        subject: Subject,
        tx: Option<u32>,
        commit: bool,
        fx: &mut Effects,
    ) -> Result<(), Refused> {
        let conn = self.conns.get_mut(&to.conn).ok_or(XsError::ENOENT)?;
        let t = tx.and_then(|tx| conn.transactions.remove(&tx)).ok_or(XsError::ENOENT)?;
        if commit {
            match t.commit(&self.tree, &mut self.clock, &self.counts, &self.quotas, subject) {
                Ok((tree, delta, events)) => {
                    self.tree = tree;
                    self.apply_delta(&delta);
                    self.fire_all(&events, fx);
                }
                Err(CommitError::Conflict(writer)) => {
                    if writer != subject.domid {
                        fx.list.push(Effect::Blame(writer));
                    }
                    return Err(XsError::EAGAIN.into());
                }
                Err(CommitError::Refused(refused)) => return Err(refused),
            }
        }
        fx.ok(to);
        Ok(())
    }
}

fn list_children(node: &Node, out: &mut Vec<u8>) {
    let start = out.len();
    for child in node.children().iter() {
        if out.len() - start > XENSTORE_PAYLOAD_MAX {
            return;
        }
        out.extend_from_slice(child.name_bytes());
        out.push(0);
    }
}

/// The children's names from byte `offset` of the whole list on, as many whole ones as fit; an empty string
/// at the end if nothing is left.
fn list_part(node: &Node, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{}\0", node.generation.max(node.list_generation().0));
    let mut at = 0u64;
    for child in node.children().iter() {
        let len = child.name_bytes().len() as u64 + 1;
        let skip = offset.saturating_sub(at).min(len);
        at += len;
        if skip == len {
            continue;
        }
        let rest = child.name_bytes().get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        if out.len() - start + rest.len() + 1 > XENSTORE_PAYLOAD_MAX - 1 {
            return;
        }
        out.extend_from_slice(rest);
        out.push(0);
    }
    out.push(0);
}
