//! Xenstore messages: round trips, truncation at every byte, arbitrary bytes.

use proptest::prelude::*;
use xen_wire::xenstore::{
    Access, HEADER_SIZE, Header, MsgType, Perm, Request, Strings, XENSTORE_PAYLOAD_MAX, XsError, path, split_message,
};

/// An owned request, so that proptest can make one.
#[derive(Clone, Debug)]
enum Owned {
    Control(Vec<Vec<u8>>),
    OneString(u8, Vec<u8>),
    DirectoryPart(Vec<u8>, u64),
    Watch(Vec<u8>, Vec<u8>, Option<u32>),
    Unwatch(Vec<u8>, Vec<u8>),
    Start,
    End(bool),
    Introduce(u16, u64, u32),
    Domid(u8, u16),
    Write(Vec<u8>, Vec<u8>),
    SetPerms(Vec<u8>, Vec<Perm>),
    SetTarget(u16, u16),
    Reset,
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 0..60)
}

fn perm() -> impl Strategy<Value = Perm> {
    (prop::sample::select(vec![Access::None, Access::Read, Access::Write, Access::Both]), any::<u16>())
        .prop_map(|(a, d)| Perm::new(a, d))
}

fn owned() -> impl Strategy<Value = Owned> {
    prop_oneof![
        prop::collection::vec(text(), 0..5).prop_map(Owned::Control),
        (0u8..5, text()).prop_map(|(k, p)| Owned::OneString(k, p)),
        (text(), any::<u64>()).prop_map(|(p, o)| Owned::DirectoryPart(p, o)),
        (text(), text(), any::<Option<u32>>()).prop_map(|(p, t, d)| Owned::Watch(p, t, d)),
        (text(), text()).prop_map(|(p, t)| Owned::Unwatch(p, t)),
        Just(Owned::Start),
        any::<bool>().prop_map(Owned::End),
        (any::<u16>(), any::<u64>(), 1u32..).prop_map(|(d, g, p)| Owned::Introduce(d, g, p)),
        (0u8..4, any::<u16>()).prop_map(|(k, d)| Owned::Domid(k, d)),
        (text(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(p, v)| Owned::Write(p, v)),
        (text(), prop::collection::vec(perm(), 1..6)).prop_map(|(p, l)| Owned::SetPerms(p, l)),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Owned::SetTarget(a, b)),
        Just(Owned::Reset),
    ]
}

