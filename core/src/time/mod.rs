//! The time ABI: per-vcpu records that turn TSC into system time, the wall clock, run states, guests' timers.

mod record;
mod runstate;
mod timers;

pub use record::{TscScale, WallClock, record, write_record};
pub use runstate::{RunState, VcpuRunState};
pub use timers::{Timer, TimerKind, Timers, VcpuTimers};
