//! `io/ring.h`: the shared page of a request ring.
//!
//! C makes a type for each protocol with a macro; here the head is one struct, and the slots are counted by
//! [`ring_size`].

use crate::check::Const;

structs! {
    /// The head of a ring's page: indices run freely; the slots follow at offset 64.
    ///
    /// A new ring has both events 1 and everything else 0.
    Sring = "struct xen_abi_sring" {
        req_prod: u32,
        req_event: u32,
        rsp_prod: u32,
        rsp_event: u32,
        pvt: [u8; 4],
        __pad: [u8; 44],
    }
}

/// How many slots of `slot` bytes fit into a ring of `bytes` bytes, head included: a power of two, 0 if none
/// (`__CONST_RING_SIZE`).
#[must_use]
pub const fn ring_size(bytes: usize, slot: usize) -> usize {
    match bytes.saturating_sub(size_of::<Sring>()).checked_div(slot) {
        Some(n) if n > 0 => 1 << n.ilog2(),
        _ => 0,
    }
}

/// What the header check compares with C's own ring types.
pub const CONSTS: &[Const] = &[
    Const { c: "offsetof(struct blkif_sring, ring)", value: size_of::<Sring>() as i128 },
    Const { c: "offsetof(struct netif_rx_sring, ring)", value: size_of::<Sring>() as i128 },
    Const { c: "__CONST_RING_SIZE(blkif, 4096)", value: ring_size(4096, 112) as i128 },
    Const { c: "__CONST_RING_SIZE(blkif, 65536)", value: ring_size(65536, 112) as i128 },
    Const { c: "__CONST_RING_SIZE(netif_tx, 4096)", value: ring_size(4096, 12) as i128 },
    Const { c: "__CONST_RING_SIZE(netif_rx, 4096)", value: ring_size(4096, 8) as i128 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_too_small_for_a_slot_has_none() {
        assert_eq!(ring_size(0, 8), 0);
        assert_eq!(ring_size(71, 8), 0);
        assert_eq!(ring_size(72, 8), 1);
        assert_eq!(ring_size(4096, 0), 0);
    }
}
