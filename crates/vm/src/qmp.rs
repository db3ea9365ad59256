//! QEMU's control socket: what the machine does, as opposed to what the guest prints.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::{command::SOCKET, socket};

/// What happened to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MachineEvent {
    /// It began to run.
    Resumed,
    /// It was reset.
    Reset(Cause),
    /// It was switched off.
    Shutdown(Cause),
    /// Its kernel says that it panicked.
    Panicked,
    /// Its state is on its way out or in: how far that is, in QEMU's word.
    Migration(String),
    /// The guest ejected the disc of this drive.
    Ejected(String),
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The guest, and not somebody on the host.
    pub(crate) guest: bool,
    /// QEMU's word for it, such as `guest-shutdown`.
    pub(crate) reason: String,
}

/// What QEMU is asked to do; each is answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Give the kernel this command line; before the machine is made.
    Cmdline(String),
    /// Make the machine, which was waiting for it.
    Make,
    /// Start the guest, which was waiting for it.
    Start,
    /// Write `size` bytes of memory at `address` to `file`.
    Memory { address: u64, size: u64, file: &'static str },
    /// Press these keys together.
    Keys(Vec<&'static str>),
    /// Leave memory that is in a shared file out of the state, and tell how far it has come.
    Capabilities,
    /// Send the state to this socket, which somebody else has made.
    Save(&'static str),
    /// Take the state from this socket, which QEMU makes.
    Load(&'static str),
    /// Why there is no state.
    Migration,
    /// Let this port of the host lead to a port of the guest.
    Forward { host: u16, guest: u16 },
    /// Write a picture of the screen to this file.
    Picture(String),
    /// Take the disc out of this drive, which is open: QEMU shuts it when the machine is reset.
    TakeOut(String),
    /// End.
    Quit,
}

impl Request {
    /// QEMU's word for it. Source: QEMU QMP reference.
    pub(crate) const fn command(&self) -> &'static str {
        match self {
            Self::Cmdline(_) => "qom-set",
            Self::Make => "x-exit-preconfig",
            Self::Start => "cont",
            Self::Memory { .. } => "pmemsave",
            Self::Keys(_) => "send-key",
            Self::Capabilities => "migrate-set-capabilities",
            Self::Save(_) => "migrate",
            Self::Load(_) => "migrate-incoming",
            Self::Migration => "query-migrate",
            Self::Forward { .. } => "human-monitor-command",
            Self::Picture(_) => "screendump",
            Self::TakeOut(_) => "eject",
            Self::Quit => "quit",
        }
    }

    fn arguments(&self) -> Value {
        match self {
            Self::Cmdline(line) => json!({"path": "/machine", "property": "append", "value": line}),
            Self::Make | Self::Start | Self::Migration | Self::Quit => json!({}),
            Self::Capabilities => {
                let on = |name: &str| json!({"capability": name, "state": true});
                json!({"capabilities": [on("x-ignore-shared"), on("events")]})
            }
            Self::Save(socket) | Self::Load(socket) => json!({"uri": format!("unix:{socket}")}),
            Self::Forward { host, guest } => {
                json!({"command-line": format!("hostfwd_add net0 tcp:127.0.0.1:{host}-:{guest}")})
            }
            Self::Picture(file) => json!({"filename": file, "format": "png"}),
            Self::TakeOut(drive) => json!({"device": drive, "force": true}),
            Self::Memory { address, size, file } => json!({"val": address, "size": size, "filename": file}),
            Self::Keys(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| json!({"type": "qcode", "data": key})).collect();
                json!({"keys": keys})
            }
        }
    }
}

/// What QEMU said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Something happened to the machine.
    Event(MachineEvent),
    /// It did this, and answered so.
    Done(Request, Value),
    /// It did not do this, and why.
    Refused(Request, String),
}

/// A connection that is made as soon as QEMU listens; never waits.
#[derive(Debug)]
pub(crate) struct Qmp {
    /// The directory of the socket, by handle: a socket's path has at most 107 bytes.
    dir: OwnedFd,
    stream: Option<UnixStream>,
    received: Vec<u8>,
    /// What was not sent yet: nothing is, before QEMU's greeting.
    unsent: Vec<u8>,
    greeted: bool,
    /// It has answered at least once.
    answering: bool,
    /// Sent, and not answered: QEMU answers in order, and says which it means.
    open: VecDeque<(u64, Request)>,
    counter: u64,
}

