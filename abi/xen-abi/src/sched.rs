//! `sched.h`: subcommands of `sched_op`.

use crate::event_channel::evtchn_port_t;
use crate::guest_ptr::GuestPtr;
use crate::xen::domid_t;

consts! {
    /// Subcommand of `sched_op`.
    u32 {
        SCHEDOP_yield = 0,
        SCHEDOP_block = 1,
        SCHEDOP_shutdown = 2,
        SCHEDOP_poll = 3,
        SCHEDOP_remote_shutdown = 4,
        SCHEDOP_shutdown_code = 5,
        SCHEDOP_watchdog = 6,
        SCHEDOP_pin_override = 7,
    }
    /// Why a domain shuts down.
    u32 {
        /// Domain exited normally. Clean up and kill.
        SHUTDOWN_poweroff = 0,
        /// Clean up, kill, and then restart.
        SHUTDOWN_reboot = 1,
        /// Clean up, save suspend info, kill.
        SHUTDOWN_suspend = 2,
        /// Tell controller we've crashed.
        SHUTDOWN_crash = 3,
        /// Restart because watchdog time expired.
        SHUTDOWN_watchdog = 4,
        SHUTDOWN_soft_reset = 5,
        /// Maximum valid shutdown reason.
        SHUTDOWN_MAX = 5,
    }
}

structs! {
    /// Argument of `SCHEDOP_shutdown`.
    SchedShutdown = "struct sched_shutdown" {
        /// SHUTDOWN_* =\> enum sched_shutdown_reason
        reason: u32,
    }
    /// Argument of `SCHEDOP_poll`; `timeout` is absolute system time in nanoseconds, 0 for none.
    SchedPoll = "struct sched_poll" {
        ports: GuestPtr<evtchn_port_t>,
        nr_ports: u32,
        _pad0: [u8; 4],
        timeout: u64,
    }
    /// Argument of `SCHEDOP_remote_shutdown`.
    SchedRemoteShutdown = "struct sched_remote_shutdown" {
        /// Remote domain ID
        domain_id: domid_t,
        _pad0: [u8; 2],
        /// SHUTDOWN_* =\> enum sched_shutdown_reason
        reason: u32,
    }
    /// Argument of `SCHEDOP_watchdog`; `timeout` in seconds.
    SchedWatchdog = "struct sched_watchdog" {
        /// Watchdog ID
        id: u32,
        /// Timeout
        timeout: u32,
    }
    /// Argument of `SCHEDOP_pin_override`.
    SchedPinOverride = "struct sched_pin_override" {
        pcpu: i32,
    }
}
