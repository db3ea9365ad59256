//! Bytes from a URL, once, without believing them.

use std::{
    io::{self, Read},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

use bootway_exec::Cancel;
use camino::Utf8PathBuf;
use thiserror::Error;
use ureq::Agent;

/// How often cancellation is looked at while nothing comes.
const PATIENCE: Duration = Duration::from_millis(50);

/// A server that says nothing for this long has forgotten us.
const SILENCE: Duration = Duration::from_mins(1);

/// Name lookup and connection: further away than anything on Earth.
const CONNECT: Duration = Duration::from_secs(20);

/// Bytes that are handed over at once.
const CHUNK: usize = 128 << 10;

/// Chunks that may wait.
const QUEUE: usize = 8;

/// Gets things from URLs; `http_proxy` and its relatives in the environment are respected.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
}

/// Why one transfer failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TransferFault {
    /// The same again would fail again.
    #[error("{0}")]
    Permanent(String),
    /// It may work in a moment.
    #[error("{0}")]
    Transient(String),
    /// The server cannot go on where an earlier transfer stopped; from the beginning it may work.
    #[error("{0}")]
    Range(String),
}

/// What stops a transfer.
#[derive(Debug)]
pub(crate) enum TransferStop {
    Fault(TransferFault),
    /// What was received could not be stored.
    Io(io::Error),
    Cancelled,
}

enum Message {
    Begin { start: u64, total: Option<u64> },
    Bytes(Vec<u8>),
    End,
    Failed(TransferFault),
}

/// What becomes of a transfer's bytes.
pub(crate) trait Sink {
    /// Bytes will come, of which the first is number `start` of the whole; that has `total` bytes, if the server says so.
    /// `start` is where the transfer was to begin, or 0 if the server knows only whole files.
    fn begin(&mut self, start: u64, total: Option<u64>) -> io::Result<()>;
    /// Bytes came.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Client {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("bootway/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Self { agent: config.into() }
    }

    /// Gives the bytes at `url` from number `start` on to `sink`; the whole has at most `limit` bytes.
    ///
    /// Reading happens in a thread of its own, so that a silent server does not hold up a cancellation; the thread
    /// ends at the latest when the server has been silent for a minute.
    pub(crate) fn get(
        &self,
        url: &str,
        start: u64,
        limit: u64,
        cancel: &Cancel,
        sink: &mut dyn Sink,
    ) -> Result<(), TransferStop> {
        let (sender, messages) = sync_channel(QUEUE);
        let (agent, address) = (self.agent.clone(), url.to_owned());
        std::thread::spawn(move || {
            if let Err(fault) = receive(&agent, &address, start, &sender) {
                // Nobody listens after a cancellation.
                let _ = sender.send(Message::Failed(fault));
            }
        });
        let mut received = 0;
        loop {
            if cancel.is_cancelled() {
                return Err(TransferStop::Cancelled);
            }
            match messages.recv_timeout(PATIENCE) {
                Ok(Message::Begin { start, total }) => {
                    received = start;
                    sink.begin(start, total).map_err(TransferStop::Io)?;
                }
                Ok(Message::Bytes(bytes)) => {
                    received += bytes.len() as u64;
                    if received > limit {
                        let reason = format!("it sends more than the {limit} bytes that it should");
                        return Err(TransferStop::Fault(TransferFault::Permanent(reason)));
                    }
                    sink.bytes(&bytes).map_err(TransferStop::Io)?;
                }
                Ok(Message::End) => return Ok(()),
                Ok(Message::Failed(fault)) => return Err(TransferStop::Fault(fault)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(TransferStop::Io(io::Error::other("the receiving thread died")));
                }
            }
        }
    }
}

fn receive(agent: &Agent, url: &str, start: u64, sender: &SyncSender<Message>) -> Result<(), TransferFault> {
    let (begin, mut body) = if url.starts_with("file:") { open(url)? } else { request(agent, url, start)? };
    let is_local = url.starts_with("file:");
    let mut said = sender.send(begin).is_ok();
    while said {
        let mut chunk = vec![0; CHUNK];
        let message = match body.read(&mut chunk) {
            Ok(0) => {
                // A failure to say so means that nobody listens.
                let _ = sender.send(Message::End);
                return Ok(());
            }
            Ok(n) => {
                chunk.truncate(n);
                Message::Bytes(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A disk does not get better.
            Err(error) if is_local => return Err(TransferFault::Permanent(error.to_string())),
            Err(error) => return Err(TransferFault::Transient(error.to_string())),
        };
        said = sender.send(message).is_ok();
    }
    Ok(())
}

/// The file that a `file` URL names, from its beginning.
fn open(url: &str) -> Result<(Message, Box<dyn Read>), TransferFault> {
    let path = local(url).ok_or_else(|| TransferFault::Permanent("write `file:///PATH`".to_owned()))?;
    let file = fs_err::File::open(&path).map_err(|error| TransferFault::Permanent(error.to_string()))?;
    let total = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Message::Begin { start: 0, total }, Box::new(file)))
}

/// What a server sends when it is asked for the bytes from number `start` on.
///
/// Source: RFC 9110, section 14: `206 Partial Content`, `416 Range Not Satisfiable`; a server may ignore `Range`.
fn request(agent: &Agent, url: &str, start: u64) -> Result<(Message, Box<dyn Read>), TransferFault> {
    let mut request = agent.get(url);
    if start > 0 {
        // As it is stored: a part of something that was compressed on the way has other bytes.
        request = request.header("Range", format!("bytes={start}-")).header("Accept-Encoding", "identity");
    }
    let response = request.call().map_err(|error| fault(&error))?;
    let status = response.status();
    if start > 0 && status.as_u16() == 416 {
        return Err(TransferFault::Range(format!("the server answers {status}")));
    }
    if !status.is_success() {
        return Err(refusal(status));
    }
    let is_part = status.as_u16() == 206;
    let total = if is_part {
        let said = response.headers().get("Content-Range").and_then(|value| value.to_str().ok());
        match said.and_then(content_range) {
            Some((first, total)) if first == start => total,
            _ => {
                let said = said.unwrap_or("nothing");
                return Err(TransferFault::Range(format!(
                    "asked for byte {start}, the server says `{said}`"
                )));
            }
        }
    } else {
        None
    };
    let body = response.into_body();
    let total = if is_part { total } else { body.content_length() };
    Ok((Message::Begin { start: if is_part { start } else { 0 }, total }, Box::new(body.into_reader())))
}

/// The first byte and the size of the whole of `bytes 5-14/15`; `*` is a size that is not known.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

fn refusal(status: ureq::http::StatusCode) -> TransferFault {
    let text = format!("the server answers {status}");
    let busy = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if busy { TransferFault::Transient(text) } else { TransferFault::Permanent(text) }
}

fn fault(error: &ureq::Error) -> TransferFault {
    match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::RedirectFailed
        | ureq::Error::TooManyRedirects
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_) => TransferFault::Permanent(error.to_string()),
        _ => TransferFault::Transient(error.to_string()),
    }
}

/// The path of a `file` URL, if it names one of this machine.
fn local(url: &str) -> Option<Utf8PathBuf> {
    let rest = url.strip_prefix("file://")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if path.starts_with('/') { percent_decoded(path).map(Utf8PathBuf::from) } else { None }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether `url` is of a kind that [`Client::get`] can get.
pub(crate) fn is_supported(url: &str) -> bool {
    ["http://", "https://", "file://"].iter().any(|scheme| url.starts_with(scheme))
}
