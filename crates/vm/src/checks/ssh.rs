//! Commands over SSH, from the host.

use std::time::{Duration, Instant};

use bootway_exec::{Cmd, Exit, Lines, Poll};
use bootway_plan::{EventKind, Stream, Verdict, step::RunCheck};

use super::{
    Checks, Decision,
    run::{judge, late},
};
use crate::{
    VmError,
    boot::{Ready, brief, seconds},
    shell::{Ended, OURS},
    ssh::{Way, private},
    watcher::find,
};

/// Where an SSH server listens.
const PORT: u16 = 22;

/// How long a guest that does not let us in is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// What a run of ssh has shown.
struct Run {
    /// How it ended; nothing if there was no time left.
    exit: Option<Exit>,
    /// What came from the guest.
    output: Vec<u8>,
    /// What ssh said last.
    said: Option<String>,
}

impl Checks<'_> {
    /// Runs a command over SSH, as soon as the guest lets us in, and judges what it did.
    pub(super) fn ssh(&mut self, run: &RunCheck, check: &Ready) -> Result<Decision, VmError> {
        let limit = check.within.unwrap_or_else(|| self.machine.limits.boot.duration());
        let began = Instant::now();
        let cmd = self.way()?.command(&remote(&run.command)).limit(limit);
        loop {
            let seen = self.follow_ssh(&cmd, began, limit)?;
            let said = seen.said.map_or_else(String::new, |said| format!(": {}", brief(said.trim())));
            match (begun(&seen.output), seen.exit) {
                (Some(output), None) => return Ok(late(&run.command, limit, last_line(output))),
                // The code of ssh itself is also one that a command may have: what counts is what was printed behind it.
                (Some(output), Some(exit)) => {
                    let lost = || Ended::Unreadable(format!("ssh {exit} before the command did{said}"));
                    return Ok(judge(run, check, ended(output).unwrap_or_else(lost)));
                }
                (None, exit) if exit.is_none() || began.elapsed() >= limit => {
                    let exit = exit.map_or_else(|| "did not connect".to_owned(), |exit| exit.to_string());
                    let detail =
                        format!("the guest let nobody in within {}: ssh {exit}{said}", seconds(limit));
                    return Ok(Decision::new(Verdict::TimedOut, detail));
                }
                (None, _) => {}
            }
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                self.watch()?;
            }
        }
    }

    /// How the guest is reached over SSH.
    pub(super) fn way(&self) -> Result<Way, VmError> {
        let port = self.guest.port_of(PORT).ok_or_else(|| {
            VmError::Check(
                "SSH needs port 22 of the guest: add `net = { forward = { ssh = 22 } }` to the machine"
                    .to_owned(),
            )
        })?;
        let key = self.setup.ssh_key.as_ref();
        let key = key.map(|key| private(key, self.cx.scratch).map_err(VmError::io(key))).transpose()?;
        Ok(Way { port, user: self.machine.login.user.clone(), key })
    }

    /// Runs ssh, and watches the guest meanwhile.
    fn follow_ssh(&mut self, cmd: &Cmd, began: Instant, limit: Duration) -> Result<Run, VmError> {
        (self.cx.emit)(EventKind::Command { line: cmd.to_string() });
        let mut process = self.cx.runner.spawn(cmd)?;
        let (mut run, mut lines) = (Run { exit: None, output: Vec::new(), said: None }, Lines::default());
        loop {
            match process.poll(Duration::ZERO) {
                Poll::Output(Stream::Stderr, bytes) => run.said = lines.push(&bytes).pop().or(run.said),
                Poll::Output(_, bytes) => run.output.extend_from_slice(&bytes),
                Poll::Ended(exit) => {
                    run.exit = Some(exit);
                    return Ok(run);
                }
                Poll::Nothing if began.elapsed() >= limit => {
                    process.kill();
                    return Ok(run);
                }
                Poll::Nothing => self.watch()?,
            }
        }
    }
}

/// What the guest is asked: the command, with a sign before it that it has begun, and behind it how it ended.
fn remote(command: &str) -> String {
    format!("echo '{OURS}'; ({command}\n) 2>&1; echo \" $?\"")
}

/// What a command printed, if it began. One that did is not run again.
fn begun(output: &[u8]) -> Option<&[u8]> {
    let sign = format!("{OURS}\n");
    find(output, sign.as_bytes()).map(|at| &output[at + sign.len()..])
}

/// Output and exit code of a command, if it came to its end.
fn ended(output: &[u8]) -> Option<Ended> {
    let text = output.strip_suffix(b"\n")?;
    let at = text.iter().rposition(|byte| *byte == b' ')?;
    let code = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
    Some(Ended::Exited { output: text[..at].to_vec(), code })
}

fn last_line(output: &[u8]) -> Option<String> {
    String::from_utf8_lossy(output).lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_over_ssh_is_told_from_what_did_not() {
        assert_eq!(begun(b"banner\n"), None);
        let exited = |output: &[u8], code| Some(Ended::Exited { output: output.to_vec(), code });
        for (heard, said) in [
            ("_bw\n 0\n", exited(b"", 0)),
            ("hello from .bashrc\n_bw\n1 2 3 255\n", exited(b"1 2 3", 255)),
            ("_bw\nhalf a li", None),
            ("_bw\n no code\n", None),
        ] {
            assert_eq!(begun(heard.as_bytes()).and_then(ended), said, "{heard}");
        }
        insta::assert_snapshot!(remote("true # or not"), @r#"
        echo '_bw'; (true # or not
        ) 2>&1; echo " $?"
        "#);
    }
}
