//! The sockets that clients connect to.

use anyhow::Context as _;
use rustix::net::SocketFlags;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// It.
    pub socket: OwnedFd,
    /// Whoever connects here may not change anything.
    pub read_only: bool,
}

/// Makes `socket` and `socket_ro` in `dir`, for root alone, as Xen's daemon does. A socket that somebody
/// still listens on is left alone, and an error.
pub fn bind(dir: &Path) -> anyhow::Result<Vec<Listener>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut listeners = Vec::new();
    for (name, read_only, mode) in [("socket", false, 0o600), ("socket_ro", true, 0o660)] {
        let path = dir.join(name);
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            anyhow::bail!("another xenstored listens on {}; stop it first", path.display());
        }
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let socket = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        socket.set_nonblocking(true)?;
        listeners.push(Listener { socket: socket.into(), read_only });
    }
    Ok(listeners)
}

/// Accepts a client; `None` if there is none (any more).
pub fn accept(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    match rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Says that clients can connect: in a pid file, and to a service manager that waits for it.
pub fn ready(pid_file: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = pid_file {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        let told = UnixDatagram::unbound().and_then(|s| s.send_to(b"READY=1", &path));
        if let Err(e) = told {
            tracing::warn!("cannot tell {} that the daemon is ready: {e}", path.display());
        }
    }
    Ok(())
}
