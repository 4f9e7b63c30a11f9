use super::*;
use crate::protocol::{Layout, SLOT_MAX};
use crate::testing::{Memory, Page, Plate};
use proptest::prelude::*;
use xen_abi::io::blkif::{
    BLKIF_OP_DISCARD, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER,
    BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR,
};

const RULES: Rules = Rules { read_only: false, discard: true };
const SECTORS: usize = 64;
const GRANTS: usize = 12;
/// Pages behind these, for lists of segments only: a guest whose reads fill a list that still waits asks for either.
const LISTS: usize = 2;

/// A guest, its ring, its memory, its disk, and the file that outlives a backend.
struct World {
    dir: tempfile::TempDir,
    ring: Page,
    layout: Layout,
    memory: Memory,
    plate: Plate,
    rules: Rules,
    persistent: bool,
    prod: u32,
    cons: u32,
}

impl World {
    fn new(layout: Layout, persistent: bool, rules: Rules) -> World {
        let ring = Page::new(4096);
        // As a guest initialises it; not at 0, so that indices wrap.
        for (offset, value) in [(0, u32::MAX - 5), (4, u32::MAX - 4), (8, u32::MAX - 5), (12, u32::MAX - 4)] {
            ring.store_u32(offset, value);
        }
        World {
            dir: tempfile::tempdir().unwrap(),
            ring,
            layout,
            memory: Memory::new(GRANTS + LISTS),
            plate: Plate::new(SECTORS),
            rules,
            persistent,
            prod: u32::MAX - 5,
            cons: u32::MAX - 5,
        }
    }

    fn queue(&self, resumed: bool) -> Queue<Page, Memory> {
        let redo = Redo::open(&self.dir.path().join("redo")).unwrap();
        let ring = Ring::attach(self.ring.clone(), 1, self.layout);
        Queue::new(ring, Pages::new(self.memory.clone(), self.persistent), self.rules, redo, resumed).unwrap()
    }

    fn slot(&self, index: u32) -> usize {
        64 + (index % 32) as usize * self.layout.slot()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.ring.write(self.slot(self.prod), &bytes[..self.layout.slot()]);
        self.prod = self.prod.wrapping_add(1);
        self.ring.store_u32(0, self.prod);
    }

    fn answers(&mut self) -> Vec<(u64, u8, i16)> {
        let mut all = Vec::new();
        while self.cons != self.ring.load_u32(8) {
            let mut bytes = [0; 12];
            self.ring.read(self.slot(self.cons), &mut bytes);
            let status = i16::from_le_bytes([bytes[10], bytes[11]]);
            all.push((u64::from_le_bytes(bytes[..8].try_into().unwrap()), bytes[8], status));
            self.cons = self.cons.wrapping_add(1);
        }
        all
    }

    fn run(&mut self, requests: &[Vec<u8>]) -> Vec<i16> {
        let mut queue = self.queue(false);
        requests.iter().for_each(|request| self.put(request));
        let mut plate = self.plate.clone();
        while queue.turn(&mut plate).unwrap().more {}
        self.answers().into_iter().map(|(_, _, status)| status).collect()
    }
}

/// The bytes of a request; what does not fit is left out.
fn slot(layout: Layout, op: u8, second: u8, id: u64, sector: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![op, second, 0, 0];
    if layout == Layout::X86_64 {
        bytes.extend([0; 4]);
    }
    bytes.extend(id.to_le_bytes());
    bytes.extend(sector.to_le_bytes());
    bytes.extend(rest);
    bytes.resize(SLOT_MAX, 0);
    bytes
}

fn segment(gref: u32, first: u8, last: u8) -> Vec<u8> {
    [&gref.to_le_bytes()[..], &[first, last, 0, 0]].concat()
}

fn rw(op: u8, sector: u64, segments: &[Vec<u8>]) -> Vec<u8> {
    slot(Layout::X86_64, op, segments.len() as u8, 9, sector, &segments.concat())
}

