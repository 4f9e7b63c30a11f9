//! `CONTROL`: talking to the daemon itself.

use super::effects::{Effect, Effects, Ticket};
use super::nodes::NodeCounts;
use super::{ConnId, QuotaKind, State};
use std::fmt::Write as _;
use xen_wire::xenstore::{Strings, XsError};

const HELP: &str = "check\t\nlog\ton|off\nlive-update\t-f <file>|-s [-t <sec>] [-F]|-a\nmemreport\t\nprint\t<string>\nquota\t[set <name> <val>|<domid>]\nhelp\t\n";

impl State {
    pub(super) fn control(&mut self, to: &Ticket, args: Strings<'_>, fx: &mut Effects) -> Result<(), XsError> {
        let args: Vec<&[u8]> = args.take(5).collect();
        match args.as_slice() {
            [b"help"] => fx.reply(to, |out| {
                out.extend_from_slice(HELP.as_bytes());
                out.push(0);
            }),
            [b"check"] => {
                if let Some(fault) = self.check() {
                    fx.list.push(Effect::Log(fault));
                    return Err(XsError::EIO);
                }
                fx.ok(to);
            }
            [b"log", b"on"] => {
                fx.list.push(Effect::Trace(true));
                fx.ok(to);
            }
            [b"log", b"off"] => {
                fx.list.push(Effect::Trace(false));
                fx.ok(to);
            }
            [b"live-update", rest @ ..] => self.live_update(to, rest, fx)?,
            [b"memreport", ..] => {
                fx.list.push(Effect::Log(self.report()));
                fx.ok(to);
            }
            [b"print", text] => {
                fx.list.push(Effect::Log(format!("control: {}", String::from_utf8_lossy(text).escape_debug())));
                fx.ok(to);
            }
            [b"quota"] => {
                let mut text = String::from("Quota settings:\n");
                for q in QuotaKind::ALL {
                    // Writing into a String cannot fail.
                    let _ = writeln!(text, "{:17}: {:8} {}", q.name(), self.quotas.get(q), q.meaning());
                }
                reply_text(to, &text, fx);
            }
            [b"quota", b"set", name, value] => {
                let kind = QuotaKind::from_name(name).ok_or(XsError::EINVAL)?;
                let value = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).ok_or(XsError::EINVAL)?;
                self.quotas.set(kind, value);
                fx.ok(to);
            }
            [b"quota", domid] => {
                let domid: u16 = std::str::from_utf8(domid).ok().and_then(|d| d.parse().ok()).ok_or(XsError::EINVAL)?;
                reply_text(to, &self.usage(domid)?, fx);
            }
            _ => return Err(XsError::EINVAL),
        }
        Ok(())
    }

    fn usage(&self, domid: u16) -> Result<String, XsError> {
        let conns = || self.conns.values().filter(|c| c.peer.domid == domid);
        let nodes = self.counts.get(&domid).copied().unwrap_or(0);
        if nodes == 0 && conns().next().is_none() && !self.domains.contains_key(&domid) {
            return Err(XsError::ENOENT);
        }
        let watches: usize = conns().map(|c| c.watches.len()).sum();
        let transactions: usize = conns().map(|c| c.transactions.len()).sum();
        Ok(format!(
            "Domain {domid}:\nnodes           : {nodes:8}\nwatches         : {watches:8}\ntransactions    : {transactions:8}\n"
        ))
    }

    fn report(&self) -> String {
        format!(
            "{} nodes, {} connections, {} domains, {} watches, {} transactions, generation {}",
            self.counts.values().sum::<u64>(),
            self.conns.len(),
            self.domains.len(),
            self.conns.values().map(|c| c.watches.len()).sum::<usize>(),
            self.conns.values().map(|c| c.transactions.len()).sum::<usize>(),
            self.clock,
        )
    }

    /// Looks for contradictions; says what is wrong. Walks the whole store.
    pub fn check(&self) -> Option<String> {
        let mut counts = NodeCounts::new();
        let mut fault = None;
        self.tree.walk("/", &mut |path, node, _| {
            *counts.entry(node.owner()).or_default() += 1;
            if !node.children().iter().is_sorted_by_key(|c| c.name_bytes()) {
                fault = Some(format!("children of {path} are out of order"));
            }
            if node.perms.is_empty() {
                fault = Some(format!("{path} has no permissions"));
            }
            if node.generation > self.clock || node.list_generation().0 > self.clock {
                fault = Some(format!("{path} is from the future"));
            }
        });
        if counts != self.counts {
            fault = Some(format!("node counts are {:?} and ought to be {counts:?}", self.counts));
        }
        for (id, conn) in &self.conns {
            if let Some(domid) = ConnId::as_domain(*id)
                && !self.domains.contains_key(&domid)
            {
                fault = Some(format!("a connection of domain {domid}, which is not introduced"));
            }
            if conn.watches.values().any(|w| w.hidden > w.path.len()) {
                fault = Some(format!("connection {} has a watch with a wrong offset", id.0));
            }
        }
        fault
    }
}

fn reply_text(to: &Ticket, text: &str, fx: &mut Effects) {
    fx.reply(to, |out| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
}
