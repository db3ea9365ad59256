//! A flake attribute to an artifact: evaluate, realise, find it in the output, keep it.

use std::{io, time::Instant};

use bootway_exec::{Cmd, Cx, Exit, StepOutput};
use bootway_plan::{ArtifactKind, Class, EventKind, Explain, Finding, Judgement, Name, NixConfig, step};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Flake, Nix,
    call::CallError,
    eval::EvalError,
    outputs::{OutputError, find, manifest},
    realise::{self, Cause, NotBuilt, RealiseError},
    shapes::{PathInfo, UnknownShape, builds, path_infos},
    untracked,
};

mod cause;

/// The output that is meant unless the plan says another.
const OUT: &str = "out";

/// The name of the artifact.
const BUILT: &str = "built";

/// What an attribute evaluates to: all that an artifact depends on is in the name of its derivation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The path of the derivation, which is in the store.
    pub drv: String,
}

/// Where an artifact came from; beside it, in `built.provenance.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Provenance<'a> {
    flake: &'a str,
    attribute: &'a str,
    drv: &'a str,
    output: &'a str,
    store_path: &'a str,
    /// The artifact on disk: the store path, or a file in it.
    file: &'a Utf8Path,
    nar_hash: &'a str,
    nar_size: u64,
    deriver: Option<&'a str>,
    duration_ms: u64,
}

/// A flake attribute to an artifact: `built`, a link into the store, whose path a root keeps from being collected.
///
/// # Errors
///
/// If it does not evaluate, is not built, or holds nothing or too much that could be the artifact.
pub fn nix_build(cx: &Cx<'_>, step: &step::NixBuild, nix: &NixConfig) -> Result<Vec<StepOutput>, BuildError> {
    let evaluated = evaluate(cx, step, nix)?;
    nix_build_of(cx, step, nix, &evaluated)
}

/// The derivation behind the attribute. Builds nothing, and is as fast as Nix's own cache of evaluations.
///
/// # Errors
///
/// If the store is not on this machine, files are untracked that the flake needs, or it does not evaluate.
pub fn evaluate(cx: &Cx<'_>, step: &step::NixBuild, nix: &NixConfig) -> Result<Evaluated, EvalError> {
    let flake = flake(cx, step, nix);
    let drv = || {
        flake.check_store()?;
        flake.check_untracked()?;
        flake.drv_path(&step.attribute)
    };
    let evaluated = drv().map(|drv| Evaluated { drv });
    evaluated.inspect_err(|error| cause::tell(cx, step, error.cause(), error))
}

/// Whether the store still holds what was built into the directory `out`, as the store says.
///
/// # Errors
///
/// If it cannot be asked.
pub fn is_kept(
    cx: &Cx<'_>,
    step: &step::NixBuild,
    nix: &NixConfig,
    out: &Utf8Path,
) -> Result<bool, CallError> {
    let root = out.join(root_name(output(step)));
    if root.symlink_metadata().is_err() {
        return Ok(false);
    }
    let nix = Nix::new(cx, nix);
    Ok(nix.ask(&nix.store("--check-validity").arg(root))?.exit == Exit::Code(0))
}

/// Realises what was evaluated, finds the artifact, and keeps it.
///
/// # Errors
///
/// As [`nix_build`].
pub fn nix_build_of(
    cx: &Cx<'_>,
    step: &step::NixBuild,
    nix: &NixConfig,
    evaluated: &Evaluated,
) -> Result<Vec<StepOutput>, BuildError> {
    let built = realise_and_find(cx, step, nix, evaluated);
    built.inspect_err(|error| cause::tell(cx, step, error.cause(), error))
}

