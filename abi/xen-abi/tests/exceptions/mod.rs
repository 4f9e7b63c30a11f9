//! What the headers define and the crate leaves out, with reasons.

/// Module (empty for any), name (`*` at its end for any rest), reason.
pub const RULES: &[(&str, &str, &str)] = &[
    ("", "PRI*", "a printf format"),
    ("arch_x86", "XEN_CPUID", "assembly; the bytes are EMULATE_PREFIX"),
    ("arch_x86", "XEN_EMULATE_PREFIX", "assembly; the bytes are EMULATE_PREFIX"),
    ("arch_x86_64", "machine_to_phys_mapping", "a C pointer to MACH2PHYS_VIRT_START"),
    ("compat32", "__FOREIGN_X86_32_H_TMP__", "an include guard"),
    ("compat32", "__i386___X86_32", "steers the header itself"),
    ("compat32", "x86_32_has_no_*", "steers the header's own checker"),
    ("grant_table", "GNTTABOP_error_msgs", "texts, not ABI"),
    ("io::blkif", "blkif_sector_t", "a type: u64"),
    ("io::blkif", "blkif_vdev_t", "a type: u16"),
    ("io::protocols", "XEN_IO_PROTO_ABI_ARM", "not x86"),
    ("io::protocols", "XEN_IO_PROTO_ABI_*", "strings, compared by the module's own table"),
    ("io::ring", "XEN_PAGE_SHIFT", "4 KiB pages are the ABI everywhere"),
    ("io::xs_wire", "XS_WRITE_*", "strings of a protocol that nobody speaks any more"),
    ("io::xs_wire", "struct xsd_errors", "a table of C strings: Errno::name"),
    ("memory", "union xen_add_to_physmap_batch_extra", "one u16: the field `u`"),
    ("platform", "union xenpf_efi_info", "inside `u` of xenpf_firmware_info; each member has its struct"),
    ("platform", "xenpf_settime", "a type: xenpf_settime64"),
    ("trace", "struct t_rec", "bit-fields: an event word, then the extra words"),
    ("xen", "int64_aligned_t", "a type: i64"),
    ("xen", "uint64_aligned_t", "a type: u64"),
    ("xen", "xen_vga_console_info*", "a second name of dom0_vga_console_info"),
    ("xen", "xen_wc_sec_hi", "a second name of wc_sec_hi"),
];

/// The name in the rule that excuses `name`.
pub fn reason(module: &str, name: &str) -> Option<&'static str> {
    let excuses = |rule: &str| match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == rule,
    };
    RULES.iter().find(|(m, rule, _)| (m.is_empty() || *m == module) && excuses(rule)).map(|r| r.1)
}

/// Constants that a later point release of 4.17 added: checked where the installed headers have them. Debian's archive
/// serves 4.17.5 as well as 4.17.7.
pub const LATER: &[&str] = &["XEN_X86_FEATURE_SRSO_US_NO", "XEN_X86_FEATURE_SRSO_MSR_FIX"];