/// A full disk below the image: what is before the request that finds no room is answered, the rest waits and loses nothing.
#[test]
fn requests_that_find_no_room_wait_for_it() {
    let mut world = World::new(Layout::X86_64, false, RULES);
    for (n, byte) in [(1, 7), (2, 8)] {
        world.memory.page(n).write(0, &[byte; 4096]);
    }
    let mut queue = world.queue(false);
    let mut plate = world.plate.clone();
    plate.room.set(Some(32 * 512));
    world.put(&rw(BLKIF_OP_WRITE, 0, &[segment(1, 0, 7)]));
    world.put(&rw(BLKIF_OP_WRITE, 40, &[segment(2, 0, 7)]));
    world.put(&rw(BLKIF_OP_READ, 40, &[segment(3, 0, 7)]));
    let waits = |turn: Turn| turn.full && !turn.more;
    assert!(waits(queue.turn(&mut plate).unwrap()));
    assert_eq!(world.answers().len(), 1);
    assert!(waits(queue.turn(&mut plate).unwrap()));
    assert_eq!(world.answers().len(), 0);
    // A backend that dies meanwhile is no difference.
    drop(queue);
    let mut queue = world.queue(true);
    assert!(waits(queue.turn(&mut plate).unwrap()));
    plate.room.set(None);
    plate.settle_full.set(true);
    assert!(waits(queue.turn(&mut plate).unwrap()));
    assert_eq!((world.answers().len(), queue.counts.write_requests), (0, 0));
    plate.settle_full.set(false);
    let turn = queue.turn(&mut plate).unwrap();
    assert!(!turn.full && !turn.more);
    assert_eq!(world.answers().iter().map(|answer| answer.2).collect::<Vec<_>>(), [0, 0]);
    assert_eq!((queue.counts.write_requests, queue.counts.read_requests), (1, 1));
    let mut read = [0; 4096];
    world.memory.page(3).read(0, &mut read);
    assert_eq!((read, plate.bytes.borrow()[0]), ([8; 4096], 7));
}

#[test]
fn requests_are_counted_by_what_they_do() {
    let mut world = World::new(Layout::X86_64, false, RULES);
    let discard = slot(Layout::X86_64, BLKIF_OP_DISCARD, 0, 9, 0, &8u64.to_le_bytes());
    let requests = [
        rw(BLKIF_OP_WRITE, 3, &[segment(1, 1, 2), segment(2, 0, 7)]),
        rw(BLKIF_OP_READ, 0, &[segment(3, 7, 7)]),
        rw(BLKIF_OP_READ, SECTORS as u64, &[segment(3, 7, 7)]),
        rw(BLKIF_OP_FLUSH_DISKCACHE, 0, &[]),
        rw(BLKIF_OP_WRITE_BARRIER, 0, &[segment(1, 0, 0)]),
        discard,
        rw(99, 0, &[]),
    ];
    let mut queue = world.queue(false);
    requests.iter().for_each(|request| world.put(request));
    let mut plate = world.plate.clone();
    while queue.turn(&mut plate).unwrap().more {}
    let counts = queue.counts;
    let requests = [counts.read_requests, counts.write_requests, counts.flush_requests, counts.discard_requests];
    assert_eq!(requests, [2, 2, 1, 1]);
    assert_eq!((counts.read_bytes, counts.written_bytes, counts.failed_requests), (512, 11 * 512, 2));
}

#[test]
fn what_is_written_is_read_and_goes_nowhere_else() {
    for persistent in [false, true] {
        let mut world = World::new(Layout::X86_64, persistent, RULES);
        world.memory.page(1).write(512, &[7; 1024]);
        world.memory.page(2).write(0, &[8; 4096]);
        let write = rw(BLKIF_OP_WRITE, 3, &[segment(1, 1, 2), segment(2, 0, 7)]);
        let read = rw(BLKIF_OP_READ, 4, &[segment(3, 7, 7), segment(4, 0, 0)]);
        assert_eq!(world.run(&[write, read]), [0, 0]);
        let bytes = world.plate.bytes.borrow().clone();
        assert_eq!(
            [bytes[3 * 512 - 1], bytes[3 * 512], bytes[5 * 512], bytes[13 * 512 - 1], bytes[13 * 512]],
            [0, 7, 8, 8, 0]
        );
        let mut page = [0; 4096];
        world.memory.page(3).read(0, &mut page);
        assert_eq!([page[3583], page[3584], page[4095]], [0, 7, 7]);
        world.memory.page(4).read(0, &mut page);
        assert_eq!([page[511], page[512]], [8, 0]);
    }
}

