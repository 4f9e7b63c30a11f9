//! `extract KERNEL [OUTPUT]`: unpacks a kernel's ELF file, as the hypervisor would, and says how
//! long that took and which Xen notes are in it.

use ferroxen_loader::{ElfKernel, KernelImage};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let input = args.next().ok_or("usage: extract KERNEL [OUTPUT]")?;
    let bytes = std::fs::read(&input)?;
    let image = KernelImage::parse(&bytes)?;
    let mut out = vec![0u8; image.payload_len()];
    let start = Instant::now();
    image.decompress_into(&mut out)?;
    let took = start.elapsed();
    println!(
        "{:?}, {}: {} -> {} bytes in {:.3} s",
        image.container(),
        image.compression(),
        image.packed_len(),
        out.len(),
        took.as_secs_f64()
    );
    let kernel = ElfKernel::parse(&out)?;
    for segment in kernel.segments() {
        println!(
            "  load {:#x} at paddr {:#x} vaddr {:#x}, {:#x} of {:#x} bytes in the file",
            segment.index,
            segment.paddr,
            segment.vaddr,
            segment.data.len(),
            segment.mem_size
        );
    }
    match kernel.notes() {
        Ok(notes) => println!("  {notes:#x?}"),
        Err(error) => println!("  {error}"),
    }
    match kernel.pv() {
        Ok(layout) => println!("  {layout:#x?}"),
        Err(error) => println!("  {error}"),
    }
    if let Some(path) = args.next() {
        std::fs::write(path, &out)?;
    }
    Ok(())
}
