//! Stores into page tables.

use super::*;

fn decode(regs: &Regs, code: &[u8], fault: u64) -> Result<Store, Refused> {
    Store::decode(regs, code, Vaddr(fault), |name| if name == SegmentName::Gs { 0x10_0000 } else { 0 })
}

fn at_rdi() -> Regs {
    Regs { rdi: 0x2008, rsi: 0x1122_3344_5566_7788, ..regs() }
}

#[test]
fn mov_of_each_width_replaces_its_bytes_of_the_entry() {
    for (code, width, entry) in [
        (&[0x48, 0x89, 0x37][..], 8, 0x1122_3344_5566_7788_u64),
        (&[0x89, 0x37], 4, 0xeeee_eeee_5566_7788),
        (&[0x66, 0x89, 0x37], 2, 0xeeee_eeee_eeee_7788),
        (&[0x40, 0x88, 0x37], 1, 0xeeee_eeee_eeee_ee88),
        (&[0x48, 0xc7, 0x07, 0x67, 0, 0, 0x80], 8, 0xffff_ffff_8000_0067),
        (&[0x48, 0x0f, 0xc3, 0x37], 8, 0x1122_3344_5566_7788),
    ] {
        let store = decode(&at_rdi(), code, 0x2008).unwrap();
        assert_eq!((store.at, store.width, store.needs_current()), (Vaddr(0x2008), width, false));
        let step = store.on_entry(0xeeee_eeee_eeee_eeee, 0).unwrap();
        assert_eq!(step.new, Some(entry), "{code:x?}");
        assert_eq!(step.regs, Regs { rip: RIP + code.len() as u64, rflags: 0x202, ..at_rdi() });
        assert_eq!(store.replaces_entry(), width == 8);
    }
}

#[test]
fn a_part_of_an_entry_lands_in_its_place() {
    let r = Regs { rdi: 0x2006, rsi: 0xabcd, ..regs() };
    let store = decode(&r, &[0x66, 0x89, 0x37], 0x2006).unwrap();
    assert_eq!(store.entry_at(), Vaddr(0x2000));
    assert_eq!(store.on_entry(0x1111_2222_3333_4444, 0).unwrap().new, Some(0xabcd_2222_3333_4444));
}

#[test]
fn compare_exchange_writes_only_when_equal() {
    // lock cmpxchg [rdi], rsi
    let code = [0xf0, 0x48, 0x0f, 0xb1, 0x37];
    let r = Regs { rax: 0x5, ..at_rdi() };
    let store = decode(&r, &code, 0x200f).unwrap();
    let equal = store.on_entry(5, 0).unwrap();
    assert_eq!((equal.new, equal.regs.rax), (Some(r.rsi), 5));
    assert_eq!(equal.regs.rflags & 0x8d5, 0x44, "ZF and PF");
    let other = store.on_entry(9, 0).unwrap();
    assert_eq!((other.new, other.regs.rax, other.regs.rflags & 0x40), (None, 9, 0));
    assert_eq!(other.regs.rip, RIP + 5);
}

#[test]
fn compare_exchange_of_pairs() {
    let r = Regs { rax: 1, rdx: 2, rbx: 3, rcx: 4, rdi: 0x2000, ..regs() };
    let store = decode(&r, &[0xf0, 0x0f, 0xc7, 0x0f], 0x2004).unwrap();
    assert_eq!(store.on_entry(0x2_0000_0001, 0).unwrap().new, Some(0x4_0000_0003));
    let missed = store.on_entry(0x7_0000_0001, 0).unwrap();
    assert_eq!((missed.new, missed.regs.rdx, missed.regs.rax), (None, 7, 1));
    let store = decode(&r, &[0xf0, 0x48, 0x0f, 0xc7, 0x0f], 0x2008).unwrap();
    assert_eq!(store.step(2 << 64 | 1, 0).new, Some(4 << 64 | 3));
    assert_eq!(store.on_entry(1, 0), None, "wider than an entry");
}

#[test]
fn bit_instructions_reach_the_entry_that_their_index_names() {
    // lock btr [rdi], rsi with a bit in the entry before
    let r = Regs { rdi: 0x2008, rsi: 0xffff_ffff_ffff_ffc1, ..regs() };
    let store = decode(&r, &[0xf0, 0x48, 0x0f, 0xb3, 0x37], 0x2000).unwrap();
    assert_eq!(store.at, Vaddr(0x2000));
    let step = store.on_entry(0x67, 0).unwrap();
    assert_eq!((step.new, step.regs.rflags & 1), (Some(0x65), 1));
    // lock btr qword [rdi], 1 and the byte form that Linux uses for constants: lock and byte [rdi], 0xfd
    let r = Regs { rdi: 0x2000, ..regs() };
    assert_eq!(
        decode(&r, &[0xf0, 0x48, 0x0f, 0xba, 0x37, 1], 0x2000).unwrap().on_entry(0x67, 0).unwrap().new,
        Some(0x65)
    );
    assert_eq!(decode(&r, &[0xf0, 0x80, 0x27, 0xfd], 0x2000).unwrap().on_entry(0x167, 0).unwrap().new, Some(0x165));
}