#[test]
fn barriers_and_flushes_are_in_their_order_and_changes_settle_before_their_answer() {
    let mut world = World::new(Layout::X86_64, true, RULES);
    let one = [segment(1, 0, 7)];
    let requests = [
        rw(BLKIF_OP_WRITE, 0, &one),
        rw(BLKIF_OP_WRITE_BARRIER, 8, &one),
        rw(BLKIF_OP_FLUSH_DISKCACHE, u64::MAX, &[]),
        rw(BLKIF_OP_FLUSH_DISKCACHE, 16, &one),
        slot(Layout::X86_64, BLKIF_OP_DISCARD, 0, 1, 0, &8u64.to_le_bytes()),
    ];
    assert_eq!(world.run(&requests), [0; 5]);
    assert_eq!(*world.plate.steps.borrow(), "wSwSSSwds");
    let mut reads = World::new(Layout::X86_64, true, RULES);
    assert_eq!(reads.run(&[rw(BLKIF_OP_READ, 0, &one)]), [0]);
    assert_eq!(*reads.plate.steps.borrow(), "");
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let grefs: Vec<_> = (0..12).map(|n| segment(n % 3, 0, 7)).collect();
    let one = [segment(1, 0, 7)];
    let layout = Layout::X86_64;
    let cases = [
        (rw(BLKIF_OP_WRITE, SECTORS as u64 - 7, &one), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, u64::MAX, &one), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, 0, &[segment(1, 1, 0)]), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, 0, &[segment(1, 0, 8)]), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, 0, &[segment(99, 0, 0)]), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, 0, &[]), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_READ, 0, &[]), BLKIF_RSP_ERROR),
        (rw(BLKIF_OP_WRITE, 0, &grefs), BLKIF_RSP_ERROR),
        (slot(layout, BLKIF_OP_DISCARD, 0, 1, 1, &(SECTORS as u64).to_le_bytes()), BLKIF_RSP_ERROR),
        (slot(layout, BLKIF_OP_DISCARD, 0, 1, 2, &u64::MAX.to_le_bytes()), BLKIF_RSP_ERROR),
        (slot(layout, BLKIF_OP_DISCARD, 1, 1, 0, &8u64.to_le_bytes()), BLKIF_RSP_EOPNOTSUPP),
        (slot(layout, 77, 1, 1, 0, &[]), BLKIF_RSP_EOPNOTSUPP),
        (slot(layout, 4, 1, 1, 0, &[]), BLKIF_RSP_EOPNOTSUPP),
        (slot(layout, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE_BARRIER, 1, 0, &[]), BLKIF_RSP_EOPNOTSUPP),
        // No segments.
        (slot(layout, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE, 1, 0, &[]), BLKIF_RSP_ERROR),
    ];
    for (request, status) in cases {
        let mut world = World::new(layout, false, RULES);
        (0..GRANTS as u32).for_each(|n| world.memory.page(n).write(0, &[1; 4096]));
        assert_eq!(world.run(std::slice::from_ref(&request)), [status], "{request:?}");
        assert!(world.plate.bytes.borrow().iter().all(|byte| *byte == 0));
        assert_eq!(world.memory.mapped(), 0);
    }
}

