//! A root that a step works in: made of layers, changed in one of its own, and looked at when the step is done.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    time::Duration,
};

use bootway_exec::{Cmd, Cx, remove_all};
use bootway_plan::{Base, Inside, TreePath, host_directories};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    error::RootError,
    inside::{Job, Mount, Setup},
};

mod copy;
mod job;
mod shell;

use copy::Mark;
pub use shell::{probe, shell};

/// Where a build happens in a root: a directory that is no part of it.
pub(crate) const BUILD: &str = "/build";

/// The program that did not end well, for whoever wants to look at it.
const FAILED: &str = "failed.json";

/// The job of a person.
const SHELL: &str = "shell";

/// A build may take any time that its step is not limited to; a week is no time limit.
const NO_LIMIT: Duration = Duration::from_hours(7 * 24);

/// What programs find before they are looked for anywhere else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A root with everything that steps before have made of it, and room for what this one does.
pub(crate) struct Root<'a> {
    cx: &'a Cx<'a>,
    inside: &'a Inside,
    dir: Utf8PathBuf,
    /// Whether it turned out that there are no user namespaces, and root does without.
    plain: Cell<bool>,
    /// What a copy was, if the root is one.
    marks: RefCell<Option<BTreeMap<TreePath, Mark>>>,
}

/// A program that runs in a root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Where in the root.
    pub(crate) cwd: String,
    /// Over what every program sees.
    pub(crate) env: BTreeMap<String, String>,
    /// What it reads from standard input: a file of the machine.
    pub(crate) stdin: Option<Utf8PathBuf>,
}

impl<'a> Root<'a> {
    /// The root of the step of `cx`.
    ///
    /// # Errors
    ///
    /// If the step has none, which is a bug.
    pub(crate) fn of(cx: &'a Cx<'a>) -> Result<Self, RootError> {
        let inside = cx.inside.ok_or(RootError::NoRoot)?;
        Ok(Self {
            cx,
            inside,
            dir: cx.scratch.join("root"),
            plain: Cell::new(false),
            marks: RefCell::default(),
        })
    }

    /// Where [`BUILD`] is on the machine.
    pub(crate) fn build(&self) -> Utf8PathBuf {
        self.dir.join("build")
    }

    /// Where the changes of the step are.
    pub(crate) fn upper(&self) -> Utf8PathBuf {
        self.dir.join("upper")
    }

    /// The trees that lie over each other, the highest first.
    fn trees(&self) -> Result<Vec<Utf8PathBuf>, RootError> {
        let mut trees = Vec::new();
        for layer in self.inside.layers.iter().rev() {
            trees.push(self.cx.input(layer)?.path.clone());
        }
        if let Base::Tree(source) = &self.inside.base {
            trees.push(self.cx.input(source)?.path.clone());
        }
        // Relative: all of it moves if the step fails.
        trees.push("places".into());
        Ok(trees)
    }

    /// Everything besides the files of the root.
    fn mounts(&self) -> Result<Vec<Mount>, RootError> {
        let mut mounts =
            vec![Mount { from: self.build(), outer: false, to: tree_path(BUILD), writable: true }];
        if self.inside.base == Base::Host && self.inside.view.is_root() {
            for from in host_directories().filter(|from| from.exists()) {
                let to = tree_path(from.as_str());
                // `/bin` of today's systems is a link into `/usr`, and becomes one here.
                if !from.is_symlink() {
                    mounts.push(Mount { from, outer: false, to, writable: false });
                }
            }
        }
        for bind in &self.inside.binds {
            let (from, outer) = match (&bind.from, &bind.outer) {
                (Some(source), _) => (self.cx.input(source)?.path.clone(), false),
                (None, Some(outer)) => (Utf8PathBuf::from(outer.as_str()), true),
                (None, None) => continue,
            };
            mounts.push(Mount { from, outer, to: bind.to.clone(), writable: outer });
        }
        if self.inside.network {
            for file in ["/etc/resolv.conf", "/etc/hosts"] {
                if Utf8Path::new(file).exists() {
                    mounts.push(Mount {
                        from: file.into(),
                        outer: false,
                        to: tree_path(file),
                        writable: false,
                    });
                }
            }
        }
        Ok(mounts)
    }

