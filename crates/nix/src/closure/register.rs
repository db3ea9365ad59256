//! What a store in a directory is told of its paths: when all of them are there, and at once.
//!
//! Most of the time that `nix-store --load-db` takes is its own start and the making of a database, and it looks at no
//! file. So a store that has no database yet gets one that is made beside its place while files are copied, and renamed
//! when all of them are in theirs. A store that has one is told last.

use std::io;

use bootway_exec::{Cmd, Cx, run};
use camino::{Utf8Path, Utf8PathBuf};

use super::{ClosureError, LocalStore, Registration, place::remove};

/// What a store knows, below its directory.
const DATABASE: &str = "nix/var/nix/db";
/// A store without paths, where the database is made.
const BESIDE: &str = "nix/.bootway-partial-database";

/// Registers what `file` says: in the store in `into`, or, if that has no database yet, in one that it will get.
pub(super) fn load_cmd(cx: &Cx<'_>, into: &Utf8Path, file: &Utf8Path) -> Cmd {
    let store = if is_new(into) { beside(into) } else { into.to_owned() };
    LocalStore::at(&store).cmd(cx).arg("--load-db").stdin_file(file)
}

/// Registers `paths` in the store in `into` when `work` has ended well; if there are none, it is only done.
pub(super) fn registered_after<T>(
    cx: &Cx<'_>,
    into: &Utf8Path,
    paths: &Registration,
    work: impl FnOnce() -> Result<T, ClosureError>,
) -> Result<T, ClosureError> {
    // Of a run that was killed.
    remove(beside(into).as_std_path())?;
    if paths.paths.is_empty() {
        return work();
    }
    let file = cx.scratch.join("registration");
    fs_err::write(&file, paths.to_text())?;
    let cmd = load_cmd(cx, into, &file);
    if !is_new(into) {
        let done = work()?;
        run(cx, &cmd)?;
        return Ok(done);
    }
    let (done, told) = std::thread::scope(|scope| {
        let told = scope.spawn(|| run(cx, &cmd));
        (work(), told.join().expect("no program panics"))
    });
    let placed = done.and_then(|done| {
        told?;
        place(cx, into, &file)?;
        Ok(done)
    });
    remove(beside(into).as_std_path())?;
    placed
}

/// Puts the database in its place, unless somebody has made another one meanwhile: that one is told.
fn place(cx: &Cx<'_>, into: &Utf8Path, file: &Utf8Path) -> Result<(), ClosureError> {
    let database = into.join(DATABASE);
    fs_err::create_dir_all(database.parent().expect("it is below `into`"))?;
    match fs_err::rename(beside(into).join(DATABASE), &database) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(run(cx, &load_cmd(cx, into, file)).map(drop)?)
        }
        placed => Ok(placed?),
    }
}

fn is_new(into: &Utf8Path) -> bool {
    !into.join(DATABASE).exists()
}

fn beside(into: &Utf8Path) -> Utf8PathBuf {
    into.join(BESIDE)
}
