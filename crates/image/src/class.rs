//! Whose problem an error of the system is.

use std::io;

use bootway_plan::Class;

/// A place that takes no more is the machine's problem; anything else is about the files of the step.
pub(crate) fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::OutOfMemory => Class::Environment,
        _ => Class::Step,
    }
}

/// What to do about it.
pub(crate) fn hint_of(error: &io::Error) -> Option<String> {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        .then(|| "free some space there, or give another place with `--work`".to_owned())
}
