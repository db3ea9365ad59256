//! Arguments that name a plan, and what they lead to.

use bootway_engine::{Loaded, Work};
use bootway_plan::{Class, Digest, Failure, Overrides, Selection, Vars};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::demo;

/// Which plan, with which values
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// The plan; `plan.toml` here if there is one, else the demo that comes with bootway
    #[arg(value_name = "PLAN.TOML")]
    pub(crate) plan: Option<Utf8PathBuf>,
    /// Give a variable of the plan a value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_var)]
    pub(crate) vars: Vec<(String, String)>,
    /// Where outputs, logs and reports go; `.bootway/NAME` beside the plan unless said
    #[arg(long, value_name = "DIR")]
    pub(crate) work: Option<Utf8PathBuf>,
    /// Where downloads are kept; inside the work directory unless said
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) over: OverrideArgs,
}

/// Which steps of the plan
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SelectArgs {
    /// Only this phase, and what it needs; `all` for all
    #[arg(long = "phase", value_name = "PHASE")]
    phases: Vec<String>,
    /// Only this step, and what it needs
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Of the packages, only this one; what is built already stays, and what is not is left out
    #[arg(long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
}

impl SelectArgs {
    /// What was selected.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            phases: self.phases.clone(),
            steps: self.steps.clone(),
            packages: self.packages.clone(),
            tier: None,
        }
    }
}

/// Which overrides are put over the plan
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OverrideArgs {
    /// Changes to put over the plan; `NAME.overrides.json` beside `NAME.plan.toml`, if it is there, unless said
    #[arg(long, value_name = "FILE", conflicts_with = "no_overrides")]
    pub(crate) overrides: Option<Utf8PathBuf>,
    /// Take the plan as it is written
    #[arg(long)]
    pub(crate) no_overrides: bool,
}

impl OverrideArgs {
    /// The file of the overrides of `plan`, whether it is there or not.
    pub(crate) fn file(&self, plan: &Utf8Path) -> Utf8PathBuf {
        self.overrides.clone().unwrap_or_else(|| {
            let name = plan.file_name().unwrap_or_default();
            let stem = name.strip_suffix(".toml").unwrap_or(name);
            let of = stem.strip_suffix(".plan").unwrap_or(stem);
            let name = if stem == "plan" { "overrides.json" } else { &format!("{of}.overrides.json") };
            plan.with_file_name(name)
        })
    }

    /// The overrides of `plan` and their file; `None` if there are none.
    ///
    /// # Errors
    ///
    /// If a file that was named is not there, it cannot be read, or everything that is wrong with it.
    pub(crate) fn read(&self, plan: &Utf8Path) -> Result<Option<(Overrides, Utf8PathBuf)>, Failure> {
        if self.no_overrides {
            return Ok(None);
        }
        let file = self.file(plan);
        let text = match fs_err::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.overrides.is_none() => {
                return Ok(None);
            }
            Err(error) => {
                let failure = Failure::new(Class::Plan, error.to_string());
                return Err(failure.because(format!("cannot read the overrides `{file}`")));
            }
        };
        let (text, plan_digest) = without_mark(text);
        if plan_digest.is_some() && plan_digest == digest_of(plan) {
            crate::style::say(&format!(
                "{file} is in {plan} already and counts no more: `bootway overrides backport` empties it"
            ));
            return Ok(None);
        }
        let overrides =
            Overrides::from_json(&text).map_err(|problems| Failure::of(&problems.in_file(file.as_str())))?;
        Ok(Some((overrides, file)))
    }

    /// The overrides that a backport has written into `plan`, and was ended before it could empty.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(crate) fn in_plan_already(&self, plan: &Utf8Path) -> Result<Option<Utf8PathBuf>, Failure> {
        let file = self.file(plan);
        match fs_err::read_to_string(&file) {
            Ok(text) => {
                let digest = without_mark(text).1;
                Ok((digest.is_some() && digest == digest_of(plan)).then_some(file))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(Class::Plan, error.to_string())),
        }
    }

    /// As they are said in a command line.
    fn arguments(&self) -> Vec<String> {
        let file = self.overrides.iter().flat_map(|file| ["--overrides".to_owned(), file.to_string()]);
        file.chain(self.no_overrides.then(|| "--no-overrides".to_owned())).collect()
    }
}

