/// Added to a package by `schemata`: which mutant lives, and which are reached.
pub(crate) mod schema_runtime {
    extern crate std;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::{env, fs::File, io::Write, sync::OnceLock};

    static SEEN: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
    static ENVIRONMENT: OnceLock<(u32, Option<File>)> = OnceLock::new();

    /// Whether mutant `number` is the one that lives. With `SCHEMATA_LOG`, its number is added there at the first call.
    pub(crate) fn live(number: u32) -> bool {
        let (live, log) = ENVIRONMENT.get_or_init(|| {
            let live = env::var("SCHEMATA_LIVE").ok().and_then(|live| live.parse().ok());
            let log = env::var_os("SCHEMATA_LOG").and_then(|log| File::options().append(true).create(true).open(log).ok());
            (live.unwrap_or(u32::MAX), log)
        });
        if let Some(mut log) = log.as_ref() {
            let bit = 1 << (number % 64);
            if SEEN[number as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                let _ = log.write_all(&number.to_le_bytes());
            }
        }
        *live == number
    }
}
