//! Errors of the library as failures: whose problem each is.

use std::{error::Error, io, path::Path};

use bootway_plan::{Class, Failure};
use bootway_squashfs::{
    CacheError, TreeError, WriteError,
    read::{ExtractError, ReadError},
};

/// `error` and everything behind it. A cause that an outer message ends with is not said twice.
pub(super) fn of(class: Class, error: &dyn Error) -> Failure {
    let mut failure = Failure::new(class, error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if failure.chain.last().is_none_or(|last| !last.ends_with(&text)) {
            failure.chain.push(text);
        }
        cause = error.source();
    }
    failure
}

/// Of a tree that cannot be read, or has something that the format cannot hold.
pub(super) fn of_tree(error: &TreeError) -> Failure {
    match error {
        TreeError::Cancelled => stopped(),
        TreeError::Twice { .. } | TreeError::Unnamed { .. } | TreeError::Root => of(Class::Plan, error),
        TreeError::Read { error: cause, .. } => {
            let failure = of(Class::Environment, error);
            match cause.kind() {
                io::ErrorKind::PermissionDenied => {
                    failure.hint("make it readable, or leave it out: `--exclude PATTERN`; no file is ever stored empty in its place")
                }
                _ => failure,
            }
        }
        TreeError::Changed { .. } => of(Class::Environment, error),
        _ => of(Class::Step, error),
    }
}

/// Of a cache that cannot be used.
pub(super) fn of_cache(error: &CacheError) -> Failure {
    of(Class::Environment, error)
        .because("cannot use the cache")
        .hint("name another: `--cache DIR`, or do without: `--no-cache`")
}

/// Of an image that cannot be written.
pub(super) fn of_write(error: &WriteError) -> Failure {
    match error {
        WriteError::Cancelled => stopped(),
        WriteError::Tree(error) => of_tree(error),
        WriteError::Cache(error) => of_cache(error),
        WriteError::Image { error: cause, .. } | WriteError::Spool(cause) => {
            let failure = of(Class::Environment, error);
            match cause.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    failure.hint("free some space, or write the image to another file system; what was there before is as it was")
                }
                _ => failure,
            }
        }
        WriteError::Codec(_) => of(Class::Plan, error),
        _ => of(Class::Step, error),
    }
}

/// Somebody asked to stop.
pub(super) fn stopped() -> Failure {
    Failure::new(Class::Cancelled, "stopped")
}

/// Of an image that cannot be read.
pub(super) fn of_read(error: &ReadError, image: &Path) -> Failure {
    let class = match error {
        ReadError::Io(_) => Class::Environment,
        _ => Class::Check,
    };
    of(class, error).because(format!("cannot read the image `{}`", image.display()))
}

/// Of an image that cannot be extracted.
pub(super) fn of_extract(error: &ExtractError, image: &Path) -> Failure {
    match error {
        ExtractError::Read(error) => of_read(error, image),
        ExtractError::Cancelled => stopped().because(format!("`{}` is not extracted", image.display())),
        ExtractError::Exists { .. } => of(Class::Environment, error).hint("`--force` writes into it"),
        ExtractError::Host { .. } => of(Class::Environment, error),
        _ => of(Class::Check, error).because(format!("cannot extract `{}`", image.display())),
    }
}
