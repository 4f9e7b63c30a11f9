//! PV page tables (x86-64, four levels): the guest writes machine frames into its own tables, and every change is
//! checked here.
//!
//! The promise, kept through the types of `frame`: a frame that is a page table or a descriptor table is nowhere
//! mapped writable; an entry leads only to frames of the domain (or of one that `access` allowed, or to I/O memory
//! that it may have), each of which it holds a reference to; and no TLB remembers what is no longer so, when it
//! matters. An entry of a valid table *is* a [`crate::frame::FrameRef`] and, where it is writable or leads to a table,
//! a [`crate::frame::TypeRef`].
//!
//! Everything long stops at safe points and is continued: progress is parked in the frames, never on the stack.

mod change;
mod descriptor;
pub mod entry;
mod error;
mod flush;
mod foreign;
mod mmu;
mod mmuext;
mod ptwr;
mod refs;
mod roots;
mod target;
mod teardown;
#[cfg(test)]
mod tests;
mod update;
mod va;
mod validate;
mod walk;

pub use descriptor::{fix_up as fix_up_descriptor, map_ldt_page, set_gdt, set_ldt, update_descriptor};
pub use entry::Pte;
pub use error::PagingError;
pub use foreign::{
    Displaced, PteClaim, clear_l1e_at_maddr, clear_l1e_at_va, get_writable, install_l1e_at_maddr, install_l1e_at_va,
    move_l1e, put_writable, settle,
};
pub use mmu::Mmu;
pub use mmuext::{mmuext_op, mmuext_single};
pub use ptwr::{PtWrite, guest_pt_update, guest_pt_write, is_pt_write_fault};
pub use roots::{pin_root_at_boot, put_root_of, take_root, unpin};
pub use teardown::relinquish_memory;
pub use update::mmu_update;
pub use va::{update_va_mapping, update_va_mapping_otherdomain};
pub use walk::find_l1e;
