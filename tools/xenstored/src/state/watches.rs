//! Watches: who wants to know of what, and the events.

use super::effects::Effects;
use super::nodes::Event;
use super::{Conn, ConnId, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use xen_wire::xenstore::{Perm, path};

/// One watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The absolute path, or a special name.
    pub path: Box<str>,
    /// Bytes of `path` that the client did not send (its home), and does not get to see in events.
    pub hidden: usize,
    /// Comes back in events.
    pub token: Box<[u8]>,
    /// Levels below `path` that count; `None` for all.
    pub depth: Option<u32>,
}

/// Finds the watches on a path.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchIndex {
    by_path: HashMap<Box<str>, BTreeSet<(ConnId, u64)>>,
}

impl WatchIndex {
    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn add(&mut self, path: &str, conn: ConnId, id: u64) {
        self.by_path.entry(path.into()).or_default().insert((conn, id));
    }

    pub(super) fn remove(&mut self, path: &str, conn: ConnId, id: u64) {
        if let Some(set) = self.by_path.get_mut(path) {
            set.remove(&(conn, id));
            if set.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    fn at<'a>(
        &'a self,
        path: &str,
        conns: &'a BTreeMap<ConnId, Conn>,
    ) -> impl Iterator<Item = (ConnId, &'a Conn, &'a Watch)> {
        self.by_path.get(path).into_iter().flatten().filter_map(|(id, watch)| {
            let conn = conns.get(id)?;
            Some((*id, conn, conn.watches.get(watch)?))
        })
    }

    /// Sends the events of a change to whoever watches it and may know of it.
    pub(super) fn fire(
        &self,
        event: &Event,
        conns: &BTreeMap<ConnId, Conn>,
        subject_of: impl Fn(&Conn) -> Subject,
        fx: &mut Effects,
    ) {
        if self.by_path.is_empty() {
            return;
        }
        for (levels, watched) in path::ancestors(&event.path).enumerate() {
            if event.exact && levels > 0 {
                break;
            }
            for (id, conn, watch) in self.at(watched, conns) {
                let near = watch.depth.is_none_or(|d| levels <= d as usize);
                let subject = subject_of(conn);
                if near && event.perms.iter().any(|p| subject.rights(p).read) {
                    fx.event(id, &[event.path.get(watch.hidden..).unwrap_or("")], &watch.token);
                }
            }
        }
    }

    /// Sends `@introduceDomain` or `@releaseDomain`. A watch with a depth of 1 or more is told which domain;
    /// `@releaseDomain/N` is told of that domain only.
    pub(super) fn fire_special(
        &self,
        name: &str,
        domid: u16,
        perms: &[Perm],
        conns: &BTreeMap<ConnId, Conn>,
        subject_of: impl Fn(&Conn) -> Subject,
        fx: &mut Effects,
    ) {
        let number = domid.to_string();
        for (id, conn, watch) in self.at(name, conns) {
            if subject_of(conn).rights(perms).read {
                match watch.depth {
                    Some(1..) => fx.event(id, &[name, "/", &number], &watch.token),
                    _ => fx.event(id, &[name], &watch.token),
                }
            }
        }
        let one = format!("{name}/{number}");
        for (id, conn, watch) in self.at(&one, conns) {
            if subject_of(conn).rights(perms).read {
                fx.event(id, &[&one], &watch.token);
            }
        }
    }
}
