//! Which domains an operation names, and whether the caller may.

use super::PagingError;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::platform::Platform;
use ferroxen_sync::Shared;

/// A domain that an argument names.
pub(super) enum Target<P: Platform> {
    /// The caller's own.
    Own,
    /// Another one, over which the caller has power.
    Other(Shared<Domain<P>>),
    /// I/O memory only.
    Io,
    /// Pages of the hypervisor.
    Xen,
}

impl<P: Platform> Target<P> {
    /// The `foreigndom` of `mmu_update` and `mmuext_op`, or the domid of `update_va_mapping_otherdomain`.
    pub(super) fn of(ctx: &Ctx<'_, P>, id: DomId) -> Result<Self, PagingError> {
        match id {
            DomId::SELF => Ok(Target::Own),
            DomId::IO => Ok(Target::Io),
            DomId::XEN if ctx.dom.privileged => Ok(Target::Xen),
            DomId::XEN => Err(PagingError::NotPermitted),
            // One's own number is no foreign domain.
            id if id == ctx.dom.id => Err(PagingError::NoDomain),
            id => Target::other(ctx, id),
        }
    }

    /// The same where one's own number is allowed.
    pub(super) fn other(ctx: &Ctx<'_, P>, id: DomId) -> Result<Self, PagingError> {
        if id == ctx.dom.id {
            return Ok(Target::Own);
        }
        let dom = ctx.hv.domains.get(id).ok_or(PagingError::NoDomain)?;
        if !ctx.dom.privileged {
            return Err(PagingError::NotPermitted);
        }
        Ok(Target::Other(dom))
    }

    /// The number that owns its frames.
    pub(super) fn id(&self, ctx: &Ctx<'_, P>) -> DomId {
        match self {
            Target::Own => ctx.dom.id,
            Target::Other(dom) => dom.id,
            Target::Io => DomId::IO,
            Target::Xen => DomId::XEN,
        }
    }

    /// Whether its frames include I/O memory.
    pub(super) fn may_map_io(&self, ctx: &Ctx<'_, P>) -> bool {
        match self {
            Target::Own | Target::Io => ctx.dom.privileged,
            Target::Other(dom) => dom.privileged,
            Target::Xen => false,
        }
    }
}
