//! `XEN_ELFNOTE_FEATURES` and `XEN_ELFNOTE_SUPPORTED_FEATURES`: what a kernel can do, and what it
//! cannot do without.

use crate::error::{ImageError, Name};
use xen_abi::features::*;

/// Feature sets of a kernel, one bit for each `XENFEAT_*` number (`1 << XENFEAT_dom0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// What the kernel can make use of; includes `required`.
    pub supported: u32,
    /// What the kernel does not run without.
    pub required: u32,
}

/// The names of `features.h` without `XENFEAT_`, as notes spell them.
const NAMES: &[(&str, u32)] = &[
    ("writable_page_tables", XENFEAT_writable_page_tables),
    ("writable_descriptor_tables", XENFEAT_writable_descriptor_tables),
    ("auto_translated_physmap", XENFEAT_auto_translated_physmap),
    ("supervisor_mode_kernel", XENFEAT_supervisor_mode_kernel),
    ("pae_pgdir_above_4gb", XENFEAT_pae_pgdir_above_4gb),
    ("mmu_pt_update_preserve_ad", XENFEAT_mmu_pt_update_preserve_ad),
    ("highmem_assist", XENFEAT_highmem_assist),
    ("gnttab_map_avail_bits", XENFEAT_gnttab_map_avail_bits),
    ("hvm_callback_vector", XENFEAT_hvm_callback_vector),
    ("hvm_safe_pvclock", XENFEAT_hvm_safe_pvclock),
    ("hvm_pirqs", XENFEAT_hvm_pirqs),
    ("dom0", XENFEAT_dom0),
    ("memory_op_vnode_supported", XENFEAT_memory_op_vnode_supported),
    ("ARM_SMCCC_supported", XENFEAT_ARM_SMCCC_supported),
    ("linux_rsdp_unrestricted", XENFEAT_linux_rsdp_unrestricted),
    ("not_direct_mapped", XENFEAT_not_direct_mapped),
    ("direct_mapped", XENFEAT_direct_mapped),
];

impl Features {
    /// Adds the features of a string note: names separated by `|`, a required one preceded by `!`.
    /// A name that is unknown is ignored unless it is required.
    pub(super) fn add_names(&mut self, text: &str) -> Result<(), ImageError> {
        for word in text.split('|') {
            let (name, required) = match word.strip_prefix('!') {
                Some(name) => (name, true),
                None => (word, false),
            };
            match NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, number)) => {
                    let bit = 1u32.checked_shl(*number).unwrap_or(0);
                    self.supported |= bit;
                    if required {
                        self.required |= bit;
                    }
                }
                None if required => return Err(ImageError::UnknownRequiredFeature(Name::new(name.as_bytes()))),
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the bits of a numeric note. It has one 32-bit map so far; later ones are unknown.
    pub(super) fn add_bits(&mut self, bits: u64) {
        self.supported |= (bits & u64::from(u32::MAX)) as u32;
    }

    /// Whether the kernel can make use of `XENFEAT_*` number `feature`.
    pub fn supports(&self, feature: u32) -> bool {
        self.supported & 1u32.checked_shl(feature).unwrap_or(0) != 0
    }

    /// Checks what the kernel requires against what there is.
    ///
    /// # Errors
    /// [`ImageError::MissingFeatures`] with what is not among `available`.
    pub fn require_only(&self, available: u32) -> Result<(), ImageError> {
        match self.required & !available {
            0 => Ok(()),
            bits => Err(ImageError::MissingFeatures { bits }),
        }
    }

    /// The names of the features in `bits`.
    pub fn names_of(bits: u32) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(_, number)| bits & 1u32.checked_shl(*number).unwrap_or(0) != 0)
            .map(|(name, _)| *name)
    }
}
