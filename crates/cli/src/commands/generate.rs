//! `bootway generate`: files that are made from the targets of a plan.

use bootway_engine::{Loaded, Seen};
use bootway_plan::{Class, Failure, System, exit_code};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::{
    generate::{Made, What, difference},
    grids::Lists,
    open::PlanArgs,
};

/// Write the files that are made from a plan's targets: completions, compose file, recipes, table
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Which; all that `[generate]` of the plan has a place for unless said
    #[arg(value_name = "WHAT")]
    what: Vec<What>,
    /// Only say which are stale; exit code 6 if any is
    #[arg(long)]
    check: bool,
    /// The plan; `plan.toml` here unless said
    #[arg(long, value_name = "PLAN.TOML")]
    plan: Option<Utf8PathBuf>,
    /// Give a variable of the plan a value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = crate::open::parse_var)]
    vars: Vec<(String, String)>,
}

impl Generate {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let plan = PlanArgs { plan: self.plan.clone(), vars: self.vars.clone(), ..PlanArgs::default() };
        let loaded = plan.load_here()?;
        let files = files(&loaded, &self.what)?;
        if self.check {
            return match all_stale(&files) {
                None => {
                    crate::print(&format!("{} files are up to date\n", files.len()));
                    Ok(exit_code::DONE)
                }
                Some(failure) => Err(failure),
            };
        }
        for File { name, path, text } in files {
            let state = if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
                "is up to date"
            } else {
                write(&path, &text)?;
                "written"
            };
            crate::print(&format!("{name} {state}\n"));
        }
        Ok(exit_code::DONE)
    }
}

/// A file as it would be.
#[derive(Debug)]
pub(crate) struct File {
    /// As the plan names it.
    name: Utf8PathBuf,
    path: Utf8PathBuf,
    text: String,
}

/// The files of `what`, or of everything that the plan has a place for.
pub(crate) fn files(loaded: &Loaded, what: &[What]) -> Result<Vec<File>, Failure> {
    let lists = Lists::read(loaded, |_| true)?;
    let grids = lists.grids()?;
    let plan = loaded.file.as_deref().and_then(Utf8Path::file_name).unwrap_or("plan.toml");
    let made = Made { grids: &grids, plan, dir: &loaded.dir, system: System::of("x86_64", "linux") };
    let mut files = Vec::new();
    for what in if what.is_empty() { &What::ALL[..] } else { what } {
        let Some(place) = what.place(&loaded.plan) else { continue };
        let old = |place: &str| fs_err::read_to_string(loaded.dir.join(place)).ok();
        let all = what.files(&made, place, &old).map_err(|error| {
            Failure::new(Class::Plan, error.to_string()).because("cannot make the table in the documentation")
        })?;
        files.extend(all.into_iter().map(|(name, text)| File { path: loaded.dir.join(&name), name, text }));
    }
    let named = |what: &&What| what.place(&loaded.plan).is_none();
    if let Some(what) = what.iter().find(named).or((files.is_empty()).then_some(&What::Completions)) {
        let failure = Failure::new(Class::Plan, format!("the plan has no place for `{}`", what.as_str()));
        return Err(failure.hint(format!("add one: `[generate]` with `{} = \"PATH\"`", what.as_str())));
    }
    Ok(files)
}

/// What there is to say of the files that the plan has a place for: each is a check.
pub(crate) fn seen_here(loaded: &Loaded) -> Result<Seen, Failure> {
    let files = files_of(loaded)?;
    let checks: Vec<_> =
        files.iter().map(|file| (format!("{} is up to date", file.name), stale(file))).collect();
    let failure = what_is_stale(checks.iter().filter(|(_, wrong)| wrong.is_some()).count());
    Ok(Seen { checks, failure })
}

/// The files that the plan has a place for, as it names them.
pub(crate) fn files_here(loaded: &Loaded) -> Result<Vec<Utf8PathBuf>, Failure> {
    Ok(files_of(loaded)?.into_iter().map(|file| file.name).collect())
}

fn files_of(loaded: &Loaded) -> Result<Vec<File>, Failure> {
    if What::ALL.iter().any(|what| what.place(&loaded.plan).is_some()) {
        files(loaded, &[])
    } else {
        Ok(Vec::new())
    }
}

/// All that is stale of `files`, if anything is.
fn all_stale(files: &[File]) -> Option<Failure> {
    let wrong = |file: &File| stale(file).map(|wrong| format!("`{}`: {wrong}", file.name));
    let said: Vec<String> = files.iter().filter_map(wrong).collect();
    what_is_stale(said.len()).map(|mut failure| {
        failure.chain.extend(said);
        failure
    })
}

/// What is stale of a file, if anything is.
fn stale(file: &File) -> Option<String> {
    match fs_err::read_to_string(&file.path) {
        Ok(there) => difference(&there, &file.text).map(|it| it.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("it is not there".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// That `n` files are stale, if any is.
fn what_is_stale(n: usize) -> Option<Failure> {
    let said = match n {
        0 => return None,
        1 => "a generated file is stale".to_owned(),
        n => format!("{n} generated files are stale"),
    };
    Some(Failure::new(Class::Check, said).hint("run `bootway generate` and look at the difference"))
}

fn write(path: &Utf8Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Utf8Path::new("."));
    fs_err::create_dir_all(parent).and_then(|()| fs_err::write(path, text)).map_err(|error| {
        Failure::new(Class::Environment, error.to_string()).because(format!("cannot write `{path}`"))
    })
}