#[test]
fn exchanges_give_the_old_value() {
    let store = decode(&at_rdi(), &[0x48, 0x87, 0x37], 0x2008).unwrap();
    let step = store.on_entry(0x42, 0).unwrap();
    assert_eq!((step.new, step.regs.rsi), (Some(at_rdi().rsi), 0x42));
    let store = decode(&at_rdi(), &[0xf0, 0x48, 0x0f, 0xc1, 0x37], 0x2008).unwrap();
    let step = store.on_entry(0x42, 0).unwrap();
    assert_eq!((step.new, step.regs.rsi), (Some(at_rdi().rsi + 0x42), 0x42));
}

#[test]
fn strings_do_one_iteration_and_stay_until_the_last() {
    let r = Regs { rdi: 0x2000, rcx: 2, rax: 7, ..regs() };
    let store = decode(&r, &[0xf3, 0x48, 0xab], 0x2000).unwrap();
    let step = store.on_entry(1, 0).unwrap();
    assert_eq!((step.new, step.regs.rdi, step.regs.rcx, step.regs.rip), (Some(7), 0x2008, 1, RIP));
    let step = decode(&step.regs, &[0xf3, 0x48, 0xab], 0x2008).unwrap().on_entry(1, 0).unwrap();
    assert_eq!((step.regs.rdi, step.regs.rcx, step.regs.rip), (0x2010, 0, RIP + 3));
    let r = Regs { rdi: 0x2000, rsi: 0x9001, rflags: 0x402, ..regs() };
    let store = decode(&r, &[0x65, 0x48, 0xa5], 0x2000).unwrap();
    assert_eq!(store.source, Some(Vaddr(0x10_9001)));
    let step = store.on_entry(1, 0x55).unwrap();
    assert_eq!((step.new, step.regs.rdi, step.regs.rsi), (Some(0x55), 0x1ff8, 0x8ff9));
    assert_eq!(decode(&Regs { rcx: 0, ..r }, &[0xf3, 0x48, 0xa5], 0x2000), Err(Refused::Elsewhere));
}

#[test]
fn addresses_of_all_forms() {
    let r = Regs { rdi: 0x1000, rcx: 0x20, rsi: 1, ..regs() };
    // mov [rdi+rcx*8+0x10], rsi / mov gs:[rdi], rsi / mov [rip+0x10], rsi / mov [edi], rsi
    assert_eq!(decode(&r, &[0x48, 0x89, 0x74, 0xcf, 0x10], 0x1110).unwrap().at, Vaddr(0x1110));
    assert_eq!(decode(&r, &[0x65, 0x48, 0x89, 0x37], 0x10_1000).unwrap().at, Vaddr(0x10_1000));
    let at = RIP + 7 + 0x11;
    assert_eq!(decode(&r, &[0x48, 0x89, 0x35, 0x11, 0, 0, 0], at).unwrap().at, Vaddr(at));
    let high = Regs { rdi: 0xffff_ffff_0000_1000, ..r };
    assert_eq!(decode(&high, &[0x67, 0x48, 0x89, 0x37], 0x1000).unwrap().at, Vaddr(0x1000));
    assert_eq!(decode(&high, &[0x67, 0x48, 0x89, 0x77, 0xf8], 0xff8).unwrap().at, Vaddr(0xff8));
}

#[test]
fn set_on_condition_writes_a_byte_by_the_flags() {
    const CF: u64 = 1 << 0;
    const PF: u64 = 1 << 2;
    const ZF: u64 = 1 << 6;
    const SF: u64 = 1 << 7;
    const OF: u64 = 1 << 11;
    for subset in 0..32u64 {
        let flags: u64 =
            (0u64..).zip([CF, PF, ZF, SF, OF]).map(|(n, flag)| if subset >> n & 1 != 0 { flag } else { 0 }).sum();
        let has = |flag: u64| flags & flag != 0;
        // In the order of the opcodes; each second one is the opposite (manual, appendix of condition codes).
        let (less, below_or_equal) = (has(SF) != has(OF), has(CF) || has(ZF));
        let conditions =
            [has(OF), has(CF), has(ZF), below_or_equal, has(SF), has(PF), less, less || has(ZF)].map(|c| [c, !c]);
        for (opcode, condition) in (0x90u8..).zip(conditions.as_flattened()) {
            let r = Regs { rflags: 0x202 | flags, ..at_rdi() };
            let store = decode(&r, &[0x0f, opcode, 0x07], 0x2008).unwrap();
            assert_eq!((store.width, store.needs_current()), (1, false));
            let step = store.on_entry(0x1111_2222_3333_44ee, 0).unwrap();
            let new = 0x1111_2222_3333_4400 | u64::from(*condition);
            assert_eq!(step.new, Some(new), "{opcode:#x} with {flags:#x}");
            assert_eq!(step.regs.rflags, r.rflags);
        }
    }
}

