//! The kept guests of a user, as somebody finds them who comes later.

use std::{io, os::unix::net::UnixStream};

use bootway_plan::{Class, Explain, nearest};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::{
    PATIENCE, registry,
    words::{Answer, CONSOLE, CONTROL, KeptGuest, Request, ask},
};
use crate::socket;

/// The kept guests of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guests {
    registry: Utf8PathBuf,
}

impl Guests {
    /// Those that are found in `registry`, a directory that is the user's own and has a short path: a socket's has at
    /// most 107 bytes, and there is one for each guest, `registry/NAME/console.sock`.
    pub fn new(registry: impl Into<Utf8PathBuf>) -> Self {
        Self { registry: registry.into() }
    }

    /// Where they are found; it is there now.
    pub(super) fn registry(&self) -> io::Result<Utf8PathBuf> {
        registry::make(&self.registry)?;
        Ok(self.registry.clone())
    }

    /// All of them, by name. What is left of those that nobody looks after any more is removed.
    ///
    /// # Errors
    ///
    /// If they cannot be looked for; that one does not answer makes it [`GuestError::Mute`].
    pub fn list(&self) -> Result<Vec<KeptGuest>, GuestError> {
        let mut guests = Vec::new();
        for name in self.names()? {
            match self.who(&name) {
                Ok(guest) => guests.push(guest),
                Err(GuestError::None { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(guests)
    }

    /// The one that is called `name`, or the only one.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one and no name.
    pub fn find(&self, name: Option<&str>) -> Result<KeptGuest, GuestError> {
        if let Some(name) = name {
            return self.who(name);
        }
        let mut guests = self.list()?;
        match (guests.pop(), guests.is_empty()) {
            (None, _) => Err(GuestError::Nobody),
            (Some(guest), true) => Ok(guest),
            (Some(last), false) => {
                let names = guests.into_iter().chain([last]).map(|guest| guest.name).collect();
                Err(GuestError::Several { names })
            }
        }
    }

    /// A connection to the serial console of the one that is called `name`: raw bytes both ways, after the last few
    /// thousand that the guest printed.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not answer.
    pub fn console(&self, name: &str) -> Result<UnixStream, GuestError> {
        self.reach(name, CONSOLE)
    }

    /// Ends the one that is called `name`, and nobody else. Nothing of it is left when this returns.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not answer.
    pub fn stop(&self, name: &str) -> Result<(), GuestError> {
        match self.ask(name, &Request::Stop)? {
            Answer::Stopped => Ok(()),
            Answer::Guest(_) => Err(mute(name, io::Error::other("it says that it goes on"))),
            Answer::Refused(why) => Err(mute(name, io::Error::other(why))),
        }
    }

    fn who(&self, name: &str) -> Result<KeptGuest, GuestError> {
        match self.ask(name, &Request::Who)? {
            Answer::Guest(guest) => Ok(guest),
            Answer::Stopped => Err(self.none(name)),
            Answer::Refused(why) => Err(mute(name, io::Error::other(why))),
        }
    }

    fn ask(&self, name: &str, request: &Request) -> Result<Answer, GuestError> {
        let stream = self.reach(name, CONTROL)?;
        ask(stream, request, PATIENCE).map_err(|error| mute(name, error))
    }

    fn reach(&self, name: &str, socket: &str) -> Result<UnixStream, GuestError> {
        if !self.names()?.iter().any(|it| it == name) {
            return Err(self.none(name));
        }
        let place = self.registry.join(name);
        if registry::is_dead(&place) {
            registry::forget(&place).map_err(|error| self.failed(error))?;
            return Err(self.none(name));
        }
        let stream = socket::dir(&place).and_then(|dir| socket::reach(&dir, socket));
        stream.map_err(|error| mute(name, error))
    }

    /// Everything that is called like a guest; not what somebody else has put there.
    fn names(&self) -> Result<Vec<String>, GuestError> {
        let entries = match self.registry.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        registry::make(&self.registry).map_err(|error| self.failed(error))?;
        let links = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        let mut names: Vec<String> = links.map(|entry| entry.file_name().to_owned()).collect();
        names.sort();
        Ok(names)
    }

    fn none(&self, name: &str) -> GuestError {
        GuestError::None { name: name.to_owned(), known: self.names().unwrap_or_default() }
    }

    fn failed(&self, source: io::Error) -> GuestError {
        GuestError::Io { registry: self.registry.clone(), source }
    }
}

fn mute(name: &str, source: io::Error) -> GuestError {
    GuestError::Mute { name: name.to_owned(), source }
}

/// A kept guest was not found, or not reached.
#[derive(Debug, Error)]
pub enum GuestError {
    /// None is kept.
    #[error("no guest is kept")]
    Nobody,
    /// None is called that.
    #[error("no guest called `{name}` is kept")]
    None {
        /// What it was to be called.
        name: String,
        /// What those are called that are.
        known: Vec<String>,
    },
    /// Which one is meant was not said.
    #[error("{} guests are kept: {}", names.len(), names.join(", "))]
    Several {
        /// What they are called.
        names: Vec<String>,
    },
    /// Who looks after it does not answer.
    #[error("who looks after the guest `{name}` does not answer")]
    Mute {
        /// What it is called.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// They could not be looked for.
    #[error("cannot look for kept guests in `{registry}`")]
    Io {
        /// Where.
        registry: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Explain for GuestError {
    fn class(&self) -> Class {
        match self {
            Self::Nobody | Self::None { .. } | Self::Several { .. } => Class::Nothing,
            Self::Mute { .. } | Self::Io { .. } => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Nobody => Some("one that is not good is kept by `bootway vm run --debug`".to_owned()),
            Self::None { known, .. } if known.is_empty() => Self::Nobody.hint(),
            Self::None { name, known } => {
                let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                Some(near.map_or_else(
                    || format!("these are: {}", known.join(", ")),
                    |near| format!("did you mean `{near}`"),
                ))
            }
            Self::Several { .. } => Some("name the one that is meant, or say `--all` to stop all".to_owned()),
            Self::Mute { .. } => Some("`bootway vm list` says which process that is".to_owned()),
            Self::Io { .. } => Some("set `XDG_RUNTIME_DIR` to a directory that is yours".to_owned()),
        }
    }
}

impl Guests {
    /// Those of the user, whose `$XDG_RUNTIME_DIR` is `runtime` if there is one.
    pub fn of_user(runtime: Option<&Utf8Path>) -> Self {
        if let Some(dir) = runtime.filter(|dir| dir.is_absolute()) {
            return Self::new(dir.join("bootway"));
        }
        let name = format!("bootway-{}", rustix::process::geteuid().as_raw());
        let temp = Utf8PathBuf::from_path_buf(std::env::temp_dir());
        Self::new(temp.unwrap_or_else(|_| Utf8PathBuf::from("/tmp")).join(name))
    }
}
