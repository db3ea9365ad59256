//! The targets of a plan with their profiles, and what this machine can run of them.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use bootway_engine::Loaded;
use bootway_exec::{Cmd, Cx, Sandbox, SystemRunner, run, search_path};
use bootway_nix::{Flake, profiles};
use bootway_plan::{Class, Facts, Failure, Grid, Name, Profile, Profiles, System};
use camino::Utf8Path;

/// How long a container engine has to answer.
const ENGINE: std::time::Duration = std::time::Duration::from_secs(5);

/// The lists of profiles of a plan's targets; each is read from the one place where it is.
#[derive(Debug)]
pub(crate) struct Lists<'a> {
    loaded: &'a Loaded,
    lists: Vec<(&'a Name, Vec<Profile>)>,
}

impl<'a> Lists<'a> {
    /// Of the targets that are `wanted`.
    ///
    /// # Errors
    ///
    /// If there are no targets, or a list is not where it is said to be.
    pub(crate) fn read(loaded: &'a Loaded, wanted: impl Fn(&Name) -> bool) -> Result<Self, Failure> {
        let targets = loaded.plan.targets();
        if targets.is_empty() {
            let file = loaded.file.as_deref().unwrap_or(Utf8Path::new("the plan"));
            let failure = Failure::new(Class::Plan, format!("`{file}` has no targets"));
            return Err(failure.hint("add one: `[target.NAME]`; docs/guides/nix.md begins with it"));
        }
        let read = |(name, target): (&'a Name, &'a bootway_plan::Target)| {
            let list = asking(loaded, |flake| {
                // A list in a file is read as it is; a flake has only what Git knows.
                if matches!(target.profiles, Profiles::Flake { .. }) {
                    flake.check_untracked()?;
                }
                profiles(flake, &target.profiles)
            });
            let list = list.map_err(|error| {
                Failure::of(&error).because(format!("cannot read the profiles of target `{name}`"))
            })?;
            Ok((name, list))
        };
        let lists = targets.iter().filter(|(name, _)| wanted(name)).map(read);
        Ok(Self { loaded, lists: lists.collect::<Result<_, Failure>>()? })
    }

    /// The targets with their lists, in the order of the plan.
    ///
    /// # Errors
    ///
    /// If a target does not go with its list.
    pub(crate) fn grids(&self) -> Result<Vec<Grid<'a>>, Failure> {
        let grid = |(name, list): &(&'a Name, Vec<Profile>)| {
            let (_, target) = self.loaded.plan.targets().get(name.as_str()).expect("the list is of a target");
            Grid::new(name, target, list.clone()).map_err(|error| Failure::of(&error))
        };
        self.lists.iter().map(grid).collect()
    }
}

/// The plan with a step for each thing that is checked about its targets; a plan without any stays as it is.
///
/// # Errors
///
/// If a list of profiles is not where it is said to be.
pub(crate) fn with_targets(loaded: Loaded) -> Result<Loaded, Failure> {
    if loaded.plan.targets().is_empty() {
        return Ok(loaded);
    }
    let lists = Lists::read(&loaded, |_| true)?;
    let (plan, _) = loaded.plan.with_targets(&lists.grids()?, &Here::new(None).system);
    Ok(Loaded { plan, ..loaded })
}

/// Asks the plan's flake something, quietly: what Nix says is told when it fails.
pub(crate) fn asking<T>(loaded: &Loaded, ask: impl FnOnce(&Flake<'_>) -> T) -> T {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = Cx { plan_dir: &loaded.dir, env: loaded.plan.env(), ..sandbox.cx() };
    ask(&Flake::new(&cx, loaded.plan.nix(), None))
}

/// This machine, as far as it was looked at; each question is asked once, and only if it matters.
#[derive(Debug)]
pub(crate) struct Here {
    /// What it is, or what it was said to be.
    pub(crate) system: System,
    kvm: OnceCell<Option<String>>,
    engines: RefCell<BTreeMap<String, bool>>,
}

impl Here {
    /// This machine, or what it would be as another `system`.
    pub(crate) fn new(system: Option<&System>) -> Self {
        let here = || System::of(std::env::consts::ARCH, std::env::consts::OS);
        Self {
            system: system.cloned().unwrap_or_else(here),
            kvm: OnceCell::new(),
            engines: RefCell::default(),
        }
    }

    /// Calls `with` with what can be known.
    pub(crate) fn facts<T>(&self, with: impl FnOnce(&Facts<'_>) -> T) -> T {
        with(&Facts {
            system: &self.system,
            has_tool: &has_tool,
            engine_answers: &|engine| self.engine_answers(engine),
            without_kvm: &|| self.kvm.get_or_init(without_kvm).clone(),
        })
    }

    /// Whether a container engine does something when it is asked.
    pub(crate) fn engine_answers(&self, engine: &str) -> bool {
        if let Some(known) = self.engines.borrow().get(engine) {
            return *known;
        }
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let answers = run(&sandbox.cx(), &Cmd::user(engine).arg("info").limit(ENGINE)).is_ok();
        self.engines.borrow_mut().insert(engine.to_owned(), answers);
        answers
    }
}

/// Whether a program is on `PATH`.
pub(crate) fn has_tool(tool: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: std::path::PathBuf| {
        fs_err::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    search_path().split(':').any(|dir| runs(std::path::Path::new(dir).join(tool)))
}

/// A real probe: that the device opens proves nothing.
fn without_kvm() -> Option<String> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    bootway_engine::no_kvm(&sandbox.cx())
}