    /// Makes every directory that is needed, all of them empty.
    ///
    /// # Errors
    ///
    /// If one cannot be made, or there are more layers than the kernel can put over each other.
    pub(crate) fn prepare(&self) -> Result<(), RootError> {
        let trees = self.trees()?;
        if trees.len() > 500 {
            return Err(RootError::TooManyLayers { count: trees.len() });
        }
        for name in ["upper", "work", "mount", "build", "jobs"] {
            fs_err::create_dir_all(self.dir.join(name))?;
        }
        fs_err::set_permissions(self.upper(), std::fs::Permissions::from_mode(0o755))?;
        for (n, tree) in trees.iter().enumerate() {
            symlink(tree, self.dir.join(n.to_string()))?;
        }
        self.places()?;
        self.copy_if_asked()
    }

    /// The places where something is mounted, as the lowest tree of all: they must be there, and are no part of any layer.
    fn places(&self) -> Result<(), RootError> {
        let view = self.dir.join("places").join(self.inside.view.as_str());
        for name in ["proc", "dev", "tmp"] {
            fs_err::create_dir_all(view.join(name))?;
        }
        for mount in self.mounts()? {
            let place = view.join(mount.to.as_str());
            if mount.outer || mount.from.is_dir() {
                fs_err::create_dir_all(place)?;
            } else {
                fs_err::create_dir_all(place.parent().unwrap_or(&view))?;
                fs_err::write(place, "")?;
            }
        }
        if self.inside.base == Base::Host && self.inside.view.is_root() {
            for from in host_directories().filter(|from| from.is_symlink()) {
                let target = fs_err::read_link(&from)?;
                symlink(target, view.join(from.as_str().trim_start_matches('/')))?;
            }
        }
        Ok(())
    }

    fn setup(&self, job: Job, name: &str) -> Result<Setup, RootError> {
        Ok(Setup {
            dir: self.dir.clone(),
            trees: if self.copy().exists() { 0 } else { self.trees()?.len() },
            root: self.dir.join("mount"),
            view: self.inside.view.clone(),
            mounts: self.mounts()?,
            network: self.inside.network,
            plain: self.plain.get(),
            aloud: name == SHELL,
            job,
            verdict: self.dir.join("jobs").join(format!("{name}.verdict")),
        })
    }

    /// What is started for the job `name`: this program once more, with the line of the user behind `--`.
    fn cmd(&self, name: &str, line: &[String]) -> Result<Cmd, RootError> {
        let (program, args) = self.cx.helper.split_first().ok_or(RootError::NoHelper)?;
        let setup = self.dir.join("jobs").join(name);
        let cmd =
            Cmd::user(program).args(args).args(["--setup", setup.as_str(), "--"]).args(line).limit(NO_LIMIT);
        Ok(self.cx.secrets.iter().fold(cmd, Cmd::secret))
    }

    /// The command line of the job number `n`, without anything being done.
    pub(crate) fn preview(&self, n: usize, program: &Program) -> Result<Cmd, RootError> {
        let cmd = self.cmd(&n.to_string(), &program.argv)?;
        Ok(program.stdin.iter().fold(cmd, |cmd, file| cmd.stdin_file(file)))
    }

    /// Everything that `program` sees of an environment.
    fn env(&self, program: &Program) -> BTreeMap<String, String> {
        let epoch = self.cx.epoch.to_string();
        let own = [
            ("PATH", PATH),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("SOURCE_DATE_EPOCH", &epoch),
        ];
        let mut env: BTreeMap<String, String> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        env.extend(self.cx.env.clone());
        env.extend(program.env.clone());
        env
    }

    /// Writes down what is to be done, for the program that enters the root.
    fn write_setup(&self, job: Job, name: &str) -> Result<(Utf8PathBuf, Setup), RootError> {
        let file = self.dir.join("jobs").join(name);
        let setup = self.setup(job, name)?;
        // It has the whole environment in it, and with that secrets.
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create(true).truncate(true).options_mut().mode(0o600);
        serde_json::to_writer(options.open(file.as_std_path())?, &setup).map_err(std::io::Error::other)?;
        Ok((file, setup))
    }

    /// Removes what is only there for the build, so that what stays is what it has done to the root; and says what else is
    /// gone, if the kernel has not.
    pub(crate) fn tidy(&self) -> Result<BTreeSet<TreePath>, RootError> {
        remove_all(self.build())?;
        self.take_changes()
    }
}

fn tree_path(path: &str) -> TreePath {
    path.parse().expect("written in this file, or absolute")
}
