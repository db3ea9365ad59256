//! A flake, and what its attributes evaluate to.

use bootway_exec::{Cmd, Cx, Exit};
use bootway_plan::{Class, Explain, NixConfig, nearest};
use camino::Utf8Path;
use serde_json::Value;
use thiserror::Error;

use crate::{
    Nix,
    call::{Answer, CallError, absolute},
    shapes::{FlakeMetadata, Shown, UnknownShape, flake_metadata, flake_show},
    untracked::{self, UntrackedFiles},
    version::Version,
};

/// Names that a message lists.
const SHOWN: usize = 12;

/// A flake that is asked questions; each question is a program run that emits its lines and stops when it is told to.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Flake<'a> {
    pub(crate) nix: Nix<'a>,
    reference: String,
    impure: bool,
}

impl<'a> Flake<'a> {
    /// The flake `flake`: a directory, from the plan's, or a reference. That of `[nix]` if it is `None`, and the
    /// plan's own directory if that says nothing either.
    pub fn new(cx: &Cx<'a>, config: &'a NixConfig, flake: Option<&str>) -> Self {
        let flake = flake.or(config.flake.as_deref()).unwrap_or(".");
        Self { nix: Nix::new(cx, config), reference: reference(cx.plan_dir, flake), impure: config.impure }
    }

    /// The same flake, evaluated with or without a look at the environment.
    #[must_use]
    pub fn impure(self, impure: bool) -> Self {
        Self { impure, ..self }
    }

    /// Whether evaluation may look at the environment.
    pub(crate) const fn is_impure(&self) -> bool {
        self.impure
    }

    /// The flake as Nix is told it: an absolute directory, or a reference.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The value of `attribute`, after `apply` if there is one; both in the words of `nix eval`.
    ///
    /// As `nix build` does, it looks below `packages.SYSTEM` and `legacyPackages.SYSTEM` first.
    ///
    /// # Errors
    ///
    /// If there is no such attribute, or evaluation fails.
    pub fn eval_json(&self, attribute: &str, apply: Option<&str>) -> Result<Value, EvalError> {
        let mut cmd = self.nix.evaluate(&["eval", "--json", &self.installable(attribute)], self.impure);
        if let Some(apply) = apply {
            cmd = cmd.args(["--apply", apply]);
        }
        let answer = self.answer(attribute, &cmd)?;
        Ok(serde_json::from_slice(&answer.stdout).map_err(|error| {
            self.unknown(UnknownShape {
                version: None,
                question: "nix eval --json",
                field: ".".to_owned(),
                wanted: "JSON",
                found: error.to_string(),
            })
        })?)
    }

    /// The names below `attribute`, without looking at what they are.
    ///
    /// # Errors
    ///
    /// As [`Flake::eval_json`], and if it is no set.
    pub fn attr_names(&self, attribute: &str) -> Result<Vec<String>, EvalError> {
        let names = self.eval_json(attribute, Some("builtins.attrNames"))?;
        Ok(serde_json::from_value(names).expect("`attrNames` makes a list of strings"))
    }

    /// The value of an expression, with `flake` for the outputs of this flake and its inputs.
    ///
    /// Impure, because a directory is no locked reference; the flake itself is evaluated in the same way all the same.
    ///
    /// # Errors
    ///
    /// If evaluation fails.
    pub fn eval_expr(&self, expression: &str) -> Result<Value, EvalError> {
        let flake = nix_string(&self.reference);
        let expression = format!("let flake = builtins.getFlake {flake}; in {expression}");
        let cmd = self.nix.evaluate(&["eval", "--json", "--expr", &expression], true);
        let answer = self.nix.ask(&cmd)?;
        if answer.exit != Exit::Code(0) {
            return Err(EvalError::Failed { what: self.reference.clone(), complaint: answer.complaint() });
        }
        Ok(serde_json::from_slice(&answer.stdout).expect("`nix eval --json` prints JSON"))
    }

    /// The system that Nix builds for unless it is told otherwise: `x86_64-linux`.
    ///
    /// # Errors
    ///
    /// If Nix cannot be asked.
    pub fn system(&self) -> Result<String, EvalError> {
        let cmd = self.nix.nix(&["eval", "--raw", "--impure", "--expr", "builtins.currentSystem"]);
        let cmd = cmd.args(["--log-format", "internal-json"]);
        Ok(String::from_utf8_lossy(&self.nix.must(&cmd)?).trim().to_owned())
    }

    /// What the flake says that it has; fails if one of its attributes throws.
    ///
    /// # Errors
    ///
    /// If evaluation fails, or the answer has an unknown shape.
    pub fn show(&self) -> Result<Shown, EvalError> {
        let cmd = self.nix.evaluate(&["flake", "show", "--json", &self.reference], self.impure);
        let answer = self.answer("", &cmd)?;
        flake_show(&answer.stdout).map_err(|error| self.unknown(error).into())
    }

