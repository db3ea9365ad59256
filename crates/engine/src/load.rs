//! From a file to a plan.

use std::io;

use bootway_plan::{Class, Explain, Failure, Overrides, Plan, Problems, Spec, Vars, resolve};
use camino::{Utf8Path, Utf8PathBuf};

use crate::work::absolute;

/// A plan, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What will happen.
    pub plan: Plan,
    /// How the user names the file; `None` for a plan that is no file.
    pub file: Option<Utf8PathBuf>,
    /// The directory that paths in the plan start at.
    pub dir: Utf8PathBuf,
    /// What a rerun line needs besides the plan, its variables and where it works: `--overrides FILE`.
    pub arguments: Vec<String>,
}

impl Loaded {
    /// Reads, checks and orders the plan at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or everything that is wrong with it.
    pub fn from_file(path: &Utf8Path, vars: &Vars) -> Result<Self, Failure> {
        Self::load(path, vars, None)
    }

    /// The same with `overrides` in the plan, which are in the file `from`.
    ///
    /// # Errors
    ///
    /// If the plan cannot be read, everything that the overrides name and it does not have, or everything that is wrong
    /// with it.
    pub fn with_overrides(
        path: &Utf8Path,
        vars: &Vars,
        overrides: &Overrides,
        from: &Utf8Path,
    ) -> Result<Self, Failure> {
        let vars = Vars { overrides: overrides.vars.clone(), ..vars.clone() };
        Self::load(path, &vars, Some((overrides, from)))
    }

    fn load(path: &Utf8Path, vars: &Vars, over: Option<(&Overrides, &Utf8Path)>) -> Result<Self, Failure> {
        let mut text = fs_err::read_to_string(path)
            .map_err(|source| Failure::of(&LoadError::Read { path: path.to_owned(), source }))?;
        let mut file = path.to_string();
        if let Some((overrides, from)) = over {
            text =
                overrides.apply(&text).map_err(|problems| Failure::of(&problems.in_file(from.as_str())))?;
            // Its lines are those of the plan as it would be written.
            file = format!("{path} with {from}");
        }
        let parent = path.parent().filter(|parent| !parent.as_str().is_empty());
        let dir = absolute(parent.unwrap_or(Utf8Path::new(".")).to_owned());
        let plan = read(&text, vars).map_err(|problems| Failure::of(&problems.in_file(&file)))?;
        Ok(Self { plan, file: Some(path.to_owned()), dir, arguments: Vec::new() })
    }

    /// Reads, checks and orders the text of a plan whose paths start at `dir`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn from_text(text: &str, dir: &Utf8Path, vars: &Vars) -> Result<Self, Problems> {
        Ok(Self { plan: read(text, vars)?, file: None, dir: absolute(dir.to_owned()), arguments: Vec::new() })
    }

    /// A path of the plan, as a path of this process.
    pub(crate) fn path(&self, path: impl AsRef<Utf8Path>) -> Utf8PathBuf {
        let path = path.as_ref();
        self.dir.join(path.strip_prefix(".").unwrap_or(path))
    }

    /// The lock file of `debian` steps that name none, from the plan's directory: its file with another ending.
    pub fn lock_file(&self) -> Utf8PathBuf {
        let stem = self.file.as_ref().and_then(|file| file.file_name()).unwrap_or(self.plan.name().as_str());
        let stem = stem.strip_suffix(".toml").unwrap_or(stem);
        let stem = stem.strip_suffix(".plan").unwrap_or(stem);
        Utf8PathBuf::from(format!("{stem}.lock"))
    }
}

fn read(text: &str, vars: &Vars) -> Result<Plan, Problems> {
    resolve(&Spec::from_toml(text, vars)?)
}

/// A plan could not be read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot read the plan `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
}

impl Explain for LoadError {
    fn class(&self) -> Class {
        Class::Plan
    }

    fn hint(&self) -> Option<String> {
        Some("name a plan that is there, such as `demo.plan.toml`".to_owned())
    }
}
