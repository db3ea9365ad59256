//! Who stands between bootway and a QEMU, and stays with it if it is to be kept.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::mpsc::{Receiver, TryRecvError, channel},
    time::{Duration, Instant},
};

use bootway_exec::{Cancel, Cmd, Exit, Poll, Process, Runner as _, SystemRunner};
use bootway_plan::{Millis, Stream};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    registry,
    words::{Answer, CONSOLE, CONTROL, KeptGuest, Order, Request, hear, say},
};
use crate::{socket, tpm};

/// How often everything is looked at that does not wake us up.
const TICK: Duration = Duration::from_millis(5);

/// How often it is looked whether the guest's directory is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Who asks says what at once.
const QUESTION: Duration = Duration::from_secs(1);

/// A QEMU that was killed is gone at once.
const END: Duration = Duration::from_secs(10);

/// What somebody who comes later is shown of what was printed before: the prompt, and what led to it.
const TAIL: usize = 4096;

/// Who reads so much less than is printed is not read to any more.
const UNREAD: usize = 4 << 20;

/// Starts `cmd` in `dir`, its directory, passes on what it says and is told through standard output, standard error and
/// standard input, and keeps it if it is asked to; how it ended.
///
/// Until it is asked to keep the guest, this process dies with the one that started it, and QEMU with this one. Then the
/// guest stays until it ends, somebody stops it, `cancel` says so, its time is up or its directory is gone; in each case
/// nothing of it is left.
///
/// # Errors
///
/// If QEMU could not be started, or there can be no socket.
pub fn keeper(cmd: &Cmd, dir: &Utf8Path, cancel: &Cancel) -> io::Result<Exit> {
    let mut keeper = Keeper::start(cmd, dir)?;
    let exit = keeper.attend(cancel);
    keeper.clear();
    Ok(exit)
}

struct Keeper {
    process: Box<dyn Process>,
    path: Utf8PathBuf,
    dir: OwnedFd,
    control: UnixListener,
    /// What bootway tells QEMU, until it has ended.
    typed: Receiver<Vec<u8>>,
    tail: Vec<u8>,
    stay: Option<Stay>,
    /// Who wants to hear that it has ended.
    stopped_by: Vec<UnixStream>,
}

/// A guest that is kept.
struct Stay {
    guest: KeptGuest,
    link: Utf8PathBuf,
    since: Instant,
    limit: Duration,
    looked: Instant,
    console: UnixListener,
    clients: Vec<Client>,
}

/// Somebody at the console.
struct Client {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Keeper {
    fn start(cmd: &Cmd, path: &Utf8Path) -> io::Result<Self> {
        let dir = socket::dir(path)?;
        // One that was here before has ended.
        let _ = fs_err::remove_file(path.join(CONTROL));
        let control = socket::listen(&dir, CONTROL)?;
        control.set_nonblocking(true)?;
        let process = SystemRunner::default().spawn(cmd).map_err(io::Error::other)?;
        let (path, typed) = (path.to_owned(), standard_input());
        Ok(Self { process, path, dir, control, typed, tail: Vec::new(), stay: None, stopped_by: Vec::new() })
    }

    /// Until it has ended, or is to end.
    fn attend(&mut self, cancel: &Cancel) -> Exit {
        loop {
            match self.process.poll(TICK) {
                Poll::Output(Stream::Stderr, bytes) => {
                    // Nobody may be there to hear it any more.
                    let _ = io::stderr().write_all(&bytes);
                }
                Poll::Output(_, bytes) => self.printed(&bytes),
                Poll::Nothing => {}
                Poll::Ended(exit) => return exit,
            }
            loop {
                match self.typed.try_recv() {
                    Ok(bytes) => drop(self.process.write(&bytes)), // If it has ended, that is seen next.
                    Err(TryRecvError::Disconnected) if self.stay.is_none() => return Exit::Signal,
                    Err(_) => break,
                }
            }
            self.answer();
            self.serve();
            if cancel.is_cancelled() || !self.stopped_by.is_empty() || self.is_over() {
                return Exit::Signal;
            }
        }
    }

    /// Whether its time is up, or its directory was removed.
    fn is_over(&mut self) -> bool {
        let Some(stay) = &mut self.stay else { return false };
        if stay.looked.elapsed() >= LOOK {
            stay.looked = Instant::now();
            if !stay.guest.dir.join(CONTROL).exists() {
                return true;
            }
        }
        stay.since.elapsed() >= stay.limit
    }

    fn printed(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        match &mut self.stay {
            None => {
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
            }
            Some(stay) => stay.clients.iter_mut().for_each(|client| client.unread.extend_from_slice(bytes)),
        }
    }