    /// Where the flake is from.
    ///
    /// # Errors
    ///
    /// If Nix cannot find it, or the answer has an unknown shape.
    pub fn metadata(&self) -> Result<FlakeMetadata, EvalError> {
        let cmd = self.nix.evaluate(&["flake", "metadata", "--json", &self.reference], self.impure);
        let answer = self.answer("", &cmd)?;
        flake_metadata(&answer.stdout).map_err(|error| self.unknown(error).into())
    }

    /// The derivation behind `attribute`, which is in the store afterwards. Nothing is built.
    ///
    /// # Errors
    ///
    /// As [`Flake::eval_json`], and if it is no derivation.
    pub fn drv_path(&self, attribute: &str) -> Result<String, EvalError> {
        let answer = self.answer(attribute, &self.drv_path_cmd(attribute))?;
        let printed = String::from_utf8_lossy(&answer.stdout);
        match printed.lines().collect::<Vec<_>>()[..] {
            [drv] if Utf8Path::new(drv).extension() == Some("drv") => Ok(drv.to_owned()),
            _ => Err(self
                .unknown(UnknownShape {
                    version: None,
                    question: "nix path-info --derivation",
                    field: ".".to_owned(),
                    wanted: "the path of one derivation",
                    found: format!("`{}`", printed.trim()),
                })
                .into()),
        }
    }

    /// The question that uses the evaluation cache: `nix eval` never does.
    pub(crate) fn drv_path_cmd(&self, attribute: &str) -> Cmd {
        self.nix.evaluate(&["path-info", "--derivation", &self.installable(attribute)], self.impure)
    }

    /// Looks whether what is built can be looked into: in a store that is on this machine's disk, and one for all
    /// commands.
    pub(crate) fn check_store(&self) -> Result<(), EvalError> {
        if let Some(store) = self.nix.far_store() {
            return Err(EvalError::FarStore { store: store.to_owned() });
        }
        let is_store = |arg: &&String| *arg == "--store" || arg.starts_with("--store=");
        self.nix.config.args.iter().find(is_store).map_or(Ok(()), |_| Err(EvalError::StoreInArgs))
    }

    /// Looks for files that Git does not know, and does about it what `[nix]` says.
    ///
    /// # Errors
    ///
    /// If there are some, and they are to be an error; or Git cannot be asked.
    pub fn check_untracked(&self) -> Result<(), EvalError> {
        untracked::check(self)
    }

    pub(crate) fn installable(&self, attribute: &str) -> String {
        format!("{}#{attribute}", self.reference)
    }

    /// The directory of the flake, if it is one on this machine.
    pub(crate) fn dir(&self) -> Option<&Utf8Path> {
        self.reference.starts_with('/').then(|| Utf8Path::new(&self.reference))
    }

    /// Runs a question about `attribute`, and finds out what is wrong if it fails.
    fn answer(&self, attribute: &str, cmd: &Cmd) -> Result<Answer, EvalError> {
        let answer = self.nix.ask(cmd)?;
        if answer.exit == Exit::Code(0) {
            return Ok(answer);
        }
        if !attribute.is_empty()
            && let Ok(Some(names)) = self.names_instead(attribute)
        {
            let near = near(attribute, &names);
            let (attribute, flake) = (attribute.to_owned(), self.reference.clone());
            return Err(EvalError::Missing { attribute, flake, near, names });
        }
        Err(EvalError::Failed {
            what: self.installable(attribute),
            complaint: gist_first(&answer.complaint()),
        })
    }

    /// What there is where `attribute` is not; `None` if it is there, and something else is wrong.
    fn names_instead(&self, attribute: &str) -> Result<Option<Vec<String>>, EvalError> {
        let path = split(attribute).iter().map(|name| nix_string(name)).collect::<Vec<_>>().join(" ");
        let looked = self.eval_expr(&format!("({LOOK}) flake [ {path} ]"))?;
        let names: Option<Vec<String>> = serde_json::from_value(looked).unwrap_or_default();
        Ok(names)
    }

    /// The error with the version of the Nix that answered so.
    pub(crate) fn unknown(&self, error: UnknownShape) -> UnknownShape {
        error.of(Version::ask(&self.nix).ok())
    }
}

