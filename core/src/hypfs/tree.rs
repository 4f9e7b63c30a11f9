//! The tree: what is in it, what an entry holds, what writing to one does.

use crate::domain::Hypervisor;
use crate::options::{Conswitch, parse_frames};
use crate::platform::Platform;
use crate::settings::{MOST_GRANT_FRAMES, MOST_MAPTRACK_FRAMES};
use core::fmt::Write;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::hypfs::*;

/// A directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dir {
    Root,
    BuildInfo,
    CompileInfo,
    Version,
    CpuPools,
    Pool,
    Params,
}

/// What is no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Changeset,
    CompileBy,
    CompileDate,
    CompileDomain,
    Compiler,
    Config,
    Extra,
    Major,
    Minor,
    SchedGran,
    Conswitch,
    MaxFrames,
    MaxMaptrackFrames,
    GuestLoglvl,
    Loglvl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir(Dir),
    Leaf(Leaf),
}

/// Directory, name, node; of one directory in the order of the names.
const TREE: &[(Dir, &str, Node)] = &[
    (Dir::Root, "buildinfo", Node::Dir(Dir::BuildInfo)),
    (Dir::Root, "cpupool", Node::Dir(Dir::CpuPools)),
    (Dir::Root, "params", Node::Dir(Dir::Params)),
    (Dir::BuildInfo, "changeset", Node::Leaf(Leaf::Changeset)),
    (Dir::BuildInfo, "compileinfo", Node::Dir(Dir::CompileInfo)),
    (Dir::BuildInfo, "config", Node::Leaf(Leaf::Config)),
    (Dir::BuildInfo, "version", Node::Dir(Dir::Version)),
    (Dir::CompileInfo, "compile_by", Node::Leaf(Leaf::CompileBy)),
    (Dir::CompileInfo, "compile_date", Node::Leaf(Leaf::CompileDate)),
    (Dir::CompileInfo, "compile_domain", Node::Leaf(Leaf::CompileDomain)),
    (Dir::CompileInfo, "compiler", Node::Leaf(Leaf::Compiler)),
    (Dir::Version, "extra", Node::Leaf(Leaf::Extra)),
    (Dir::Version, "major", Node::Leaf(Leaf::Major)),
    (Dir::Version, "minor", Node::Leaf(Leaf::Minor)),
    (Dir::CpuPools, "0", Node::Dir(Dir::Pool)),
    (Dir::Pool, "sched-gran", Node::Leaf(Leaf::SchedGran)),
    (Dir::Params, "conswitch", Node::Leaf(Leaf::Conswitch)),
    (Dir::Params, "gnttab_max_frames", Node::Leaf(Leaf::MaxFrames)),
    (Dir::Params, "gnttab_max_maptrack_frames", Node::Leaf(Leaf::MaxMaptrackFrames)),
    (Dir::Params, "guest_loglvl", Node::Leaf(Leaf::GuestLoglvl)),
    (Dir::Params, "loglvl", Node::Leaf(Leaf::Loglvl)),
];

/// What Xen's tools look for in the configuration of a build.
const CONFIG: &str = "#\n# Ferroxen/x86\n#\nCONFIG_X86_64=y\nCONFIG_X86=y\nCONFIG_PV=y\n# CONFIG_PV32 is not set\n\
    # CONFIG_HVM is not set\n# CONFIG_SHADOW_PAGING is not set\nCONFIG_HYPFS=y\nCONFIG_HYPFS_CONFIG=y\n\
    CONFIG_SCHED_CREDIT2=y\n# CONFIG_XSM is not set\n# CONFIG_LIVEPATCH is not set\n";

/// Room for the longest text that can be written.
pub(super) const MOST_WRITTEN: usize = 16;

/// A short text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    bytes: [u8; MOST_WRITTEN],
    len: usize,
}

impl Short {
    fn of(text: core::fmt::Arguments<'_>) -> Self {
        let mut short = Short { bytes: [0; MOST_WRITTEN], len: 0 };
        // Nothing that is written here is longer.
        let _ = short.write_fmt(text);
        short
    }
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..).unwrap_or(&mut []);
        room.get_mut(..text.len()).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// What a leaf holds.
