//! `io/xenbus.h`: states of a device's two ends.

consts! {
    /// State of a frontend or backend, as it stands in its `state` node.
    u32 {
        XenbusStateUnknown = 0,
        XenbusStateInitialising = 1,
        XenbusStateInitWait = 2,
        XenbusStateInitialised = 3,
        XenbusStateConnected = 4,
        XenbusStateClosing = 5,
        XenbusStateClosed = 6,
        XenbusStateReconfiguring = 7,
        XenbusStateReconfigured = 8,
    }
}

structs! {}
