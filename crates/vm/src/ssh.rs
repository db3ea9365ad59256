//! SSH from the host to a guest: one command at a time, or a shell that stays.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use bootway_exec::{Cmd, Cx, Lines, Poll, Process, SpawnError, Tool};
use bootway_plan::{EventKind, Stream};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;

/// How a guest is reached over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The port of this host that leads to the guest's server.
    pub(crate) port: u16,
    /// Who logs in.
    pub(crate) user: String,
    /// The private key that lets us in; else those that whoever runs bootway has.
    pub(crate) key: Option<Utf8PathBuf>,
}

/// How ssh goes about it: nobody is asked anything, and nothing is remembered, as the next guest has this port, too.
const OPTIONS: [&str; 6] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    // A guest may take connections long before it has a server that answers.
    "ConnectTimeout=10",
];

/// What the guest's user gets: a shell that neither has a terminal nor asks.
const SHELL: &str = "exec sh";

impl Way {
    /// Runs `remote` in the guest, by its user's shell. Source: ssh(1), `ssh_config(5)`.
    pub(crate) fn command(&self, remote: &str) -> Cmd {
        let key = self.key.as_ref().map(|key| ["-i", key.as_str(), "-o", "IdentitiesOnly=yes"]);
        Cmd::new(Tool::Ssh)
            .args(["-F", "/dev/null", "-T"])
            .args(key.into_iter().flatten())
            .args(["-p".to_owned(), self.port.to_string()])
            .args(OPTIONS.into_iter().flat_map(|it| ["-o", it]))
            .arg(format!("{}@127.0.0.1", self.user))
            .arg(remote)
    }
}

/// A copy of `key` that only we can read: ssh takes no other, and what a plan names may be anybody's.
pub(crate) fn private(key: &Utf8Path, scratch: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
    let place = scratch.join("ssh-key");
    let text = fs_err::read(key)?;
    let _ = fs_err::remove_file(&place); // One that is there already may have another mode.
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place)?;
    file.write_all(&text)?;
    Ok(place)
}

/// A shell of the guest, over a connection that is made again whenever it ends.
#[derive(Debug)]
pub(crate) struct Link {
    cmd: Cmd,
    process: Option<Box<dyn Process>>,
    /// When it is tried next.
    next: Instant,
    is_told: bool,
    stderr: Lines,
    /// What ssh said last.
    said: Option<String>,
}

/// What came over a [`Link`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Text of the shell.
    pub(crate) text: Vec<u8>,
    /// The connection is gone, and what is known about that.
    pub(crate) lost: Option<String>,
}

/// A guest that does not let us in is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// What is read at once: a guest that never stops does not keep everybody else waiting.
const READ_LIMIT: usize = 1 << 20;

impl Link {
    pub(crate) fn new(way: &Way) -> Self {
        Self {
            cmd: way.command(SHELL).stdin_pipe(),
            process: None,
            next: Instant::now(),
            is_told: false,
            stderr: Lines::default(),
            said: None,
        }
    }

    /// Connects if there is no connection, and the last one was not just lost. Returns whether one was begun; what is
    /// written to it is read by the shell once there is one.
    pub(crate) fn connect(&mut self, cx: &Cx<'_>) -> Result<bool, SpawnError> {
        if self.process.is_some() || Instant::now() < self.next {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.is_told, true) {
            (cx.emit)(EventKind::Command { line: self.cmd.to_string() });
        }
        self.process = Some(cx.runner.spawn(&self.cmd)?);
        Ok(true)
    }

    /// Says `text` to the shell.
    pub(crate) fn write(&mut self, text: &[u8]) {
        if let Some(process) = &mut self.process {
            // If it has ended, it says so itself.
            let _ = process.write(text);
        }
    }

    /// What the shell said since this was called last.
    pub(crate) fn read(&mut self) -> Heard {
        let mut heard = Heard::default();
        let Some(process) = &mut self.process else { return heard };
        while heard.text.len() < READ_LIMIT {
            match process.poll(Duration::ZERO) {
                Poll::Output(Stream::Stderr, bytes) => {
                    self.said = self.stderr.push(&bytes).pop().or_else(|| self.said.take());
                }
                Poll::Output(_, bytes) => heard.text.extend_from_slice(&bytes),
                Poll::Nothing => break,
                Poll::Ended(exit) => {
                    let said =
                        self.said.as_ref().map_or_else(String::new, |said| format!(": {}", said.trim()));
                    heard.lost = Some(format!("ssh {exit}{said}"));
                    self.hang_up();
                    self.next = Instant::now() + PAUSE;
                    break;
                }
            }
        }
        heard
    }

    /// Ends the connection; the next one may begin at once.
    pub(crate) fn hang_up(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
        self.next = Instant::now();
    }

    /// What ssh said last.
    pub(crate) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use bootway_exec::{Reply, Sandbox, ScriptedRunner};

    use super::*;

    fn way() -> Way {
        Way { port: 2222, user: "root".to_owned(), key: Some("/run/key".into()) }
    }

    #[test]
    fn nobody_is_asked_and_nothing_is_remembered() {
        insta::assert_snapshot!(way().command("true"), @"ssh -F /dev/null -T -i /run/key -o IdentitiesOnly=yes -p 2222 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 root@127.0.0.1 true");
    }

    #[test]
    fn who_is_not_let_in_is_told_and_tries_again_later() {
        let denied = Reply::exits(255).stderr("root@127.0.0.1: Permission denied (publickey).\r\n");
        let runner = ScriptedRunner::default().on(Tool::Ssh, denied);
        let sandbox = Sandbox::new(&runner);
        let (cx, mut link) = (sandbox.cx(), Link::new(&way()));
        assert!(link.connect(&cx).unwrap());
        let lost = std::iter::repeat_with(|| link.read().lost).flatten().next();
        insta::assert_snapshot!(lost.unwrap(), @"ssh exited with code 255: root@127.0.0.1: Permission denied (publickey).");
        assert!(link.process.is_none() && link.next + PAUSE > Instant::now());
        link.hang_up();
        assert!(link.connect(&cx).is_ok(), "whoever hangs up may call again at once");
    }

    #[test]
    fn a_key_that_everybody_can_read_is_copied() {
        use std::os::unix::fs::PermissionsExt as _;
        let runner = ScriptedRunner::default();
        let sandbox = Sandbox::new(&runner);
        let key = sandbox.root().join("key");
        fs_err::write(&key, "secret").unwrap();
        for _ in 0..2 {
            let copy = private(&key, sandbox.cx().scratch).unwrap();
            assert_eq!(fs_err::read_to_string(&copy).unwrap(), "secret");
            assert_eq!(fs_err::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
