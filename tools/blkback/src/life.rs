//! What a backend does next, from what both halves of its device say (`io/xenbus.h`).

/// States of a half.
pub mod state {
    pub use xen_abi::io::xenbus::{
        XenbusStateClosed as CLOSED, XenbusStateClosing as CLOSING, XenbusStateConnected as CONNECTED,
        XenbusStateInitWait as INIT_WAIT, XenbusStateInitialised as INITIALISED,
        XenbusStateInitialising as INITIALISING,
    };
}
use state::{CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING};

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The backend's state; `None`: its half is gone.
    pub ours: Option<u32>,
    /// The guest's; 0: its half is gone.
    pub front: u32,
    /// The tools want the device to stay.
    pub online: bool,
    /// We have the guest's ring (or had, and it is broken).
    pub served: bool,
    /// A backend that died had it.
    pub resumable: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Let go of the guest's ring, say what we can, and wait for it.
    Offer,
    /// Take the guest's ring.
    Connect,
    /// Say that it is to end, and go on until the guest has done so.
    Closing,
    /// Let go of the guest's ring and say so.
    Close,
    /// The same, and end for good.
    End,
}

/// Decides.
pub fn decide(view: View) -> Step {
    let View { ours, front, online, served, resumable } = view;
    let Some(ours) = ours else { return Step::End };
    let close = |unless: bool| match (online, unless) {
        (false, _) => Step::End,
        (true, true) => Step::Wait,
        (true, false) => Step::Close,
    };
    match front {
        // Taken away by force.
        0 => close(ours == CLOSED && !served),
        _ if ours == INITIALISING => Step::Offer,
        INITIALISING if !online => Step::End,
        // Its driver began anew, or for the first time.
        INITIALISING if served || ours > INIT_WAIT => Step::Offer,
        INITIALISED | CONNECTED if !served && (resumable || ours <= CONNECTED) => Step::Connect,
        CLOSING if !served && resumable => Step::Connect,
        // It may refuse, because somebody uses the disk, and then goes on with it.
        CLOSING if ours < CLOSING => Step::Closing,
        CLOSED => close(ours == CLOSED && !served),
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View =
        View { ours: Some(INITIALISING), front: INITIALISING, online: true, served: false, resumable: false };

    fn step(ours: u32, front: u32) -> Step {
        decide(View { ours: Some(ours), front, served: ours == CONNECTED || ours == CLOSING, ..VIEW })
    }

    #[test]
    fn a_device_comes_is_used_and_goes() {
        assert_eq!(step(INITIALISING, INITIALISING), Step::Offer);
        assert_eq!(step(INIT_WAIT, INITIALISING), Step::Wait);
        assert_eq!(step(INIT_WAIT, INITIALISED), Step::Connect);
        assert_eq!(step(CONNECTED, INITIALISED), Step::Wait);
        assert_eq!(step(CONNECTED, CONNECTED), Step::Wait);
        assert_eq!(step(CONNECTED, CLOSING), Step::Closing);
        assert_eq!(step(CLOSING, CLOSING), Step::Wait);
        assert_eq!(step(CLOSING, CLOSED), Step::Close);
        assert_eq!(step(CLOSED, CLOSED), Step::Wait);
        // Another driver in the same guest.
        assert_eq!(step(CLOSED, INITIALISING), Step::Offer);
    }

    #[test]
    fn the_tools_end_it_with_the_guest_or_without() {
        let offline = |ours, front, served| decide(View { ours: Some(ours), front, online: false, served, ..VIEW });
        // They wrote "closing" into our half: the guest is still to let go of it.
        assert_eq!(offline(CLOSING, CONNECTED, true), Step::Wait);
        assert_eq!(offline(CLOSING, CLOSED, true), Step::End);
        assert_eq!(offline(CLOSING, 0, true), Step::End);
        // It never came.
        assert_eq!(offline(CLOSING, INITIALISING, false), Step::End);
        assert_eq!(decide(View { ours: None, front: CONNECTED, ..VIEW }), Step::End);
    }

    #[test]
    fn who_comes_back_after_a_death_takes_the_ring_again_wherever_the_device_was() {
        let again = |ours, front| decide(View { ours: Some(ours), front, resumable: true, ..VIEW });
        assert_eq!(again(CONNECTED, CONNECTED), Step::Connect);
        assert_eq!(again(CLOSING, CONNECTED), Step::Connect);
        assert_eq!(again(CLOSING, CLOSING), Step::Connect);
        assert_eq!(again(CONNECTED, CLOSED), Step::Close);
    }

    #[test]
    fn a_guest_that_connects_to_what_is_closed_is_not_served() {
        let view = |ours| decide(View { ours: Some(ours), front: CONNECTED, ..VIEW });
        assert_eq!([view(CLOSING), view(CLOSED)], [Step::Wait; 2]);
    }

    #[test]
    fn no_state_that_a_guest_may_write_is_unknown() {
        for (front, ours) in (0..20).flat_map(|front| (0..20).map(move |ours| (front, ours))) {
            decide(View { ours: Some(ours), front, ..VIEW });
        }
        assert_eq!(decide(View { front: u32::MAX, ours: Some(CONNECTED), served: true, ..VIEW }), Step::Wait);
    }
}
