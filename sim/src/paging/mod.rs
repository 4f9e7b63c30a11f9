//! Random stories of guests that change their page tables.
//!
//! [`run`] turns bytes into a story: three domains on four CPUs make paging hypercalls, are switched, give frames
//! away, map each other's with and without the right to, and are destroyed; hypercalls are interrupted at any safe
//! point and sometimes never continued; copies from guests fail. After every step [`World::check`] counts every
//! reference that exists by walking, and compares what the hypervisor counted, and looks into every TLB. At the end
//! all domains are destroyed and every frame must be back.

mod check;
mod story;
mod world;

pub(crate) use story::end;
pub use story::{Story, run, run_quietly};
pub(crate) use world::{DOMAINS, FRAMES, RAM, SHARE};
pub use world::{Held, SimVcpu, World};
