//! Network interfaces: into a bridge and out of it, up and down.

use crate::ioctl;
use std::io;
use std::net::UdpSocket;
use std::path::Path;

const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCSIFFLAGS: u64 = 0x8914;
const SIOCSIFMTU: u64 = 0x8922;
const SIOCSIFNAME: u64 = 0x8923;
const SIOCBRADDIF: u64 = 0x89a2;
const SIOCBRDELIF: u64 = 0x89a3;

/// `struct ifreq`: a name and a union of 24 bytes.
#[repr(C)]
struct IfReq {
    name: [u8; 16],
    union: [u8; 24],
}

/// A network interface of this domain, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

impl Interface {
    /// The interface with this name (at most 15 bytes), whether it is there or not.
    pub fn named(name: &str) -> Self {
        Interface(name.to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.sys("").exists()
    }

    /// Whether it is a bridge.
    pub fn is_bridge(&self) -> bool {
        self.sys("bridge").exists()
    }

    /// The bridge that it is in.
    pub fn bridge(&self) -> Option<Interface> {
        let link = std::fs::read_link(self.sys("brport/bridge")).ok()?;
        Some(Interface(link.file_name()?.to_string_lossy().into_owned()))
    }

    fn sys(&self, what: &str) -> std::path::PathBuf {
        Path::new("/sys/class/net").join(&self.0).join(what)
    }

    /// Adds a port to this bridge.
    ///
    /// # Errors
    /// The kernel's; a port that is in it already is fine.
    pub fn add_port(&self, port: &Interface) -> io::Result<()> {
        if port.bridge().as_ref() == Some(self) {
            return Ok(());
        }
        let mut request = self.request()?;
        put(&mut request.union, &port.index()?.to_ne_bytes());
        call(SIOCBRADDIF, &mut request)
    }

    /// Takes a port out of this bridge.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_port(&self, port: &Interface) -> io::Result<()> {
        let mut request = self.request()?;
        put(&mut request.union, &port.index()?.to_ne_bytes());
        call(SIOCBRDELIF, &mut request)
    }

    /// Switches it on or off.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        const UP: u16 = 1;
        let mut request = self.request()?;
        call(SIOCGIFFLAGS, &mut request)?;
        let [low, high, ..] = request.union;
        let flags = u16::from_ne_bytes([low, high]);
        let flags = if up { flags | UP } else { flags & !UP };
        put(&mut request.union, &flags.to_ne_bytes());
        call(SIOCSIFFLAGS, &mut request)
    }

    /// Sets the largest packet.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mut request = self.request()?;
        put(&mut request.union, &mtu.to_ne_bytes());
        call(SIOCSIFMTU, &mut request)
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// The kernel's: taken, too long, or the interface is up.
    pub fn rename(&mut self, name: &str) -> io::Result<()> {
        let mut request = self.request()?;
        let other = Interface(name.to_owned()).request()?;
        put(&mut request.union, &other.name);
        call(SIOCSIFNAME, &mut request)?;
        self.0 = name.to_owned();
        Ok(())
    }

    fn index(&self) -> io::Result<u32> {
        std::fs::read_to_string(self.sys("ifindex"))?.trim().parse().map_err(io::Error::other)
    }

    fn request(&self) -> io::Result<IfReq> {
        if self.0.len() > 15 || self.0.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface's name has 1 to 15 bytes"));
        }
        let mut request = IfReq { name: [0; 16], union: [0; 24] };
        put(&mut request.name, self.0.as_bytes());
        Ok(request)
    }
}

fn put(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn call(request: u64, arg: &mut IfReq) -> io::Result<()> {
    // Any socket will do.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    ioctl::with(&socket, request, arg).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_there_and_no_bridge() {
        let lo = Interface::named("lo");
        assert!(lo.exists() && !lo.is_bridge() && lo.bridge().is_none());
        assert_eq!(lo.index().unwrap(), 1);
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_before_the_kernel_is_asked() {
        let name = Interface::named("much-too-long-for-an-interface");
        assert_eq!(name.set_up(true).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
