//! What each request does, as tables and short stories. Where Xen's C xenstored 4.17 shows the same (seen by
//! running it, see `peer/`), the test says nothing; where ours differs on purpose, it says so.

#[path = "common/store.rs"]
mod store;

use store::{Store, TOOLS};
use xen_wire::xenstore::{MsgType, Request, XENSTORE_PAYLOAD_MAX};
use xenstored::state::{ConnId, Effect, Peer, QuotaKind};

#[test]
fn malformed_requests_get_their_error() {
    let table: &[(MsgType, u32, &[u8], &str)] = &[
        (MsgType::Read, 0, b"/nope\0", "ENOENT"),
        (MsgType::Read, 0, b"/a/\0", "EINVAL"),
        (MsgType::Read, 0, b"/a//b\0", "EINVAL"),
        (MsgType::Read, 0, b"/a b\0", "EINVAL"),
        (MsgType::Read, 0, b"\0", "EINVAL"),
        (MsgType::Read, 0, b"/a", "EINVAL"),
        (MsgType::Read, 0, b"", "EINVAL"),
        (MsgType::Read, 0, b"/a\0x\0", "EINVAL"),
        (MsgType::Read, 0, b"@releaseDomain\0", "EINVAL"),
        (MsgType::Read, 999, b"/\0", "ENOENT"),
        (MsgType::Write, 0, b"/a", "EINVAL"),
        (MsgType::Write, 0, b"@releaseDomain\0x", "EINVAL"),
        (MsgType::Rm, 0, b"/\0", "EINVAL"),
        (MsgType::Rm, 0, b"/no/parent\0", "ENOENT"),
        (MsgType::Rm, 0, b"/nothing\0", "OK"),
        (MsgType::SetPerms, 0, b"/tool\0x0\0", "EINVAL"),
        (MsgType::SetPerms, 0, b"/tool\0", "EINVAL"),
        (MsgType::SetPerms, 0, b"/tool\0n65535\0", "ENOENT"),
        (MsgType::SetPerms, 0, b"@foo\0n0\0", "EINVAL"),
        (MsgType::SetPerms, 0, b"@releaseDomain\0n0\0r5\0", "OK"),
        (MsgType::Watch, 0, b"/a\0", "EINVAL"),
        (MsgType::Watch, 0, b"/a b\0t\0", "EINVAL"),
        (MsgType::Watch, 0, b"/a\0t\0nan\0", "EINVAL"),
        (MsgType::Unwatch, 0, b"/a\0t\0", "ENOENT"),
        (MsgType::Unwatch, 0, b"/a/\0t\0", "ENOENT"),
        (MsgType::TransactionEnd, 0, b"X\0", "EINVAL"),
        (MsgType::TransactionEnd, 0, b"T\0", "ENOENT"),
        (MsgType::Release, 0, b"0\0", "EINVAL"),
        (MsgType::Release, 0, b"x\0", "EINVAL"),
        (MsgType::Release, 0, b"5\0", "ENOENT"),
        (MsgType::Resume, 0, b"5\0", "ENOENT"),
        (MsgType::SetTarget, 0, b"5\x006\0", "ENOENT"),
        (MsgType::Introduce, 0, b"0\x001\x002\0", "EINVAL"),
        (MsgType::Introduce, 0, b"5\x001\x000\0", "EINVAL"),
        (MsgType::Introduce, 0, b"5\x001\0", "EINVAL"),
        (MsgType::Introduce, 0, b"40000\x001\x002\0", "EINVAL"),
        (MsgType::GetDomainPath, 0, b"5\0", "/local/domain/5"),
        (MsgType::IsDomainIntroduced, 0, b"5\0", "F"),
        (MsgType::DirectoryPart, 0, b"/tool\0", "EINVAL"),
        (MsgType::DirectoryPart, 0, b"/nope\x000\0", "ENOENT"),
        (MsgType::Control, 0, b"bogus\0", "EINVAL"),
        (MsgType::Control, 0, b"", "EINVAL"),
        (MsgType::Control, 0, b"check\0", "OK"),
        (MsgType::Control, 0, b"quota\0set\0nodes\x0010\0", "OK"),
        (MsgType::Control, 0, b"quota\0set\0nonsense\x0010\0", "EINVAL"),
        (MsgType::WatchEvent, 0, b"", "ENOSYS"),
        (MsgType::Error, 0, b"", "ENOSYS"),
    ];
    for (kind, tx, payload, want) in table {
        let mut s = Store::new();
        let got = s.raw(TOOLS, kind.as_u32(), *tx, payload).reply;
        assert_eq!(&got, want, "{} {}", kind.name(), String::from_utf8_lossy(payload));
    }
    let mut s = Store::new();
    for unknown in [20, 23, 99, 0xffff] {
        assert_eq!(s.raw(TOOLS, unknown, 0, b"x\0").reply, "ENOSYS");
    }
}

