//! Stores to a page-table page, which the guest has mapped read-only: each is decoded, validated and performed, as
//! `VMASST_TYPE_writable_pagetables` promises; one that would break a rule is the guest's page fault.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use guest_rt::abi::xen::{__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables};
use guest_rt::memory::{self, ACCESSED, DIRTY, FRAME, GLOBAL, KERNEL_RO, KERNEL_RW, PRESENT, Page, WRITE};
use guest_rt::trap::Trap;
use guest_rt::{Report, attempt, hypercall, probe};

guest_rt::guest!("pt-writable", run);

fn run(report: &mut Report) {
    let assist = [VMASST_CMD_enable.into(), VMASST_TYPE_writable_pagetables.into(), 0, 0, 0];
    report.result("vm_assist(writable_pagetables)", hypercall::raw(__HYPERVISOR_vm_assist, assist), 0);
    // A pinned level 1 table of our own: not linked anywhere, so nothing of the guest depends on its entries.
    let (table, data) = (Page::new(), Page::new());
    report.result("a table read-only", table.make_read_only(), 0);
    report.result("pinned", table.pin(1), 0);
    let va = table.va();
    // The hypervisor makes mappings of user mode global, which it does to these as well.
    let rw = data.mfn() << 12 | KERNEL_RW | GLOBAL;
    let ro = data.mfn() << 12 | KERNEL_RO | GLOBAL;

    report.expect("MOV of an entry", probe::write(va + 8, rw), Ok(()));
    report.expect("is there", table.read(1), rw);
    report.expect("MOV of nothing", probe::write(va + 8, 0), Ok(()));
    report.expect("is gone", table.read(1), 0);

    report.expect("XCHG gives the old entry", probe::exchange(va + 16, rw), Ok(0));
    report.expect("and again", probe::exchange(va + 16, ro), Ok(rw));
    report.expect("is the new one", table.read(2), ro);

    report.expect("CMPXCHG that does not match", probe::compare_exchange(va + 16, rw, 0), Ok(ro));
    report.expect("changes nothing", table.read(2), ro);
    report.expect("CMPXCHG that matches", probe::compare_exchange(va + 16, ro, rw), Ok(ro));
    report.expect("changes it", table.read(2), rw);

    report.expect("LOCK BTR of the write bit", probe::bit_reset(va + 16, 1), Ok(true));
    report.expect("takes it away", table.read(2), rw & !WRITE);
    report.expect("LOCK BTR of a clear bit", probe::bit_reset(va + 16, 1), Ok(false));
    report.expect("LOCK AND of a byte", probe::and_byte(va + 16, !(ACCESSED | DIRTY) as u8), Ok(()));
    report.expect("takes accessed and dirty away", table.read(2), rw & !(WRITE | ACCESSED | DIRTY));

    // SAFETY: stores to the table, which the hypervisor judges.
    #[allow(clippy::multiple_unsafe_ops_per_block)]
    unsafe {
        report.expect("a store of four bytes", attempt!("mov dword ptr [rdi], 0", in("rdi") va + 16), Ok(()));
        report.expect("changes the lower half", table.read(2), rw & !0xffff_ffff);
        report.expect("a store of nothing again", probe::write(va + 16, 0), Ok(()));
        let source = ro;
        report.expect(
            "MOVS of an entry",
            attempt!("movsq", inout("rdi") va + 24 => _, inout("rsi") (&raw const source) => _),
            Ok(()),
        );
        report.expect("copies it", table.read(3), ro);
        report.expect(
            "REP STOS of nothing",
            attempt!("rep stosq", inout("rdi") va => _, inout("rcx") 8u64 => _, in("rax") 0u64),
            Ok(()),
        );
    }
    report.check("clears eight entries", (0..8).all(|n| table.read(n) == 0));

    refused(report, table, data);
}

fn refused(report: &mut Report, table: Page, data: Page) {
    let va = table.va();
    let denied: Result<(), Trap> = Err(Trap { vector: 14, error_code: 3 });
    let own_table = memory::entry(table.va(), 2).map_or(0, |entry| entry.mfn());
    report.expect("a writable mapping of a page table", probe::write(va, own_table << 12 | KERNEL_RW), denied);
    report.expect("a read-only one is fine", probe::write(va, own_table << 12 | KERNEL_RO), Ok(()));
    report.expect("a frame that is not ours", probe::write(va, 0x1200 << 12 | KERNEL_RW), denied);
    report.expect("a frame beyond the machine", probe::write(va, FRAME | KERNEL_RW), denied);
    report.expect("reserved bits", probe::write(va, data.mfn() << 12 | KERNEL_RW | 1 << 52 | 1 << 51), denied);
    report.expect("a store across two entries", probe::write(va + 4, data.mfn() << 12 | PRESENT), denied);
    report.expect("nothing of it happened", (table.read(0), table.read(1)), (own_table << 12 | KERNEL_RO | GLOBAL, 0));
    report.result("unpinning", table.unpin(), 0);
    report.result("writable again", table.make_writable(), 0);
    table.write(0, 5);
    report.expect("it is an ordinary page", table.read(0), 5);
}
