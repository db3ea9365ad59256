//! Removing what nobody needs any more.

use std::io;

use bootway_exec::kill_leftovers;
use bootway_plan::{Bytes, Class, Failure};
use bootway_source::{remove_unpacked, unpacked_dir};
use bootway_vm::remove_kept_machine;
use camino::Utf8Path;
use serde::Serialize;

use super::{Garbage, What, usage::usage};
use crate::{Hold, work::remove_all};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Removed {
    /// How many items.
    pub items: usize,
    /// What they took on the disk, looked at when they were removed.
    pub size: Bytes,
}

impl Garbage {
    /// Removes every item that is not in use by now, and nothing else but directories that are empty then.
    ///
    /// What a root kept is in the store until the store is collected.
    ///
    /// # Errors
    ///
    /// The first item that cannot be removed; those before it are gone.
    pub fn remove(&self, hold: &Hold) -> Result<Removed, Failure> {
        let work = hold.work();
        if self.items.iter().any(|item| item.what == What::Leftover) {
            kill_leftovers(&work.children());
        }
        let mut removed = Removed::default();
        for item in &self.items {
            // Another process may share the cache.
            let remove: fn(&Utf8Path) -> io::Result<bool> = if item.path.starts_with(work.cache().join("vm"))
            {
                remove_kept_machine
            } else if item.path.starts_with(unpacked_dir(work.cache())) {
                remove_unpacked
            } else {
                |path| remove_all(path).map(|()| true)
            };
            let size = take_away(&item.path, work.root(), remove).map_err(|error| {
                let message = format!("cannot remove `{}`", item.path);
                Failure::new(Class::Environment, error.to_string()).because(message)
            })?;
            let Some(size) = size else { continue };
            removed.items += 1;
            removed.size = Bytes::new(removed.size.get() + size.get());
        }
        Ok(removed)
    }
}

/// Removes `path`, and the directories above it and below `top` that are empty without it. Says what it took; `None` if it
/// was not removed because somebody has begun to use it.
fn take_away(
    path: &Utf8Path,
    top: &Utf8Path,
    remove: fn(&Utf8Path) -> io::Result<bool>,
) -> io::Result<Option<Bytes>> {
    let size = if path.symlink_metadata().is_ok() { usage(path)? } else { Bytes::default() };
    if !remove(path)? {
        return Ok(None);
    }
    for dir in path.ancestors().skip(1).take_while(|dir| *dir != top && dir.starts_with(top)) {
        if fs_err::remove_dir(dir).is_err() {
            break; // There is more in it.
        }
    }
    Ok(Some(size))
}
