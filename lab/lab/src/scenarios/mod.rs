//! The scenarios.

mod dom0;
mod network;

use crate::scenario::Scenario;

/// All of them.
pub const ALL: &[Scenario] = &[
    dom0::SHELL,
    dom0::SHELL_ON_XEN,
    dom0::EVERY_CPU,
    dom0::TYPED,
    dom0::LOAD,
    dom0::IMPOSSIBLE_MEMORY,
    dom0::REBOOT,
    dom0::DISK,
    network::CABLE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_something() {
        let mut names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.contains('_')));
    }
}
