//! Exit codes, and the one line of an error.

use std::process::ExitCode;

/// A command that did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// With its line and exit code.
    Told(u8, String),
    /// Everything was said; the exit code alone.
    Quiet(u8),
}

/// Exit codes, in the order of `xm help`.
pub const CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "failed"),
    (2, "usage"),
    (3, "not found"),
    (4, "permission"),
    (5, "xenstored or the hypervisor does not answer"),
    (6, "timed out"),
    (CHANGES, "changes are pending (`apply --dry-run --exit-code`)"),
];

/// Nothing failed: the host is not yet what the folder says.
pub const CHANGES: u8 = 7;

impl Failure {
    /// A wrong command line.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure::Told(2, what.into())
    }

    /// Anything else.
    pub fn failed(what: impl Into<String>) -> Failure {
        Failure::Told(1, what.into())
    }
}

impl From<toolstack::Error> for Failure {
    fn from(error: toolstack::Error) -> Failure {
        Failure::Told(error.kind().exit_code(), error.to_string())
    }
}

impl From<xenctl::Error> for Failure {
    fn from(error: xenctl::Error) -> Failure {
        toolstack::Error::from(error).into()
    }
}

impl From<xenstore::Error> for Failure {
    fn from(error: xenstore::Error) -> Failure {
        toolstack::Error::from(error).into()
    }
}

/// What a command gives.
pub type Outcome = Result<(), Failure>;

/// Says what went wrong and gives the exit code.
pub fn end(name: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet(code)) => ExitCode::from(code),
        Err(Failure::Told(code, line)) => {
            // One line, whatever is in it.
            let line = line.replace('\n', " ");
            say!("{name}: {line}");
            ExitCode::from(code)
        }
    }
}
