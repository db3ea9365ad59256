//! What can go wrong in a root.

use std::io;

use bootway_exec::{MissingInput, RunError};
use bootway_plan::{Bytes, Class, Explain, InvalidManifest, ProgramEnd};
use camino::Utf8PathBuf;
use thiserror::Error;

use crate::{inside::Trouble, patch::PatchError, restrict::remedy};

/// A step was not done in its root.
#[derive(Debug, Error)]
pub enum RootError {
    /// The engine forgot it.
    #[error("the step has no root to run in: this is a bug of bootway")]
    NoRoot,
    /// Whoever embeds this crate forgot it.
    #[error("there is no program that could enter a root: `Machine::helper` is empty")]
    NoHelper,
    /// The engine forgot it.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// The root cannot be made up, or nothing can be started in it.
    #[error("{}: {what}: {why}", trouble.what())]
    Refused {
        /// What stood in the way.
        trouble: Trouble,
        /// What was tried.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// The program did not end well.
    #[error("`{}` {}", shown(argv), ended(*code, *signal))]
    Failed {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// It was started, and nobody knows how it ended.
    #[error("the program that enters the root ended without a verdict: somebody may have ended it")]
    NoVerdict,
    /// It took too much.
    #[error("stopped before it could fill the disk: {free} are left where `{dir}` is")]
    DiskFull {
        /// Where it wrote.
        dir: Utf8PathBuf,
        /// What is left.
        free: Bytes,
    },
    /// The kernel cannot do it.
    #[error("this root is made of {count} trees, and the kernel can put 500 over each other")]
    TooManyLayers {
        /// How many.
        count: usize,
    },
    /// The user asks for something that there is not.
    #[error("the environment variable `{name}` is `{value}`")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
    },
    /// What is gone would be seen.
    #[error("a layer says that there is nothing at `{path}`, and overlayfs cannot see that there")]
    Whiteout {
        /// Where there should be a whiteout.
        path: Utf8PathBuf,
    },
    /// It did nothing.
    #[error("it ended well and installed nothing: not one file of the root has changed")]
    Nothing,
    /// It did too much.
    #[error("it removed {} from the root", names.join(", "))]
    Emptied {
        /// What is gone, at the top of the root.
        names: Vec<String>,
    },
    /// The source is not what the strategy wants.
    #[error("strategy `{strategy}` needs `{wanted}` in the source, and it is not there")]
    WrongStrategy {
        /// The one of the plan.
        strategy: &'static str,
        /// What it looks for.
        wanted: String,
        /// The ones that it could be.
        instead: Vec<&'static str>,
    },
    /// An option is not what was asked for.
    #[error("option `{name}` was asked to be `{wanted}`, and is {is} after `make oldconfig`")]
    Option {
        /// Without `CONFIG_`.
        name: String,
        /// In the plan.
        wanted: String,
        /// In `.config`.
        is: String,
    },
    /// A patch does not fit.
    #[error("patch `{name}`")]
    Patch {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: PatchError,
    },
    /// The source cannot be had.
    #[error("{0}")]
    Source(String),
    /// A manifest is no good.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The program could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn shown(argv: &[String]) -> String {
    argv.join(" ")
}

fn ended(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in no way that is known".to_owned(),
    }
}

impl Trouble {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::User => "a user namespace cannot be made",
            Self::Namespace => "a namespace cannot be made",
            Self::Overlay => "the layers of the root cannot be put over each other",
            Self::Mount => "the root cannot be made up",
            Self::Missing => "there is no such program",
            Self::Start => "the program cannot be started",
            Self::Edit => "the root cannot be changed",
        }
    }
}

impl Explain for RootError {
    fn program(&self) -> Option<ProgramEnd> {
        match self {
            Self::Failed { argv, code, signal } => {
                Some(ProgramEnd { command: shown(argv), code: *code, signal: *signal })
            }
            Self::Run(error) => error.program(),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoRoot | Self::NoHelper => Class::Bug,
            Self::Input(error) => error.class(),
            Self::Refused { trouble, .. } => match trouble {
                Trouble::User | Trouble::Namespace | Trouble::Overlay | Trouble::Mount => Class::Environment,
                Trouble::Missing | Trouble::Start | Trouble::Edit => Class::Step,
            },
            Self::Run(error) => error.class(),
            Self::DiskFull { .. } | Self::Setting { .. } | Self::Whiteout { .. } => Class::Environment,
            Self::TooManyLayers { .. } => Class::Plan,
            _ => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Refused { trouble: Trouble::User | Trouble::Namespace, why, .. } => {
                Some(remedy(why, |file| std::fs::read_to_string(file).ok()))
            }
            Self::Setting { .. } => Some("say `overlay` or `copies`, or nothing to have what works".to_owned()),
            Self::Whiteout { .. } => Some("without `BOOTWAY_ROOTS` the root is a copy".to_owned()),
            Self::Refused { trouble: Trouble::Overlay, .. } => Some(
                "the work directory must be on a file system that overlayfs can write to, such as ext4, xfs, btrfs or \
                 tmpfs: `--work DIR`; without `BOOTWAY_ROOTS` roots are copies where it is not"
                    .to_owned(),
            ),
            Self::Refused { trouble: Trouble::Missing, .. } => {
                Some("add what has it to the `rootfs` of the namespace, or build it before".to_owned())
            }
            Self::Failed { .. } => Some("`bootway enter --failed` opens a shell where it failed".to_owned()),
            Self::DiskFull { .. } => Some("free some, or use another disk: `--work DIR`".to_owned()),
            Self::TooManyLayers { .. } => {
                Some("make a tree of it with a `rootfs` step, and begin another namespace with that".to_owned())
            }
            Self::Nothing => Some("look at what its install command does: DESTDIR and the prefix".to_owned()),
            Self::Emptied { .. } => Some("the root is as it was before; mend what the step runs".to_owned()),
            Self::WrongStrategy { instead, .. } if !instead.is_empty() => {
                Some(format!("it looks like `strategy = \"{}\"`", instead.join("\"` or `\"")))
            }
            Self::WrongStrategy { .. } => Some("set `subdir`, or use `strategy = \"command\"`".to_owned()),
            Self::Option { .. } => {
                Some("another option may rule it out, or it has another name in this version".to_owned())
            }
            Self::Patch { source, .. } => source.hint(),
            _ => None,
        }
    }
}