#[test]
fn a_read_only_disk_is_only_read() {
    let one = [segment(1, 0, 7)];
    let requests = [
        rw(BLKIF_OP_READ, 0, &one),
        rw(BLKIF_OP_WRITE, 0, &one),
        rw(BLKIF_OP_WRITE_BARRIER, 0, &one),
        rw(BLKIF_OP_FLUSH_DISKCACHE, 0, &one),
        rw(BLKIF_OP_FLUSH_DISKCACHE, 0, &[]),
        slot(Layout::X86_64, BLKIF_OP_DISCARD, 0, 1, 0, &8u64.to_le_bytes()),
    ];
    let mut world = World::new(Layout::X86_64, true, Rules { read_only: true, discard: true });
    assert_eq!(world.run(&requests), [0, -1, -1, -1, 0, -1]);
    assert_eq!(*world.plate.steps.borrow(), "");
}

#[test]
fn a_disk_that_fails_is_an_error_for_the_guest() {
    let one = [segment(1, 0, 7)];
    let requests = [rw(BLKIF_OP_READ, 0, &one), rw(BLKIF_OP_WRITE, 0, &one), rw(BLKIF_OP_FLUSH_DISKCACHE, 0, &[])];
    let mut world = World::new(Layout::X86_64, true, RULES);
    world.plate.fails.set(true);
    assert_eq!(world.run(&requests), [-1; 3]);
    let mut world = World::new(Layout::X86_64, true, RULES);
    world.plate.settle_fails.set(true);
    assert_eq!(world.run(&requests), [0, -1, -1], "an answered write would not outlive this process");
}

#[test]
fn indirect_segments_are_read_once_from_the_pages_that_are_granted() {
    for layout in [Layout::X86_64, Layout::X86_32] {
        let mut world = World::new(layout, false, RULES);
        let list: Vec<u8> = (0..8u32).flat_map(|n| segment(n % 4, 0, 7)).collect();
        world.memory.page(5).write(0, &list);
        (0..4u32).for_each(|n| world.memory.page(n).write(0, &[n as u8 + 1; 4096]));
        let mut rest = vec![0; 4];
        rest.extend(5u32.to_le_bytes());
        let mut request = slot(layout, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE, 3, 0, &rest);
        request[2] = 8;
        let mut too_many = request.clone();
        (too_many[2], too_many[3]) = (1, 1);
        assert_eq!(world.run(&[request, too_many]), [0, -1]);
        let bytes = world.plate.bytes.borrow();
        assert!((0..8).all(|n| bytes[n * 4096..][..4096].iter().all(|byte| *byte == n as u8 % 4 + 1)));
    }
}

/// Any request: mostly sensible, sometimes not.
fn any_request(layout: Layout) -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![8 => 0u8..4, 2 => Just(5u8), 2 => Just(6u8), 1 => any::<u8>()];
    let sector = prop_oneof![9 => 0..SECTORS as u64, 1 => any::<u64>()];
    let gref = prop_oneof![9 => 0..GRANTS as u32, 1 => any::<u32>()];
    let sects = prop_oneof![9 => (0u8..8, 0u8..8), 1 => any::<(u8, u8)>()];
    let segments = prop::collection::vec((gref, sects), 0..11);
    (op, any::<u64>(), sector, segments, prop::option::weighted(0.1, any::<u8>()), any::<[u8; 8]>()).prop_map(
        move |(op, id, sector, segments, second, tail)| {
            let count = segments.len() as u8;
            let mut rest: Vec<u8> =
                segments.iter().flat_map(|(gref, (a, b))| segment(*gref, (*a).min(*b), (*a).max(*b))).collect();
            if op == 6 {
                let list = |gref: u32| if gref < GRANTS as u32 { GRANTS as u32 + gref % LISTS as u32 } else { gref };
                let lists = segments.iter().map(|(gref, _)| list(*gref)).chain([GRANTS as u32; 8]).take(8);
                // The disk's handle and padding lie before them.
                rest = vec![0; 4];
                rest.extend(lists.flat_map(u32::to_le_bytes));
            }
            let second = match op {
                5 => {
                    rest = u64::from(tail[0] % 70).to_le_bytes().to_vec();
                    second.unwrap_or(0)
                }
                6 => second.unwrap_or(tail[0] % 2),
                _ => second.unwrap_or(count),
            };
            let mut bytes = slot(layout, op, second, id, sector, &rest);
            if op == 6 {
                bytes[2..4].copy_from_slice(&u16::from(tail[1] % 20).to_le_bytes());
            }
            bytes
        },
    )
}

