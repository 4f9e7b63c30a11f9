//! `./x bench --profile OPERATIONS`: the functions of hypervisor and kernel in which the instructions of an
//! operation are, by the addresses that lab/fxcount saw and the symbols of our ELF, of Xen and of Linux.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::count::{self, Counted};
use super::{BenchArgs, thousands, title};
use crate::boot::Symbols;
use crate::paths::Paths;
use crate::setup::{KernelChoice, Parts};
use crate::{kallsyms, kernel_image, ui};

/// `./x bench --profile`.
pub fn main(paths: &Paths, args: &BenchArgs, ours: Option<&PathBuf>) -> Result<i32> {
    for system in &args.systems {
        ui::step(format!("profiling {} on {}", args.profile.join(", "), title(system)));
        let operations = count::count(paths, args, system, ours, true)?;
        let symbols = symbols(paths, system)?;
        for operation in &args.profile {
            // In a guest, fxbench marks it without `domU`.
            let name = operation.rsplit(' ').next().unwrap_or(operation);
            let counted = operations.get(name).with_context(|| format!("fxbench measured no {operation}"))?;
            let all = thousands(counted.instructions() as u64);
            println!("\n### {operation} on {}: {all} instructions\n", title(system));
            print!("{}", lines(counted, &symbols, args.top));
        }
    }
    Ok(0)
}

fn symbols(paths: &Paths, system: &str) -> Result<Symbols> {
    let mut symbols = match system {
        "ferroxen" => Symbols::read(&paths.debug_symbols()),
        _ => Symbols::default(),
    };
    let kernel = Parts::new(paths).kernel(&KernelChoice::Debian61)?;
    symbols.extend(kallsyms::functions(&fs::read(kernel_image::vmlinux(paths, &kernel)?)?).into_iter());
    Ok(symbols)
}

/// The functions with the most instructions.
fn lines(counted: &Counted, symbols: &Symbols, top: usize) -> String {
    let rounds = counted.rounds() as f64;
    let mut functions: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (address, count) in counted.group("addresses") {
        let Ok(address) = u64::from_str_radix(&address, 16) else { continue };
        let place = symbols.function(address);
        let who = if (0xffff_8000_0000_0000..0xffff_8800_0000_0000).contains(&address) { "hv" } else { "kernel" };
        let name = match place {
            Some((name, _)) => format!("{who} {name}"),
            // Without symbols: by 256 bytes of code.
            None => format!("{who} {:x}..", address & !0xff),
        };
        let entry = functions.entry(name).or_default();
        entry.0 += count;
        // A function is entered at its first address.
        if place.is_some_and(|(_, offset)| offset == 0) {
            entry.1 += count;
        }
    }
    let total = counted.instructions() * rounds;
    let mut sorted: Vec<(String, (u64, u64))> = functions.into_iter().collect();
    sorted.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let mut text =
        format!("{:>12} {:>6} {:>6} {:>9} {:>8}  function\n", "instr/op", "%", "sum %", "calls/op", "i/call");
    let mut sum = 0;
    for (name, (count, entries)) in sorted.into_iter().take(top) {
        sum += count;
        let share = |count: u64| 100.0 * count as f64 / total;
        let per_call = if entries > 0 { format!("{:.0}", count as f64 / entries as f64) } else { String::new() };
        text += &format!(
            "{:>12} {:>6.2} {:>6.2} {:>9.2} {:>8}  {name}\n",
            thousands((count as f64 / rounds).round() as u64),
            share(count),
            share(sum),
            entries as f64 / rounds,
            per_call,
        );
    }
    text
}
