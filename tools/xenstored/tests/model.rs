//! The state machine against a naive store: a map from path to value and permissions, and transactions that are
//! simply run from start to end at the moment they commit. Whatever the interleaving, every reply that a
//! committed transaction ever got must be what that run gives.

#[path = "common/store.rs"]
mod store;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use store::{Store, TOOLS, perms};
use xen_wire::xenstore::{Perm, Request, path};
use xenstored::engine::{Engine, Happening, Todo};
use xenstored::snapshot;
use xenstored::state::{ConnId, Peer, Subject};

#[derive(Clone, Debug)]
enum Op {
    Read(String),
    Write(String, u8),
    Mkdir(String),
    Rm(String),
    List(String),
    GetPerms(String),
    SetPerms(String, &'static str),
}

impl Op {
    fn with<R>(&self, f: impl FnOnce(&Request<'_>) -> R) -> R {
        match self {
            Op::Read(p) => f(&Request::Read(p.as_bytes())),
            Op::Write(p, v) => f(&Request::Write(p.as_bytes(), v.to_string().as_bytes())),
            Op::Mkdir(p) => f(&Request::Mkdir(p.as_bytes())),
            Op::Rm(p) => f(&Request::Rm(p.as_bytes())),
            Op::List(p) => f(&Request::Directory(p.as_bytes())),
            Op::GetPerms(p) => f(&Request::GetPerms(p.as_bytes())),
            Op::SetPerms(p, l) => f(&Request::SetPerms(p.as_bytes(), perms(l))),
        }
    }
}

/// The naive store.
#[derive(Clone, Debug, PartialEq)]
struct Model(BTreeMap<String, (String, Vec<Perm>)>);

impl Model {
    fn new() -> Model {
        let mut m = Model(BTreeMap::new());
        for p in ["/", "/tool", "/tool/xenstored", "/local", "/local/domain"] {
            m.0.insert(p.to_owned(), (String::new(), perms("n0")));
        }
        for d in [5, 6] {
            m.0.insert(format!("/local/domain/{d}"), (String::new(), perms(&format!("n{d}"))));
        }
        m
    }

    fn nearest(&self, p: &str) -> &str {
        path::ancestors(p).find(|a| self.0.contains_key(*a)).map(|a| self.0.get_key_value(a).unwrap().0).unwrap()
    }

    fn check(&self, who: Subject, p: &str, right: fn(xenstored::state::Rights) -> bool) -> Result<(), String> {
        let near = self.nearest(p);
        if !right(who.rights(&self.0[near].1)) {
            return Err("EACCES".into());
        }
        if near == p { Ok(()) } else { Err("ENOENT".into()) }
    }

    fn make(&mut self, who: Subject, p: &str, value: &str) {
        let near = self.nearest(p).to_owned();
        let mut list = self.0[&near].1.clone();
        if who.domid != 0 {
            list[0].domid = who.domid;
        }
        let missing: Vec<String> = path::ancestors(p).take_while(|a| *a != near).map(str::to_owned).collect();
        for a in missing {
            self.0.insert(a, (String::new(), list.clone()));
        }
        self.0.get_mut(p).unwrap().0 = value.to_owned();
    }

    fn run(&mut self, who: Subject, op: &Op) -> String {
        self.try_run(who, op).unwrap_or_else(|e| e)
    }

