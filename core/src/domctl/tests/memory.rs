//! What a toolstack sees of a domain's frames, and may give it.

use super::*;
use crate::paging::mmuext_op;
use xen_abi::xen::{DOMID_SELF, MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L4_TABLE, MMUEXT_UNPIN_TABLE, MmuextOp};

#[test]
fn tables_are_shown_by_their_level_and_with_their_pins_while_they_are_tables() {
    let world = world();
    let (id, frames) = built(&world);
    let ext = |cmd, mfn: Mfn| {
        world.platform().poke(ARG, &MmuextOp { cmd, arg1: mfn.0, ..Default::default() });
        let done = world.call(id, |ctx| mmuext_op(ctx, Vaddr(ARG), 1, Vaddr(0), DOMID_SELF.into())).0;
        assert_eq!(done, Ok(0));
    };
    let shown = || {
        world.platform().poke(BUFFER, &frames.map(|mfn| mfn.0));
        let arg = XenDomctlGetpageframeinfo3 { num: 6, array: GuestPtr::new(BUFFER) };
        call(&world, XEN_DOMCTL_getpageframeinfo3, id, arg).unwrap();
        world.platform().peek::<[u64; 6]>(BUFFER).map(|kind| kind as u32)
    };
    let [l1, l2, l3, l4, pinned] = [
        XEN_DOMCTL_PFINFO_L1TAB,
        XEN_DOMCTL_PFINFO_L2TAB,
        XEN_DOMCTL_PFINFO_L3TAB,
        XEN_DOMCTL_PFINFO_L4TAB,
        XEN_DOMCTL_PFINFO_LPINTAB,
    ];
    // The last two are the GDT and a plain frame.
    assert_eq!(shown(), [l4, l3, l2, l1, 0, 0]);
    ext(MMUEXT_PIN_L4_TABLE, frames[0]);
    ext(MMUEXT_PIN_L1_TABLE, frames[5]);
    assert_eq!(shown(), [l4 | pinned, l3, l2, l1, 0, l1 | pinned]);
    ext(MMUEXT_UNPIN_TABLE, frames[5]);
    assert_eq!(shown(), [l4 | pinned, l3, l2, l1, 0, 0], "a table no more");
}

#[test]
fn as_many_frames_as_one_call_takes_are_shown() {
    let world = world();
    let id = create(&world);
    let arg = |num| XenDomctlGetpageframeinfo3 { num, array: GuestPtr::new(BUFFER) };
    world.platform().poke(BUFFER + 1024 * 8, &0x55u64);
    assert!(call(&world, XEN_DOMCTL_getpageframeinfo3, id, arg(1024)).is_ok());
    assert_eq!(world.platform().peek::<[u64; 1025]>(BUFFER)[1023..], [u64::from(XEN_DOMCTL_PFINFO_XTAB), 0x55]);
    assert_eq!(call(&world, XEN_DOMCTL_getpageframeinfo3, id, arg(1025)), Err(Errno::E2BIG));
}

#[test]
fn of_shadow_operations_those_that_change_nothing_work() {
    let world = world();
    let id = create(&world);
    for (op, mb, result) in [
        (XEN_DOMCTL_SHADOW_OP_OFF, 0, Ok(0)),
        (XEN_DOMCTL_SHADOW_OP_OFF, 1, Ok(1)),
        (XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 0, Ok(0)),
        (XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 1, Err(Errno::EOPNOTSUPP)),
        (XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION, 1, Ok(0)),
        (XEN_DOMCTL_SHADOW_OP_CLEAN, 0, Err(Errno::EOPNOTSUPP)),
    ] {
        let arg = XenDomctlShadowOp { op, mb, ..Default::default() };
        assert_eq!(call(&world, XEN_DOMCTL_shadow_op, id, arg).map(|arg| arg.mb), result, "{op} {mb}");
    }
}

#[test]
fn a_mapping_of_too_many_frames_is_to_be_made_in_parts() {
    let world = world();
    let id = create(&world);
    let map = |nr_mfns| XenDomctlMemoryMapping { first_mfn: 1 << 20, nr_mfns, add_mapping: 1, ..Default::default() };
    let mapped = |nr_mfns| call(&world, XEN_DOMCTL_memory_mapping, id, map(nr_mfns)).map(|_| ());
    assert_eq!((mapped(1 << 16), mapped((1 << 16) + 1)), (Err(Errno::EPERM), Err(Errno::E2BIG)));
    assert_eq!(mapped(1 << 30), Err(Errno::E2BIG));
}
