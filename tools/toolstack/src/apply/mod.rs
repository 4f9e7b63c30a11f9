//! `xm apply`: the host is brought to what a folder of configurations says.
//!
//! The folder is [`read`], the host is looked at ([`Host::running`](crate::Host::running)), [`plan`] gives the steps from one to
//! the other, [`Host::perform`](crate::Host::perform) does them. Nothing is kept between two runs: whoever is killed leaves
//! a host of which the next plan says what is still to be done.

mod change;
mod fields;
mod look;
mod perform;
mod plan;
mod read;
#[cfg(test)]
mod tests;

pub use change::Change;
pub(crate) use fields::other_start;
pub use perform::{Applying, Outcome, Ways};
pub use plan::{Known, Live, Running, Step, Task, Wishes, plan};
pub use read::{Folder, Wanted, read};
