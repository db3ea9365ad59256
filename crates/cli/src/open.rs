//! Arguments that name a plan, and what they lead to.

use bootway_engine::{Loaded, Work};
use bootway_plan::{Failure, Vars};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::demo;

/// Which plan, with which values
#[derive(Clone, Debug, Args)]
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
}

pub(crate) fn parse_var(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl PlanArgs {
    /// What the world outside says about variables.
    pub(crate) fn vars(&self) -> Vars {
        Vars { given: self.vars.iter().cloned().collect(), env: std::env::vars().collect() }
    }

    /// Reads the plan.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        match &self.plan {
            Some(plan) => Loaded::from_file(plan, &self.vars()),
            None if Utf8Path::new("plan.toml").exists() => {
                Loaded::from_file("plan.toml".into(), &self.vars())
            }
            None => {
                let plan = demo::unpack(Utf8Path::new(".bootway"))?;
                crate::style::say(&format!("no plan named, and no plan.toml here: taking the demo, {plan}"));
                Loaded::from_file(&plan, &self.vars())
            }
        }
    }

    /// Reads the plan that is named, or `plan.toml` here: what is about a project has no demo to fall back on.
    ///
    /// # Errors
    ///
    /// If there is none, it cannot be read, or everything that is wrong with it.
    pub(crate) fn load_here(&self) -> Result<Loaded, Failure> {
        let plan = self.plan.clone().unwrap_or_else(|| "plan.toml".into());
        Loaded::from_file(&plan, &self.vars())
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
