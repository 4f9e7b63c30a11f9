//! Two guests and the tools send anything: no panic, the store stays consistent, and a snapshot brings back the
//! same engine. Each input is a sequence of: connection, length, bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xen_wire::xenstore::{Perm, Request};
use xenstored::engine::{Engine, Happening, Todo};
use xenstored::snapshot;
use xenstored::state::{ConnId, Peer};

const TOOLS: ConnId = ConnId(1);

fn introduce(e: &mut Engine, domid: u16) {
    let mut bytes = Vec::new();
    let home = format!("/local/domain/{domid}");
    let perm = Perm::parse(format!("n{domid}").as_bytes()).unwrap();
    Request::Introduce { domid, gfn: 1, port: 1 }.encode(0, 0, &mut bytes).unwrap();
    Request::Mkdir(home.as_bytes()).encode(0, 0, &mut bytes).unwrap();
    Request::SetPerms(home.as_bytes(), vec![perm]).encode(0, 0, &mut bytes).unwrap();
    let mut todo = Vec::new();
    e.bytes(TOOLS, &bytes, &mut todo);
    e.happened(&Happening::Ring(TOOLS, Ok((0, 0))), &mut todo);
}

fuzz_target!(|data: &[u8]| {
    let mut e = Engine::default();
    let mut todo = Vec::new();
    e.happened(&Happening::Connected(TOOLS, Peer { domid: 0, read_only: false }), &mut todo);
    introduce(&mut e, 5);
    introduce(&mut e, 6);
    let mut rest = data;
    while let [who, len, after @ ..] = rest {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*len) * 4));
        rest = after;
        let conn = match who % 4 {
            0 => TOOLS,
            1 => ConnId::domain(6),
            _ => ConnId::domain(5),
        };
        todo.clear();
        e.bytes(conn, bytes, &mut todo);
        for t in std::mem::take(&mut todo) {
            if let Todo::ConnectRing(requester, ..) = t {
                e.happened(&Happening::Ring(requester, Err("EINVAL".into())), &mut todo);
            }
        }
        if who & 0x80 != 0 {
            e.delivered(conn, u64::from(*len) * 7);
        }
    }
    assert_eq!(e.state().check(), None);
    let saved = snapshot::save(&e).unwrap();
    let again = snapshot::save(&snapshot::load(&saved).unwrap()).unwrap();
    assert!(saved == again);
});
