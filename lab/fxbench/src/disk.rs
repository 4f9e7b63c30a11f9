//! A disk, past the kernel's cache: what a MiB costs in requests of 4 KiB and of 1 MiB.

use crate::PAGE;
use crate::mark::Run;
use crate::sys;
use crate::target::targets;

const MIB: usize = 1 << 20;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
}

/// `run.rounds` MiB from the disk's begin, or to it, in requests of `size` bytes, one after the other.
pub fn transfer(run: Run, way: Way, size: usize) -> u64 {
    let Some(path) = &targets().disk else { return 0 };
    let disk = sys::open_direct(path);
    let area = sys::map(size);
    for page in 0..size / PAGE {
        sys::touch(area, page * PAGE);
    }
    let start = run.begin();
    for place in (0..run.rounds as usize * MIB).step_by(size) {
        match way {
            Way::Read => sys::read_at(disk, area, size, place),
            Way::Write => sys::write_at(disk, area, size, place),
        }
    }
    let time = start.end();
    sys::unmap(area, size);
    sys::close(disk);
    time
}
