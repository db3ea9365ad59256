//! What is said to a keeper, and what it says: a line of JSON each.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use bootway_plan::Millis;
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The socket that a keeper is asked at.
pub(super) const CONTROL: &str = "keeper.sock";

/// The socket of the guest's serial console.
pub(super) const CONSOLE: &str = "console.sock";

/// No line is longer.
const LINE_LIMIT: u64 = 64 << 10;

/// A guest that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeptGuest {
    /// What it is called.
    pub name: String,
    /// Why it is kept.
    pub why: String,
    /// The process of its QEMU.
    pub pid: u32,
    /// The process that looks after it.
    pub keeper: u32,
    /// The socket of its serial console.
    pub console: Utf8PathBuf,
    /// Where its files are, and its other sockets.
    pub dir: Utf8PathBuf,
    /// How long it is kept still.
    pub left: Millis,
}

impl fmt::Display for KeptGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pid, console, left, .. } = self;
        write!(
            f,
            "`bootway vm attach {name}` for {left} from now, or its console at `{console}`; QEMU is process {pid}"
        )
    }
}

/// What a keeper is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// To stay when who asks has ended.
    Keep(Order),
    /// Whom it keeps.
    Who,
    /// To end the guest, and itself.
    Stop,
}

/// How a guest is to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Order {
    /// What it is to be called, if nobody is called that.
    pub(super) name: String,
    pub(super) why: String,
    /// Where its directory goes.
    pub(super) places: Utf8PathBuf,
    /// Where it is found.
    pub(super) registry: Utf8PathBuf,
    /// For how long.
    pub(super) seconds: u64,
}

/// What a keeper answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Guest(KeptGuest),
    /// The guest has ended, and nothing of it is left.
    Stopped,
    /// Why it does not do it.
    Refused(String),
}

/// Asks a keeper.
pub(super) fn ask(mut stream: UnixStream, request: &Request, patience: Duration) -> io::Result<Answer> {
    stream.set_read_timeout(Some(patience))?;
    say(&mut stream, request)?;
    hear(&stream)
}

/// Says something in a line.
pub(super) fn say<T: Serialize>(stream: &mut UnixStream, what: &T) -> io::Result<()> {
    let line = serde_json::to_string(what).expect("words are plain data") + "\n";
    stream.write_all(line.as_bytes())
}

/// Reads what is said in a line.
pub(super) fn hear<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it said nothing"));
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}