pub(super) enum Content {
    Number(u32),
    Text(&'static str),
    Short(Short),
}

/// The node of an absolute path without its terminator.
///
/// # Errors
/// `EINVAL`: it is not absolute; `ENOENT`.
pub(super) fn find(path: &str) -> Result<Node, Errno> {
    let path = path.strip_prefix('/').ok_or(Errno::EINVAL)?;
    let mut at = Node::Dir(Dir::Root);
    if path.is_empty() {
        return Ok(at);
    }
    // One at the end is left out.
    let path = path.strip_suffix('/').unwrap_or(path);
    for part in path.split('/') {
        let Node::Dir(dir) = at else { return Err(Errno::ENOENT) };
        at = children(dir).find(|(name, _)| *name == part).ok_or(Errno::ENOENT)?.1;
    }
    Ok(at)
}

/// What is in a directory.
pub(super) fn children(dir: Dir) -> impl Iterator<Item = (&'static str, Node)> {
    TREE.iter().filter(move |(of, ..)| *of == dir).map(|&(_, name, node)| (name, node))
}

impl Leaf {
    /// What it holds now.
    pub fn content<P: Platform>(self, hv: &Hypervisor<P>) -> Content {
        let (build, settings) = (&hv.build, &hv.settings);
        let number = |from: u32| Content::Short(Short::of(format_args!("{from}")));
        match self {
            Leaf::Changeset => Content::Text(build.changeset),
            Leaf::CompileBy => Content::Text(build.compile_by),
            Leaf::CompileDate => Content::Text(build.compile_date),
            Leaf::CompileDomain => Content::Text(build.compile_domain),
            Leaf::Compiler => Content::Text(build.compiler),
            Leaf::Config => Content::Text(CONFIG),
            Leaf::Extra => Content::Text(build.extraversion),
            Leaf::Major => Content::Number(build.version.0.into()),
            Leaf::Minor => Content::Number(build.version.1.into()),
            Leaf::SchedGran => Content::Text("cpu"),
            Leaf::Conswitch => {
                let Conswitch { letter, ours_first } = hv.console.conswitch();
                let x = if ours_first { "x" } else { "" };
                Content::Short(Short::of(format_args!("{}{x}", char::from(letter))))
            }
            Leaf::MaxFrames => number(settings.gnttab_max_frames.load(Ordering::Relaxed)),
            Leaf::MaxMaptrackFrames => number(settings.gnttab_max_maptrack_frames.load(Ordering::Relaxed)),
            Leaf::GuestLoglvl | Leaf::Loglvl => {
                let (lower, upper) =
                    if self == Leaf::Loglvl { settings.loglvl.levels() } else { settings.guest_loglvl.levels() };
                Content::Short(Short::of(format_args!("{}/{}", lower.name(), upper.name())))
            }
        }
    }

    pub fn kind(self) -> u8 {
        match self {
            Leaf::Major | Leaf::Minor => XEN_HYPFS_TYPE_UINT,
            _ => XEN_HYPFS_TYPE_STRING,
        }
    }

    /// Bytes that can be written, with the terminator, as Xen says; 0: it is for reading only.
    pub fn room(self) -> u32 {
        match self {
            Leaf::Conswitch => 3,
            Leaf::MaxFrames | Leaf::MaxMaptrackFrames => 12,
            Leaf::GuestLoglvl | Leaf::Loglvl => 16,
            Leaf::SchedGran => 8,
            _ => 0,
        }
    }

    /// What is wrong with a value that is too long, and with one that is no text: Xen has two ways to keep a setting.
    pub fn misfits(self) -> (Errno, Errno) {
        match self {
            Leaf::Conswitch | Leaf::SchedGran => (Errno::ENOSPC, Errno::EINVAL),
            _ => (Errno::EINVAL, Errno::EDOM),
        }
    }

    /// Sets it to what a text says.
    ///
    /// # Errors
    /// `EINVAL`: it says nothing that can be; `EBUSY`: that is not to be changed while domains run; `EACCES`.
    pub fn set<P: Platform>(self, hv: &Hypervisor<P>, text: &str) -> Result<(), Errno> {
        let settings = &hv.settings;
        let done = |done: bool| if done { Ok(()) } else { Err(Errno::EINVAL) };
        match self {
            Leaf::Conswitch => {
                let conswitch = Conswitch::parse(text).ok_or(Errno::EINVAL)?;
                hv.console.set_conswitch(conswitch);
                Ok(())
            }
            Leaf::MaxFrames => {
                let frames = parse_frames(text, MOST_GRANT_FRAMES).ok_or(Errno::EINVAL)?;
                settings.gnttab_max_frames.store(frames, Ordering::Relaxed);
                Ok(())
            }
            Leaf::MaxMaptrackFrames => {
                let frames = parse_frames(text, MOST_MAPTRACK_FRAMES).ok_or(Errno::EINVAL)?;
                settings.gnttab_max_maptrack_frames.store(frames, Ordering::Relaxed);
                Ok(())
            }
            Leaf::GuestLoglvl => done(settings.guest_loglvl.parse(text)),
            Leaf::Loglvl => done(settings.loglvl.parse(text)),
            Leaf::SchedGran => match text {
                // Pool 0 always has domains, and then not even what it is can be set.
                "cpu" | "core" | "socket" => Err(Errno::EBUSY),
                _ => Err(Errno::EINVAL),
            },
            _ => Err(Errno::EACCES),
        }
    }
}
