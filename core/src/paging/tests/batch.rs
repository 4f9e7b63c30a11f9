//! Page-table calls of a multicall, and whom they flush.

use super::*;
use crate::cpu::CpuId;
use crate::ctx::Effect;
use crate::hypercall::batch;
use crate::platform::Flush;

const LIST: u64 = GUEST_BASE + 0x400;
const OPS: u64 = GUEST_BASE + 0x900;

/// What a list consists of.
#[derive(Clone, Copy)]
enum Call {
    Map(usize, Pte, u64),
    Table(u32, Mfn),
    Other,
}

/// Makes a list and runs its beginning; gives how many calls were made.
fn run(guest: &mut Guest<'_>, calls: &[Call]) -> u64 {
    let platform = guest.world.platform();
    for (at, call) in (0u64..).zip(calls) {
        let op = OPS + at * 32;
        let (op, args) = match *call {
            Call::Map(index, entry, flags) => {
                (__HYPERVISOR_update_va_mapping, [(index as u64) << 12, entry.0, flags, 0, 0, 0])
            }
            Call::Table(cmd, mfn) => {
                platform.poke(op, &MmuextOp { cmd, arg1: mfn.0, ..Default::default() });
                (__HYPERVISOR_mmuext_op, [op, 1, 0, DOMID_SELF.into(), 0, 0])
            }
            Call::Other => (__HYPERVISOR_stack_switch, [0; 6]),
        };
        platform.poke(LIST + at * 64, &MulticallEntry { op: op.into(), result: 99, args });
    }
    let first = platform.peek(LIST);
    guest.call(|ctx| batch::run(ctx, Vaddr(LIST), &first, calls.len() as u64)).unwrap()
}

fn results(guest: &Guest<'_>, count: u64) -> Vec<u64> {
    (0..count).map(|at| guest.world.platform().peek::<MulticallEntry>(LIST + at * 64).result).collect()
}

/// Rounds of interrupts to other CPUs since the last look.
fn rounds(world: &TestWorld) -> usize {
    let flushes = core::mem::take(&mut *world.platform().flushes.lock().unwrap());
    flushes.iter().filter(|(_, cpus, what)| *what == Flush::All && cpus.has(CpuId(3))).count()
}

/// Three frames that the guest maps writable at pages 8, 9, 10, on four CPUs.
fn three<'w>(world: &'w TestWorld) -> (Guest<'w>, [Mfn; 3]) {
    let mut guest = Guest::new(world, 1);
    let [.., table] = guest.running();
    let frames = [guest.frame(), guest.frame(), guest.frame()];
    for (index, &frame) in (8..).zip(&frames) {
        guest.set(table, index, Pte::new(frame, RW)).unwrap();
    }
    (0..4).for_each(|cpu| _ = world.dom(1).dirty_cpus.set(CpuId(cpu)));
    rounds(world);
    (guest, frames)
}

#[test]
fn page_tables_that_are_pinned_one_by_one_are_flushed_at_once() {
    let world = world();
    let (mut guest, frames) = three(&world);
    let pin: Vec<Call> = (8..)
        .zip(frames)
        .flat_map(|(at, frame)| [Call::Map(at, Pte::new(frame, RO), 0), Call::Table(MMUEXT_PIN_L1_TABLE, frame)])
        .collect();
    assert_eq!(run(&mut guest, &pin), 6);
    assert_eq!(results(&guest, 6), [0; 6]);
    assert_eq!(rounds(&world), 1);
    assert!(frames.iter().all(|&frame| guest.type_of(frame) == (FrameType::L1, 1)));

    let unpin: Vec<Call> = (8..)
        .zip(frames)
        .flat_map(|(at, frame)| [Call::Table(MMUEXT_UNPIN_TABLE, frame), Call::Map(at, Pte::new(frame, RW), 0)])
        .collect();
    assert_eq!(run(&mut guest, &unpin), 6);
    assert_eq!(results(&guest, 6), [0; 6]);
    assert_eq!(rounds(&world), 1);
    assert!(frames.iter().all(|&frame| guest.type_of(frame) == (FrameType::Writable, 1)));
}