/// What is said in answer to QEMU's greeting: no extensions.
const OPENING: &[u8] = br#"{"execute":"qmp_capabilities"}"#;

/// QEMU's messages have some hundred bytes; more without an end of line is not QEMU.
const MESSAGE_LIMIT: usize = 1 << 20;

impl Qmp {
    /// For the QEMU that runs in `dir`, which is asked for `first` as soon as it listens.
    pub(crate) fn new(dir: &Utf8Path, first: impl IntoIterator<Item = Request>) -> std::io::Result<Self> {
        let mut qmp = Self {
            dir: socket::dir(dir)?,
            stream: None,
            received: Vec::new(),
            unsent: OPENING.to_vec(),
            greeted: false,
            answering: false,
            open: VecDeque::new(),
            counter: 0,
        };
        first.into_iter().for_each(|request| qmp.ask(request));
        Ok(qmp)
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether QEMU has answered, and not only greeted.
    pub(crate) const fn is_answering(&self) -> bool {
        self.answering
    }

    /// Asks for `request`; it is sent when QEMU reads.
    pub(crate) fn ask(&mut self, request: Request) {
        self.counter += 1;
        let command = json!({
            "execute": request.command(), "arguments": request.arguments(), "id": self.counter
        });
        self.unsent.extend_from_slice(command.to_string().as_bytes());
        self.open.push_back((self.counter, request));
    }

    /// What was said since this was called last.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        self.connect();
        self.receive();
        let mut messages = Vec::new();
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            // What is not JSON is not for us.
            let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
            self.greeted |= message.get("QMP").is_some();
            self.answering |= message.get("return").is_some();
            messages.extend(event(&message).map(Message::Event));
            messages.extend(self.answer(&message));
        }
        self.send();
        messages
    }

    /// What `message` answers, if it is an answer.
    fn answer(&mut self, message: &Value) -> Option<Message> {
        let id = message.get("id")?.as_u64()?;
        let at = self.open.iter().position(|(open, _)| *open == id)?;
        let (_, request) = self.open.remove(at)?;
        let Some(error) = message.get("error") else {
            return Some(Message::Done(request, message.get("return").cloned().unwrap_or_default()));
        };
        let why = error.get("desc").and_then(Value::as_str).unwrap_or("for no reason").to_owned();
        Some(Message::Refused(request, why))
    }

    /// Connects, if QEMU listens by now.
    fn connect(&mut self) {
        if self.stream.is_none() {
            self.stream = socket::connect(&self.dir, SOCKET);
        }
    }

    fn send(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| self.greeted) else { return };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(n @ 1..) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not now, or never: if QEMU has ended, its process will say so.
                Ok(0) | Err(_) => break,
            }
        }
    }

    fn receive(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 4096];
        while self.received.len() < MESSAGE_LIMIT {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break, // Nothing more for now, or for ever: the process will say which.
            }
        }
    }
}