#[test]
fn nodes_are_made_with_their_parents_and_read_back() {
    let mut s = Store::new();
    assert_eq!(s.write(TOOLS, "/a/b/c", "hello"), "OK");
    assert_eq!(s.read(TOOLS, "/a/b/c"), "hello");
    assert_eq!(s.read(TOOLS, "/a/b"), "");
    assert_eq!(s.mkdir(TOOLS, "/a/b/c"), "OK");
    assert_eq!(s.read(TOOLS, "/a/b/c"), "hello", "mkdir leaves a value alone");
    assert_eq!(s.request(TOOLS, 0, &Request::Directory(b"/")).reply, "a tool");
    assert_eq!(s.write(TOOLS, "name", "dom0"), "OK");
    assert_eq!(s.read(TOOLS, "/local/domain/0/name"), "dom0", "relative to the sender's home");
    assert_eq!(s.rm(TOOLS, "/a").reply, "OK");
    assert_eq!(s.read(TOOLS, "/a/b/c"), "ENOENT");
    assert_eq!(s.state.check(), None);
}

#[test]
fn long_lists_come_in_parts_that_fit_together() {
    let mut s = Store::new();
    let names: Vec<String> = (0..300).map(|n| format!("node-with-long-name{n:04}")).collect();
    for n in &names {
        s.write(TOOLS, &format!("/many/{n}"), "");
    }
    assert_eq!(s.request(TOOLS, 0, &Request::Directory(b"/many")).reply, "E2BIG");
    let mut got = Vec::new();
    let mut offset = 0;
    loop {
        let mut parts = s.request(TOOLS, 0, &Request::DirectoryPart(b"/many", offset)).reply;
        assert!(parts.len() < XENSTORE_PAYLOAD_MAX);
        let last = parts.ends_with(' ');
        parts = parts.trim_end().to_owned();
        let part: Vec<String> = parts.split(' ').skip(1).map(str::to_owned).collect();
        offset += part.iter().map(|p| p.len() as u64 + 1).sum::<u64>();
        got.extend(part);
        if last {
            break;
        }
    }
    assert_eq!(got, names);
    let beyond = s.raw(TOOLS, MsgType::DirectoryPart.as_u32(), 0, b"/many\x0099999\0").reply;
    assert_eq!(beyond.split(' ').count(), 2, "a generation and an empty name: {beyond:?}");
}

#[test]
fn a_read_only_connection_changes_nothing() {
    let mut s = Store::new();
    let ro = ConnId(2);
    s.state.connect(ro, Peer { domid: 0, read_only: true });
    s.write(TOOLS, "/a", "1");
    assert_eq!(s.read(ro, "/a"), "1");
    for (kind, payload) in [
        (MsgType::Write, &b"/a\x002"[..]),
        (MsgType::Mkdir, b"/b\0"),
        (MsgType::Rm, b"/a\0"),
        (MsgType::SetPerms, b"/a\0n5\0"),
        (MsgType::Introduce, b"5\x001\x002\0"),
        (MsgType::Control, b"quota\0set\0nodes\x001\0"),
    ] {
        assert_eq!(s.raw(ro, kind.as_u32(), 0, payload).reply, "EROFS", "{}", kind.name());
    }
}