/// In a file of overrides: the SHA-256 of the plan that has them. A backport writes it before it writes the plan.
pub(crate) const BACKPORTED: &str = "backported_into";

/// The text of overrides, and what it is said to be written into.
fn without_mark(text: String) -> (String, Option<String>) {
    // What is no JSON is said by who reads it, with its place.
    let Ok(serde_json::Value::Object(mut table)) = serde_json::from_str(&text) else { return (text, None) };
    match table.remove(BACKPORTED) {
        Some(serde_json::Value::String(digest)) => {
            (serde_json::Value::Object(table).to_string(), Some(digest))
        }
        // Not ours; it is refused as any key that is not known.
        _ => (text, None),
    }
}

fn digest_of(plan: &Utf8Path) -> Option<String> {
    Some(Digest::of(&fs_err::read(plan).ok()?).to_string())
}

pub(crate) fn parse_var(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl PlanArgs {
    /// What the world outside says about variables.
    pub(crate) fn vars(&self) -> Vars {
        Vars {
            given: self.vars.iter().cloned().collect(),
            env: std::env::vars().collect(),
            ..Vars::default()
        }
    }

    /// Reads the plan.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.load_for(false)
    }

    /// The same; nothing is said of overrides if a program reads what is printed.
    ///
    /// # Errors
    ///
    /// As of [`PlanArgs::load`].
    pub(crate) fn load_for(&self, programs: bool) -> Result<Loaded, Failure> {
        match &self.plan {
            Some(plan) => self.open(plan, programs),
            None if Utf8Path::new("plan.toml").exists() => self.open("plan.toml".into(), programs),
            None => {
                let plan = demo::unpack(Utf8Path::new(".bootway"))?;
                crate::style::say(&format!("no plan named, and no plan.toml here: taking the demo, {plan}"));
                self.open(&plan, programs)
            }
        }
    }

    fn open(&self, plan: &Utf8Path, programs: bool) -> Result<Loaded, Failure> {
        let over = self.over.read(plan)?;
        let mut loaded = match over.filter(|(overrides, _)| !overrides.is_empty()) {
            None => Loaded::from_file(plan, &self.vars())?,
            Some((overrides, file)) => {
                let loaded = Loaded::with_overrides(plan, &self.vars(), &overrides, &file)?;
                if !programs {
                    crate::style::say(&said(&overrides, &file));
                }
                loaded
            }
        };
        loaded.arguments = self.over.arguments();
        Ok(loaded)
    }

    /// Reads the plan that is named, or `plan.toml` here: what is about a project has no demo to fall back on.
    ///
    /// # Errors
    ///
    /// If there is none, it cannot be read, or everything that is wrong with it.
    pub(crate) fn load_here(&self) -> Result<Loaded, Failure> {
        self.open(&self.plan_here(), false)
    }

    /// The plan that is named, or `plan.toml` here.
    pub(crate) fn plan_here(&self) -> Utf8PathBuf {
        self.plan.clone().unwrap_or_else(|| "plan.toml".into())
    }

    /// Where the plan's outputs are.
    pub(crate) fn work(&self, loaded: &Loaded) -> Work {
        let name = loaded.plan.name();
        let beside = || match &self.plan {
            Some(_) => loaded.dir.join(".bootway"),
            None => Utf8PathBuf::from(".bootway"), // The demo is unpacked in there itself.
        };
        let work = Work::new(self.work.clone().unwrap_or_else(|| beside().join(name.as_str())));
        match &self.cache {
            Some(cache) => work.with_cache(cache),
            None => work,
        }
    }
}

/// One line about overrides that are put over a plan.
pub(crate) fn said(overrides: &Overrides, file: &Utf8Path) -> String {
    let count = overrides.count();
    let s = if count == 1 { "" } else { "s" };
    format!("with {count} override{s} of {file}; `--no-overrides` goes without")
}
