//! Where operations stop when the CPU is wanted for something else, and where they need not.

use super::*;

const OPS: u64 = GUEST_BASE + 64;
const DONE: u64 = GUEST_BASE;

impl Guest<'_> {
    /// Makes `mmuext_op` with a list once. Gives how many operations are left; `None`: all is done.
    fn ext_once(&mut self, ops: &[(u32, Mfn)]) -> Option<u64> {
        let ops: Vec<_> = ops.iter().map(|&(cmd, mfn)| MmuextOp { cmd, arg1: mfn.0, ..Default::default() }).collect();
        self.world.platform().poke(OPS, ops.as_slice());
        let count = ops.len() as u64;
        left(self.call(|ctx| mmuext_op(ctx, Vaddr(OPS), count, Vaddr(DONE), DOMID_SELF.into())))
    }
    /// The same for `mmu_update`.
    fn update_once(&mut self, requests: &[(u64, u64)]) -> Option<u64> {
        let requests: Vec<_> = requests.iter().map(|&(ptr, val)| MmuUpdate { ptr, val }).collect();
        self.world.platform().poke(OPS, requests.as_slice());
        let count = requests.len() as u64;
        left(self.call(|ctx| mmu_update(ctx, Vaddr(OPS), count, Vaddr(DONE), DOMID_SELF.into())))
    }
    fn polls(&self, left: u64) {
        self.world.platform().polls_left.store(left, Ordering::SeqCst);
    }
    /// A root with two entries in each table above the last ones, and all the tables.
    fn bushy_tree(&self) -> ([Mfn; 4], Vec<Mfn>) {
        let (tables, more) = (self.tree(), [self.tree(), self.tree(), self.tree()]);
        for (level, below) in more.iter().enumerate() {
            self.poke(tables[level], 1, Pte::new(below[level + 1], RW));
        }
        (tables, tables.into_iter().chain(more.into_iter().flatten()).collect())
    }
}

fn left(result: HypercallResult) -> Option<u64> {
    match result {
        Ok(0) => None,
        Err(Stop::Again(again)) => Some(again[1] & 0x7fff_ffff),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_stops_between_its_operations_and_not_after_the_last() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let flush = (MMUEXT_TLB_FLUSH_LOCAL, Mfn(0));
    let request = |index| (at(tables[3], index), 0x1000);
    guest.polls(0);
    assert_eq!(guest.ext_once(&[flush; 3]), Some(2));
    assert_eq!(guest.ext_once(&[flush]), None);
    assert_eq!(guest.update_once(&[1, 2, 3].map(request)), Some(2));
    assert_eq!(guest.update_once(&[3].map(request)), None);
}

#[test]
fn a_long_list_of_stores_to_no_table_stops_in_the_middle() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let page = guest.frame();
    let requests: Vec<_> = (0..40).map(|index| (at(page, index), 7)).collect();
    guest.polls(1);
    let left = guest.update_once(&requests).unwrap() as usize;
    assert!((1..39).contains(&left), "{left}");
    assert_eq!((guest.peek(page, 39 - left), guest.peek(page, 40 - left)), (Pte(7), Pte(0)));
}

#[test]
fn a_table_is_made_and_undone_with_a_stop_between_entries_and_none_after_the_last() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    for (entries, pin, unpin) in
        [(&[511][..], None, None), (&[510, 511], Some(1), Some(0)), (&[0], Some(1), None), (&[], None, None)]
    {
        let table = guest.frame();
        entries.iter().for_each(|&index| guest.poke(table, index, Pte::new(guest.frame(), RW)));
        guest.polls(0);
        assert_eq!(guest.ext_once(&[(MMUEXT_PIN_L2_TABLE, table)]), pin, "{entries:?}");
        if pin.is_some() {
            guest.ext(MMUEXT_PIN_L2_TABLE, table.0, 0).unwrap();
        }
        assert_eq!(guest.ext_once(&[(MMUEXT_UNPIN_TABLE, table)]), unpin, "{entries:?}");
    }
}

#[test]
fn what_an_operation_left_half_done_is_finished_before_the_next_one() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let running = guest.running();
    let own = u64::from(DOMID_SELF);
    for next in 0..2 {
        let (tables, all) = guest.bushy_tree();
        guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
        guest.polls(0);
        assert_eq!(guest.ext_once(&[(MMUEXT_UNPIN_TABLE, tables[0])]), Some(0));
        guest.polls(u64::MAX);
        assert!(all.iter().any(|&mfn| guest.type_of(mfn).1 != 0));
        // Those that are mostly done at once.
        let result = if next == 0 {
            world.platform().poke(OPS, &MmuextOp { cmd: MMUEXT_TLB_FLUSH_LOCAL, ..Default::default() });
            guest.call(|ctx| mmuext_op(ctx, Vaddr(OPS), 1, Vaddr(0), own))
        } else {
            world.platform().poke(OPS, &MmuUpdate { ptr: at(running[3], 0), val: 0 });
            guest.call(|ctx| mmu_update(ctx, Vaddr(OPS), 1, Vaddr(0), own))
        };
        assert_eq!(result, Ok(0));
        guest.assert_idle(&all);
    }
}

#[test]
fn who_is_told_that_an_entry_is_cleared_has_the_tables_that_it_led_to() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let root = guest.running()[0];
    let (tables, all) = guest.bushy_tree();
    guest.set(root, 1, Pte::new(tables[1], RW)).unwrap();
    guest.polls(0);
    guest.set(root, 1, Pte(0)).unwrap();
    guest.assert_idle(&all);
}

#[test]
fn half_of_other_work_gives_way_at_once_to_who_holds_no_table() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let (tables, all) = guest.bushy_tree();
    guest.polls(0);
    assert_eq!(guest.ext_once(&[(MMUEXT_PIN_L4_TABLE, tables[0])]), Some(1));
    guest.polls(u64::MAX);
    assert!(world.hv.frames.parked(tables[2]).is_some());
    let dom = world.dom(1);
    let (frame, used) = guest.call(|ctx| get_writable(ctx, &dom, tables[2], true)).unwrap();
    guest.call(|ctx| put_writable(ctx, frame, used));
    guest.assert_idle(&all);
}
