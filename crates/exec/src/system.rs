//! The runner that starts real programs.

use std::{
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use bootway_plan::Stream;
use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    Cmd, Exit, Poll, Process, Runner, SpawnError, Usage,
    children::{ChildFile, await_end, group_usage},
    cmd::Stdin,
};

/// Starts programs with `duct`, each in its own process group.
///
/// The process group keeps a Ctrl-C at the terminal from reaching a program before this process has decided how to
/// stop it, and lets [`Process::kill`] reach everything that the program started. A program also dies with the
/// thread that started it.
///
/// Every program sees `LC_ALL=C.UTF-8` and `TZ=UTC`, so that nothing depends on where the host is.
#[derive(Clone, Debug, Default)]
pub struct SystemRunner {
    /// Where running process groups are recorded, for [`kill_leftovers`](crate::kill_leftovers).
    pub children: Option<Utf8PathBuf>,
}

impl Runner for SystemRunner {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        let program = cmd.program.clone();
        let started = self.start(cmd).map_err(|source| match source.kind() {
            // The directory or the standard input may be what is missing, too.
            io::ErrorKind::NotFound
                if cmd.dir.as_ref().is_none_or(|dir| dir.exists()) && cmd.stdin_exists() =>
            {
                SpawnError::Missing { program }
            }
            _ => SpawnError::Os { program, source },
        })?;
        Ok(Box::new(started))
    }
}

#[derive(Debug)]
struct SystemProcess {
    handle: duct::Handle,
    /// Disconnects when both pipes are at their end.
    output: Receiver<(Stream, Vec<u8>)>,
    stdin: Option<Sender<Vec<u8>>>,
    group: u32,
    record: Option<ChildFile>,
    is_free: bool,
}

impl SystemRunner {
    fn start(&self, cmd: &Cmd) -> io::Result<SystemProcess> {
        let (stdout, stdout_end) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        #[expect(clippy::disallowed_methods, reason = "this module is where processes start")]
        let mut expression = duct::cmd(cmd.program.as_str(), &cmd.args)
            .stdout_file(stdout_end)
            .stderr_file(stderr_end)
            .unchecked()
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("PATH", crate::search_path())
            .before_spawn(|command| {
                command.process_group(0);
                bootway_pdeath::die_with_parent(command);
                Ok(())
            });
        let mut stdin = None;
        expression = match &cmd.stdin {
            Stdin::Null => expression.stdin_null(),
            Stdin::File(file) => expression.stdin_file(fs_err::File::open(file)?.into_file()),
            Stdin::Pipe => {
                let (end, writer) = io::pipe()?;
                stdin = Some(feed(writer));
                expression.stdin_file(end)
            }
        };
        for (key, value) in &cmd.env {
            expression = expression.env(key, value);
        }
        if let Some(dir) = &cmd.dir {
            expression = expression.dir(dir);
        }
        let handle = expression.start()?;
        drop(expression); // It holds the write ends; readers would wait for ever.

        let group = handle.pids().first().copied().unwrap_or(0);
        let record = self.children.as_ref().and_then(|dir| ChildFile::write(dir, group));
        let (sender, output) = channel();
        forward(Stream::Stdout, stdout, sender.clone());
        forward(Stream::Stderr, stderr, sender);
        Ok(SystemProcess { handle, output, stdin, group, record, is_free: false })
    }
}

fn forward(stream: Stream, mut pipe: PipeReader, sender: Sender<(Stream, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        // An error on a pipe whose writer died is the end of it.
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if sender.send((stream, buffer[..n].to_vec())).is_err() {
                break;
            }
        }
    });
}

/// Writes what comes to `pipe`, for somebody who has no time to wait until it is read.
fn feed(mut pipe: PipeWriter) -> Sender<Vec<u8>> {
    let (sender, texts) = channel::<Vec<u8>>();
    thread::spawn(move || {
        // Who has ended reads no more, and its exit says so.
        while let Ok(text) = texts.recv()
            && pipe.write_all(&text).is_ok()
        {}
    });
    sender
}

impl Process for SystemProcess {
    fn poll(&mut self, patience: Duration) -> Poll {
        match self.output.recv_timeout(patience) {
            Ok((stream, bytes)) => Poll::Output(stream, bytes),
            Err(RecvTimeoutError::Timeout) => Poll::Nothing,
            Err(RecvTimeoutError::Disconnected) => match self.handle.wait_timeout(patience) {
                Ok(None) => Poll::Nothing,
                Ok(Some(output)) => Poll::Ended(output.status.code().map_or(Exit::Signal, Exit::Code)),
                Err(_) => Poll::Ended(Exit::Signal),
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe.into()),
            None => Err(io::Error::other("standard input is not a pipe")),
        }
    }

    fn pid(&self) -> Option<u32> {
        Some(self.group)
    }

    fn let_go(&mut self) {
        self.is_free = true;
        self.record = None;
    }

    fn usage(&self) -> Usage {
        group_usage(self.group)
    }

    fn terminate(&mut self) {
        if let Some(group) = i32::try_from(self.group).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.group).ok().and_then(Pid::from_raw) {
            // The only error is that all of it has ended already.
            let was_there = kill_process_group(group, Signal::KILL).is_ok();
            let _ = self.handle.kill();
            if was_there {
                await_end(self.group);
            }
        }
    }
}

impl Drop for SystemProcess {
    fn drop(&mut self) {
        if !self.is_free {
            self.kill();
        }
    }
}