#[test]
fn a_guest_owns_what_it_makes_and_sees_only_what_it_may() {
    let mut s = Store::new();
    let (five, six) = (s.domain(5), s.domain(6));
    s.write(TOOLS, "/secret/x", "1");
    s.write(TOOLS, "/public", "1");
    s.set_perms(TOOLS, "/public", "r0");
    let table = [
        (five, "/secret", "EACCES"),
        (five, "/secret/x", "EACCES"),
        (five, "/secret/nothing/here", "EACCES"),
        (five, "/nothing", "EACCES"),
        (five, "/public", "1"),
        (five, "/public/none", "ENOENT"),
        (five, "nothing", "ENOENT"),
        (six, "/local/domain/5", "EACCES"),
    ];
    for (who, path, want) in table {
        assert_eq!(s.read(who, path), want, "{who:?} {path}");
    }
    assert_eq!(s.write(five, "/public", "2"), "EACCES");
    assert_eq!(s.write(five, "/secret/y", "2"), "EACCES");
    assert_eq!(s.write(five, "data/mine", "2"), "OK");
    assert_eq!(s.get_perms(five, "data/mine"), "n5");
    assert_eq!(s.read(six, "/local/domain/5/data/mine"), "EACCES");
    assert_eq!(s.set_perms(five, "data/mine", "n5 r6").reply, "OK");
    assert_eq!(s.read(six, "/local/domain/5/data/mine"), "2");
    assert_eq!(s.set_perms(six, "/local/domain/5/data/mine", "n6").reply, "EACCES");
    assert_eq!(s.set_perms(five, "data/mine", "n6").reply, "EPERM", "a guest cannot give a node away");
    assert_eq!(s.set_perms(five, "data/mine", "n5 r1 r2 r3 r4 r6").reply, "ENOSPC");
    s.mkdir(TOOLS, "/local/domain/5/shared");
    s.set_perms(TOOLS, "/local/domain/5/shared", "n0 b5");
    assert_eq!(s.write(five, "shared/x", "1"), "OK");
    assert_eq!(s.get_perms(five, "shared/x"), "n5 b5");
    for kind in [MsgType::Control, MsgType::Introduce, MsgType::Release, MsgType::Resume, MsgType::SetTarget] {
        assert_eq!(s.raw(five, kind.as_u32(), 0, b"6\0").reply, "EACCES", "{}", kind.name());
    }
    assert_eq!(s.set_perms(five, "@releaseDomain", "n5").reply, "EACCES");
    assert_eq!(s.state.check(), None);
}

#[test]
fn set_target_lends_the_rights_of_another_domain() {
    let mut s = Store::new();
    let (_, six) = (s.domain(5), s.domain(6));
    s.write(TOOLS, "/local/domain/5/x", "1");
    s.set_perms(TOOLS, "/local/domain/5/x", "n0 r5");
    assert_eq!(s.read(six, "/local/domain/5/x"), "EACCES");
    assert_eq!(s.request(TOOLS, 0, &Request::SetTarget(6, 5)).reply, "OK");
    assert_eq!(s.read(six, "/local/domain/5/x"), "1");
    assert_eq!(s.write(six, "/local/domain/5/y", "1"), "OK");
    s.request(TOOLS, 0, &Request::Release(5));
    assert_eq!(s.read(six, "/local/domain/5/x"), "EACCES");
}