fn realise_and_find(
    cx: &Cx<'_>,
    step: &step::NixBuild,
    nix: &NixConfig,
    evaluated: &Evaluated,
) -> Result<Vec<StepOutput>, BuildError> {
    let commands = Commands::of(cx, step, nix);
    let flake = flake(cx, step, nix);
    let nix = &flake.nix;
    let drv = evaluated.drv.as_str();
    fs_err::os::unix::fs::symlink(drv, link(cx))?;
    if let Some(select) = &commands.select {
        selects_out(&flake, step, &nix.must(select)?)?;
    }
    let started = Instant::now();
    realise::realise(nix, drv, &commands.realise)?;
    let duration_ms = started.elapsed().as_millis() as u64;
    if let Some(again) = &commands.again {
        realise::realise(nix, drv, again)?;
    }
    let (path, info) = valid(&flake, cx, step, &commands)?;
    let file = find(cx, nix, &path, step)?;
    let provenance = Provenance {
        flake: flake.reference(),
        attribute: &step.attribute,
        drv,
        output: output(step),
        store_path: path.as_str(),
        file: &file,
        nar_hash: &info.nar_hash,
        nar_size: info.nar_size,
        deriver: info.deriver.as_deref(),
        duration_ms,
    };
    let placed = place(cx, step, &provenance)?;
    if let Some(keep) = &commands.keep {
        fs_err::create_dir_all(cx.placed)?;
        nix.must(keep)?;
    }
    (cx.emit)(EventKind::Finding(finding(&provenance)));
    Ok(vec![StepOutput { name: Name::fixed(BUILT), kind: step.kind, path: placed }])
}

/// The command lines that it runs, unless it fails.
pub fn build_commands(cx: &Cx<'_>, step: &step::NixBuild, nix: &NixConfig) -> Vec<Cmd> {
    let flake = flake(cx, step, nix);
    let Commands { select, realise, again, info, keep } = Commands::of(cx, step, nix);
    let untracked = untracked::command(&flake);
    let evaluate = flake.drv_path_cmd(&step.attribute);
    let all = [untracked, Some(evaluate), select, Some(realise), again, Some(info), keep];
    all.into_iter().flatten().collect()
}

/// The command lines after evaluation; the derivation stands in them as a link.
struct Commands {
    /// Which outputs the attribute means, when the plan does not say.
    select: Option<Cmd>,
    realise: Cmd,
    again: Option<Cmd>,
    info: Cmd,
    /// Keeps the output under the name that it will have, when that is another than now.
    keep: Option<Cmd>,
}

impl Commands {
    fn of(cx: &Cx<'_>, step: &step::NixBuild, config: &NixConfig) -> Self {
        let flake = flake(cx, step, config);
        let nix = &flake.nix;
        let link = link(cx);
        let root = cx.out.join(root_name(output(step)));
        let select = || {
            let installable = flake.installable(&step.attribute);
            // What is known already is enough: nobody is asked for substitutes.
            let cmd = nix.evaluate(&["build", "--dry-run", "--json", &installable], flake.is_impure());
            cmd.args(["--option", "substitute", "false"])
        };
        let keep = || {
            let cmd = nix.store("--realise").arg(root.as_str());
            cmd.args(["--add-root", cx.placed.join(root_name(output(step))).as_str(), "--indirect"])
                .args(["--log-format", "internal-json"])
        };
        let again = || realise::again(nix, &link, output(step));
        Self {
            select: step.output.is_none().then(select),
            realise: realise::command(nix, &link, output(step), &cx.out.join(ROOT)),
            again: step.reproducible.then(again),
            info: nix.nix(&["path-info", "--json", root.as_str()]).args(["--log-format", "internal-json"]),
            keep: (cx.placed != cx.out).then(keep),
        }
    }
}

/// Where the link to the derivation is: known before the derivation is.
fn link(cx: &Cx<'_>) -> Utf8PathBuf {
    cx.scratch.join("drv")
}

/// The name of the root, which is a link to the output.
pub(crate) const ROOT: &str = ".root";

/// The name that Nix gives the root of an output.
pub(crate) fn root_name(output: &str) -> String {
    if output == OUT { ROOT.to_owned() } else { format!("{ROOT}-{output}") }
}

pub(crate) fn output(step: &step::NixBuild) -> &str {
    step.output.as_deref().unwrap_or(OUT)
}

fn flake<'a>(cx: &Cx<'a>, step: &step::NixBuild, config: &'a NixConfig) -> Flake<'a> {
    Flake::new(cx, config, step.flake.as_deref()).impure(step.impure.unwrap_or(config.impure))
}

/// Whether the attribute means the output `out`: `openssl.dev` is an output of another name.
fn selects_out(flake: &Flake<'_>, step: &step::NixBuild, json: &[u8]) -> Result<(), BuildError> {
    let built = builds(json).map_err(|error| flake.unknown(error))?;
    let selected: Vec<String> = built.into_iter().flat_map(|built| built.outputs.into_keys()).collect();
    if selected.iter().any(|name| name == OUT) {
        return Ok(());
    }
    Err(BuildError::NoOut { attribute: step.attribute.clone(), selected })
}

