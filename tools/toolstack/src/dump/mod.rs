//! `dump-core`: a domain's memory and registers in a file.
//!
//! The file is Xen's own format (dump-core-format.txt: ELF sections, which crash(8) reads) and a core file besides (ELF
//! segments and notes, which gdb reads).

mod image;
mod memory;

use crate::{Error, Host, Result};
use image::Image;
use memory::Memory;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use xenctl::{Errno, Hypercalls, RingMemory as _};

/// Bytes of a page.
const PAGE: usize = 4096;
/// Frames that are mapped at once.
const AT_ONCE: usize = 256;

/// What a dump took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dumped {
    /// Frames in it.
    pub frames: u64,
    /// Frames that went away meanwhile: they are empty in the file.
    pub lost: u64,
}

/// How a core file is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The domain runs meanwhile.
    pub live: bool,
    /// It ends afterwards, for this reason (`SHUTDOWN_*`).
    pub after: Option<u32>,
}

/// Where a core file is as long as it is not complete; `None`: what is there is no file that could be replaced.
fn partial(domid: u16, path: &Path) -> Option<PathBuf> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => None,
        _ => Some(path.with_file_name(format!(".{}.{domid}", path.file_name()?.to_string_lossy()))),
    }
}

impl<H: Hypercalls> Host<H> {
    /// Writes a domain's core file; it stands still meanwhile. Whoever is killed leaves a note, with which the next command lets
    /// the domain go on.
    ///
    /// # Errors
    /// As [`dump_core`](Self::dump_core); another dump of it is being written.
    pub fn dump(&mut self, domid: u16, path: &Path, how: Dump) -> Result<Dumped> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        // One that ended, or was paused, stands still anyway.
        let pause = !how.live && !info.paused() && info.shutdown().is_none();
        let path = std::path::absolute(path).map_err(Error::io(format!("core file {}", path.display())))?;
        let note = self.begin_dump(&info.uuid, partial(domid, &path), pause)?;
        if pause {
            self.xen.pause_domain(domid)?;
        }
        let dumped = self.dump_core(domid, &path);
        let ended = match how.after.filter(|_| dumped.is_ok()) {
            Some(reason) => self.xen.shut_down(domid, reason),
            None => Ok(()),
        };
        // Whatever failed, it does not stay paused.
        if pause {
            self.xen.unpause_domain(domid)?;
        }
        note.done();
        ended?;
        dumped
    }

    /// Writes a domain's memory and registers into a file. It should be paused, or have ended: what changes meanwhile does
    /// not fit together. What is not finished is removed.
    ///
    /// # Errors
    /// The domain has not said where its memory is; it goes away; the file's.
    pub fn dump_core(&mut self, domid: u16, path: &Path) -> Result<Dumped> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        let memory = Memory::read(&self.xen, &info)?;
        let mut vcpus = Vec::new();
        for vcpu in 0..info.max_vcpu_id.map_or(0, |last| last.saturating_add(1)) {
            match self.xen.vcpu_context(domid, vcpu) {
                Ok(context) => vcpus.push(context),
                // It was never started.
                Err(xenctl::Error { errno: Errno::ENODATA | Errno::ESRCH, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let runs = match vcpus.first() {
            Some(first) => memory.kernel_runs(&self.xen, first.ctrlreg[3])?,
            None => Vec::new(),
        };
        let version = self.xen.version()?;
        let image = Image::new(&vcpus, &memory.shared_info, &memory.frames, &runs, &version);
        let failed = || Error::io(format!("core file {}", path.display()));
        let partial = partial(domid, path);
        let mut file = File::create(partial.as_deref().unwrap_or(path)).map_err(failed())?;
        let written = self.write_core(&mut file, &image, domid, &memory);
        let Some(partial) = partial else { return written.map_err(failed()) };
        let whole = written.and_then(|dumped| std::fs::rename(&partial, path).map(|()| dumped));
        if whole.is_err() {
            // Half a core is worse than none. The first failure is what is told.
            let _ = std::fs::remove_file(&partial);
        }
        whole.map_err(failed())
    }

    fn write_core(&mut self, file: &mut File, image: &Image, domid: u16, memory: &Memory) -> io::Result<Dumped> {
        file.write_all(&image.head)?;
        let mut dumped = Dumped { frames: memory.frames.len() as u64, lost: 0 };
        let mut page = vec![0; PAGE];
        for batch in memory.frames.chunks(AT_ONCE) {
            let mfns: Vec<u64> = batch.iter().map(|(_, mfn)| *mfn).collect();
            let whole = self.xen.look_at(domid, &mfns).ok();
            for (at, mfn) in mfns.iter().enumerate() {
                match &whole {
                    Some(map) => map.read(at * PAGE, &mut page),
                    None => match self.xen.look_at(domid, &[*mfn]) {
                        Ok(map) => map.read(0, &mut page),
                        Err(_) => {
                            dumped.lost += 1;
                            page.fill(0);
                        }
                    },
                }
                if page.iter().all(|byte| *byte == 0) {
                    file.seek(SeekFrom::Current(PAGE as i64))?;
                } else {
                    file.write_all(&page)?;
                }
            }
        }
        // The last pages may have been skipped.
        file.set_len((image.head.len() + memory.frames.len() * PAGE) as u64)?;
        file.sync_all()?;
        Ok(dumped)
    }
}
