//! Commands over SSH, from the host.

use std::time::{Duration, Instant};

use bootway_exec::{Cmd, Exit, Poll, RunError};
use bootway_plan::{EventKind, Stream, Verdict, step::RunCheck};

use super::{Checks, Decision, run::judge};
use crate::{
    VmError,
    boot::{Ready, brief, seconds},
    shell::Ended,
};

/// How long one connection may take.
const CONNECT: &str = "ConnectTimeout=10";

/// Where an SSH server listens.
const SSH: u16 = 22;

/// How long a guest that does not let us in is left alone.
const PAUSE: Duration = Duration::from_secs(1);

impl Checks<'_> {
    /// Runs a command over SSH, as soon as the guest lets us in, and judges what it did.
    pub(super) fn ssh(&mut self, run: &RunCheck, check: &Ready) -> Result<Decision, VmError> {
        let limit = check.within.unwrap_or_else(|| self.machine.limits.boot.duration());
        let began = Instant::now();
        let cmd = self.ssh_command(&run.command, limit)?;
        loop {
            let (exit, output, said) = self.follow_ssh(&cmd, began, limit)?;
            // The code of ssh itself is also one that a command may have: what counts is what was printed behind it.
            if let Some(ended) = ended(&output) {
                return Ok(judge(run, check, ended));
            }
            let said = said.map_or_else(String::new, |said| format!(": {}", brief(&said)));
            if began.elapsed() >= limit {
                let detail = format!("ssh {exit} within {}{said}", seconds(limit));
                return Ok(Decision::new(Verdict::TimedOut, detail));
            }
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                self.watch()?;
            }
        }
    }

    fn ssh_command(&self, command: &str, limit: Duration) -> Result<Cmd, VmError> {
        let port = self.guest.port_of(SSH);
        let key = self.setup.ssh_key.as_ref().map(|key| ["-i".to_owned(), key.to_string()]);
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            CONNECT,
        ];
        let port = port.ok_or(VmError::Nothing { boot: "ssh", key: "net" })?;
        Ok(Cmd::user("ssh")
            .args(key.into_iter().flatten())
            .args(["-F", "/dev/null", "-p", &port.to_string()])
            .args(options.into_iter().flat_map(|it| ["-o", it]))
            .arg(format!("{}@127.0.0.1", self.machine.login.user))
            .arg(format!("({command}) 2>&1; echo \" $?\""))
            .limit(limit))
    }

    /// Runs ssh, and watches the guest meanwhile. Returns how it ended, what the command printed, and ssh's last line.
    fn follow_ssh(
        &mut self,
        cmd: &Cmd,
        began: Instant,
        limit: Duration,
    ) -> Result<(Exit, Vec<u8>, Option<String>), VmError> {
        (self.cx.emit)(EventKind::Command { line: cmd.to_string() });
        let mut process = self.cx.runner.spawn(cmd)?;
        let (mut output, mut lines, mut said) = (Vec::new(), bootway_exec::Lines::default(), None);
        loop {
            match process.poll(Duration::ZERO) {
                Poll::Output(Stream::Stderr, bytes) => said = lines.push(&bytes).pop().or(said),
                Poll::Output(_, bytes) => output.extend_from_slice(&bytes),
                Poll::Ended(exit) => return Ok((exit, output, said)),
                Poll::Nothing if began.elapsed() >= limit => {
                    process.kill();
                    return Err(VmError::from(RunError::TimedOut { cmd: cmd.to_string(), limit }));
                }
                Poll::Nothing => self.watch()?,
            }
        }
    }
}

/// Output and exit code of a command, if it came to its end.
fn ended(output: &[u8]) -> Option<Ended> {
    let text = output.strip_suffix(b"\n")?;
    let at = text.iter().rposition(|byte| *byte == b' ')?;
    let code = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
    Some(Ended::Exited { output: text[..at].to_vec(), code })
}
