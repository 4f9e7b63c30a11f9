//! `nmi.h`: subcommands of `nmi_op`.

consts! {
    /// Bit number of an NMI reason.
    u32 {
        _XEN_NMIREASON_io_error = 0,
        _XEN_NMIREASON_pci_serr = 1,
        _XEN_NMIREASON_unknown = 2,
    }
    /// NMI reason in `arch_shared_info`.
    u64 {
        XEN_NMIREASON_io_error = 1 << _XEN_NMIREASON_io_error,
        XEN_NMIREASON_pci_serr = 1 << _XEN_NMIREASON_pci_serr,
        XEN_NMIREASON_unknown = 1 << _XEN_NMIREASON_unknown,
    }
    /// Subcommand of `nmi_op`.
    u32 {
        XENNMI_register_callback = 0,
        XENNMI_unregister_callback = 1,
    }
}

structs! {
    /// `struct xennmi_callback`.
    XennmiCallback = "struct xennmi_callback" {
        handler_address: u64,
        pad: u64,
    }
}