    /// Answers who asks something.
    fn answer(&mut self) {
        while let Ok((mut stream, _)) = self.control.accept() {
            let ready = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(QUESTION)));
            // Who only looks whether we are there says nothing.
            let Ok(request) = ready.and_then(|()| hear::<Request>(&stream)) else { continue };
            let answer = match request {
                Request::Stop => {
                    self.stopped_by.push(stream);
                    continue;
                }
                Request::Who => self.who(),
                Request::Keep(order) => match self.keep(order) {
                    Ok(()) => self.who(),
                    Err(error) => Answer::Refused(error.to_string()),
                },
            };
            let _ = say(&mut stream, &answer);
        }
    }

    fn who(&self) -> Answer {
        self.stay.as_ref().map_or_else(
            || Answer::Refused("the guest is not kept".to_owned()),
            |stay| {
                let left = stay.limit.saturating_sub(stay.since.elapsed()) + Duration::from_millis(500);
                let left = Millis::new(left.as_secs() * 1000);
                Answer::Guest(KeptGuest { left, ..stay.guest.clone() })
            },
        )
    }

    /// Stays with the guest from now on.
    fn keep(&mut self, order: Order) -> io::Result<()> {
        if self.stay.is_some() {
            return Err(io::Error::other("it is kept already"));
        }
        let console = socket::listen(&self.dir, CONSOLE)?;
        console.set_nonblocking(true)?;
        let (name, place, link) = registry::enter(&self.path, &order.name, &order.places, &order.registry)?;
        let now = Instant::now();
        let guest = KeptGuest {
            console: link.join(CONSOLE),
            name,
            why: order.why,
            pid: self.process.pid().unwrap_or_default(),
            keeper: std::process::id(),
            dir: place,
            left: Millis::default(),
        };
        // What led to it is in the run's log; who comes now wants to see the prompt.
        let line = self.tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if line < self.tail.len() {
            self.tail.drain(..line);
        }
        let limit = Duration::from_secs(order.seconds);
        self.stay = Some(Stay { guest, link, since: now, limit, looked: now, console, clients: Vec::new() });
        // From here on we outlive who started us.
        rustix::process::set_parent_process_death_signal(None)?;
        Ok(())
    }

    /// Passes on what is said at the console.
    fn serve(&mut self) {
        let Some(stay) = &mut self.stay else { return };
        while let Ok((stream, _)) = stay.console.accept() {
            if stream.set_nonblocking(true).is_ok() {
                stay.clients.push(Client { stream, unread: self.tail.clone() });
            }
        }
        let process = &mut self.process;
        stay.clients.retain_mut(|client| client.write() && client.read(|typed| drop(process.write(typed))));
    }

    /// Ends the guest, and removes what is left of it.
    fn clear(&mut self) {
        self.process.kill();
        let killed = Instant::now();
        while !matches!(self.process.poll(TICK), Poll::Ended(_)) && killed.elapsed() < END {}
        // Its TPM, if it has one, ends with it, and has files in the directory.
        while socket::reach(&self.dir, tpm::SOCKET).is_ok() && killed.elapsed() < END {
            std::thread::sleep(TICK);
        }
        if let Some(mut stay) = self.stay.take() {
            // What it said last.
            stay.clients.retain_mut(Client::write);
            // Somebody else may have taken its place, if ours was removed.
            if fs_err::read_link(&stay.link).is_ok_and(|it| it == stay.guest.dir.as_std_path()) {
                let _ = fs_err::remove_file(&stay.link);
            }
            let _ = fs_err::remove_dir_all(&stay.guest.dir);
            // It fails while somebody is in it.
            let _ = stay.guest.dir.parent().map(fs_err::remove_dir);
        }
        for mut stream in self.stopped_by.drain(..) {
            let _ = say(&mut stream, &Answer::Stopped);
        }
    }
}

impl Client {
    /// Passes on what it has not read; whether it is still there.
    fn write(&mut self) -> bool {
        while !self.unread.is_empty() {
            match self.stream.write(&self.unread) {
                Ok(n @ 1..) => drop(self.unread.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.unread.len() <= UNREAD,
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }

    /// Passes on what it says; whether it is still there. Who says nothing more may listen still.
    fn read(&mut self, mut say: impl FnMut(&[u8])) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(n @ 1..) => say(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Ok(0) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// What is said on standard input, until its end.
fn standard_input() -> Receiver<Vec<u8>> {
    let (sender, typed) = channel();
    std::thread::spawn(move || {
        let (mut stdin, mut buffer) = (io::stdin().lock(), [0; 8192]);
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    typed
}
