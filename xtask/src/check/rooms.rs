//! Dependencies point up the list of rooms only (DESIGN: "Rooms"), over `cargo metadata`.

use anyhow::{Result, bail};

use crate::paths::Paths;
use crate::workspace::{self, Package};

/// For each room, those that its packages may depend on, beside itself where it is named.
const ROOMS: &[(&str, &[&str])] = &[
    ("abi", &["abi"]),
    ("sync", &["abi"]),
    ("loader", &["abi"]),
    ("core", &["abi", "sync", "core"]),
    ("hv", &["abi", "sync", "core", "loader", "hv"]),
    ("tools", &["abi", "loader", "tools"]),
    ("sim", &["abi", "sync", "core", "loader", "tools"]),
    ("guests", &["abi", "guests"]),
    ("lab", &["abi", "tools", "lab"]),
    ("xtask", &["abi", "lab"]),
];

/// What tests alone may use: the tools run against the hypervisor's logic in a process.
const FOR_TESTS: &[(&str, &str)] = &[("tools", "sim"), ("core", "sim"), ("hv", "sim")];

/// Fails with every dependency that points the wrong way.
pub fn check(paths: &Paths) -> Result<()> {
    let packages = workspace::packages(paths)?;
    let wrong = wrong(&packages);
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    Ok(())
}

fn wrong(packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages {
        let room = package.room();
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{} stands in {room}/, which is no room", package.name));
            continue;
        };
        for (name, kind) in &package.dependencies {
            let Some(other) = packages.iter().find(|other| other.name == *name) else { continue };
            let target = other.room();
            let in_tests = kind == "dev" && FOR_TESTS.contains(&(room.as_str(), target.as_str()));
            if !allowed.contains(&target.as_str()) && !in_tests && package.name != *name {
                wrong.push(format!("{} ({room}) may not depend on {name} ({target})", package.name));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, dependencies: &[(&str, &str)]) -> Package {
        Package {
            name: folder.replace('/', "-"),
            folder: folder.into(),
            dependencies: dependencies.iter().map(|(name, kind)| ((*name).into(), (*kind).into())).collect(),
            bins: Vec::new(),
            metadata: serde_json::Value::Null,
        }
    }

    #[test]
    fn tools_never_depend_on_core_not_even_in_tests() {
        for kind in ["normal", "dev", "build"] {
            let packages = [package("core", &[]), package("tools/xm", &[("core", kind)])];
            assert_eq!(wrong(&packages), ["tools-xm (tools) may not depend on core (core)"]);
        }
    }

    #[test]
    fn tools_use_the_simulated_hypervisor_in_tests_only() {
        let with = |kind| wrong(&[package("sim", &[]), package("tools/xm", &[("sim", kind)])]).len();
        assert_eq!((with("dev"), with("normal")), (0, 1));
    }

    #[test]
    fn a_package_outside_every_room_is_told() {
        assert_eq!(wrong(&[package("misc/thing", &[])]).len(), 1);
    }
}