    fn try_run(&mut self, who: Subject, op: &Op) -> Result<String, String> {
        let ok = || Ok("OK".to_owned());
        match op {
            Op::Read(p) => {
                self.check(who, p, |r| r.read)?;
                Ok(self.0[p].0.clone())
            }
            Op::List(p) => {
                self.check(who, p, |r| r.read)?;
                let below = self.0.keys().filter(|k| *k != "/" && path::parent(k) == p);
                Ok(below.map(|k| path::basename(k)).collect::<Vec<_>>().join(" "))
            }
            Op::GetPerms(p) => {
                self.check(who, p, |r| r.read)?;
                Ok(self.0[p].1.iter().map(Perm::to_string).collect::<Vec<_>>().join(" "))
            }
            Op::Write(p, v) => match self.check(who, p, |r| r.write) {
                Ok(()) => {
                    self.0.get_mut(p).unwrap().0 = v.to_string();
                    ok()
                }
                Err(e) if e == "ENOENT" => {
                    self.make(who, p, &v.to_string());
                    ok()
                }
                Err(e) => Err(e),
            },
            Op::Mkdir(p) => match self.check(who, p, |r| r.write) {
                Err(e) if e == "ENOENT" => {
                    self.make(who, p, "");
                    ok()
                }
                other => other.map(|()| "OK".to_owned()),
            },
            Op::Rm(p) => match self.check(who, p, |r| r.write) {
                Ok(()) if p == "/" => Err("EINVAL".into()),
                Ok(()) => {
                    self.0.retain(|k, _| !path::is_child(k, p));
                    ok()
                }
                Err(e) if e == "ENOENT" && self.0.contains_key(path::parent(p)) => ok(),
                Err(e) => Err(e),
            },
            Op::SetPerms(p, l) => {
                if self.0.contains_key(p) {
                    self.check(who, p, |r| r.owner)?;
                } else {
                    self.check(who, p, |r| r.write)?;
                }
                let new = perms(l);
                if who.domid != 0 && new[0].domid != self.0[p].1[0].domid {
                    return Err("EPERM".into());
                }
                self.0.get_mut(p).unwrap().1 = new;
                ok()
            }
        }
    }
}

/// An open transaction, and what it asked and was answered.
type Open = (u32, Vec<(Op, String)>);

#[derive(Clone, Debug)]
enum Step {
    Do(usize, Op),
    InTransaction(usize, Op),
    Start(usize),
    End(usize, bool),
}

fn a_path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let base = prop::sample::select(vec!["", "/local/domain/5", "/local/domain/6", "/x"]);
    (base, prop::collection::vec(name, 0..4)).prop_map(|(base, names)| {
        let p = names.iter().fold(base.to_owned(), |p, n| p + "/" + n);
        if p.is_empty() { "/".to_owned() } else { p }
    })
}

fn an_op() -> impl Strategy<Value = Op> {
    let lists = vec!["n0", "r0", "b0", "n5", "r5 w6", "n0 b5", "b6", "n6 r5"];
    prop_oneof![
        3 => a_path().prop_map(Op::Read),
        4 => (a_path(), any::<u8>()).prop_map(|(p, v)| Op::Write(p, v)),
        1 => a_path().prop_map(Op::Mkdir),
        2 => a_path().prop_filter("the root stays", |p| p != "/local").prop_map(Op::Rm),
        1 => a_path().prop_map(Op::List),
        1 => a_path().prop_map(Op::GetPerms),
        2 => (a_path(), prop::sample::select(lists)).prop_map(|(p, l)| Op::SetPerms(p, l)),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..4, an_op()).prop_map(|(c, o)| Step::Do(c, o)),
        6 => (0usize..4, an_op()).prop_map(|(c, o)| Step::InTransaction(c, o)),
        2 => (0usize..4).prop_map(Step::Start),
        2 => (0usize..4, prop::bool::weighted(0.85)).prop_map(|(c, t)| Step::End(c, t)),
    ]
}

/// Four clients: two of the tools, two guests. Each has at most one transaction.
fn clients(s: &mut Store) -> [(ConnId, Subject); 4] {
    let (five, six) = (s.domain(5), s.domain(6));
    let other = ConnId(2);
    s.state.connect(other, Peer { domid: 0, read_only: false });
    let subject = |domid| Subject { domid, target: None };
    [(TOOLS, subject(0)), (other, subject(0)), (five, subject(5)), (six, subject(6))]
}