/// What the disk holds if these requests are done one after the other, each whole or not at all.
fn model(world: &World, requests: &[Vec<u8>]) -> Vec<(u64, u8, i16)> {
    let apart = World::new(world.layout, world.persistent, world.rules);
    for n in 0..GRANTS as u32 {
        let mut bytes = [0; 4096];
        world.memory.page(n).read(0, &mut bytes);
        apart.memory.page(n).write(0, &bytes);
    }
    let mut queue = apart.queue(false);
    let mut plate = apart.plate.clone();
    let decoded = requests.iter().map(|bytes| Request::decode(world.layout, &bytes[..world.layout.slot()]));
    let answers = decoded.map(|request| queue.answer(&mut plate, &request).unwrap());
    let answers = answers.map(|answer| (answer.id, answer.operation, answer.status)).collect();
    world.plate.bytes.borrow_mut().clone_from(&apart.plate.bytes.borrow());
    answers
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![Just(Layout::X86_64), Just(Layout::X86_32)]
}

proptest! {
    /// Killed in the middle of answering, at any slot, or before, or after: the next backend answers each request once,
    /// and the disk is as if nothing had happened.
    #[test]
    fn a_backend_that_dies_at_any_point_loses_and_doubles_nothing(
        (layout, requests) in layouts().prop_flat_map(|layout| (Just(layout), prop::collection::vec(any_request(layout), 1..32))),
        persistent: bool,
        torn in 0usize..32,
        point in 0u8..4,
    ) {
        let mut world = World::new(layout, persistent, RULES);
        (0..GRANTS as u32).for_each(|n| world.memory.page(n).write(0, &[n as u8 + 1; 4096]));
        let expected = model(&world, &requests);
        let disk = world.plate.bytes.replace(vec![0; SECTORS * 512]);
        requests.iter().for_each(|request| world.put(request));
        let mut dying = world.queue(false);
        let mut plate = world.plate.clone();
        // Everything that `turn` does before it puts the answers into the ring, or a part of it.
        let taken = dying.ring.take(BATCH).unwrap();
        if point > 0 {
            let answers: Vec<Response> = taken.iter().filter_map(|request| dying.answer(&mut plate, request)).collect();
            if point > 1 {
                dying.redo.note(dying.ring.done(), &answers).unwrap();
            }
            if point == 2 {
                for (n, answer) in (0..).zip(answers.iter().take(torn)) {
                    world.ring.write(world.slot(dying.ring.done().wrapping_add(n)), &answer.encode(layout));
                }
            }
            if point == 3 {
                dying.ring.answer(&answers);
            }
        }
        drop(dying);
        // Reads went into the guest's pages and may be written again: as after a first time.
        let mut next = world.queue(true);
        while next.turn(&mut plate).unwrap().more {}
        let got = world.answers();
        prop_assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            prop_assert_eq!((got.0, got.1), (expected.0, expected.1));
            prop_assert_eq!(got.2, expected.2);
        }
        // Writes of pages that a read of the same batch fills may see it done twice; the others are exact.
        let pure = taken.iter().all(|request| request.operation != BLKIF_OP_READ);
        if pure || point > 1 {
            prop_assert_eq!(&*world.plate.bytes.borrow(), &disk);
        }
    }

    /// Bytes that no guest would send: an answer each, and nothing is left mapped.
    #[test]
    fn garbage_is_answered(layout in layouts(), slots in prop::collection::vec(prop::collection::vec(any::<u8>(), SLOT_MAX), 1..32)) {
        let mut world = World::new(layout, false, RULES);
        prop_assert_eq!(world.run(&slots).len(), slots.len());
        prop_assert_eq!(world.memory.mapped(), 0);
    }
}