/// The path of the output and what the store knows about it.
fn valid(
    flake: &Flake<'_>,
    cx: &Cx<'_>,
    step: &step::NixBuild,
    commands: &Commands,
) -> Result<(Utf8PathBuf, PathInfo), BuildError> {
    let root = cx.out.join(root_name(output(step)));
    let path = root.read_link_utf8()?;
    let json = flake.nix.must(&commands.info)?;
    let mut infos = path_infos(&json).map_err(|error| flake.unknown(error))?;
    let info = infos.remove(path.as_str()).flatten();
    info.map(|info| (path.clone(), info)).ok_or(BuildError::Invalid { path })
}

/// Links the artifact to where it is in the store, with what is known about it beside it.
fn place(cx: &Cx<'_>, step: &step::NixBuild, provenance: &Provenance<'_>) -> Result<Utf8PathBuf, BuildError> {
    let placed = cx.out.join(BUILT);
    fs_err::os::unix::fs::symlink(provenance.file, &placed)?;
    if step.kind == ArtifactKind::Tree {
        let manifest = manifest(provenance.file, cx.cancel)?;
        let size = bootway_plan::Bytes::new(manifest.content_size());
        if let Some(limit) = step.min_size.filter(|limit| size < *limit) {
            let path = provenance.file.to_owned();
            return Err(OutputError::TooSmall { path, size, limit }.into());
        }
        fs_err::write(cx.out.join(format!("{BUILT}.manifest")), manifest.to_text())?;
    }
    let json = serde_json::to_vec_pretty(provenance).map_err(io::Error::from)?;
    fs_err::write(cx.out.join(format!("{BUILT}.provenance.json")), json)?;
    Ok(placed)
}

fn finding(provenance: &Provenance<'_>) -> Finding {
    let deriver = provenance.deriver.unwrap_or("a derivation that the store does not know any more");
    let took = bootway_plan::Millis::new(provenance.duration_ms).duration().as_secs_f64();
    Finding {
        about: provenance.attribute.to_owned(),
        name: "store path".to_owned(),
        judgement: Judgement::Fact,
        answer: provenance.store_path.to_owned(),
        evidence: format!(
            "valid in the store; {}, {} bytes, from {deriver}, realised in {took:.1} s",
            provenance.nar_hash, provenance.nar_size
        ),
    }
}

/// There is no artifact.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The attribute does not evaluate to a derivation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The derivation was not built.
    #[error("{0}")]
    NotBuilt(NotBuilt),
    /// The output holds no artifact, or several.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The attribute means another output than `out`.
    #[error("`{attribute}` means the output {} and not `out`", selected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    NoOut {
        /// The attribute.
        attribute: String,
        /// What it means.
        selected: Vec<String>,
    },
    /// Nix says that it built the output, and that it is not valid.
    #[error("`{path}` was built, and is not valid in the store: it was collected, or somebody removed it")]
    Invalid {
        /// The output.
        path: Utf8PathBuf,
    },
    /// Nix could not be asked, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nix answers in a way that nobody knows.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<RealiseError> for BuildError {
    fn from(error: RealiseError) -> Self {
        match error {
            RealiseError::NotBuilt(error) => Self::NotBuilt(error),
            RealiseError::Call(error) => Self::Call(error),
            RealiseError::Shape(error) => Self::Shape(error),
        }
    }
}

impl Explain for BuildError {
    fn class(&self) -> Class {
        match self {
            Self::Eval(error) => error.class(),
            Self::Output(error) => error.class(),
            Self::Call(error) => error.class(),
            Self::NoOut { .. } => Class::Plan,
            Self::NotBuilt(_) | Self::Invalid { .. } | Self::Shape(_) => Class::Step,
            Self::Io(_) => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Eval(error) => error.hint(),
            Self::Output(error) => error.hint(),
            Self::Call(error) => error.hint(),
            Self::NoOut { selected, .. } => {
                Some(format!("say which one in the plan: output = \"{}\"", selected.first()?))
            }
            Self::NotBuilt(error) => Some(match error.first().cause {
                Cause::NoSpace => "make room: nix-store --gc, or another `store`".to_owned(),
                Cause::Silence => {
                    "raise `silent-kill` in `[nix]`, or find out why it says nothing".to_owned()
                }
                Cause::HashMismatch => "if what was fetched is what is meant, write its hash".to_owned(),
                _ => format!("build it alone: nix-store --realise {}", error.first().drv),
            }),
            Self::Invalid { .. } | Self::Shape(_) | Self::Io(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
