//! Byte rings, their layouts against the C header, and hostile indices.

use proptest::prelude::*;
use std::cell::RefCell;
use std::io::Write as _;
use xen_wire::ring::{Indices, RingLayout, RingMemory};
use xen_wire::{console, xenstore::ring};

/// A page in this process.
struct Page(RefCell<Vec<u8>>);

impl Page {
    fn new() -> Self {
        Page(RefCell::new(vec![0; 4096]))
    }
}

impl RingMemory for Page {
    fn load_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0.borrow()[offset..offset + 4].try_into().unwrap())
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.0.borrow_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
}

const LAYOUTS: [RingLayout; 4] = [ring::REQ, ring::RSP, console::IN, console::OUT];

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in_across_every_wrap(
        which in 0usize..4, start: u32, steps in prop::collection::vec((0usize..2100, 0usize..2100), 1..40)
    ) {
        let (layout, page) = (LAYOUTS[which], Page::new());
        page.store_u32(layout.cons, start);
        page.store_u32(layout.prod, start);
        let (mut written, mut read) = (Vec::new(), Vec::new());
        let mut next = 0u8;
        for (put, take) in steps {
            let data: Vec<u8> = (0..put).map(|_| { next = next.wrapping_add(1); next }).collect();
            let (n, prod) = layout.fill(&page, &data).unwrap();
            layout.produce_to(&page, prod);
            next = next.wrapping_sub((put - n) as u8);
            written.extend_from_slice(&data[..n]);
            prop_assert!(layout.readable(&page).unwrap() <= layout.size);
            let mut buf = vec![0; take];
            let (n, cons) = layout.peek(&page, &mut buf).unwrap();
            layout.consume_to(&page, cons);
            read.extend_from_slice(&buf[..n]);
        }
        prop_assert_eq!(&written[..read.len()], &read[..]);
        prop_assert_eq!(written.len() - read.len(), layout.readable(&page).unwrap() as usize);
    }

    #[test]
    fn hostile_indices_are_refused_or_stay_inside_the_ring(which in 0usize..4, cons: u32, prod: u32) {
        let (layout, page) = (LAYOUTS[which], Page::new());
        page.store_u32(layout.cons, cons);
        page.store_u32(layout.prod, prod);
        let possible = prod.wrapping_sub(cons) <= layout.size;
        let mut buf = vec![0; 5000];
        prop_assert_eq!(layout.peek(&page, &mut buf).is_ok(), possible);
        prop_assert_eq!(layout.fill(&page, &buf).is_ok(), possible);
        prop_assert_eq!(Indices { cons, prod }.used(layout.size).is_ok(), possible);
        // Only the ring's own data may have changed.
        let bytes = page.0.borrow();
        let outside = bytes.iter().enumerate().filter(|(i, _)| {
            !(layout.data..layout.data + layout.size as usize).contains(i)
                && !(layout.cons..layout.cons + 4).contains(i) && !(layout.prod..layout.prod + 4).contains(i)
        });
        for (i, b) in outside {
            prop_assert_eq!(*b, 0, "byte {}", i);
        }
    }
}

/// The constants of this crate as C assertions, compiled against the installed public headers.
#[test]
fn layouts_and_constants_agree_with_the_public_headers() {
    let mut c = String::from(
        "#include <stddef.h>\n#include <stdint.h>\n#include <errno.h>\n#include <xen/io/xs_wire.h>\n\
         #include <xen/io/console.h>\n#define A(x) _Static_assert(x, #x)\n",
    );
    let xs = [
        ("req", ring::REQ.data),
        ("rsp", ring::RSP.data),
        ("req_cons", ring::REQ.cons),
        ("req_prod", ring::REQ.prod),
        ("rsp_cons", ring::RSP.cons),
        ("rsp_prod", ring::RSP.prod),
        ("server_features", ring::SERVER_FEATURES),
        ("connection", ring::CONNECTION),
        ("error", ring::ERROR),
    ];
    for (field, offset) in xs {
        c += &format!("A(offsetof(struct xenstore_domain_interface, {field}) == {offset});\n");
    }
    let cons = [
        ("in", console::IN.data),
        ("out", console::OUT.data),
        ("in_cons", console::IN.cons),
        ("in_prod", console::IN.prod),
        ("out_cons", console::OUT.cons),
        ("out_prod", console::OUT.prod),
    ];
    for (field, offset) in cons {
        c += &format!("A(offsetof(struct xencons_interface, {field}) == {offset});\n");
    }
    c += &format!(
        "A(sizeof(struct xenstore_domain_interface) == {});\nA(sizeof(struct xencons_interface) == {});\n\
         A(XENSTORE_RING_SIZE == {});\nA(sizeof(struct xsd_sockmsg) == {});\nA(XENSTORE_PAYLOAD_MAX == {});\n\
         A(XENSTORE_ABS_PATH_MAX == {});\nA(XENSTORE_REL_PATH_MAX == {});\n",
        ring::INTERFACE_SIZE,
        console::INTERFACE_SIZE,
        ring::XENSTORE_RING_SIZE,
        xen_wire::xenstore::HEADER_SIZE,
        xen_wire::xenstore::XENSTORE_PAYLOAD_MAX,
        xen_wire::xenstore::XENSTORE_ABS_PATH_MAX,
        xen_wire::xenstore::XENSTORE_REL_PATH_MAX,
    );
    for kind in xen_wire::xenstore::MsgType::ALL {
        c += &format!("A(XS_{} == {});\n", kind.name(), kind.as_u32());
    }
    for e in xen_wire::xenstore::XsError::ALL {
        c += &format!("A({} == {});\n", e.name(), e.errno());
    }
    for (name, value) in [
        ("XENSTORE_SERVER_FEATURE_RECONNECTION", ring::XENSTORE_SERVER_FEATURE_RECONNECTION),
        ("XENSTORE_SERVER_FEATURE_ERROR", ring::XENSTORE_SERVER_FEATURE_ERROR),
        ("XENSTORE_CONNECTED", ring::XENSTORE_CONNECTED),
        ("XENSTORE_RECONNECT", ring::XENSTORE_RECONNECT),
        ("XENSTORE_ERROR_NONE", ring::ConnError::None.as_u32()),
        ("XENSTORE_ERROR_COMM", ring::ConnError::Comm.as_u32()),
        ("XENSTORE_ERROR_RINGIDX", ring::ConnError::RingIndex.as_u32()),
        ("XENSTORE_ERROR_PROTO", ring::ConnError::Protocol.as_u32()),
    ] {
        c += &format!("A({name} == {value});\n");
    }
    let mut gcc = std::process::Command::new("gcc")
        .args(["-fsyntax-only", "-x", "c", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("gcc and libxen-dev are needed for this test");
    gcc.stdin.take().unwrap().write_all(c.as_bytes()).unwrap();
    assert!(gcc.wait().unwrap().success(), "the C compiler disagrees with:\n{c}");
}
