//! QEMU's machine protocol, as far as an autopsy needs it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket that `-qmp unix:PATH,server=on,wait=off` made.
    ///
    /// # Errors
    ///
    /// If there is no QEMU, or it does not answer within seconds.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("no QEMU at {}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.receive().context("no greeting")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// A command; gives what it returns.
    ///
    /// # Errors
    ///
    /// QEMU's own words, or that it is gone.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.reader.get_mut().write_all(line.as_bytes())?;
        loop {
            let answer = self.receive()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("{command}: {}", error["desc"].as_str().unwrap_or("no reason"));
            }
        }
    }

    /// A line of the human monitor.
    ///
    /// # Errors
    ///
    /// As [`Qmp::execute`].
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        let value = self.execute("human-monitor-command", &json!({"command-line": line}))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("QEMU is gone");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn events_between_command_and_answer_are_passed_over() {
        let socket = std::env::temp_dir().join(format!("ferroxen-qmp-test-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let qemu = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"{\"QMP\": {}}\n").unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            stream.write_all(b"{\"return\": {}}\n").unwrap();
            line.clear();
            reader.read_line(&mut line).unwrap();
            stream.write_all(b"{\"event\": \"STOP\"}\n{\"return\": \"RIP=1\"}\n").unwrap();
            line
        });
        let answer = Qmp::connect(&socket).unwrap().monitor("info registers").unwrap();
        assert_eq!(answer, "RIP=1");
        assert!(qemu.join().unwrap().contains("info registers"));
        std::fs::remove_file(socket).unwrap();
    }
}
