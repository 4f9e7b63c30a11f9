//! Who may do what with a node.

use xen_wire::xenstore::Perm;

/// The party on whose behalf something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its domain.
    pub domid: u16,
    /// The domain whose rights it has besides its own (`SET_TARGET`).
    pub target: Option<u16>,
}

/// What a subject may do with one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Read value, permissions and children.
    pub read: bool,
    /// Write the value, add children, remove.
    pub write: bool,
    /// Change the permissions.
    pub owner: bool,
}

/// The right that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// [`Rights::read`]
    Read,
    /// [`Rights::write`]
    Write,
    /// [`Rights::owner`]
    Owner,
}

impl Rights {
    /// Whether `need` is met.
    pub const fn allow(self, need: Need) -> bool {
        match need {
            Need::Read => self.read,
            Need::Write => self.write,
            Need::Owner => self.owner,
        }
    }
}

impl Subject {
    /// Whether it is the control domain, for which there are no limits.
    pub const fn privileged(&self) -> bool {
        self.domid == 0
    }

    fn is(&self, domid: u16) -> bool {
        self.domid == domid || self.target == Some(domid)
    }

    /// Its rights under these permissions: everything for the owner and the control domain; else the entry
    /// that names it; else what the first entry gives to everybody.
    pub fn rights(&self, perms: &[Perm]) -> Rights {
        let Some((first, rest)) = perms.split_first() else {
            return Rights { read: self.privileged(), write: self.privileged(), owner: self.privileged() };
        };
        if self.privileged() || self.is(first.domid) {
            return Rights { read: true, write: true, owner: true };
        }
        let access = rest.iter().find(|p| self.is(p.domid)).map_or(first.access, |p| p.access);
        Rights { read: access.can_read(), write: access.can_write(), owner: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perms(text: &str) -> Vec<Perm> {
        text.split(' ').map(|p| Perm::parse(p.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn rights_follow_the_first_entry_that_applies() {
        // subject, target, permissions, read, write, owner
        let table = [
            (0, None, "n5", true, true, true),
            (5, None, "n5", true, true, true),
            (6, None, "n5", false, false, false),
            (6, None, "r5", true, false, false),
            (6, None, "n5 b6", true, true, false),
            (6, None, "b5 n6", false, false, false),
            (6, None, "n5 r6 b6", true, false, false),
            (6, None, "n5 w6", false, true, false),
            (7, Some(5), "n5", true, true, true),
            (7, Some(6), "n5 r6", true, false, false),
            (7, Some(6), "n5 b7 n6", true, true, false),
        ];
        for (domid, target, list, read, write, owner) in table {
            let got = Subject { domid, target }.rights(&perms(list));
            assert_eq!(got, Rights { read, write, owner }, "{domid} {target:?} on {list}");
        }
    }
}
