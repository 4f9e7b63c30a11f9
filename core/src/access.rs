//! Who may do what to whom. Only this module asks [`Domain::privileged`] about another domain, and only it can make
//! a [`Target`] or a [`Control`]: who has one was checked.

use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::platform::Platform;
use core::ops::Deref;
use ferroxen_sync::Shared;
use xen_abi::Errno;

/// A domain that the caller may act on.
pub struct Target<'a, P: Platform>(Which<'a, P>);

enum Which<'a, P: Platform> {
    Own(&'a Domain<P>),
    Other(Shared<Domain<P>>),
}

impl<P: Platform> Deref for Target<'_, P> {
    type Target = Domain<P>;
    fn deref(&self) -> &Domain<P> {
        match &self.0 {
            Which::Own(dom) => dom,
            Which::Other(dom) => dom,
        }
    }
}

impl<P: Platform> Target<'_, P> {
    /// Whether it is the caller itself.
    pub fn is_self(&self) -> bool {
        matches!(self.0, Which::Own(_))
    }
}

/// The right to control the machine: proof that the caller's domain is privileged.
#[derive(Clone, Copy, Debug)]
pub struct Control(());

/// Whether the caller may control the machine and other domains.
///
/// # Errors
/// `EPERM`.
pub fn control<P: Platform>(ctx: &Ctx<'_, P>) -> Result<Control, Errno> {
    if ctx.dom.privileged { Ok(Control(())) } else { Err(Errno::EPERM) }
}

/// The domain that an argument names (itself: its number or `DOMID_SELF`), for an operation that a domain may do to
/// itself and a privileged one to any.
///
/// # Errors
/// `ESRCH`: no such domain; `EPERM`: it is another one and the caller is not privileged.
pub fn target<'a, P: Platform>(ctx: &Ctx<'a, P>, id: DomId) -> Result<Target<'a, P>, Errno> {
    if id == DomId::SELF || id == ctx.dom.id {
        return Ok(Target(Which::Own(ctx.dom)));
    }
    let other = ctx.hv.domains.get(id).ok_or(Errno::ESRCH)?;
    if !ctx.dom.privileged {
        return Err(Errno::EPERM);
    }
    Ok(Target(Which::Other(other)))
}

/// As [`target`], for an operation that even on itself wants privilege.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn controlled<'a, P: Platform>(ctx: &Ctx<'a, P>, id: DomId) -> Result<Target<'a, P>, Errno> {
    let found = target(ctx, id)?;
    control(ctx).map(|_| found)
}

/// As [`controlled`], for an operation on another domain only.
///
/// # Errors
/// `ESRCH`; `EPERM`, also for itself.
pub fn remote<'a, P: Platform>(ctx: &Ctx<'a, P>, id: DomId) -> Result<Target<'a, P>, Errno> {
    let found = controlled(ctx, id)?;
    if found.is_self() { Err(Errno::EPERM) } else { Ok(found) }
}