#[test]
fn each_call_of_a_run_is_checked_and_gets_its_own_result() {
    let world = world();
    let (mut guest, [a, b, _]) = three(&world);
    let einval = Errno::EINVAL.as_neg().cast_unsigned();
    let calls = [
        // Still writable when its turn comes.
        Call::Table(MMUEXT_PIN_L1_TABLE, a),
        Call::Map(9, Pte::new(b, RO), UVMF_TLB_FLUSH),
        Call::Table(MMUEXT_PIN_L1_TABLE, b),
        Call::Table(MMUEXT_PIN_L1_TABLE, b),
        // A page table now: this call is no part of the run.
        Call::Map(9, Pte::new(b, RW), 0),
    ];
    assert_eq!(run(&mut guest, &calls), 4);
    assert_eq!(results(&guest, 5), [einval, 0, 0, einval, 99]);
    assert_eq!(run(&mut guest, &calls[4..]), 1);
    assert_ne!(results(&guest, 1), [0]);
    assert!(guest.effects.has(Effect::FLUSH_ALL) || rounds(&world) > 0, "the guest's own flush is not lost");
    assert_eq!(guest.type_of(a), (FrameType::Writable, 1));
}

#[test]
fn a_run_ends_before_what_it_may_not_reorder() {
    let world = world();
    let (mut guest, [a, b, _]) = three(&world);
    let map = Call::Map(8, Pte::new(a, RO), 0);
    assert_eq!(run(&mut guest, &[Call::Other, map]), 0);
    assert_eq!(run(&mut guest, &[map, Call::Other, map]), 1);
    assert_eq!(run(&mut guest, &[map, Call::Map(9, Pte::new(b, RO), UVMF_TLB_FLUSH | UVMF_ALL)]), 1);
    assert_eq!(run(&mut guest, &[map, Call::Table(MMUEXT_PIN_L4_TABLE, b)]), 1);
    let root = guest.pv.kernel_root.mfn();
    assert_eq!(run(&mut guest, &[map, Call::Table(MMUEXT_UNPIN_TABLE, root)]), 1, "a tree takes long");
}

/// What gives a use up came before everything else of a list once, so that the last of two writes was the first.
#[test]
fn what_is_written_twice_ends_as_the_last_call_says() {
    let world = world();
    let (mut guest, [a, b, c]) = three(&world);
    let calls = [
        Call::Map(8, Pte::new(c, RW), 0),
        Call::Map(8, Pte(0), 0),
        Call::Map(9, Pte::new(b, RO), 0),
        Call::Table(MMUEXT_PIN_L1_TABLE, b),
        Call::Table(MMUEXT_UNPIN_TABLE, b),
    ];
    let mut at = 0;
    while at < calls.len() {
        let made = run(&mut guest, &calls[at..]);
        assert_ne!(made, 0);
        assert_eq!(results(&guest, made), vec![0; made as usize]);
        at += made as usize;
    }
    let (table, index) = find_l1e(&world.hv, guest.pv.kernel_root, Vaddr(8 << 12)).unwrap();
    assert_eq!(guest.peek(table, index), Pte(0));
    assert_eq!(guest.type_of(b).1, 0, "no longer pinned");
    assert_eq!((guest.type_of(a).1, guest.type_of(c)), (0, (FrameType::Writable, 1)));
}

#[test]
fn a_flush_of_chosen_vcpus_goes_where_they_run() {
    let world = world();
    let (mut guest, _) = three(&world);
    world.platform().poke(GUEST_BASE + 64, &u64::MAX);
    guest.ext(MMUEXT_TLB_FLUSH_MULTI, 0, GUEST_BASE + 64).unwrap();
    assert_eq!(rounds(&world), 0, "the other vcpus run nowhere");
    assert!(guest.effects.has(Effect::FLUSH_ALL), "its own flush is done before it goes on");
}

#[test]
fn only_one_operation_on_the_callers_own_tables_is_a_call_of_a_run() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let own = u64::from(DOMID_SELF);
    let mut made = |op: u32, args: [u64; 4]| {
        let table = guest.frame();
        let pin = MmuextOp { cmd: MMUEXT_PIN_L1_TABLE, arg1: table.0, ..Default::default() };
        world.platform().poke(OPS, &pin);
        let [a, b, c, d] = args;
        let entry = MulticallEntry { op: op.into(), result: 99, args: [a, b, c, d, 0, 0] };
        world.platform().poke(LIST, &entry);
        let made = guest.call(|ctx| batch::run(ctx, Vaddr(LIST), &entry, 1)).unwrap();
        assert_eq!(made == 1, world.hv.frames.is_pinned(table));
        made
    };
    assert_eq!(made(__HYPERVISOR_mmuext_op, [OPS, 1, 0, own]), 1);
    assert_eq!(made(__HYPERVISOR_mmuext_op, [OPS, 2, 0, own]), 0, "two of them");
    assert_eq!(made(__HYPERVISOR_mmuext_op, [OPS, 1, OPS + 64, own]), 0, "that want to be counted");
    assert_eq!(made(__HYPERVISOR_mmuext_op, [OPS, 1, 0, 0]), 0, "on another one's");
    assert_eq!(made(__HYPERVISOR_mmu_update, [OPS, 1, 0, own]), 0);
}
