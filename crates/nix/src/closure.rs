//! Store paths and all they refer to: as a tree for images, or in a store of their own.
//!
//! What a closure is follows from what a store knows ([`LocalStore::closure`]) or from what a builder was told
//! ([`ClosureInfo`]); a [`Registration`] is both, as a value. [`install()`] puts one into a store in a directory,
//! [`verify_store`] says whether it is whole, [`isolate`] shows it, and nothing else, to a program.

use std::io;

use bootway_exec::{Cmd, Cx, MissingInput, RunError, StepOutput};
use bootway_plan::{
    ArtifactKind, Class, Explain, Name, NixConfig,
    step::{self, StoreMode},
};
use camino::Utf8PathBuf;
use thiserror::Error;

mod copy;
mod file;
mod hash;
mod install;
mod isolation;
mod nar;
mod place;
mod pool;
mod references;
mod register;
mod registration;
mod roots;
mod store;
mod store_path;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

pub use install::{Install, Installed, install};
pub use isolation::{Isolation, isolate, isolate_commands};
pub use nar::{Nar, nar, nar_size, write_nar};
pub use references::{ClosureInfo, References};
pub use registration::{InvalidRegistration, NotAClosure, PathInfo, Registration};
pub use roots::root;
pub use store::LocalStore;
pub use store_path::{InvalidStorePath, StorePath};
pub use verify::{Damage, Wrong, verify_store};

/// Does what `step` says: makes a tree, or brings a store in a directory up to date.
///
/// # Errors
///
/// If a root is not valid, the closure is not whole, something cannot be copied or is not what it must be.
pub fn closure(cx: &Cx<'_>, step: &step::Closure, nix: &NixConfig) -> Result<Vec<StepOutput>, ClosureError> {
    let from = LocalStore::of(cx.plan_dir, nix)?;
    let registration = if let Some(source) = &step.info {
        let known = roots::known(cx, &from, source)?;
        let lost = roots::paths(cx, step)?.into_iter().find(|root| !known.paths.contains_key(root));
        if let Some(root) = lost {
            return Err(ClosureError::NotInside { root, info: source.to_string() });
        }
        known
    } else {
        roots::link(cx, step)?;
        from.closure(cx, &roots::arguments(cx, step))?
    };
    if registration.paths.is_empty() {
        return Err(ClosureError::Empty);
    }
    let jobs = step.jobs.map_or(cx.jobs, usize::from).max(1);
    let (mode, verify) = (step.mode, step.verify);
    let Some(into) = &step.into else {
        registration.verify()?;
        let wanted = Install { from: &from, registration: &registration, into: cx.out, mode, verify, jobs };
        let path = tree::tree(cx, &wanted)?;
        return Ok(vec![StepOutput { name: Name::fixed("store"), kind: ArtifactKind::Tree, path }]);
    };
    let into = store::below(cx.plan_dir, into);
    let wanted = Install { from: &from, registration: &registration, into: &into, mode, verify, jobs };
    let installed = install(cx, &wanted)?;
    cx.note(format!("{installed}, into {into}"));
    let path = cx.out.join("registration");
    fs_err::write(&path, registration.to_text())?;
    Ok(vec![StepOutput { name: Name::fixed("registration"), kind: ArtifactKind::Text, path }])
}

/// The command lines that it runs, as far as they are known beforehand: what the store answers to the first decides
/// what it is asked next (`--dump-db`), and a store that is up to date is not told anything.
pub fn closure_commands(cx: &Cx<'_>, step: &step::Closure, nix: &NixConfig) -> Vec<Cmd> {
    let mut commands = Vec::new();
    if let (None, Ok(from)) = (&step.info, LocalStore::of(cx.plan_dir, nix)) {
        commands.push(from.requisites_cmd(cx, &roots::arguments(cx, step)));
    }
    if let Some(into) = &step.into {
        commands.push(register::load_cmd(
            cx,
            &store::below(cx.plan_dir, into),
            &cx.scratch.join("registration"),
        ));
    }
    commands
}

