//! A program that runs beside a command: started first, waited for, stopped at the end.
//!
//! A server and its client are one step, because neither is good for anything without the other, and because only who
//! started the server knows what to stop: its process group, and nothing that merely has the same name.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bootway_exec::{Cancel, Cmd, Cx, Exit, Lines, Poll, Process, RunError, SpawnError, run};
use bootway_plan::{
    Class, Digest, EventKind, Explain, Millis, Stream,
    step::{Ready, Template},
};
use thiserror::Error;

/// How often is looked.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a server has to end by itself when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long one question over HTTP may take.
const ANSWER: Duration = Duration::from_secs(1);
/// Lines of the server that a message has.
const LAST: usize = 15;
/// Bytes of an answer that are read: its first line is all that matters.
const MAX_ANSWER: usize = 4096;
/// Ports that are tried, from this one.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// How a program says that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// This answers well.
    Http {
        /// The whole, for messages.
        url: String,
        /// `HOST:PORT`.
        host: String,
        /// From the first `/`.
        path: String,
    },
    /// It prints this.
    Line(String),
}

impl Sign {
    /// The sign of `ready`, with its places filled in.
    pub(super) fn of<E>(ready: &Ready, fill: impl Fn(&Template) -> Result<String, E>) -> Result<Self, E> {
        let Some(url) = &ready.http else {
            return Ok(Self::Line(ready.line.clone().unwrap_or_default()));
        };
        let url = fill(url)?;
        let rest = url.strip_prefix("http://").unwrap_or(&url);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self::Http { host, path: format!("/{path}"), url })
    }

    /// Whether it is given now; `line` is whether it was printed.
    fn is_given(&self, heard: &Heard) -> bool {
        match self {
            Self::Line(_) => heard.sign,
            Self::Http { host, path, .. } => answers(host, path),
        }
    }
}

impl std::fmt::Display for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http { url, .. } => write!(f, "{url} did not answer well"),
            Self::Line(line) => write!(f, "it did not print `{line}`"),
        }
    }
}

/// Whether `path` of a host that is this machine is answered with a status of 200 to 399 (RFC 9112, section 4).
fn answers(host: &str, path: &str) -> bool {
    let here: Vec<SocketAddr> = host
        .to_socket_addrs()
        .map(|all| all.filter(|it| it.ip().is_loopback()).collect())
        .unwrap_or_default();
    here.into_iter().any(|address| status(address, host, path).is_some_and(|it| (200..400).contains(&it)))
}

