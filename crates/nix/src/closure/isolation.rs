//! A store, and nothing else of Nix, for a program.
//!
//! A test that is given the machine's Nix proves nothing about what it needs: it builds and fetches what is missing, and
//! writes to a database that others use. In an isolation there is one store, in a directory; every program of Nix uses it
//! without being told; nothing can be built, nothing can be fetched, and nobody's configuration is read.

use std::{collections::BTreeMap, io};

use bootway_exec::{Cmd, Cx};
use bootway_plan::step::{CommandNix, StoreMode, StoreVerify};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    ClosureError, ClosureInfo, Install, LocalStore, Registration,
    install::install,
    register::load_cmd,
    roots,
    store::{ask, below},
    tree::REGISTRATION,
};

/// What is in `nix.conf` of an isolation.
const CONFIG: &str = "experimental-features = nix-command flakes\n\
    substituters =\n\
    trusted-public-keys =\n\
    flake-registry =\n\
    builders =\n\
    max-jobs = 0\n\
    build-users-group =\n\
    fsync-metadata = false";

/// The environment of a program that sees one store.
///
/// ```
/// use bootway_nix::closure::Isolation;
///
/// let isolation = Isolation { store: "/work/store".into(), state: "/work/state".into() };
/// assert_eq!(isolation.env()["NIX_REMOTE"], "/work/store");
/// assert!(isolation.env()["NIX_CONFIG"].contains("max-jobs = 0"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The directory with the store: its `nix/store` has the paths.
    pub store: Utf8PathBuf,
    /// A directory for everything that is written: home, caches, locks. It is the program's own.
    pub state: Utf8PathBuf,
}

impl Isolation {
    /// Makes the directories of [`Isolation::state`].
    ///
    /// # Errors
    ///
    /// If one cannot be made.
    pub fn prepare(&self) -> io::Result<()> {
        ["home", "cache", "etc", "nix/gcroots", "log"]
            .iter()
            .try_for_each(|name| fs_err::create_dir_all(self.state.join(name)))
    }

    /// Variables for the program; they take the place of what it would inherit.
    ///
    /// `NIX_REMOTE` is the store, so that a program of Nix that is given no `--store` means it, too. `BOOTWAY_TEST_STORE`
    /// and `CLAN_TEST_STORE` say where it is, for programs that pass it on.
    pub fn env(&self) -> BTreeMap<String, String> {
        let state = |name: &str| self.state.join(name).into_string();
        let pairs = [
            ("NIX_REMOTE", self.store.to_string()),
            ("NIX_CONFIG", CONFIG.to_owned()),
            ("NIX_CONF_DIR", state("etc")),
            ("NIX_STATE_DIR", state("nix")),
            ("NIX_LOG_DIR", state("log")),
            ("NIX_USER_CONF_FILES", String::new()),
            ("NIX_PATH", String::new()),
            ("HOME", state("home")),
            ("XDG_CACHE_HOME", state("cache")),
            ("XDG_CONFIG_HOME", state("home/.config")),
            ("XDG_DATA_HOME", state("home/.local/share")),
            ("XDG_STATE_HOME", state("home/.local/state")),
            ("IN_NIX_SANDBOX", "1".to_owned()),
            ("LOCK_NIX", state("nix_lock")),
            ("BOOTWAY_TEST_STORE", self.store.to_string()),
            ("CLAN_TEST_STORE", self.store.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Where the store of an isolation is, and where it comes from.
struct Place {
    isolation: Isolation,
    /// The tree that it is made of, if the step's store is one.
    tree: Option<Utf8PathBuf>,
}

impl Place {
    /// `into` is where the step of kind `closure` has put its store, if it has.
    fn of(cx: &Cx<'_>, nix: &CommandNix, into: Option<&Utf8Path>) -> Result<Self, ClosureError> {
        let own = cx.scratch.join("nix");
        let (store, tree) = match into {
            Some(into) => (below(cx.plan_dir, into), None),
            None => (own.join("root"), Some(cx.input(&nix.isolated)?.path.clone())),
        };
        Ok(Self { isolation: Isolation { store, state: own.join("state") }, tree })
    }

    /// Asks the store which of the outputs that must be there are not.
    fn validity_cmd(&self, cx: &Cx<'_>, nix: &CommandNix) -> Cmd {
        let links = (1..=nix.no_build.len()).map(|number| roots::place(cx, "no-build", number).into_string());
        let store = LocalStore::at(&self.isolation.store);
        store.cmd(cx).args(["--check-validity", "--print-invalid"]).args(links)
    }
}

/// Makes the store that `nix` asks for visible to a program, and nothing else: the environment that it must be given.
/// `into` is where the step of kind `closure` has put its store, if it has; otherwise its tree becomes a store in the
/// step's scratch directory.
///
/// # Errors
///
/// If one of the outputs that must not be built is not in the store.
pub fn isolate(
    cx: &Cx<'_>,
    nix: &CommandNix,
    into: Option<&Utf8Path>,
) -> Result<BTreeMap<String, String>, ClosureError> {
    let place = Place::of(cx, nix, into)?;
    place.isolation.prepare()?;
    if let Some(tree) = &place.tree {
        let registration = registration_of(tree)?;
        let from = LocalStore::at(tree);
        install(
            cx,
            &Install {
                from: &from,
                registration: &registration,
                into: &place.isolation.store,
                mode: StoreMode::Auto,
                verify: StoreVerify::Sizes,
                jobs: cx.jobs,
            },
        )?;
    }
    if !nix.no_build.is_empty() {
        let paths = nix.no_build.iter().map(|source| roots::store_path(cx, source));
        roots::link_to(cx, "no-build", &paths.collect::<Result<Vec<_>, _>>()?)?;
        let missing: Vec<String> =
            ask(cx, &place.validity_cmd(cx, nix))?.lines().map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(ClosureError::WouldBuild { missing });
        }
    }
    Ok(place.isolation.env())
}

/// The command lines that [`isolate`] runs, and the environment that it answers with.
///
/// # Errors
///
/// If the engine did not provide an input.
pub fn isolate_commands(
    cx: &Cx<'_>,
    nix: &CommandNix,
    into: Option<&Utf8Path>,
) -> Result<(Vec<Cmd>, BTreeMap<String, String>), ClosureError> {
    let place = Place::of(cx, nix, into)?;
    let load = || load_cmd(cx, &place.isolation.store, &cx.scratch.join("registration"));
    let mut commands: Vec<Cmd> = place.tree.iter().map(|_| load()).collect();
    if !nix.no_build.is_empty() {
        commands.push(place.validity_cmd(cx, nix));
    }
    Ok((commands, place.isolation.env()))
}

/// What the tree of a closure says about itself.
fn registration_of(tree: &Utf8Path) -> Result<Registration, ClosureError> {
    let path = tree.join(REGISTRATION);
    let info = ClosureInfo::from_text(&fs_err::read_to_string(&path)?);
    match info.map_err(|source| ClosureError::Info { path, source })? {
        ClosureInfo::Registration(registration) => {
            registration.verify()?;
            Ok(registration)
        }
        ClosureInfo::References(_) => Err(ClosureError::Empty),
    }
}
