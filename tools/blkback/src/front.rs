//! What a guest writes of its half of the device: how to reach its ring.

use crate::protocol::Layout;

/// A ring may have `1 << RING_ORDER` pages.
pub const RING_ORDER: u32 = 4;

/// The guest's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Grants of its ring's pages.
    pub ring: Vec<u32>,
    /// Its event channel.
    pub port: u32,
    /// How it lays requests out.
    pub layout: Layout,
    /// It grants its pages for good.
    pub persistent: bool,
}

/// Why it cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A node that is not there, or no number.
    #[error("{0} is no number")]
    Number(String),
    /// A ring that is too large.
    #[error("a ring of 2^{0} pages: 2^{RING_ORDER} are allowed")]
    Order(u32),
    /// An unknown layout.
    #[error("protocol {0} is not known")]
    Protocol(String),
    /// Several queues, which were not offered.
    #[error("{0} queues: one is offered")]
    Queues(u32),
}

/// Reads the guest's nodes; `node` gives a node's value by its name, if it is there.
///
/// # Errors
/// One of them is wrong, or the store's.
pub fn read<E: From<Wrong>>(mut node: impl FnMut(&str) -> Result<Option<String>, E>) -> Result<Front, E> {
    let mut number = |name: &str, default: Option<u32>| -> Result<u32, E> {
        let value = node(name)?;
        let found = match &value {
            None => default,
            Some(text) => text.parse().ok(),
        };
        found.ok_or_else(|| Wrong::Number(format!("{name} \"{}\"", value.unwrap_or_default())).into())
    };
    let queues = number("multi-queue-num-queues", Some(1))?;
    if queues != 1 {
        return Err(Wrong::Queues(queues).into());
    }
    let ring = match number("ring-page-order", Some(u32::MAX))? {
        u32::MAX => vec![number("ring-ref", None)?],
        order if order <= RING_ORDER => {
            (0..1u32 << order).map(|n| number(&format!("ring-ref{n}"), None)).collect::<Result<_, E>>()?
        }
        order => return Err(Wrong::Order(order).into()),
    };
    let port = number("event-channel", None)?;
    let persistent = number("feature-persistent", Some(0))? == 1;
    let protocol = node("protocol")?.unwrap_or_default();
    let layout = Layout::named(&protocol).ok_or(Wrong::Protocol(protocol))?;
    Ok(Front { ring, port, layout, persistent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn front(nodes: &[(&str, &str)]) -> Result<Front, Wrong> {
        read(|name| Ok(nodes.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())))
    }

    #[test]
    fn guests_old_and_new_are_reached() {
        let old = front(&[("ring-ref", "8"), ("event-channel", "15"), ("protocol", "x86_32-abi")]);
        assert_eq!(old, Ok(Front { ring: vec![8], port: 15, layout: Layout::X86_32, persistent: false }));
        let new = front(&[
            ("ring-page-order", "1"),
            ("ring-ref0", "8"),
            ("ring-ref1", "9"),
            ("event-channel", "15"),
            ("feature-persistent", "1"),
            ("protocol", "x86_64-abi"),
        ]);
        assert_eq!(new, Ok(Front { ring: vec![8, 9], port: 15, layout: Layout::X86_64, persistent: true }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |nodes| front(nodes).unwrap_err().to_string();
        assert_eq!(wrong(&[]), "ring-ref \"\" is no number");
        assert_eq!(wrong(&[("ring-ref", "-1")]), "ring-ref \"-1\" is no number");
        assert_eq!(wrong(&[("ring-page-order", "5")]), "a ring of 2^5 pages: 2^4 are allowed");
        assert_eq!(wrong(&[("multi-queue-num-queues", "2")]), "2 queues: one is offered");
        let port = [("ring-ref", "1"), ("event-channel", "4294967296")];
        assert_eq!(wrong(&port), "event-channel \"4294967296\" is no number");
        let protocol = [("ring-ref", "1"), ("event-channel", "1"), ("protocol", "vax")];
        assert_eq!(wrong(&protocol), "protocol vax is not known");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(values in prop::collection::vec(".{0,12}|[0-9]{0,12}", 26)) {
            let mut next = values.into_iter();
            let _ = read::<Wrong>(|_| Ok(next.next()));
        }
    }
}