#[test]
fn watches_fire_once_at_first_and_then_for_what_lies_below() {
    let mut s = Store::new();
    assert_eq!(s.watch(TOOLS, "/a", "tok").events, [(TOOLS, "/a tok".to_owned())]);
    assert_eq!(s.watch(TOOLS, "/a", "tok").reply, "EEXIST");
    assert_eq!(s.watch(TOOLS, "/a", "other").reply, "OK");
    assert_eq!(s.request(TOOLS, 0, &Request::Unwatch(b"/a", b"other")).reply, "OK");
    let fired = |s: &mut Store, r: &Request<'_>| -> Vec<String> {
        s.request(TOOLS, 0, r).events.into_iter().map(|(_, e)| e).collect()
    };
    assert_eq!(fired(&mut s, &Request::Write(b"/a/b/c", b"1")), ["/a/b/c tok"], "once, for the node that was meant");
    assert_eq!(fired(&mut s, &Request::Mkdir(b"/a/b")), [""; 0], "it was there");
    assert_eq!(fired(&mut s, &Request::Write(b"/ab", b"1")), [""; 0], "a name that begins alike");
    assert_eq!(fired(&mut s, &Request::Rm(b"/a/nothing")), [""; 0]);
    s.watch(TOOLS, "/a/b/c", "deep");
    s.watch(TOOLS, "/a/b/none", "none");
    assert_eq!(fired(&mut s, &Request::Rm(b"/a/b")), ["/a/b/c deep", "/a/b tok"], "a removed subtree tells its own");
    let relative = s.request(TOOLS, 0, &Request::Watch { path: b"rel", token: b"r", depth: None });
    assert_eq!(relative.events, [(TOOLS, "rel r".to_owned())]);
    assert_eq!(fired(&mut s, &Request::Write(b"/local/domain/0/rel/x", b"")), ["rel/x r"]);
    assert_eq!(s.request(TOOLS, 0, &Request::ResetWatches).reply, "OK");
    assert_eq!(fired(&mut s, &Request::Write(b"/a/b", b"1")), [""; 0]);
}