/// Calls `f` with the borrowed form.
fn with_request<R>(o: &Owned, f: impl FnOnce(Request<'_>) -> R) -> R {
    match o {
        Owned::Control(args) => {
            let joined: Vec<u8> = args.iter().flat_map(|a| a.iter().copied().chain([0])).collect();
            f(Request::Control(Strings::new(&joined)))
        }
        Owned::OneString(k, p) => f(match k {
            0 => Request::Directory(p),
            1 => Request::Read(p),
            2 => Request::GetPerms(p),
            3 => Request::Mkdir(p),
            _ => Request::Rm(p),
        }),
        Owned::DirectoryPart(p, o) => f(Request::DirectoryPart(p, *o)),
        Owned::Watch(p, t, d) => f(Request::Watch { path: p, token: t, depth: *d }),
        Owned::Unwatch(p, t) => f(Request::Unwatch(p, t)),
        Owned::Start => f(Request::TransactionStart),
        Owned::End(c) => f(Request::TransactionEnd(*c)),
        Owned::Introduce(d, g, p) => f(Request::Introduce { domid: *d, gfn: *g, port: *p }),
        Owned::Domid(k, d) => f(match k {
            0 => Request::Release(*d),
            1 => Request::GetDomainPath(*d),
            2 => Request::IsDomainIntroduced(*d),
            _ => Request::Resume(*d),
        }),
        Owned::Write(p, v) => f(Request::Write(p, v)),
        Owned::SetPerms(p, l) => f(Request::SetPerms(p, l.clone())),
        Owned::SetTarget(d, t) => f(Request::SetTarget(*d, *t)),
        Owned::Reset => f(Request::ResetWatches),
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same_request(o in owned(), req_id: u32, tx_id: u32) {
        with_request(&o, |r| {
            let mut bytes = Vec::new();
            r.encode(req_id, tx_id, &mut bytes).unwrap();
            let (header, payload, rest) = split_message(&bytes).unwrap().unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(header.req_id, req_id);
            prop_assert_eq!(header.tx_id, tx_id);
            let kind = MsgType::from_u32(header.kind).unwrap();
            prop_assert_eq!(Request::parse(kind, payload), Ok(r));
            Ok(())
        })?;
    }

    #[test]
    fn a_stream_cut_at_any_byte_asks_for_more_and_never_gives_half_a_message(o in owned(), req_id: u32) {
        let mut bytes = Vec::new();
        with_request(&o, |r| r.encode(req_id, 0, &mut bytes)).unwrap();
        for cut in 0..bytes.len() {
            prop_assert_eq!(split_message(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn a_payload_cut_at_any_byte_is_an_error_or_a_request_and_never_a_panic(o in owned()) {
        let mut bytes = Vec::new();
        let kind = with_request(&o, |r| { r.encode(0, 0, &mut bytes).unwrap(); r.kind() });
        let payload = &bytes[HEADER_SIZE..];
        for cut in 0..payload.len() {
            if let Ok(r) = Request::parse(kind, &payload[..cut]) {
                prop_assert_eq!(r.kind(), kind);
            }
        }
    }

    #[test]
    fn any_bytes_parse_or_fail_and_what_parses_survives_a_round_trip(
        kind in 0u32..30, payload in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let Some(kind) = MsgType::from_u32(kind) else { return Ok(()) };
        if let Ok(r) = Request::parse(kind, &payload) {
            let mut again = Vec::new();
            r.encode(1, 2, &mut again).unwrap();
            prop_assert_eq!(Request::parse(kind, &again[HEADER_SIZE..]), Ok(r));
        }
    }

    #[test]
    fn headers_round_trip(kind: u32, req_id: u32, tx_id: u32, len: u32) {
        let h = Header { kind, req_id, tx_id, len };
        prop_assert_eq!(Header::from_bytes(&h.to_bytes()), h);
    }

    #[test]
    fn accepted_paths_are_made_of_their_components(p in "[a-zA-Z0-9/@_-]{0,40}") {
        if let Ok(p) = path::check(p.as_bytes()) {
            let joined: String = path::components(p).map(|c| format!("/{c}")).collect();
            prop_assert_eq!(if joined.is_empty() { "/".to_owned() } else { joined }, p);
            for a in path::ancestors(p) {
                prop_assert!(path::is_child(p, a));
            }
        }
    }
}

#[test]
fn a_payload_above_4096_bytes_is_refused_from_the_header_alone() {
    let len = u32::try_from(XENSTORE_PAYLOAD_MAX).unwrap() + 1;
    let h = Header { kind: 2, req_id: 0, tx_id: 0, len };
    assert_eq!(split_message(&h.to_bytes()).unwrap_err().len, len);
    let mut out = vec![1, 2, 3];
    let big = vec![b'x'; XENSTORE_PAYLOAD_MAX];
    assert!(Request::Write(b"/a", &big).encode(0, 0, &mut out).is_err());
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn message_numbers_and_error_names_are_those_of_the_header() {
    assert_eq!(MsgType::SetTarget.as_u32(), 19);
    assert_eq!(MsgType::from_u32(20), None, "RESTRICT is gone");
    assert_eq!(MsgType::ResetWatches.as_u32(), 21);
    assert_eq!(MsgType::DirectoryPart.as_u32(), 22);
    let names: Vec<_> = XsError::ALL.iter().map(|e| e.name()).collect();
    assert_eq!(
        names.join(" "),
        "EINVAL EACCES EEXIST EISDIR ENOENT ENOMEM ENOSPC EIO ENOTEMPTY ENOSYS EROFS \
        EBUSY EAGAIN EISCONN E2BIG EPERM"
    );
    for e in XsError::ALL {
        assert_eq!(XsError::from_name(e.name().as_bytes()), Some(*e));
    }
}

#[test]
fn bad_paths_are_refused() {
    for bad in ["", "a", "a/b", "/a/", "//", "/a//b", "/a b", "/a\n", "/\u{e9}", "@x"] {
        assert!(path::check(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(path::check(&[b'/', 0xff]).is_err());
    let long = format!("/{}", "p".repeat(3071));
    assert_eq!(path::check(long.as_bytes()), Ok(long.as_str()));
    assert!(path::check(format!("{long}p").as_bytes()).is_err());
    assert!(!path::is_child("/ab", "/a"));
    assert_eq!(path::parent("/a"), "/");
}

#[test]
fn bad_permissions_are_refused() {
    for bad in ["", "n", "x1", "r-1", "r65536", "r1x", "rr1", "r 1"] {
        assert!(Perm::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert_eq!(Perm::parse(b"b65535"), Ok(Perm::new(Access::Both, 65535)));
    assert_eq!(Perm::new(Access::Read, 7).to_string(), "r7");
}
