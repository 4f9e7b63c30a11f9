//! `vcpu.h`: subcommands of `vcpu_op`.

consts! {
    /// Subcommand of `vcpu_op`.
    u32 {
        VCPUOP_initialise = 0,
        VCPUOP_up = 1,
        VCPUOP_down = 2,
        VCPUOP_is_up = 3,
        VCPUOP_get_runstate_info = 4,
        VCPUOP_register_runstate_memory_area = 5,
        /// Arg == vcpu_set_periodic_timer_t
        VCPUOP_set_periodic_timer = 6,
        /// Arg == NULL
        VCPUOP_stop_periodic_timer = 7,
        /// Arg == vcpu_set_singleshot_timer_t
        VCPUOP_set_singleshot_timer = 8,
        /// Arg == NULL
        VCPUOP_stop_singleshot_timer = 9,
        /// Arg == vcpu_register_vcpu_info_t
        VCPUOP_register_vcpu_info = 10,
        VCPUOP_send_nmi = 11,
        /// Arg == vcpu_get_physid_t
        VCPUOP_get_physid = 12,
        VCPUOP_register_vcpu_time_memory_area = 13,
    }
    /// Set in `state_entry_time` while the record is being written.
    u64 {
        XEN_RUNSTATE_UPDATE = 1 << 63,
    }
    /// State of a vcpu.
    i32 {
        RUNSTATE_running = 0,
        RUNSTATE_runnable = 1,
        RUNSTATE_blocked = 2,
        RUNSTATE_offline = 3,
    }
    /// Bit number of `VCPU_SSHOTTMR_future`.
    u32 {
        _VCPU_SSHOTTMR_future = 0,
    }
    /// Fail with `ETIME` if the timeout has passed.
    u32 {
        VCPU_SSHOTTMR_future = 1 << _VCPU_SSHOTTMR_future,
    }
}

structs! {
    /// How long a vcpu was in each state, in nanoseconds.
    VcpuRunstateInfo = "struct vcpu_runstate_info" {
        /// VCPU's current state (RUNSTATE_*).
        state: i32,
        _pad0: [u8; 4],
        /// When was current state entered (system time, ns)?
        state_entry_time: u64,
        /// Time spent in each RUNSTATE_* (ns). The sum of these times is guaranteed not to drift from system time.
        time: [u64; 4],
    }
    /// Argument of `VCPUOP_register_runstate_memory_area`.
    VcpuRegisterRunstateMemoryArea = "struct vcpu_register_runstate_memory_area" {
        addr: u64,
    }
    /// Argument of `VCPUOP_set_periodic_timer`.
    VcpuSetPeriodicTimer = "struct vcpu_set_periodic_timer" {
        period_ns: u64,
    }
    /// Argument of `VCPUOP_set_singleshot_timer`.
    VcpuSetSingleshotTimer = "struct vcpu_set_singleshot_timer" {
        /// Absolute system time value in nanoseconds.
        timeout_abs_ns: u64,
        /// VCPU_SSHOTTMR_*
        flags: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `VCPUOP_register_vcpu_info`.
    VcpuRegisterVcpuInfo = "struct vcpu_register_vcpu_info" {
        /// Mfn of page to place vcpu_info
        mfn: u64,
        /// Offset within page
        offset: u32,
        /// Unused
        rsvd: u32,
    }
    /// Argument of `VCPUOP_get_physid`.
    VcpuGetPhysid = "struct vcpu_get_physid" {
        phys_id: u64,
    }
    /// `struct vcpu_register_time_memory_area`.
    VcpuRegisterTimeMemoryArea = "struct vcpu_register_time_memory_area" {
        addr: u64,
    }
}