#[test]
fn what_changes_memory_needs_what_it_holds() {
    for (code, needs) in [
        (&[0x48, 0x89, 0x37][..], false),        // mov
        (&[0x48, 0xab], false),                  // stos
        (&[0x48, 0xa5], false),                  // movs
        (&[0x48, 0x87, 0x37], true),             // xchg
        (&[0x48, 0x01, 0x37], true),             // add
        (&[0x48, 0x11, 0x37], true),             // adc
        (&[0x48, 0x29, 0x37], true),             // sub
        (&[0x48, 0x19, 0x37], true),             // sbb
        (&[0x48, 0x21, 0x37], true),             // and
        (&[0x48, 0x09, 0x37], true),             // or
        (&[0x48, 0x31, 0x37], true),             // xor
        (&[0x48, 0xff, 0x07], true),             // inc
        (&[0x48, 0xff, 0x0f], true),             // dec
        (&[0x48, 0xf7, 0x17], true),             // not
        (&[0x48, 0xf7, 0x1f], true),             // neg
        (&[0x48, 0x0f, 0xc1, 0x37], true),       // xadd
        (&[0x48, 0x0f, 0xb1, 0x37], true),       // cmpxchg
        (&[0x0f, 0xc7, 0x0f], true),             // cmpxchg8b
        (&[0x48, 0x0f, 0xba, 0x2f, 0x01], true), // bts
    ] {
        let store = decode(&at_rdi(), code, 0x2008).unwrap();
        assert_eq!(store.needs_current(), needs, "{code:02x?}");
        assert_eq!(store.replaces_entry(), !needs, "{code:02x?}");
    }
}

#[test]
fn a_repeated_string_is_single_stepped_by_iteration() {
    for (rflags, single_step) in [(0x202, false), (0x302, true)] {
        for (rcx, rip) in [(2, RIP), (1, RIP + 3)] {
            let r = Regs { rdi: 0x2000, rcx, rflags, ..regs() };
            let step = decode(&r, &[0xf3, 0x48, 0xab], 0x2000).unwrap().on_entry(1, 0).unwrap();
            assert_eq!((step.single_step, step.regs.rcx, step.regs.rip), (single_step, rcx - 1, rip));
        }
    }
}

#[test]
fn fifteen_bytes_that_need_a_sixteenth_are_no_store() {
    for tail in [&[0x66, 0x66][..], &[0x66, 0x89], &[0x48, 0x89], &[0xc6, 0x07], &[0x48, 0x0f]] {
        let code: Vec<u8> = [0x66; 13].iter().chain(tail).copied().collect();
        assert_eq!(decode(&at_rdi(), &code, 0x2008), Err(Refused::NotAStore), "{tail:02x?}");
    }
}

#[test]
fn what_is_not_a_store_there_is_refused() {
    let r = at_rdi();
    assert_eq!(decode(&r, &[0x48, 0x89, 0x37], 0x2010), Err(Refused::Elsewhere));
    assert_eq!(decode(&r, &[0x48, 0x89, 0x37], 0x2007), Err(Refused::Elsewhere));
    assert_eq!(decode(&Regs { rdi: 0x2009, ..r }, &[0x48, 0x89, 0x37], 0x2009), Err(Refused::Unaligned));
    assert_eq!(decode(&r, &[0x48, 0x89], 0x2008), Err(Refused::Fetch));
    for code in [
        &[0x48, 0x8b, 0x37][..],   // a load
        &[0xff, 0x37],             // push [rdi]
        &[0xff, 0x17],             // call [rdi]
        &[0x0f, 0x29, 0x07],       // movaps [rdi], xmm0
        &[0x48, 0x39, 0x37],       // cmp
        &[0x8c, 0x1f],             // mov [rdi], ds
        &[0xf0, 0x48, 0x89, 0x37], // lock mov
        &[0x48, 0xd3, 0x27],       // shl
    ] {
        assert_eq!(decode(&r, code, 0x2008), Err(Refused::NotAStore), "{code:x?}");
    }
}
