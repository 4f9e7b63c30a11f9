//! A disk written and read in blocks of 64 KiB by four at once, in an order that jumps, as fio's `verify` does it: each block says
//! where it belongs, and none is like another.

use std::fs::File;
use std::io::Error;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::process::ExitCode;
use std::thread;

use crate::PAGE;

const BLOCK: usize = 64 << 10;
const MIB: usize = 1 << 20;
const WORKERS: u64 = 4;

/// What is done with the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// They are written.
    Fill,
    /// They are compared with what was written.
    Verify,
}

/// What block `number` holds: xorshift (Marsaglia, 2003) from its number on.
fn content(block: &mut [u8], number: u64) {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in block.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

/// A block's worth of a buffer, where the kernel takes it without its cache.
fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let start = buffer.as_ptr().align_offset(PAGE);
    buffer.get_mut(start..start + BLOCK).unwrap_or_default()
}

/// A quarter of the blocks; how many were not as they should be.
fn quarter(file: &File, act: Act, blocks: u64, worker: u64) -> Result<u64, Error> {
    let (mut wanted, mut found) = (vec![0; BLOCK + PAGE], vec![0; BLOCK + PAGE]);
    let (wanted, found) = (aligned(&mut wanted), aligned(&mut found));
    let mine = blocks / WORKERS;
    let mut wrong = 0;
    for n in 0..mine {
        // 7919 is prime: every block once, and neighbours not one after the other.
        let number = worker * mine + n * 7919 % mine;
        content(wanted, number);
        match act {
            Act::Fill => file.write_all_at(wanted, number * BLOCK as u64)?,
            Act::Verify => {
                file.read_exact_at(found, number * BLOCK as u64)?;
                wrong += u64::from(wanted != found);
            }
        }
    }
    Ok(wrong)
}

fn all(act: Act, path: &str, mib: u64, direct: bool) -> Result<u64, Error> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = File::options().read(true).write(act == Act::Fill).custom_flags(flags).open(path)?;
    let blocks = mib * (MIB / BLOCK) as u64;
    let file = &file;
    let wrong = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| scope.spawn(move || quarter(file, act, blocks, worker))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(Error::other("a worker ended")))).sum()
    });
    if act == Act::Fill {
        file.sync_all()?;
    }
    wrong
}

/// `fxbench fill|verify DEVICE MIB [direct]`.
pub fn main(verb: &str, path: &str, mib: u64, direct: bool) -> ExitCode {
    let act = if verb == "fill" { Act::Fill } else { Act::Verify };
    match all(act, path, mib, direct) {
        Ok(0) => {
            println!("{verb}: {mib} MiB are right");
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            println!("{verb}: {wrong} blocks are WRONG");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fxbench: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
