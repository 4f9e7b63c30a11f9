//! `HYPERVISOR_xen_version`: who we are, and what we can.

use super::HypercallResult;
use crate::access;
use crate::addr::{PAGE_SIZE, Vaddr};
use crate::ctx::Ctx;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::arch_x86_64::HYPERVISOR_VIRT_START;
use xen_abi::features::*;
use xen_abi::v4_20::{XENVER_capabilities2, XENVER_changeset2, XENVER_commandline2, XENVER_extraversion2, XenVarbuf};
use xen_abi::version::*;
use xen_abi::xen::VMASST_TYPE_pae_extended_cr3;
use zerocopy::IntoBytes;

/// What `xen_version` tells of this build. Strings that do not fit their ABI field are cut.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// XENVER_version: major and minor. Toolstacks choose their binaries by it.
    pub version: (u16, u16),
    /// XENVER_extraversion, behind the version without a blank.
    pub extraversion: &'static str,
    /// XENVER_changeset.
    pub changeset: &'static str,
    /// Compiler and its version.
    pub compiler: &'static str,
    /// Who built it.
    pub compile_by: &'static str,
    /// Where.
    pub compile_domain: &'static str,
    /// When.
    pub compile_date: &'static str,
    /// XENVER_commandline: the hypervisor's own.
    pub command_line: &'static str,
    /// XENVER_build_id: the linker's; empty: none.
    pub build_id: &'static [u8],
}

impl Default for BuildInfo {
    fn default() -> Self {
        BuildInfo {
            version: (4, 17),
            extraversion: "-ferroxen",
            changeset: "ferroxen",
            compiler: "rustc",
            compile_by: "",
            compile_domain: "",
            compile_date: "",
            command_line: "",
            build_id: &[],
        }
    }
}

/// What a guest of ours can be. The number is that of the interface and never changed.
const CAPABILITIES: &str = "xen-3.0-x86_64 ";

/// `HYPERVISOR_xen_version(cmd, arg)`.
///
/// # Errors
/// `EFAULT`; `EPERM`: the build id is for the privileged, who else asks for the command line reads `<denied>`;
/// `EINVAL`, `ENODATA`, `ENOBUFS` (build id); `ENOSYS`.
pub fn xen_version<P: Platform>(ctx: &Ctx<'_, P>, cmd: u64, arg: u64) -> HypercallResult {
    let info = &ctx.hv.build;
    let at = Vaddr(arg);
    let denied = access::control(ctx).is_err();
    // C's `int`.
    match (cmd & 0xffff_ffff) as u32 {
        XENVER_version => return Ok(u64::from(info.version.0) << 16 | u64::from(info.version.1)),
        XENVER_extraversion => ctx.write::<xen_extraversion_t>(at, &text(info.extraversion))?,
        XENVER_compile_info => ctx.write(
            at,
            &XenCompileInfo {
                compiler: text(info.compiler),
                compile_by: text(info.compile_by),
                compile_domain: text(info.compile_domain),
                compile_date: text(info.compile_date),
            },
        )?,
        XENVER_capabilities => ctx.write::<xen_capabilities_info_t>(at, &text(CAPABILITIES))?,
        XENVER_changeset => ctx.write::<xen_changeset_info_t>(at, &text(info.changeset))?,
        XENVER_platform_parameters => ctx.write(at, &XenPlatformParameters { virt_start: HYPERVISOR_VIRT_START })?,
        XENVER_get_features => {
            let mut features: XenFeatureInfo = ctx.read(at)?;
            if features.submap_idx >= XENFEAT_NR_SUBMAPS {
                return Err(Errno::EINVAL.into());
            }
            features.submap = submap(ctx);
            ctx.write(at, &features)?;
        }
        XENVER_pagesize if arg == 0 => return Ok(PAGE_SIZE),
        XENVER_pagesize => return Err(Errno::EINVAL.into()),
        XENVER_guest_handle => ctx.write(at, &ctx.dom.handle.get())?,
        XENVER_commandline if denied => ctx.write_bytes(at, b"<denied>\0")?,
        XENVER_commandline => ctx.write::<xen_commandline_t>(at, &text(info.command_line))?,
        XENVER_build_id if denied => return Err(Errno::EPERM.into()),
        XENVER_build_id => {
            let id = ctx.hv.build.build_id;
            return buffer(ctx, at, (!id.is_empty()).then_some(id));
        }
        XENVER_extraversion2 => return buffer(ctx, at, Some(info.extraversion.as_bytes())),
        XENVER_capabilities2 => return buffer(ctx, at, Some(CAPABILITIES.as_bytes())),
        XENVER_changeset2 => return buffer(ctx, at, Some(info.changeset.as_bytes())),
        XENVER_commandline2 if denied => return Err(Errno::EPERM.into()),
        XENVER_commandline2 => return buffer(ctx, at, Some(info.command_line.as_bytes())),
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

fn submap<P: Platform>(ctx: &Ctx<'_, P>) -> u32 {
    let bit = |feature: u32, on: bool| if on { 1 << feature } else { 0 };
    let assists = ctx.dom.vm_assist.load(Ordering::Relaxed);
    bit(XENFEAT_memory_op_vnode_supported, true)
        | bit(XENFEAT_pae_pgdir_above_4gb, assists >> VMASST_TYPE_pae_extended_cr3 & 1 == 1)
        | bit(XENFEAT_dom0, ctx.dom.privileged)
        | bit(XENFEAT_mmu_pt_update_preserve_ad, true)
        | bit(XENFEAT_highmem_assist, true)
        | bit(XENFEAT_gnttab_map_avail_bits, true)
        | bit(XENFEAT_direct_mapped, true)
}

/// Bytes behind a `struct xen_varbuf` (or `struct xen_build_id`, which is the same) whose `len` says how many may be written;
/// without a buffer, how many there are. `None`: there is nothing of the kind.
fn buffer<P: Platform>(ctx: &Ctx<'_, P>, at: Vaddr, bytes: Option<&[u8]>) -> HypercallResult {
    let room = if at.0 == 0 { u32::MAX } else { ctx.read::<XenVarbuf>(at)?.len };
    if room == 0 {
        return Err(Errno::EINVAL.into());
    }
    let bytes = bytes.ok_or(Errno::ENODATA)?;
    if bytes.len() > usize::try_from(room).unwrap_or(usize::MAX) {
        return Err(Errno::ENOBUFS.into());
    }
    if at.0 != 0 {
        ctx.write_bytes(Vaddr(at.0.wrapping_add(size_of::<XenVarbuf>() as u64)), bytes)?;
    }
    Ok(bytes.len() as u64)
}

/// A string with its terminator, in a field of fixed size.
fn text<const N: usize>(from: &str) -> [u8; N] {
    let mut field = [0; N];
    let room = N.saturating_sub(1);
    field.as_mut_bytes().iter_mut().zip(from.as_bytes()).take(room).for_each(|(to, &byte)| *to = byte);
    field
}
