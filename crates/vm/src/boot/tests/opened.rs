//! How a program has opened a file.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bootway_exec::{Cmd, Poll, Process, Runner, SpawnError, SystemRunner};

/// Low bits of a file's flags that say that it can only be read (`O_RDONLY`, open(2)).
pub(super) const READ_ONLY: u32 = 0;

/// Starts real programs, and looks how a file is open whenever one prints something.
#[derive(Debug)]
pub(super) struct Spy {
    file: &'static str,
    ways: Arc<Mutex<Vec<u32>>>,
}

impl Spy {
    /// On files of this name in a temporary directory of this process.
    pub(super) fn on(file: &'static str) -> Self {
        Self { file, ways: Arc::default() }
    }

    /// How it was open.
    pub(super) fn ways(&self) -> Vec<u32> {
        self.ways.lock().unwrap().clone()
    }
}

impl Runner for Spy {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        let inner = SystemRunner::default().spawn(cmd)?;
        // It is beside the directory that the program runs in; a card has it as its base.
        let line = cmd.to_string();
        let dir =
            line.strip_prefix("cd ").and_then(|rest| rest.split(" && ").next()).map(camino::Utf8Path::new);
        let beside = dir.and_then(camino::Utf8Path::parent).map(|dir| dir.join(self.file));
        let path = beside.map(camino::Utf8PathBuf::into_string).unwrap_or_default();
        Ok(Box::new(Spied { inner, path, ways: Arc::clone(&self.ways) }))
    }
}

#[derive(Debug)]
struct Spied {
    inner: Box<dyn Process>,
    path: String,
    ways: Arc<Mutex<Vec<u32>>>,
}

impl Process for Spied {
    fn poll(&mut self, patience: Duration) -> Poll {
        let poll = self.inner.poll(patience);
        if matches!(poll, Poll::Output(..)) {
            self.ways.lock().unwrap().extend(ways(&self.path));
        }
        poll
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(bytes)
    }

    fn kill(&mut self) {
        self.inner.kill();
    }
}

/// The access modes with which any process has `path` open.
fn ways(path: &str) -> Vec<u32> {
    let numbers = |dir: &str| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let mut ways = Vec::new();
    for pid in numbers("/proc") {
        for fd in numbers(&format!("/proc/{pid}/fd")) {
            let target = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
            if target.is_ok_and(|target| target.to_str() == Some(path)) {
                let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
                let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
                ways.extend(flags.map(|flags| flags & 3));
            }
        }
    }
    ways
}