/// `null` if a path of attributes is there under one of the prefixes that Nix tries, else the full names of what is
/// beside the first attribute that is not.
const LOOK: &str = "flake: path: let \
    system = builtins.currentSystem; \
    quote = name: if builtins.match \"[A-Za-z_][A-Za-z0-9_'-]*\" name != null then name else builtins.toJSON name; \
    names = prefix: set: map (name: prefix + quote name) (builtins.attrNames set); \
    walk = prefix: set: path: \
      if path == [ ] then null \
      else if !(builtins.isAttrs set) then [ ] \
      else let name = builtins.head path; in \
        if !(set ? ${name}) then names prefix set \
        else let tried = builtins.tryEval set.${name}; in \
          if !tried.success then null \
          else walk (prefix + quote name + \".\") tried.value (builtins.tail path); \
    all = map (set: walk \"\" set path) \
      [ (flake.packages.${system} or { }) (flake.legacyPackages.${system} or { }) (removeAttrs flake \
        [ \"_type\" \"inputs\" \"lastModified\" \"lastModifiedDate\" \"narHash\" \"outPath\" \"outputs\" \"rev\" \
          \"revCount\" \"shortRev\" \"dirtyRev\" \"dirtyShortRev\" \"sourceInfo\" \"submodules\" ]) ]; \
    in if builtins.elem null all then null else builtins.concatLists all";

/// Text as a string of the Nix language.
pub(crate) fn nix_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

/// The names of an attribute path: `a."b.c".d` has three.
fn split(attribute: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for c in attribute.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            _ => names.last_mut().expect("there is one from the start").push(c),
        }
    }
    names
}

/// A complaint with what went wrong before where; newer ones end with it.
fn gist_first(complaint: &str) -> String {
    match complaint.rsplit_once("error: ") {
        Some((place, gist)) => format!("{}\n{}", gist.trim(), place.trim_end()),
        None => complaint.to_owned(),
    }
}

/// The name that was meant, most likely; what comes before its last part is no measure of that.
fn near(attribute: &str, names: &[String]) -> Option<String> {
    let start = attribute.rfind('.').map_or(0, |dot| dot + 1);
    let (before, last) = attribute.split_at(start);
    let beside: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(before)).collect();
    nearest(last, beside).map(|near| format!("{before}{near}"))
}

/// A flake as Nix is told it: a directory becomes absolute, alone or after `path:`, anything else stays.
fn reference(plan_dir: &Utf8Path, flake: &str) -> String {
    for scheme in ["path:", "git+file:"] {
        if let Some(dir) = flake.strip_prefix(scheme).filter(|rest| rest.starts_with('.')) {
            return format!("{scheme}{}", reference(plan_dir, dir));
        }
    }
    let here = plan_dir.join(flake);
    if flake.starts_with('.') || flake.starts_with('/') || here.is_dir() {
        let clean = absolute(&here);
        return clean.canonicalize_utf8().unwrap_or(clean).into_string();
    }
    flake.to_owned()
}

/// A flake does not evaluate to what is wanted of it.
#[derive(Debug, Error)]
pub enum EvalError {
    /// It has no such attribute.
    #[error("the flake `{flake}` has no `{attribute}`{}", instead(near.as_deref(), names))]
    Missing {
        /// What was asked for.
        attribute: String,
        /// Of which flake.
        flake: String,
        /// What was meant, perhaps.
        near: Option<String>,
        /// What is there.
        names: Vec<String>,
    },
    /// Evaluation failed.
    #[error("`{what}` does not evaluate: {complaint}")]
    Failed {
        /// What was evaluated.
        what: String,
        /// What Nix says, its trace included.
        complaint: String,
    },
    /// The flake needs files that Git does not know.
    #[error(transparent)]
    Untracked(#[from] UntrackedFiles),
    /// Nothing that is built is on this machine.
    #[error("the store `{store}` is not on this machine, and what is built in it cannot be looked into")]
    FarStore {
        /// The store.
        store: String,
    },
    /// Some commands would use another store than others.
    #[error("`args` of `[nix]` has `--store`, which not all commands would have")]
    StoreInArgs,
    /// Nix could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nix answers in a way that nobody knows.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
}

fn instead(near: Option<&str>, names: &[String]) -> String {
    match near {
        Some(near) => format!(": did you mean `{near}`"),
        None if names.is_empty() => ", nor any other".to_owned(),
        None => {
            let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(": it has {}{more}", shown.join(", "))
        }
    }
}

impl Explain for EvalError {
    fn class(&self) -> Class {
        match self {
            Self::Missing { .. } | Self::FarStore { .. } | Self::StoreInArgs => Class::Plan,
            Self::Failed { .. } | Self::Shape(_) => Class::Step,
            Self::Untracked(error) => error.class(),
            Self::Call(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { flake, .. } => Some(format!("all that there is: nix flake show {flake}")),
            Self::Failed { what, .. } => {
                Some(format!("where it comes from: nix eval --raw {what}.drvPath --show-trace"))
            }
            Self::Untracked(error) => error.hint(),
            Self::FarStore { store } if store.starts_with("ssh") => Some(format!(
                "let it build for this machine's store instead: `builders = [\"{store} x86_64-linux\"]` in `[nix]`"
            )),
            Self::FarStore { store } => {
                Some(format!("fetch from it instead: `substituters = [\"{store}\"]` in `[nix]`"))
            }
            Self::StoreInArgs => Some("write `store = \"…\"` there".to_owned()),
            Self::Call(error) => error.hint(),
            Self::Shape(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