#[test]
fn a_depth_limits_what_a_watch_sees() {
    let mut s = Store::new();
    s.watch_depth(TOOLS, "/a", "zero", 0);
    s.watch_depth(TOOLS, "/a", "one", 1);
    let seen = |s: &mut Store, path: &str| -> String {
        let out = s.request(TOOLS, 0, &Request::Write(path.as_bytes(), b""));
        out.events.iter().map(|(_, e)| e.rsplit(' ').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(seen(&mut s, "/a"), "zero one");
    assert_eq!(seen(&mut s, "/a/b"), "one");
    assert_eq!(seen(&mut s, "/a/b/c"), "");
}

#[test]
fn watchers_learn_only_of_what_they_may_read() {
    let mut s = Store::new();
    let five = s.domain(5);
    assert_eq!(s.watch(five, "/secret", "t").reply, "OK");
    assert_eq!(s.watch(five, "own", "t").reply, "OK");
    let events = |s: &mut Store, r: &Request<'_>| s.request(TOOLS, 0, r).events.len();
    assert_eq!(events(&mut s, &Request::Write(b"/secret", b"1")), 0);
    assert_eq!(events(&mut s, &Request::Write(b"/local/domain/5/own", b"1")), 1);
    assert_eq!(s.set_perms(TOOLS, "/secret", "n0 r5").events.len(), 1, "it becomes readable");
    assert_eq!(events(&mut s, &Request::Write(b"/secret", b"2")), 1);
    assert_eq!(s.set_perms(TOOLS, "/secret", "n0").events.len(), 1, "it was readable");
    assert_eq!(events(&mut s, &Request::Rm(b"/secret")), 0);
}

#[test]
fn domains_come_and_go_with_their_special_events() {
    let mut s = Store::new();
    let watcher = ConnId(2);
    s.state.connect(watcher, Peer { domid: 0, read_only: false });
    for special in ["@introduceDomain", "@releaseDomain", "@releaseDomain/5"] {
        s.watch(watcher, special, "s");
    }
    s.watch_depth(watcher, "@releaseDomain", "deep", 1);
    let out = s.request(TOOLS, 0, &Request::Introduce { domid: 5, gfn: 7, port: 3 });
    assert!(s.state.blocked(TOOLS), "the next request of this client waits");
    assert_eq!(out.reply, "");
    let failed = s.with_state(|st, fx| st.ring_connected(TOOLS, Err(xen_wire::xenstore::XsError::EINVAL), fx));
    assert_eq!((failed.reply.as_str(), failed.events.len()), ("EINVAL", 0));
    s.domain(5);
    assert_eq!(s.request(TOOLS, 0, &Request::IsDomainIntroduced(5)).reply, "T");
    // Again: a new port, no event.
    s.request(TOOLS, 0, &Request::Introduce { domid: 5, gfn: 7, port: 4 });
    let again = s.with_state(|st, fx| st.ring_connected(TOOLS, Ok(()), fx));
    assert_eq!((again.reply.as_str(), again.events.len()), ("OK", 0));
    let shutdown = s.with_state(|st, fx| st.domain_shutdown(5, fx));
    let mut texts: Vec<_> = shutdown.events.iter().map(|(_, e)| e.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["@releaseDomain s", "@releaseDomain/5 deep", "@releaseDomain/5 s"]);
    assert_eq!(s.with_state(|st, fx| st.domain_shutdown(5, fx)).events.len(), 0, "told once");
    assert_eq!(s.request(TOOLS, 0, &Request::Resume(5)).reply, "OK");
    assert_eq!(s.with_state(|st, fx| st.domain_shutdown(5, fx)).events.len(), 3, "and again after a resume");
    let released = s.request(TOOLS, 0, &Request::Release(5));
    assert_eq!(released.reply, "OK");
    assert!(released.others.contains(&Effect::DisconnectRing(5)));
    assert_eq!(released.events.len(), 3);
}

/// XSA-322: nodes and permission entries of a dead domain must not be there for the next one with its number.
#[test]
fn the_next_domain_with_the_same_number_inherits_nothing() {
    let mut s = Store::new();
    let five = s.domain(5);
    s.write(five, "data/x", "1");
    s.write(TOOLS, "/shared", "1");
    s.set_perms(TOOLS, "/shared", "n0 r5 r6");
    s.write(TOOLS, "/local/domain/6/inside", "1");
    assert_eq!(s.state.owned_nodes(5), 3);
    s.request(TOOLS, 0, &Request::Release(5));
    assert_eq!(s.read(TOOLS, "/local/domain/5"), "ENOENT");
    assert_eq!(s.get_perms(TOOLS, "/shared"), "n0 r6");
    assert_eq!(s.state.owned_nodes(5), 0);
    let five = s.domain(5);
    assert_eq!(s.read(five, "/shared"), "EACCES");
    assert_eq!(s.state.check(), None);
}

#[test]
fn quotas_hold_for_guests_and_say_so() {
    let mut s = Store::new();
    let five = s.domain(5);
    let hit = |out: store::Outcome, error: &str, quota: QuotaKind| {
        assert_eq!(out.reply, error);
        let limit = xenstored::state::Quotas::default().get(quota);
        assert_eq!(out.others, [Effect::QuotaHit { domid: 5, quota, limit }]);
    };
    for n in 1..1000 {
        assert_eq!(s.write(five, &format!("data-{n}"), ""), "OK", "{n}");
    }
    hit(s.request(five, 0, &Request::Write(b"more", b"")), "ENOSPC", QuotaKind::Nodes);
    hit(s.request(five, 0, &Request::Mkdir(b"more")), "ENOSPC", QuotaKind::Nodes);
    assert_eq!(s.write(five, "data-1", "still writable"), "OK");
    assert_eq!(s.write(TOOLS, "/local/domain/5/more", "the tools may"), "OK");
    hit(s.request(five, 0, &Request::Write(b"data-1", &[b'x'; 2048])), "ENOSPC", QuotaKind::NodeSize);
    for n in 0..128 {
        assert_eq!(s.watch(five, &format!("w{n}"), "t").reply, "OK");
    }
    hit(s.watch(five, "w128", "t"), "E2BIG", QuotaKind::Watches);
    let transactions: Vec<u32> = (0..10).map(|_| s.start(five)).collect();
    hit(s.request(five, 0, &Request::TransactionStart), "ENOSPC", QuotaKind::Transactions);
    for (n, tx) in transactions.iter().enumerate() {
        assert_eq!(s.end(five, *tx, n % 2 == 0).reply, "OK");
    }
    let tx = s.start(five);
    let mut last = String::new();
    for n in 0..1030 {
        last = s.request(five, tx, &Request::Read(format!("nothing{n}").as_bytes())).reply;
        if last == "ENOSPC" {
            break;
        }
    }
    assert_eq!(last, "ENOSPC", "a transaction that looks at too much");
    assert_eq!(s.end(five, tx, true).reply, "ENOENT");
    let tx = s.start(five);
    let mut written = 0;
    while s.request(five, tx, &Request::Write(b"data-1", &[b'x'; 2000])).reply == "OK" {
        written += 1;
        assert!(written < 1000, "a transaction that holds too much");
    }
    assert_eq!(s.end(five, tx, true).reply, "ENOENT");
    let long = format!("/local/domain/5/{}", "p".repeat(2048));
    assert_eq!(s.request(five, 0, &Request::Read(long.as_bytes())).reply, "ENOENT");
    assert_eq!(s.request(five, 0, &Request::Read(format!("{long}p").as_bytes())).reply, "EINVAL");
    assert_eq!(s.state.check(), None);
}

#[test]
fn transactions_are_isolated_and_fire_when_they_commit() {
    let mut s = Store::new();
    s.watch(TOOLS, "/a", "t");
    let tx = s.start(TOOLS);
    assert_eq!(s.request(TOOLS, tx, &Request::Write(b"/a/1", b"x")).events, []);
    assert_eq!(s.request(TOOLS, tx, &Request::Read(b"/a/1")).reply, "x");
    assert_eq!(s.read(TOOLS, "/a/1"), "ENOENT");
    assert_eq!(s.request(TOOLS, tx, &Request::TransactionStart).reply, "EBUSY");
    let out = s.end(TOOLS, tx, true);
    assert_eq!((out.reply.as_str(), out.events), ("OK", vec![(TOOLS, "/a/1 t".to_owned())]));
    assert_eq!(s.end(TOOLS, tx, true).reply, "ENOENT");
    let tx = s.start(TOOLS);
    s.request(TOOLS, tx, &Request::Rm(b"/a"));
    s.request(TOOLS, tx, &Request::Write(b"/a/2", b"y"));
    assert_eq!(s.end(TOOLS, tx, false).events, []);
    assert_eq!(s.read(TOOLS, "/a/1"), "x");
    let tx = s.start(TOOLS);
    s.request(TOOLS, tx, &Request::Rm(b"/a/1"));
    s.write(TOOLS, "/meanwhile", "z");
    assert_eq!(s.end(TOOLS, tx, true).reply, "OK");
    assert_eq!((s.read(TOOLS, "/a/1").as_str(), s.read(TOOLS, "/meanwhile").as_str()), ("ENOENT", "z"));
    assert_eq!(s.state.check(), None);
}

/// What was made and removed in one transaction may leave directories that are new: the lowest is told, nothing else is.
#[test]
fn what_a_transaction_makes_and_removes_is_told_by_the_directory_that_it_leaves() {
    for (removed, told) in [("/x/y/c", Some("/x/y t")), ("/x/y", Some("/x t")), ("/x", None)] {
        let mut s = Store::new();
        s.watch(TOOLS, "/", "t");
        let tx = s.start(TOOLS);
        s.request(TOOLS, tx, &Request::Write(b"/x/y/c", b"1"));
        s.request(TOOLS, tx, &Request::Rm(removed.as_bytes()));
        let out = s.end(TOOLS, tx, true);
        let told = told.map(|told| (TOOLS, told.to_owned())).into_iter().collect();
        assert_eq!((out.reply.as_str(), out.events), ("OK", told), "{removed}");
        assert_eq!(s.read(TOOLS, "/x") == "ENOENT", removed == "/x");
    }
}

/// Xen's daemon gives `EAGAIN` for the second case: both add a child to one directory.
#[test]
fn transactions_conflict_only_over_the_same_nodes() {
    // What the transaction does, what happens meanwhile, whether it can commit.
    type Case = (&'static [Request<'static>], Request<'static>, bool);
    let cases: &[Case] = &[
        (&[Request::Read(b"/d/x")], Request::Write(b"/d/x", b"2"), false),
        (&[Request::Write(b"/d/new1", b"")], Request::Write(b"/d/new2", b""), true),
        (&[Request::Write(b"/d/x", b"1")], Request::Write(b"/d/y", b"2"), true),
        (&[Request::Write(b"/d/x", b"1")], Request::Write(b"/d/x", b"2"), false),
        (&[Request::Write(b"/d/x", b"1")], Request::Write(b"/d/x/below", b"2"), true),
        (&[Request::Directory(b"/d")], Request::Write(b"/d/new", b"2"), false),
        (&[Request::Directory(b"/d")], Request::Write(b"/d/x", b"2"), true),
        (&[Request::Directory(b"/d")], Request::Rm(b"/d/x"), false),
        (&[Request::Read(b"/d/none")], Request::Write(b"/d/none", b""), false),
        (&[Request::Read(b"/d/none")], Request::Write(b"/d/other", b""), true),
        (&[Request::Write(b"/d/deep/er/a", b"")], Request::Mkdir(b"/d/deep"), false),
        (&[Request::Rm(b"/d/y")], Request::Write(b"/d/x", b"2"), true),
        (&[Request::Rm(b"/d/y")], Request::Write(b"/d/y", b"2"), false),
        (&[Request::GetPerms(b"/d/x")], Request::Write(b"/d/x", b"2"), false),
    ];
    for (n, (inside, outside, commits)) in cases.iter().enumerate() {
        let mut s = Store::new();
        s.write(TOOLS, "/d/x", "0");
        s.write(TOOLS, "/d/y", "0");
        let other = ConnId(2);
        s.state.connect(other, Peer { domid: 0, read_only: false });
        let tx = s.start(TOOLS);
        for r in *inside {
            s.request(TOOLS, tx, r);
        }
        assert_eq!(s.request(other, 0, outside).reply, "OK", "case {n}");
        let end = s.end(TOOLS, tx, true).reply;
        assert_eq!(end, if *commits { "OK" } else { "EAGAIN" }, "case {n}");
        assert_eq!(s.state.check(), None);
    }
}

#[test]
fn whoever_breaks_a_transaction_is_named() {
    let mut s = Store::new();
    let five = s.domain(5);
    s.write(five, "state", "1");
    let tx = s.start(TOOLS);
    s.request(TOOLS, tx, &Request::Read(b"/local/domain/5/state"));
    s.write(five, "state", "2");
    let out = s.end(TOOLS, tx, true);
    assert_eq!((out.reply.as_str(), out.others), ("EAGAIN", vec![Effect::Blame(5)]));
}

/// A guest must not slip a node into a directory that became another's while its transaction was open.
#[test]
fn a_transaction_cannot_reach_into_a_directory_made_private_meanwhile() {
    let mut s = Store::new();
    let five = s.domain(5);
    let tx = s.start(five);
    assert_eq!(s.request(five, tx, &Request::Write(b"private/x", b"mine")).reply, "OK");
    s.mkdir(TOOLS, "/local/domain/5/private");
    s.set_perms(TOOLS, "/local/domain/5/private", "n0");
    assert_eq!(s.end(five, tx, true).reply, "EAGAIN");
    assert_eq!(s.read(TOOLS, "/local/domain/5/private/x"), "ENOENT");
}
