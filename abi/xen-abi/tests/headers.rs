//! Compares every constant and every struct of the crate with Xen's public C headers, by letting the C compiler
//! check `_Static_assert`s that are made from the crate's own tables.
//!
//! Needs a C compiler and the headers of `libxen-dev` 4.17, and fails without them: an ABI that nobody checked is
//! not one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xen_abi::check::Header;
use xen_abi::{HEADER_4_20, HEADERS};

mod exceptions;

const MISSING: &str = "the C compiler or Xen's public headers are missing: apt-get install libxen-dev gcc";

/// What stands before every check: the ABI's latest version, with the toolstack's part.
const PROLOGUE: &str = "\
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#if __XEN_LATEST_INTERFACE_VERSION__ != 0x00040e00
#error these are not the headers of Xen 4.17
#endif
";

/// The ring's head without its slots: C makes a type for each protocol, and this stands for all of them.
const RING_PROLOGUE: &str = "\
#include <xen/io/blkif.h>
#include <xen/io/netif.h>
struct xen_abi_sring {
    RING_IDX req_prod, req_event, rsp_prod, rsp_event;
    uint8_t pvt[4];
    uint8_t __pad[44];
};
_Static_assert(offsetof(struct blkif_sring, req_prod) == offsetof(struct xen_abi_sring, req_prod), \"req_prod\");
_Static_assert(offsetof(struct blkif_sring, req_event) == offsetof(struct xen_abi_sring, req_event), \"req_event\");
_Static_assert(offsetof(struct blkif_sring, rsp_prod) == offsetof(struct xen_abi_sring, rsp_prod), \"rsp_prod\");
_Static_assert(offsetof(struct blkif_sring, rsp_event) == offsetof(struct xen_abi_sring, rsp_event), \"rsp_event\");
_Static_assert(offsetof(struct blkif_sring, pvt) == offsetof(struct xen_abi_sring, pvt), \"pvt\");
_Static_assert(offsetof(struct blkif_sring, __pad) == offsetof(struct xen_abi_sring, __pad), \"__pad\");
";

/// Runs the C compiler over `source`; what it printed to (stdout, stderr) and whether it succeeded.
fn cc(args: &[&str], source: &str) -> (bool, String, String) {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut child = Command::new(&cc)
        .args(["-x", "c", "-std=gnu11", "-w", "-D__XEN_TOOLS__"])
        .arg("-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__")
        .args(args)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{MISSING} ({cc}: {e})"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let source = source.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(source.as_bytes()));
    let out = child.wait_with_output().expect("the compiler ends");
    let _ = writer.join();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

/// Panics with the way out if the headers cannot be used.
fn require_headers() {
    let (ok, _, err) = cc(&["-fsyntax-only"], PROLOGUE);
    assert!(ok, "{MISSING} (4.17 is wanted)\n{err}");
}

/// The C text that includes what `header` mirrors.
fn includes(header: &Header) -> String {
    let mut text = PROLOGUE.to_owned();
    for include in header.includes {
        writeln!(text, "#include <xen/{include}>").expect("a String takes it");
    }
    if header.module.ends_with("ring") {
        text.push_str(RING_PROLOGUE);
    }
    text
}

/// Whether these headers have a constant.
fn is_defined(header: &Header, name: &str) -> bool {
    cc(&["-fsyntax-only"], &format!("{}enum {{ probe = {name} }};\n", includes(header))).0
}

/// Every assertion about `header`, one a line.
fn assertions(header: &Header) -> Vec<String> {
    let mut out = Vec::new();
    let mut check = |left: String, right: i128, what: String| {
        let what = what.replace('"', "'");
        out.push(format!("_Static_assert((__int128)({left}) == (__int128)({right}LL), \"{what}\");"));
    };
    for c in header.consts {
        if exceptions::LATER.contains(&c.c) && !is_defined(header, c.c) {
            continue;
        }
        let value = c.value;
        assert!(value <= i128::from(u64::MAX) && value >= i128::from(i64::MIN), "{}", c.c);
        // A C literal of type `long long` holds no more than this.
        if value > i128::from(i64::MAX) {
            let low = value - (1i128 << 63);
            check(format!("(__int128)({}) - ((__int128)1 << 63)", c.c), low, format!("{} is {value:#x}", c.c));
        } else {
            check(c.c.to_owned(), value, format!("{} is {value}", c.c));
        }
    }
    for s in header.layouts {
        let c = s.c;
        check(format!("sizeof({c})"), s.size as i128, format!("size of {c} is {}", s.size));
        check(format!("_Alignof({c})"), s.align as i128, format!("alignment of {c} is {}", s.align));
        for f in s.fields {
            let Some(name) = f.c_name() else { continue };
            let (offset, size) = (f.offset as i128, f.size as i128);
            check(format!("offsetof({c}, {name})"), offset, format!("{name} of {c} is at {offset}"));
            check(format!("sizeof((({c} *)0)->{name})"), size, format!("{name} of {c} has {size} bytes"));
        }
    }
    out
}

#[test]
fn every_constant_and_layout_is_what_the_headers_say() {
    require_headers();
    let mut failures = String::new();
    let mut checks = 0;
    for header in HEADERS {
        let assertions = assertions(header);
        checks += assertions.len();
        let source = includes(header) + &assertions.join("\n") + "\n";
        let (ok, _, err) = cc(&["-fsyntax-only"], &source);
        if !ok {
            let errors: Vec<_> = err.lines().filter(|l| l.contains("error:")).collect();
            writeln!(failures, "{}:\n  {}", header.module, errors.join("\n  ")).expect("a String takes it");
        }
    }
    assert!(failures.is_empty(), "{failures}");
    // Falls only if something was taken out of the tables.
    assert!(checks > 4000, "only {checks} checks");
}

/// The include folder of Xen 4.20's headers: `./x test` fetches them.
fn headers_4_20() -> PathBuf {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    let cache = std::env::var_os("FERROXEN_CACHE").map_or(cache, PathBuf::from);
    let folder = cache.join("xen-headers-4.20/usr/include");
    assert!(
        folder.join("xen/domctl.h").exists(),
        "no headers of Xen 4.20 in the cache: `./x test --host` fetches them"
    );
    folder
}

#[test]
fn what_is_said_of_4_20_is_what_its_headers_say() {
    let folder = headers_4_20();
    let assertions = assertions(&HEADER_4_20);
    let source = includes(&HEADER_4_20).replace("0x00040e00", "0x00041300") + &assertions.join("\n") + "\n";
    let (ok, _, err) = cc(&["-fsyntax-only", "-I", &folder.to_string_lossy()], &source);
    assert!(ok, "{err}");
    assert!(assertions.len() > 50, "only {} checks", assertions.len());
    // 4.17's headers say something else.
    let (old, _, _) = cc(&["-fsyntax-only"], &source.replace("0x00041300", "0x00040e00"));
    assert!(!old);
}

#[test]
fn a_wrong_value_or_layout_is_caught() {
    require_headers();
    let wrong = [
        "_Static_assert((__int128)(__HYPERVISOR_mmu_update) == (__int128)(2LL), \"\");",
        "_Static_assert((__int128)(offsetof(struct mmu_update, val)) == (__int128)(0LL), \"\");",
        "_Static_assert((__int128)(NO_SUCH_CONSTANT) == (__int128)(0LL), \"\");",
    ];
    for line in wrong {
        let (ok, _, _) = cc(&["-fsyntax-only"], &format!("{PROLOGUE}{line}\n"));
        assert!(!ok, "passed: {line}");
    }
}

/// The bytes between named fields are padding in C too: what C names is named here.
#[test]
fn every_byte_of_a_struct_belongs_to_one_field() {
    for s in HEADERS.iter().flat_map(|h| h.layouts) {
        let mut at = 0;
        for f in s.fields {
            assert_eq!(f.offset, at, "{}.{}", s.c, f.c);
            at += f.size;
        }
        assert_eq!(at, s.size, "{}", s.c);
    }
}

/// A name that the headers define: where, and how.
fn defined_names(header: &Header) -> BTreeMap<String, &'static str> {
    let (ok, text, err) = cc(&["-E", "-dD"], &includes(header));
    assert!(ok, "{MISSING}\n{err}");
    let mut names = BTreeMap::new();
    let mut ours = false;
    let (mut depth, mut in_enum) = (0usize, false);
    for line in text.lines() {
        if let Some(marker) = line.strip_prefix("# ") {
            let file = marker.split('"').nth(1).unwrap_or_default();
            ours = header.includes.iter().any(|i| file.ends_with(&format!("/xen/{i}")));
            continue;
        }
        if !ours {
            continue;
        }
        if let Some(define) = line.strip_prefix("#define ") {
            let name_end = define.find([' ', '(']).unwrap_or(define.len());
            let (name, rest) = define.split_at(name_end);
            // Neither include guards nor macros with arguments.
            if !rest.starts_with('(') && !rest.trim().is_empty() {
                names.insert(name.to_owned(), "constant");
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        if line.trim_start().starts_with("enum") || line.trim_start().starts_with("typedef enum") {
            in_enum = true;
        }
        if in_enum {
            for item in line.split(['{', '}', ',']) {
                let name = item.split('=').next().unwrap_or_default().trim();
                let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if is_name && depth > 0 && !name.ends_with("_t") {
                    names.insert(name.to_owned(), "constant");
                }
            }
        }
        let words: Vec<_> = line.split_whitespace().collect();
        for (i, word) in words.iter().enumerate() {
            let opens = words.get(i + 2) == Some(&"{") || (words.len() == i + 2 && depth == 0);
            if (*word == "struct" || *word == "union") && opens && words[i + 1] != "{" && !line.contains(';') {
                names.insert(format!("{word} {}", words[i + 1]), "type");
            }
        }
        depth += line.matches('{').count();
        depth = depth.saturating_sub(line.matches('}').count());
        if depth == 0 && line.contains('}') {
            in_enum = false;
        }
    }
    names
}

/// What a covered header defines is in the crate, or in `exceptions.rs` with a reason.
#[test]
fn nothing_of_a_covered_header_is_forgotten() {
    require_headers();
    let mut missing = Vec::new();
    let mut excused = BTreeSet::new();
    for header in HEADERS {
        let have: BTreeSet<_> = header.consts.iter().map(|c| c.c).chain(header.layouts.iter().map(|l| l.c)).collect();
        for (name, kind) in defined_names(header) {
            if have.contains(name.as_str()) {
                continue;
            }
            match exceptions::reason(header.module, &name) {
                Some(rule) => {
                    excused.insert(rule);
                }
                None => missing.push(format!("{}: {kind} {name}", header.module)),
            }
        }
    }
    assert!(missing.is_empty(), "not in xen-abi, and no reason in exceptions.rs:\n{}", missing.join("\n"));
    let stale: Vec<_> = exceptions::RULES.iter().map(|r| r.1).filter(|r| !excused.contains(r)).collect();
    assert!(stale.is_empty(), "exceptions that excuse nothing: {stale:?}");
}

/// A struct or constant can be declared past the tables only here.
const PAST_THE_TABLES: &[&str] = &[
    // Not of C.
    "check.rs",
    "ferroxen.rs",
    "guest_ptr.rs",
    "macros.rs",
    "lib.rs",
    // Bytes of an instruction, not a number.
    "pub const EMULATE_PREFIX",
    // Strings, and their own checks.
    "pub const XEN_IO_PROTO_ABI",
    "pub const CONSTS",
    "pub const LAYOUTS",
    // `uint64_t` under `#pragma pack(4)`.
    "pub struct u64_a4",
    // In an `impl`, not in C.
    "pub const ALL:",
];

#[test]
fn every_declaration_goes_through_the_tables() {
    fn walk(dir: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).expect("the sources are there") {
            let path = entry.expect("the sources are there").path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("the sources are readable")));
            }
        }
    }
    let mut sources = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut tables = 0;
    for (file, text) in &sources {
        if PAST_THE_TABLES.contains(&file.as_str()) {
            continue;
        }
        tables += usize::from(text.contains("pub const LAYOUTS") || text.contains("structs! {"));
        for line in text.lines().map(str::trim_start) {
            let declares = line.starts_with("pub const ") && !line.starts_with("pub const fn ")
                || line.starts_with("pub struct ")
                || line.starts_with("pub union ");
            let known = PAST_THE_TABLES.iter().any(|p| line.starts_with(p));
            assert!(!declares || known, "{file}: `{line}` is not in a table");
        }
    }
    assert_eq!(tables, HEADERS.len() + 1, "a module is not in the table of `headers!`");
}