/// Source: QEMU QMP reference, "Run state".
fn event(message: &Value) -> Option<MachineEvent> {
    let cause = || {
        let data = message.get("data");
        let guest = data.and_then(|data| data.get("guest")).and_then(Value::as_bool).unwrap_or(false);
        let reason =
            data.and_then(|data| data.get("reason")).and_then(Value::as_str).unwrap_or("for no reason");
        Cause { guest, reason: reason.to_owned() }
    };
    match message.get("event")?.as_str()? {
        "RESUME" => Some(MachineEvent::Resumed),
        "RESET" => Some(MachineEvent::Reset(cause())),
        "SHUTDOWN" => Some(MachineEvent::Shutdown(cause())),
        "GUEST_PANICKED" => Some(MachineEvent::Panicked),
        "MIGRATION" => {
            let status = message.get("data").and_then(|data| data.get("status")).and_then(Value::as_str);
            status.map(|status| MachineEvent::Migration(status.to_owned()))
        }
        "DEVICE_TRAY_MOVED" => {
            let data =
                message.get("data").filter(|data| data.get("tray-open") == Some(&Value::Bool(true)))?;
            Some(MachineEvent::Ejected(data.get("device")?.as_str()?.to_owned()))
        }
        _ => None, // There are dozens, and more in each version.
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd as _, unix::net::UnixListener};

    use super::*;

    #[test]
    fn events_are_told_apart() {
        let of = |text: &str| event(&serde_json::from_str(text).unwrap());
        let cause = |guest, reason: &str| Cause { guest, reason: reason.to_owned() };
        assert_eq!(
            of(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#),
            Some(MachineEvent::Shutdown(cause(true, "guest-shutdown")))
        );
        assert_eq!(
            of(r#"{"event": "RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}}"#),
            Some(MachineEvent::Reset(cause(false, "host-qmp-system-reset")))
        );
        assert_eq!(of(r#"{"return": {}}"#), None);
        assert_eq!(of(r#"{"event": "RTC_CHANGE", "data": {}}"#), None);
        let tray = |open| {
            of(&format!(
                r#"{{"event": "DEVICE_TRAY_MOVED", "data": {{"device": "disk0", "tray-open": {open}}}}}"#
            ))
        };
        assert_eq!(tray(true), Some(MachineEvent::Ejected("disk0".to_owned())));
        assert_eq!(tray(false), None);
    }

    /// The directory is deeper than a socket's path can be long, the greeting comes in pieces, and nothing waits.
    #[test]
    fn a_deep_directory_and_a_slow_peer_do_no_harm() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap().join("d".repeat(120)).join("e".repeat(120));
        fs_err::create_dir_all(&dir).unwrap();
        let mut qmp = Qmp::new(&dir, [Request::Start]).unwrap();
        assert_eq!(qmp.messages(), []);
        assert!(!qmp.is_connected());
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", qmp.dir.as_raw_fd())).unwrap();
        assert_eq!(qmp.messages(), []);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(br#"{"QMP": {"ver"#).unwrap();
        assert_eq!(qmp.messages(), []);
        peer.write_all(b"sion\": {}}}\r\n{\"event\": \"RESUME\"}\r\n{\"ev").unwrap();
        assert_eq!(qmp.messages(), [Message::Event(MachineEvent::Resumed)]);
        let wanted = br#"{"execute":"qmp_capabilities"}{"arguments":{},"execute":"cont","id":1}"#;
        let mut said = vec![0; wanted.len()];
        peer.read_exact(&mut said).unwrap();
        assert_eq!(said, wanted);
        drop(peer);
        assert_eq!(qmp.messages(), []);
    }

    #[test]
    fn an_answer_is_told_with_what_it_answers() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let listener = UnixListener::bind(dir.join(SOCKET)).unwrap();
        let cmdline = || Request::Cmdline("a \"b\"".to_owned());
        let mut qmp = Qmp::new(dir, [cmdline(), Request::Make]).unwrap();
        assert_eq!(qmp.messages(), []);
        let (mut peer, _) = listener.accept().unwrap();
        let keys = Request::Keys(vec!["shift", "a"]);
        qmp.ask(keys.clone());
        peer.write_all(b"{\"QMP\": {}}\n{\"return\": {}}\n{\"return\": {}, \"id\": 1}\n").unwrap();
        assert!(!qmp.is_answering(), "nobody has answered");
        assert_eq!(qmp.messages(), [Message::Done(cmdline(), json!({}))]);
        assert!(qmp.is_answering());
        peer.write_all(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 2}\n").unwrap();
        peer.write_all(b"{\"return\": {}, \"id\": 3}\n{\"return\": {}, \"id\": 3}\n{\"id\": -1}\n").unwrap();
        let wanted = [Message::Refused(Request::Make, "no".to_owned()), Message::Done(keys, json!({}))];
        assert_eq!(qmp.messages(), wanted);
        drop(qmp);
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        insta::assert_snapshot!(said.replace("}{", "}\n{"), @r#"
        {"execute":"qmp_capabilities"}
        {"arguments":{"path":"/machine","property":"append","value":"a \"b\""},"execute":"qom-set","id":1}
        {"arguments":{},"execute":"x-exit-preconfig","id":2}
        {"arguments":{"keys":[{"data":"shift","type":"qcode"},{"data":"a","type":"qcode"}]},"execute":"send-key","id":3}
        "#);
    }
}
