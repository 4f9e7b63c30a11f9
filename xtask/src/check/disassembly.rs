//! The hypervisor must not touch the registers that belong to its guests: vector and x87.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::output;

/// Instructions that save, restore or reset a guest's state as a whole.
const STATE: &[&str] = &[
    "fxsave",
    "fxsave64",
    "fxrstor",
    "fxrstor64",
    "fninit",
    "fnclex",
    "ldmxcsr",
    "stmxcsr",
    "fldcw",
    "fnstcw",
    "fnstsw",
];

/// Fails with the first instructions that touch such a register.
pub fn check(elf: &Path) -> Result<()> {
    let text = output(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(elf))?;
    if !text.lines().any(|line| line.contains("ret")) {
        bail!("objdump found no code in {}", elf.display());
    }
    let mut function = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            function = name.1;
        } else if touches(line) {
            found.push(format!("{function}: {}", line.trim()));
        }
    }
    if !found.is_empty() {
        found.truncate(5);
        bail!("{}", found.join("; "));
    }
    Ok(())
}

/// True if the line of disassembly names a vector or x87 register, or is an x87 instruction.
fn touches(line: &str) -> bool {
    let Some((_, code)) = line.split_once(":\t") else { return false };
    let code = code.split(['<', '#']).next().unwrap_or_default();
    let mut words = code.split_whitespace();
    let Some(mnemonic) = words.next() else { return false };
    if STATE.contains(&mnemonic) {
        return false;
    }
    let registers = ["%xmm", "%ymm", "%zmm", "%mm", "%st"];
    registers.iter().any(|register| code.contains(register)) || (mnemonic.starts_with('f') && mnemonic != "fs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_and_x87_instructions_are_found() {
        for line in [
            "  10:\tmovaps %xmm0,(%rsp)",
            "  10:\tvmovdqu %ymm1,(%rdi)",
            "  10:\tfldt   0x8(%rsp)",
            "  10:\tmovq   %mm0,%rax",
            "  10:\tfaddp  %st,%st(1)",
        ] {
            assert!(touches(line), "{line}");
        }
    }

    #[test]
    fn saving_a_guests_state_and_names_in_comments_are_fine() {
        for line in [
            "  10:\tfxsave64 (%rdi)",
            "  10:\txsave64 (%rdi)",
            "  10:\tcall   80 <uses_%xmm0>",
            "  10:\tmov    %rax,%fs:0x8",
            "  10:\tmov    %rsp,%rdi # %st",
        ] {
            assert!(!touches(line), "{line}");
        }
    }
}