fn status(address: SocketAddr, host: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.set_write_timeout(Some(ANSWER)).ok()?;
    // In one piece: a small server may not read twice.
    let question = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    let begun = Instant::now();
    while !answer.contains(&b'\n') && answer.len() < MAX_ANSWER && begun.elapsed() < ANSWER {
        match stream.read(&mut piece).ok()? {
            0 => break,
            n => answer.extend(&piece[..n]),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

/// A port of this machine that nobody listens on; the same for the same `seed` as long as that is so.
pub(super) fn free_port(seed: &str) -> u16 {
    let digest = Digest::of(seed.as_bytes());
    let first = u16::from_le_bytes([digest.bytes()[0], digest.bytes()[1]]) % PORTS;
    let port = |n: u16| FIRST_PORT + (first + n) % PORTS;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..PORTS).map(port).find(is_free).unwrap_or(FIRST_PORT + first)
}

/// What was heard of the server.
#[derive(Debug, Default)]
struct Heard {
    last: VecDeque<String>,
    sign: bool,
    ended: Option<Exit>,
}

impl Heard {
    fn last_lines(&self) -> String {
        self.last.iter().map(|line| format!("\n{line}")).collect()
    }
}

/// Runs `client` while `server` runs, once that has given its `sign`.
pub(super) fn run_beside(
    cx: &Cx<'_>,
    server: &Cmd,
    sign: &Sign,
    within: Millis,
    client: &Cmd,
) -> Result<(), BesideError> {
    (cx.emit)(EventKind::Command { line: server.to_string() });
    let mut process = cx.runner.spawn(server)?;
    let heard = Mutex::new(Heard::default());
    let (done, gone) = (AtomicBool::new(false), Cancel::default());
    thread::scope(|scope| {
        scope.spawn(|| attend(cx, server, &mut *process, sign, &heard, &done, &gone));
        let result = wait(cx, server, sign, within, &heard).and_then(|()| {
            let result = run(&Cx { cancel: &gone, ..*cx }, client);
            let heard = heard.lock().expect("nobody panics with it");
            match (result, heard.ended) {
                (Ok(_), _) => Ok(()),
                (Err(RunError::Cancelled), Some(exit)) if !cx.cancel.is_cancelled() => {
                    Err(BesideError::Ended { server: server.to_string(), exit, last: heard.last_lines() })
                }
                (Err(error), _) => Err(BesideError::Run(error)),
            }
        });
        done.store(true, Ordering::Release);
        result
    })
}

/// Listens to the server until it ends or the client is `done`; then makes sure that it has ended.
fn attend(
    cx: &Cx<'_>,
    server: &Cmd,
    process: &mut dyn Process,
    sign: &Sign,
    heard: &Mutex<Heard>,
    done: &AtomicBool,
    gone: &Cancel,
) {
    let (mut out, mut err) = (Lines::default(), Lines::default());
    let mut asked: Option<Instant> = None;
    loop {
        if cx.cancel.is_cancelled() {
            gone.cancel();
        }
        if done.load(Ordering::Acquire) && asked.is_none() {
            process.terminate();
            asked = Some(Instant::now());
        }
        if asked.is_some_and(|asked| asked.elapsed() > GRACE) {
            break;
        }
        match process.poll(PATIENCE) {
            Poll::Output(stream, bytes) => {
                let lines = if stream == Stream::Stdout { &mut out } else { &mut err };
                for line in lines.push(&bytes) {
                    hear(cx, server, stream, &line, sign, heard);
                }
            }
            Poll::Nothing => (),
            Poll::Ended(exit) => {
                for (stream, line) in [(Stream::Stdout, out.unfinished()), (Stream::Stderr, err.unfinished())]
                {
                    if !line.is_empty() {
                        hear(cx, server, stream, &line, sign, heard);
                    }
                }
                heard.lock().expect("nobody panics with it").ended = Some(exit);
                gone.cancel();
                break;
            }
        }
    }
    process.kill(); // What it started and did not wait for must not outlive it.
}

fn hear(cx: &Cx<'_>, server: &Cmd, stream: Stream, line: &str, sign: &Sign, heard: &Mutex<Heard>) {
    let text = server.redact(line);
    {
        let mut heard = heard.lock().expect("nobody panics with it");
        heard.sign |= matches!(sign, Sign::Line(wanted) if line.contains(wanted.as_str()));
        if heard.last.len() == LAST {
            heard.last.pop_front();
        }
        heard.last.push_back(text.clone());
    }
    (cx.emit)(EventKind::Line { stream, text });
}

/// Waits for the sign.
fn wait(
    cx: &Cx<'_>,
    server: &Cmd,
    sign: &Sign,
    within: Millis,
    heard: &Mutex<Heard>,
) -> Result<(), BesideError> {
    let begun = Instant::now();
    loop {
        if cx.cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let given = match sign {
            Sign::Http { .. } => sign.is_given(&Heard::default()),
            Sign::Line(_) => sign.is_given(&heard.lock().expect("nobody panics with it")),
        };
        let heard = heard.lock().expect("nobody panics with it");
        let (server, last) = (|| server.to_string(), || heard.last_lines());
        if let Some(exit) = heard.ended {
            return Err(BesideError::Ended { server: server(), exit, last: last() });
        }
        if given {
            let waited = Millis::new(begun.elapsed().as_millis() as u64);
            drop(heard);
            cx.note(format!("the program beside it was ready after {waited}"));
            return Ok(());
        }
        if begun.elapsed() > within.duration() {
            let sign = sign.to_string();
            return Err(BesideError::NotReady { server: server(), within, sign, last: last() });
        }
        drop(heard);
        thread::park_timeout(PATIENCE);
    }
}

/// The program beside a command did not do what it is there for.
#[derive(Debug, Error)]
pub enum BesideError {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It gave no sign in time, and was stopped.
    #[error("`{server}` was not ready within {within}: {sign}{}", said(last))]
    NotReady {
        /// The command line, ready to paste.
        server: String,
        /// How long it had.
        within: Millis,
        /// The sign that was not given.
        sign: String,
        /// What it printed last.
        last: String,
    },
    /// It ended before the command did.
    #[error("`{server}` {exit} while it was still needed{}", said(last))]
    Ended {
        /// The command line, ready to paste.
        server: String,
        /// How it ended.
        exit: Exit,
        /// What it printed last.
        last: String,
    },
    /// The command itself did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
}

fn said(last: &str) -> String {
    if last.is_empty() { "; it printed nothing".to_owned() } else { format!("; its last lines:{last}") }
}

impl Explain for BesideError {
    fn class(&self) -> Class {
        match self {
            Self::Spawn(_) => Class::Environment,
            Self::NotReady { .. } | Self::Ended { .. } => Class::Step,
            Self::Run(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => error.hint(),
            Self::NotReady { .. } => Some("raise `within`, or find out why it takes so long".to_owned()),
            Self::Ended { .. } => None,
            Self::Run(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests;
