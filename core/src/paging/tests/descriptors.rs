//! Descriptor tables.

use super::*;
use crate::addr::Maddr;
use crate::ctx::Effect;

const CODE: u64 = 0x00af_9b00_0000_ffff;
const GATE: u64 = 0x0000_ec00_0000_0000;

#[test]
fn a_gdt_frame_is_checked_corrected_and_never_writable() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let gdt = guest.frame();
    guest.poke(gdt, 1, Pte(CODE));
    guest.call(|ctx| set_gdt(ctx, &[gdt], 512)).unwrap();
    assert!(guest.effects.has(Effect::LOAD_DESCRIPTOR_TABLES));
    assert_eq!(guest.peek(gdt, 1).0, CODE | 3 << 45);
    assert_eq!(guest.pv.gdt_frames[0], gdt);
    assert_eq!(guest.set(tables[3], 0, Pte::new(gdt, RW)), EBUSY);
    assert_eq!(guest.ext(MMUEXT_PIN_L1_TABLE, gdt.0, 0), EINVAL);
    assert_eq!(guest.set(tables[3], 0, Pte::new(gdt, RO)), Ok(0));
    guest.call(|ctx| set_gdt(ctx, &[], 0)).unwrap();
    assert_eq!(guest.set(tables[3], 0, Pte::new(gdt, RW)), Ok(0));
}

#[test]
fn a_gdt_with_a_gate_or_a_table_of_another_kind_is_refused_whole() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (good, bad) = (guest.frame(), guest.frame());
    guest.poke(bad, 511, Pte(GATE));
    guest.call(|ctx| set_gdt(ctx, &[good], 10)).unwrap();
    assert_eq!(guest.call(|ctx| set_gdt(ctx, &[good, bad], 1024)), Err(PagingError::Invalid));
    assert_eq!(guest.call(|ctx| set_gdt(ctx, &[good, tables[3]], 1024)), Err(PagingError::Invalid));
    assert_eq!(guest.call(|ctx| set_gdt(ctx, &[good], 1024)), Err(PagingError::Invalid), "too few frames");
    assert_eq!(guest.call(|ctx| set_gdt(ctx, &[good; 15], 14 * 512 + 1)), Err(PagingError::Invalid));
    assert_eq!((guest.pv.gdt_frames[0], guest.pv.gdt_entries), (good, 10));
    assert_eq!(guest.type_of(good), (FrameType::SegDesc, 1));
    guest.assert_idle(&[bad]);
}

#[test]
fn a_gdt_has_14_frames_at_most() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.running();
    let gdt = guest.frame();
    guest.call(|ctx| set_gdt(ctx, &[gdt; 14], 14 * 512)).unwrap();
    assert_eq!((guest.pv.gdt_frames, guest.type_of(gdt)), ([gdt; 14], (FrameType::SegDesc, 14)));
    guest.call(|ctx| set_gdt(ctx, &[gdt; 14], 513)).unwrap();
    assert_eq!(guest.type_of(gdt), (FrameType::SegDesc, 2));
    guest.call(|ctx| set_gdt(ctx, &[], 0)).unwrap();
    assert_eq!(guest.type_of(gdt), (FrameType::SegDesc, 0));
}

#[test]
fn an_ldt_is_page_aligned_in_the_guest_and_of_8192_entries_at_most() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.running();
    for (base, entries, result) in [
        (0x2000, 8192, Ok(0)),
        (0x2000, 8193, EINVAL),
        (0x2000, u64::from(u32::MAX), EINVAL),
        (0x2008, 8, EINVAL),
        (0x7fff_ffff_e000, 8, Ok(0)),
        (0x7fff_ffff_f000, 1024, EINVAL),
        (0xffff_8000_0000_0000, 8, EINVAL),
        (0xffff_8800_0000_0000, 8, Ok(0)),
        (0xffff_ffff_ffff_f000, 8192, EINVAL),
        (0x2008, 0, Ok(0)),
        (0, 8, Ok(0)),
        (0, 0, Ok(0)),
    ] {
        let before = (guest.pv.ldt_base, guest.pv.ldt_entries);
        assert_eq!(guest.ext(MMUEXT_SET_LDT, base, entries), result, "{base:#x} {entries}");
        let after = match (result, entries) {
            (Ok(_), 0) => (Vaddr(0), 0),
            (Ok(_), _) => (Vaddr(base), entries as u32),
            (Err(_), _) => before,
        };
        assert_eq!((guest.pv.ldt_base, guest.pv.ldt_entries), after, "{base:#x} {entries}");
        let changed = result == Ok(0);
        assert_eq!(guest.effects.has(Effect::LOAD_DESCRIPTOR_TABLES), changed, "{base:#x} {entries}");
    }
    guest.ext(MMUEXT_SET_LDT, 0, 0).unwrap();
    assert!(!guest.effects.has(Effect::LOAD_DESCRIPTOR_TABLES), "there was none before");
}