fn content(s: &Store) -> Model {
    let mut m = Model(BTreeMap::new());
    s.state.tree().walk("/", &mut |p, node, _| {
        m.0.insert(p.to_owned(), (String::from_utf8(node.value().to_vec()).unwrap(), node.perms.to_vec()));
    });
    m
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn replies_are_those_of_a_naive_sequential_store(steps in prop::collection::vec(a_step(), 1..120)) {
        let mut s = Store::new();
        let clients = clients(&mut s);
        let mut model = Model::new();
        let mut open: [Option<Open>; 4] = [None, None, None, None];
        for step in steps {
            match step {
                Step::Do(c, op) => {
                    let got = op.with(|r| s.request(clients[c].0, 0, r)).reply;
                    prop_assert_eq!(got, model.run(clients[c].1, &op), "{:?}", op);
                }
                Step::Start(c) => {
                    if open[c].is_none() {
                        open[c] = Some((s.start(clients[c].0), Vec::new()));
                    }
                }
                Step::InTransaction(c, op) => {
                    if let Some((tx, log)) = &mut open[c] {
                        let got = op.with(|r| s.request(clients[c].0, *tx, r)).reply;
                        log.push((op, got));
                    }
                }
                Step::End(c, commit) => {
                    if let Some((tx, log)) = open[c].take() {
                        let end = s.end(clients[c].0, tx, commit).reply;
                        match end.as_str() {
                            "OK" if commit => {
                                for (op, got) in &log {
                                    prop_assert_eq!(got, &model.run(clients[c].1, op), "{:?} in {:?}", op, log);
                                }
                            }
                            "OK" => {}
                            "EAGAIN" => prop_assert!(commit),
                            other => prop_assert!(false, "a transaction ended with {}", other),
                        }
                    }
                }
            }
            prop_assert_eq!(&content(&s), &model);
            prop_assert_eq!(s.state.check(), None);
        }
    }

    /// Clients that keep to their own directories never see `EAGAIN`, however they interleave.
    #[test]
    fn disjoint_transactions_never_conflict(steps in prop::collection::vec(a_step(), 1..120)) {
        let mut s = Store::new();
        let clients = clients(&mut s);
        let homes = ["/one", "/two", "/local/domain/5", "/local/domain/6"];
        s.mkdir(TOOLS, "/one");
        s.mkdir(TOOLS, "/two");
        let mut open: [Option<u32>; 4] = [None; 4];
        let own = |c: usize, op: &Op| -> Option<Op> {
            let p = |p: &String| format!("{}/own{}", homes[c], if p == "/" { "" } else { p });
            Some(match op {
                Op::Read(x) => Op::Read(p(x)),
                Op::Write(x, v) => Op::Write(p(x), *v),
                Op::Mkdir(x) => Op::Mkdir(p(x)),
                Op::Rm(x) => Op::Rm(p(x)),
                Op::List(x) => Op::List(p(x)),
                Op::GetPerms(x) => Op::GetPerms(p(x)),
                Op::SetPerms(..) => return None,
            })
        };
        for step in steps {
            match step {
                Step::Do(..) => {}
                Step::Start(c) => {
                    if open[c].is_none() { open[c] = Some(s.start(clients[c].0)); }
                }
                Step::InTransaction(c, op) => {
                    if let (Some(tx), Some(op)) = (open[c], own(c, &op)) {
                        op.with(|r| s.request(clients[c].0, tx, r));
                    }
                }
                Step::End(c, commit) => {
                    if let Some(tx) = open[c].take() {
                        prop_assert_eq!(s.end(clients[c].0, tx, commit).reply, "OK");
                    }
                }
            }
        }
    }

    /// A watcher of everything who applies what it is told of always ends up with the store's content.
    #[test]
    fn events_tell_of_every_change(steps in prop::collection::vec(a_step(), 1..80)) {
        let mut s = Store::new();
        let clients = clients(&mut s);
        let watcher = ConnId(9);
        s.state.connect(watcher, Peer { domid: 0, read_only: true });
        s.watch(watcher, "/", "w");
        let mut open: [Option<u32>; 4] = [None; 4];
        for step in steps {
            let before = content(&s);
            let out = match step {
                Step::Do(c, op) => op.with(|r| s.request(clients[c].0, 0, r)),
                Step::Start(c) => {
                    if open[c].is_none() { open[c] = Some(s.start(clients[c].0)); }
                    continue;
                }
                Step::InTransaction(c, op) => match open[c] {
                    Some(tx) => op.with(|r| s.request(clients[c].0, tx, r)),
                    None => continue,
                },
                Step::End(c, commit) => match open[c].take() {
                    Some(tx) => s.end(clients[c].0, tx, commit),
                    None => continue,
                },
            };
            let after = content(&s);
            let told: BTreeSet<String> = out.events.iter().map(|(_, e)| e.trim_end_matches(" w").to_owned()).collect();
            for p in before.0.keys().chain(after.0.keys()) {
                if before.0.get(p) != after.0.get(p) {
                    // Of a removed subtree the top is told, of a new node the node itself and not its parents.
                    let known = told.iter().any(|t| path::is_child(p, t) || path::is_child(t, p));
                    prop_assert!(known, "{} changed, told of {:?}", p, told);
                }
            }
        }
    }

    /// The journal's promise: a snapshot at any moment, and the same inputs after it, give the same bytes.
    #[test]
    fn an_engine_goes_on_from_a_snapshot_as_if_nothing_had_happened(
        steps in prop::collection::vec((a_step(), 0usize..60, 0u64..400), 1..80), cut in 0usize..80
    ) {
        let mut live = Engine::default();
        let mut restored: Option<Engine> = None;
        let mut todo: Vec<Todo> = Vec::new();
        let apply = |e: &mut Engine, what: &Input| {
            let mut todo = Vec::new();
            match what {
                Input::Happening(h) => e.happened(h, &mut todo),
                Input::Bytes(id, b) => e.bytes(*id, b, &mut todo),
                Input::Delivered(id, n) => {
                    let upto = e.out(*id).map_or(0, |o| o.sent() + (*n).min(o.len() as u64));
                    e.delivered(*id, upto);
                }
            }
        };
        let mut tx = [0u32; 4];
        for (n, (step, part, delivered)) in steps.iter().enumerate() {
            let mut inputs = Vec::new();
            if n == 0 {
                for c in 0..4 {
                    inputs.push(Input::Happening(Happening::Connected(ConnId(c + 1), Peer { domid: 0, read_only: false })));
                }
            }
            let (c, bytes) = message(step, &mut tx);
            // In two pieces, so that half messages are in the snapshot too.
            let cut_at = (*part).min(bytes.len());
            inputs.push(Input::Bytes(ConnId(c as u64 + 1), bytes[..cut_at].to_vec()));
            inputs.push(Input::Bytes(ConnId(c as u64 + 1), bytes[cut_at..].to_vec()));
            inputs.push(Input::Delivered(ConnId(c as u64 + 1), *delivered));
            for (k, input) in inputs.iter().enumerate() {
                if n == cut % steps.len() && k == inputs.len() / 2 {
                    restored = Some(snapshot::load(&snapshot::save(&live).unwrap()).unwrap());
                }
                apply(&mut live, input);
                if let Some(r) = &mut restored { apply(r, input); }
            }
        }
        todo.clear();
        let restored = restored.unwrap();
        prop_assert_eq!(restored.state().check(), None);
        prop_assert_eq!(snapshot::save(&live).unwrap(), snapshot::save(&restored).unwrap());
    }
}

enum Input {
    Happening(Happening),
    Bytes(ConnId, Vec<u8>),
    Delivered(ConnId, u64),
}

fn message(step: &Step, tx: &mut [u32; 4]) -> (usize, Vec<u8>) {
    let mut bytes = Vec::new();
    let c = match step {
        Step::Do(c, op) => {
            op.with(|r| r.encode(1, 0, &mut bytes)).unwrap();
            if let Op::Read(p) = op {
                Request::Watch { path: p.as_bytes(), token: b"t", depth: None }.encode(2, 0, &mut bytes).unwrap();
            }
            *c
        }
        Step::InTransaction(c, op) => {
            op.with(|r| r.encode(1, tx[*c], &mut bytes)).unwrap();
            *c
        }
        Step::Start(c) => {
            // Ids are given out one after the other.
            tx[*c] += 1;
            Request::TransactionStart.encode(1, 0, &mut bytes).unwrap();
            *c
        }
        Step::End(c, commit) => {
            Request::TransactionEnd(*commit).encode(1, tx[*c], &mut bytes).unwrap();
            *c
        }
    };
    (c, bytes)
}
