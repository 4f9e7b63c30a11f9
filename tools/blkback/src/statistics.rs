//! What a disk's guest did, in a file for those who watch (`xen-exporter`). The counts go on where a killed backend left them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How old the file may be while there are requests.
const EVERY: Duration = Duration::from_millis(500);

/// Counts since the disk came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that read.
    pub read_requests: u64,
    /// Requests that write, barriers with data among them.
    pub write_requests: u64,
    /// Requests that flush, barriers without data among them.
    pub flush_requests: u64,
    /// Requests that discard.
    pub discard_requests: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Requests of any kind that were not done.
    pub failed_requests: u64,
}

impl Counts {
    fn named(&mut self) -> [(&'static str, &mut u64); 7] {
        [
            ("read_requests", &mut self.read_requests),
            ("write_requests", &mut self.write_requests),
            ("flush_requests", &mut self.flush_requests),
            ("discard_requests", &mut self.discard_requests),
            ("read_bytes", &mut self.read_bytes),
            ("written_bytes", &mut self.written_bytes),
            ("failed_requests", &mut self.failed_requests),
        ]
    }

    /// A line `name value` each.
    fn text(mut self) -> String {
        self.named().iter().map(|(name, value)| format!("{name} {value}\n")).collect()
    }

    /// What is not there, or no number, is 0.
    fn read(text: &str) -> Counts {
        let mut counts = Counts::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            for (_, to) in counts.named().into_iter().filter(|(known, _)| *known == name) {
                *to = value.parse().unwrap_or(0);
            }
        }
        counts
    }
}

/// The file.
#[derive(Debug)]
pub struct Statistics {
    path: PathBuf,
    written: Counts,
    at: Instant,
}

impl Statistics {
    /// `DOMID-NUMBER.statistics` in a folder, with what it says if this backend goes on for one that died.
    pub fn open(dir: &Path, domid: u16, number: u32, resumed: bool) -> (Statistics, Counts) {
        let path = file(dir, domid, number);
        let known = if resumed { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let counts = Counts::read(&known);
        let mut statistics = Statistics { path, written: counts, at: Instant::now() };
        statistics.write(&counts);
        (statistics, counts)
    }

    /// Writes them if it is time to. Gives in how long it has to be called again for what was not written yet.
    pub fn tell(&mut self, counts: &Counts) -> Option<Duration> {
        if *counts == self.written {
            return None;
        }
        let left = EVERY.saturating_sub(self.at.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        self.write(counts);
        None
    }

    /// Writes them in any case. Who reads sees the old ones or the new ones.
    pub fn write(&mut self, counts: &Counts) {
        let fresh = self.path.with_extension("statistics.new");
        let dir = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let done = dir.and_then(|()| fs::write(&fresh, counts.text())).and_then(|()| fs::rename(&fresh, &self.path));
        if let Err(error) = done {
            tracing::debug!("{}: {error}", self.path.display());
        }
        // If it failed, the next time is not sooner.
        (self.written, self.at) = (*counts, Instant::now());
    }

    /// The disk is gone.
    pub fn remove(self) {
        // What is not there is not told of.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes what a backend that died left of a disk that is gone.
    pub fn forget(dir: &Path, domid: u16, number: u32) {
        // As above.
        let _ = fs::remove_file(file(dir, domid, number));
    }
}

fn file(dir: &Path, domid: u16, number: u32) -> PathBuf {
    dir.join(format!("{domid}-{number}.statistics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_after_a_death_and_begin_anew_for_another_disk() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        let (mut statistics, counts) = Statistics::open(&sub, 5, 51712, false);
        assert_eq!(counts, Counts::default());
        let more = Counts { read_requests: 3, written_bytes: u64::MAX, ..counts };
        assert!(statistics.tell(&more).is_some_and(|left| left <= EVERY), "it was written a moment ago");
        statistics.write(&more);
        assert_eq!(statistics.tell(&more), None);
        drop(statistics);
        assert_eq!(Statistics::open(&sub, 5, 51712, true).1, more);
        let (again, counts) = Statistics::open(&sub, 5, 51712, false);
        assert_eq!(counts, Counts::default());
        again.remove();
        assert_eq!(fs::read_dir(&sub).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_number_is_none() {
        let text = "read_requests 7\nwrite_requests x\n\nother 8\nread_bytes -1\n";
        assert_eq!(Counts::read(text), Counts { read_requests: 7, ..Counts::default() });
    }
}