/// A closure was not installed.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// The engine forgot it.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// A program did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The store is somewhere else.
    #[error("the files of store `{store}` are not on this machine, so they cannot be copied")]
    NotLocal {
        /// As the plan names it.
        store: String,
    },
    /// A root has no store path.
    #[error("`{name}` is no store path, and no link to one")]
    NoRoot {
        /// As the plan names it.
        name: String,
    },
    /// There is nothing.
    #[error("the closure is empty")]
    Empty,
    /// A root is not in the closure that was given.
    #[error("`{root}` is not in the closure of `{info}`")]
    NotInside {
        /// The root.
        root: StorePath,
        /// As the plan names it.
        info: String,
    },
    /// Two files about a closure disagree.
    #[error("`{path}` is in one of `store-paths` and `registration` of `{info}`, and not in the other")]
    Disagree {
        /// The first path that is in one only.
        path: String,
        /// The directory that has both.
        info: Utf8PathBuf,
    },
    /// A program printed what is no text.
    #[error("what `{cmd}` printed is no text")]
    NotText {
        /// The command line.
        cmd: String,
    },
    /// What is known of the closure is damaged.
    #[error(transparent)]
    Registration(#[from] InvalidRegistration),
    /// The same, in a file.
    #[error("`{path}` says nothing about a closure that can be read")]
    Info {
        /// The file.
        path: Utf8PathBuf,
        /// Where, and why.
        source: InvalidRegistration,
    },
    /// A reference leads out of it.
    #[error(transparent)]
    NotAClosure(#[from] NotAClosure),
    /// The place is the store that the paths come from, or that of the machine.
    #[error("`{into}` is a store that is used already: a closure goes into a directory of its own")]
    OwnStore {
        /// As the plan names it.
        into: Utf8PathBuf,
    },
    /// A file could not be brought over.
    #[error("cannot bring over `{path}`")]
    Copy {
        /// The file.
        path: Utf8PathBuf,
        /// How it was tried.
        mode: StoreMode,
        /// Why.
        source: io::Error,
    },
    /// Files are not what the store knows.
    #[error("{}", damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Damaged {
        /// Which, and how.
        damages: Vec<Damage>,
    },
    /// A file has a name that is no text.
    #[error("`{}` has a name that is not UTF-8, and a tree cannot have that", path.display())]
    Name {
        /// The file.
        path: std::path::PathBuf,
    },
    /// What a program needs is not in the store that it sees.
    #[error("would build {} {}: {} not in the store that the program sees", missing.len(), plural(missing.len(), "derivation"), listed(missing))]
    WouldBuild {
        /// The outputs that are missing.
        missing: Vec<String>,
    },
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn listed(paths: &[String]) -> String {
    let list = paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    format!("{list} {}", if paths.len() == 1 { "is" } else { "are" })
}

impl ClosureError {
    /// An error of work that looks at the cancellation.
    fn io(cx: &Cx<'_>, error: io::Error) -> Self {
        if cx.cancel.is_cancelled() { Self::Cancelled } else { Self::Io(error) }
    }
}

impl Explain for ClosureError {
    fn class(&self) -> Class {
        match self {
            Self::Input(error) => error.class(),
            Self::Run(error) => error.class(),
            Self::Io(error) | Self::Copy { source: error, .. } => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::CrossesDevices => Class::Environment,
                _ => Class::Step,
            },
            Self::Cancelled => Class::Cancelled,
            Self::NotLocal { .. }
            | Self::NoRoot { .. }
            | Self::Empty
            | Self::NotInside { .. }
            | Self::OwnStore { .. } => Class::Plan,
            Self::Disagree { .. }
            | Self::NotText { .. }
            | Self::Registration(_)
            | Self::Info { .. }
            | Self::NotAClosure(_)
            | Self::Damaged { .. }
            | Self::Name { .. }
            | Self::WouldBuild { .. } => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Input(error) => return error.hint(),
            Self::Run(error) => return error.hint(),
            Self::NotLocal { store } => {
                return Some(format!(
                    "fetch them first: `nix copy --from {store} PATH`, and leave `store` out"
                ));
            }
            Self::NoRoot { .. } => {
                "name a step of kind `nix-build`, a link such as `./result`, or `paths = [\"/nix/store/…\"]`"
            }
            Self::Empty => "name roots, paths, or info that has some",
            Self::OwnStore { .. } => "give `into` a directory of its own, such as `./test-store`",
            Self::Copy { mode: StoreMode::Hardlink, .. } => {
                "hard links need one file system, and files of one's own where `fs.protected_hardlinks` is 1: use `mode = \"auto\"`"
            }
            Self::Copy { mode: StoreMode::Reflink, .. } => {
                "the file system cannot share bytes between files, as btrfs, XFS and ZFS can: use `mode = \"auto\"`"
            }
            Self::Damaged { .. } => {
                "the next run copies it again; if it stays so, look at where it comes from: `nix-store --verify --check-contents`"
            }
            Self::WouldBuild { .. } => "add them to `roots` of the step that makes the store",
            Self::NotInside { .. } | Self::NotAClosure(_) => {
                "a closure has everything that its paths refer to"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
