//! Whole commands: what one takes from its start to its end, or until a text is on its terminal.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::{Command, ExitCode, Stdio};

use crate::mark::Run;
use crate::sys;

/// What `fxbench time` and `fxbench until` are told.
struct Told {
    name: CString,
    rounds: u32,
    /// Shell commands around each round, which do not count.
    before: Option<String>,
    after: Option<String>,
    /// What ends a round of `until`.
    text: String,
    command: Vec<String>,
}

impl Told {
    /// `NAME [--rounds N] [--text TEXT] [--before SH] [--after SH] -- COMMAND…`
    fn parse(args: &[String]) -> Option<Self> {
        let (name, rest) = args.split_first()?;
        let at = rest.iter().position(|word| word == "--")?;
        let mut told = Self {
            name: CString::new(name.as_str()).ok()?,
            rounds: 3,
            before: None,
            after: None,
            text: String::new(),
            command: rest.get(at + 1..)?.to_vec(),
        };
        let mut options = rest.get(..at)?.iter();
        while let Some(option) = options.next() {
            let value = options.next()?.clone();
            match option.as_str() {
                "--rounds" => told.rounds = value.parse().ok()?,
                "--text" => told.text = value,
                "--before" => told.before = Some(value),
                "--after" => told.after = Some(value),
                _ => return None,
            }
        }
        (!told.command.is_empty()).then_some(told)
    }

    /// Runs every round, prints the best.
    fn measure(&self, one: impl Fn(&Self) -> Result<u64, String>) -> ExitCode {
        let mut best = u64::MAX;
        for _ in 0..self.rounds {
            let round = around(self.before.as_deref()).and_then(|()| one(self));
            let after = around(self.after.as_deref());
            match round.and_then(|time| after.map(|()| time)) {
                Ok(time) => best = best.min(time),
                Err(why) => {
                    eprintln!("fxbench: {}: {why}", self.name.to_string_lossy());
                    return ExitCode::FAILURE;
                }
            }
        }
        println!("{} {best} 1", self.name.to_string_lossy());
        ExitCode::SUCCESS
    }

    fn run(&self) -> Run {
        // The name lives as long as the program.
        let name: &'static CString = Box::leak(Box::new(self.name.clone()));
        Run { name, rounds: 1 }
    }
}

/// Does a shell command that does not count.
fn around(command: Option<&str>) -> Result<(), String> {
    let Some(command) = command else { return Ok(()) };
    let status = Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{command}` ended with {status}")),
        Err(error) => Err(format!("`{command}`: {error}")),
    }
}

/// `fxbench time`.
pub fn time(args: &[String]) -> ExitCode {
    let Some(told) = Told::parse(args) else {
        eprintln!("usage: fxbench time NAME [--rounds N] [--before SH] [--after SH] -- COMMAND...");
        return ExitCode::from(2);
    };
    told.measure(|told| {
        let (program, args) = told.command.split_first().ok_or("no command")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        let start = told.run().begin();
        let status = command.status();
        let time = start.end();
        match status {
            Ok(status) if status.success() => Ok(time),
            Ok(status) => Err(format!("{program} ended with {status}")),
            Err(error) => Err(format!("{program}: {error}")),
        }
    })
}

/// `fxbench until`: on a terminal of its own; it and what it started there end with the round.
pub fn until(args: &[String]) -> ExitCode {
    let Some(told) = Told::parse(args).filter(|told| !told.text.is_empty()) else {
        eprintln!("usage: fxbench until NAME --text TEXT [--rounds N] [--before SH] [--after SH] -- COMMAND...");
        return ExitCode::from(2);
    };
    told.measure(|told| {
        let words: Result<Vec<CString>, _> = told.command.iter().map(|word| CString::new(word.as_str())).collect();
        let words = words.map_err(|error| error.to_string())?;
        let start = told.run().begin();
        let (child, terminal) = sys::on_a_terminal(&words);
        // SAFETY: the descriptor is new and nobody else's.
        let mut terminal = unsafe { File::from_raw_fd(terminal) };
        let mut seen = Vec::new();
        let mut chunk = [0u8; 4096];
        let found = loop {
            match terminal.read(&mut chunk) {
                Ok(count) if count > 0 => seen.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                _ => break false,
            }
            if seen.windows(told.text.len()).any(|window| window == told.text.as_bytes()) {
                break true;
            }
        };
        let time = start.end();
        sys::end_session(child);
        if found { Ok(time) } else { Err(format!("it ended: {}", String::from_utf8_lossy(&seen).trim())) }
    })
}
