//! The daemon's program as a file: what can take over from a daemon that runs.

use std::path::Path;

/// In every program of ours, and looked for in whatever shall take over: a file is not started to find out what it is (Xen's
/// own xenstored, say, would take the control domain's ring away).
static MARK: &[u8] = b"ferroxen xenstored: takes over from a running one";

/// No program of ours is that large.
const LARGEST: u64 = 256 << 20;

/// Whether this file can take over; if not, why.
///
/// # Errors
/// It is not there, cannot be executed, or is something else.
pub fn check(program: &Path) -> Result<(), String> {
    let found = std::fs::metadata(program).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no file".into());
    }
    rustix::fs::access(program, rustix::fs::Access::EXEC_OK).map_err(|_| "it cannot be executed".to_owned())?;
    if found.len() > LARGEST {
        return Err("it is no xenstored of Ferroxen".into());
    }
    let bytes = std::fs::read(program).map_err(|error| error.to_string())?;
    if !bytes.windows(MARK.len()).any(|window| window == MARK) {
        return Err("it is no xenstored of Ferroxen".into());
    }
    Ok(())
}

/// The file of this process' program, also when another one has taken its place.
pub fn current() -> std::io::Result<std::path::PathBuf> {
    supervise::this_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_cannot_take_over_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        let why = |text: &[u8], mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            check(&file).unwrap_err()
        };
        assert!(check(&file).unwrap_err().contains("No such file"));
        assert_eq!(check(dir.path()).unwrap_err(), "it is no file");
        assert_eq!(why(MARK, 0o644), "it cannot be executed");
        assert_eq!(why(b"#!/bin/sh\n", 0o755), "it is no xenstored of Ferroxen");
        // This test has the mark, as the daemon does.
        check(&std::env::current_exe().unwrap()).unwrap();
    }
}
