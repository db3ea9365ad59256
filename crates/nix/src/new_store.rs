//! A store that is not there yet is made by the first command that needs it, and by nobody else meanwhile.
//!
//! Nix makes `gcroots/profiles` without looking whether somebody else just does: of two that come at once, one fails with
//! "File exists" (seen with 2.8 and 2.26).

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

/// What Nix makes last when it makes a store.
const LAST: &str = "gcroots/profiles";

/// Stores whose first command has ended in this process, by their state directory: not all of them are made here.
static KNOWN: Mutex<BTreeSet<Utf8PathBuf>> = Mutex::new(BTreeSet::new());

/// Held by the first command.
static MAKING: Mutex<()> = Mutex::new(());

/// While it lives, no other first command runs in this process.
#[derive(Debug)]
pub(crate) struct Alone {
    state: Utf8PathBuf,
    _making: MutexGuard<'static, ()>,
}

/// Waits for who makes the store with the state directory `state`; if there is nobody and no store, the caller is the one.
pub(crate) fn alone(state: Utf8PathBuf) -> Option<Alone> {
    if is_there(&state) {
        return None;
    }
    let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // Somebody may have made it meanwhile.
    (!is_there(&state)).then_some(Alone { state, _making: making })
}

fn is_there(state: &Utf8Path) -> bool {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner).contains(state);
    state.join(LAST).symlink_metadata().is_ok() || known()
}

impl Drop for Alone {
    fn drop(&mut self) {
        let state = std::mem::take(&mut self.state);
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_is_alone_and_the_next_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap().join("var");
        let first = alone(state.clone()).expect("there is no store");
        let second = {
            let state = state.clone();
            std::thread::spawn(move || alone(state).is_some())
        };
        fs_err::create_dir_all(state.join(LAST)).unwrap();
        drop(first);
        assert!(!second.join().unwrap(), "the store is there by now");
        let far = Utf8Path::from_path(dir.path()).unwrap().join("far");
        drop(alone(far.clone()));
        assert!(alone(far).is_none(), "a store that is not made here keeps nobody waiting twice");
    }
}
