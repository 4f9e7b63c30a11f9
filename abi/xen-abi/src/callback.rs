//! `callback.h`: subcommands of `callback_op`.

use crate::arch_x86_64::xen_callback_t;

consts! {
    /// Kind of callback.
    u16 {
        CALLBACKTYPE_event = 0,
        CALLBACKTYPE_failsafe = 1,
        CALLBACKTYPE_syscall = 2,
        CALLBACKTYPE_sysenter_deprecated = 3,
        CALLBACKTYPE_nmi = 4,
        CALLBACKTYPE_sysenter = 5,
        CALLBACKTYPE_syscall32 = 7,
    }
    /// Bit number of a `CALLBACKF_*` flag.
    u32 {
        _CALLBACKF_mask_events = 0,
    }
    /// Flag of a callback.
    u16 {
        CALLBACKF_mask_events = 1 << _CALLBACKF_mask_events,
    }
    /// Subcommand of `callback_op`.
    u32 {
        CALLBACKOP_register = 0,
        CALLBACKOP_unregister = 1,
    }
}

structs! {
    /// Argument of `CALLBACKOP_register`.
    CallbackRegister = "struct callback_register" {
        r#type: u16,
        flags: u16,
        _pad0: [u8; 4],
        address: xen_callback_t,
    }
    /// Argument of `CALLBACKOP_unregister`.
    CallbackUnregister = "struct callback_unregister" {
        r#type: u16,
        _unused: u16,
    }
}
