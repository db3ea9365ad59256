//! QEMU's control socket: what the machine does, as opposed to what the guest prints.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags, open};
use serde_json::Value;

use crate::command::SOCKET;

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
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The guest, and not somebody on the host.
    pub(crate) guest: bool,
    /// QEMU's word for it, such as `guest-shutdown`.
    pub(crate) reason: String,
}

/// A connection that is made as soon as QEMU listens; never waits.
#[derive(Debug)]
pub(crate) struct Qmp {
    /// The directory of the socket, by handle: a socket's path has at most 107 bytes.
    dir: OwnedFd,
    stream: Option<UnixStream>,
    received: Vec<u8>,
}

/// What is said in answer to QEMU's greeting: no extensions; start the guest, which was waiting for it.
const OPENING: &[u8] = br#"{"execute":"qmp_capabilities"}{"execute":"cont"}"#;

/// QEMU's messages have some hundred bytes; more without an end of line is not QEMU.
const MESSAGE_LIMIT: usize = 1 << 20;

impl Qmp {
    /// For the QEMU that runs in `dir`.
    pub(crate) fn new(dir: &Utf8Path) -> std::io::Result<Self> {
        let dir = open(dir.as_std_path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, stream: None, received: Vec::new() })
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// What happened since it was asked last.
    pub(crate) fn events(&mut self) -> Vec<MachineEvent> {
        self.connect();
        self.receive();
        let mut events = Vec::new();
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            // What is not JSON is not for us.
            let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
            if message.get("QMP").is_some()
                && let Some(stream) = &mut self.stream
            {
                // If it cannot be written, QEMU has ended, and its process will say so.
                let _ = stream.write_all(OPENING);
            }
            events.extend(event(&message));
        }
        events
    }

    /// Connects, if QEMU listens by now.
    fn connect(&mut self) {
        if self.stream.is_none()
            && let Ok(stream) =
                UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd()))
            && stream.set_nonblocking(true).is_ok()
        {
            self.stream = Some(stream);
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
        _ => None, // There are dozens, and more in each version.
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

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
    }

    /// The directory is deeper than a socket's path can be long, the greeting comes in pieces, and nothing waits.
    #[test]
    fn a_deep_directory_and_a_slow_peer_do_no_harm() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap().join("d".repeat(120)).join("e".repeat(120));
        fs_err::create_dir_all(&dir).unwrap();
        let mut qmp = Qmp::new(&dir).unwrap();
        assert_eq!(qmp.events(), []);
        assert!(!qmp.is_connected());
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", qmp.dir.as_raw_fd())).unwrap();
        assert_eq!(qmp.events(), []);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(br#"{"QMP": {"ver"#).unwrap();
        assert_eq!(qmp.events(), []);
        peer.write_all(b"sion\": {}}}\r\n{\"event\": \"RESUME\"}\r\n{\"ev").unwrap();
        assert_eq!(qmp.events(), [MachineEvent::Resumed]);
        let mut said = vec![0; OPENING.len()];
        peer.read_exact(&mut said).unwrap();
        assert_eq!(said, OPENING);
        drop(peer);
        assert_eq!(qmp.events(), []);
    }
}
