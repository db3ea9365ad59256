//! Standard input that can be given up: a read that waits for a pipe ends when somebody asks to stop.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

/// Bytes of a read, and how many reads are ahead: the pipe is emptied while the archive is taken apart.
const READ: usize = 256 << 10;
const AHEAD: usize = 4;
/// Between two looks at whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Standard input.
#[derive(Debug)]
pub(super) struct Stdin {
    reads: Receiver<io::Result<Vec<u8>>>,
    now: io::Cursor<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Stdin {
    /// Begins to read. A thread that waits for a pipe when somebody asks to stop waits until the process ends.
    pub(super) fn new(stop: &Arc<AtomicBool>) -> Self {
        let (send, reads) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut bytes = vec![0; READ];
                let read = match stdin.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.map(|count| {
                        bytes.truncate(count);
                        bytes
                    }),
                };
                let last = read.as_ref().map_or(true, Vec::is_empty);
                if send.send(read).is_err() || last {
                    break;
                }
            }
        });
        Self { reads, now: io::Cursor::default(), stop: Arc::clone(stop) }
    }
}

impl Read for Stdin {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.now.read(into)?;
        if count > 0 || into.is_empty() {
            return Ok(count);
        }
        loop {
            match self.reads.recv_timeout(PATIENCE) {
                Ok(read) => {
                    self.now = io::Cursor::new(read?);
                    return self.now.read(into);
                }
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => {
                    return Err(io::Error::other("stopped"));
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}
