//! Xenstore messages: whatever the bytes are, no panic; what parses is encoded and parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xen_wire::xenstore::{HEADER_SIZE, MsgType, Request, path, split_message};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((header, payload, after))) = split_message(rest) {
        assert_eq!(rest.len(), HEADER_SIZE + payload.len() + after.len());
        rest = after;
        let Some(kind) = MsgType::from_u32(header.kind) else { continue };
        let Ok(request) = Request::parse(kind, payload) else { continue };
        let mut again = Vec::new();
        // A number may be written longer than it was: "0" for nothing, the sign of a frame.
        if request.encode(header.req_id, header.tx_id, &mut again).is_ok() {
            let (h, p, _) = split_message(&again).unwrap().unwrap();
            assert_eq!((h.kind, h.req_id, h.tx_id), (header.kind, header.req_id, header.tx_id));
            assert_eq!(Request::parse(kind, p), Ok(request));
        }
    }
    if let Ok(p) = path::check(data) {
        assert_eq!(path::ancestors(p).last(), Some("/"));
    }
});