#[test]
fn no_page_after_the_ldt_is_one_of_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let [last, after] = [(); 2].map(|()| guest.frame());
    guest.set(tables[3], 2, Pte::new(last, RO)).unwrap();
    guest.set(tables[3], 3, Pte::new(after, RO)).unwrap();
    guest.ext(MMUEXT_SET_LDT, 0x2000, 512).unwrap();
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 0)), Ok(last));
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 1)), Err(PagingError::Invalid));
    guest.ext(MMUEXT_SET_LDT, 0x2000, 513).unwrap();
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 1)), Ok(after));
    guest.ext(MMUEXT_SET_LDT, 0, 0).unwrap();
    assert_eq!((guest.type_of(last).1, guest.type_of(after).1), (0, 0));
}

#[test]
fn a_descriptor_is_updated_where_descriptors_or_writable_memory_are() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (gdt, plain) = (guest.frame(), guest.frame());
    guest.call(|ctx| set_gdt(ctx, &[gdt], 512)).unwrap();
    let update = |guest: &mut Guest<'_>, mfn: Mfn, offset, value| {
        guest.call(|ctx| update_descriptor(ctx, Maddr(mfn.maddr().0 + offset), value))
    };
    update(&mut guest, gdt, 16, CODE).unwrap();
    assert_eq!(guest.peek(gdt, 2).0, CODE | 3 << 45);
    assert_eq!(update(&mut guest, gdt, 24, GATE), Err(PagingError::Invalid));
    assert_eq!(guest.peek(gdt, 3).0, 0);
    update(&mut guest, plain, 8, CODE).unwrap();
    assert_eq!(update(&mut guest, gdt, 4, 0), Err(PagingError::Invalid));
    assert_eq!(update(&mut guest, tables[3], 0, CODE), Err(PagingError::Invalid));
    assert_eq!(guest.type_of(gdt), (FrameType::SegDesc, 1));
}

#[test]
fn ldt_pages_are_looked_up_when_used_and_dropped_with_the_ldt() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (ldt, writable) = (guest.frame(), guest.frame());
    guest.set(tables[3], 2, Pte::new(ldt, RO)).unwrap();
    guest.set(tables[3], 3, Pte::new(writable, RW)).unwrap();
    assert_eq!(guest.ext(MMUEXT_SET_LDT, 0x2001, 8), EINVAL);
    assert_eq!(guest.ext(MMUEXT_SET_LDT, 0x2000, 8193), EINVAL);
    assert_eq!(guest.ext(MMUEXT_SET_LDT, 0x8000_0000_0000, 8), EINVAL);
    guest.ext(MMUEXT_SET_LDT, 0x2000, 1500).unwrap();
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 0)), Ok(ldt));
    assert_eq!(guest.type_of(ldt), (FrameType::SegDesc, 1));
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 0)), Ok(ldt), "again: the same");
    guest.ext(MMUEXT_SET_LDT, 0x2000, 1500).unwrap();
    // User mode, whose tables do not map the kernel's memory.
    guest.pv.flags &= !IN_KERNEL;
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 0)), Ok(ldt), "user mode loads a selector");
    guest.pv.flags |= IN_KERNEL;
    assert_eq!(guest.type_of(ldt), (FrameType::SegDesc, 1));
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 1)), Err(PagingError::Invalid), "mapped writable");
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 2)), Err(PagingError::Invalid), "not mapped");
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 3)), Err(PagingError::Invalid), "beyond its entries");
    assert_eq!(guest.call(|ctx| map_ldt_page(ctx, 16)), Err(PagingError::Invalid));
    guest.ext(MMUEXT_SET_LDT, 0, 0).unwrap();
    assert_eq!(guest.type_of(ldt), (FrameType::SegDesc, 0));
    assert_eq!(guest.set(tables[3], 2, Pte::new(ldt, RW)), Ok(0));
}
