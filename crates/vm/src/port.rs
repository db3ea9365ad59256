//! The host's end of a guest's virtio port.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use camino::Utf8Path;

use crate::{command::PORT, socket};

/// A connection that is made as soon as QEMU listens; never waits.
#[derive(Debug)]
pub(crate) struct Port {
    dir: OwnedFd,
    stream: Option<UnixStream>,
    unsent: Vec<u8>,
}

/// What is read at once: a guest that never stops does not keep everybody else waiting.
const READ_LIMIT: usize = 1 << 20;

impl Port {
    /// Of the QEMU that runs in `dir`.
    pub(crate) fn new(dir: &Utf8Path) -> std::io::Result<Self> {
        Ok(Self { dir: socket::dir(dir)?, stream: None, unsent: Vec::new() })
    }

    /// Sends `text` as soon as the guest reads.
    pub(crate) fn write(&mut self, text: &[u8]) {
        self.unsent.extend_from_slice(text);
        self.send();
    }

    /// What the guest said since this was called last.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        if self.stream.is_none() {
            self.stream = socket::connect(&self.dir, PORT);
        }
        self.send();
        let mut text = Vec::new();
        let Some(stream) = &mut self.stream else { return text };
        let mut buffer = vec![0; 64 << 10];
        while text.len() < READ_LIMIT {
            match stream.read(&mut buffer) {
                Ok(n @ 1..) => text.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break, // Nothing more for now, or for ever: the process will say which.
            }
        }
        text
    }

    fn send(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(n @ 1..) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
    }
}
