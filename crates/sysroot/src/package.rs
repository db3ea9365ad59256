//! `package` and `edit`: steps that change the root of a namespace.

use bootway_exec::{Cmd, Cx, Input, StepOutput};
use bootway_plan::{ArtifactKind, Failure, Inside, Name, step};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    error::RootError,
    layer::{Sealed, emptied, seal},
    merge::{manifest_of, merged},
    root::{Program, Root},
};
use recipe::{Act, recipe};

mod recipe;
mod source;

/// Writes what an archive has to the directory, which is not there yet; only what the patterns match.
pub type Unpack<'a> = dyn Fn(&Cx<'_>, &Input, &[String], &Utf8Path) -> Result<(), Failure> + 'a;

/// Builds a package from its source inside the root of the step; what it has installed is the output `layer`.
///
/// # Errors
///
/// If the source cannot be had or patched, a program does not end well, or nothing was installed.
pub fn package(cx: &Cx<'_>, step: &step::Package, unpack: &Unpack<'_>) -> Result<Vec<StepOutput>, RootError> {
    let root = Root::of(cx)?;
    root.prepare()?;
    let recipe = recipe(cx, step);
    let source = root.build().join(&recipe.directory);
    source::prepare(cx, step, &source, unpack)?;
    source::check(step, &source.join(step.subdir.as_deref().unwrap_or("")))?;
    for (n, act) in recipe.acts.iter().enumerate() {
        do_act(cx, &root, n, act)?;
    }
    let (output, wrote) = finish(cx, &root)?;
    if !wrote {
        return Err(RootError::Nothing);
    }
    Ok(vec![output])
}

/// What [`package`] runs.
///
/// # Errors
///
/// If the step has no root.
pub fn package_commands(cx: &Cx<'_>, step: &step::Package) -> Result<Vec<Cmd>, RootError> {
    let root = Root::of(cx)?;
    let acts = recipe(cx, step).acts;
    let programs = acts.iter().enumerate().filter_map(|(n, act)| Some((n, act.program()?)));
    programs.map(|(n, program)| root.preview(n, program)).collect()
}

/// Changes files in the root of the step; what has changed is the output `layer`.
///
/// # Errors
///
/// The first change that cannot be made.
pub fn edit(cx: &Cx<'_>, step: &step::EditRoot) -> Result<Vec<StepOutput>, RootError> {
    let root = Root::of(cx)?;
    root.prepare()?;
    root.edit(0, &step.edits)?;
    Ok(vec![finish(cx, &root)?.0])
}

/// Runs a program in the root of the step; what it has changed is the output `layer`.
///
/// # Errors
///
/// If it does not end with code 0.
pub(crate) fn command(cx: &Cx<'_>, program: &Program) -> Result<StepOutput, RootError> {
    let root = Root::of(cx)?;
    root.prepare()?;
    root.run(0, program)?;
    Ok(finish(cx, &root)?.0)
}

/// What [`command`] runs.
pub(crate) fn command_commands(cx: &Cx<'_>, program: &Program) -> Result<Cmd, RootError> {
    Root::of(cx)?.preview(0, program)
}

fn do_act(cx: &Cx<'_>, root: &Root<'_>, n: usize, act: &Act) -> Result<(), RootError> {
    let here = |path: &Utf8Path| root.build().join(path);
    match act {
        Act::Run(program) => root.run(n, program),
        Act::Edit(edits) => root.edit(n, edits),
        Act::Configure { file, options } => source::set_options(&here(file), options),
        Act::Verify { file, options } => source::verify_options(&here(file), options),
        Act::OnlyHeaders { dir } => source::only_headers(cx, &here(dir)),
    }
}

/// Looks at what has changed, and makes an output of it; and whether any file was written.
fn finish(cx: &Cx<'_>, root: &Root<'_>) -> Result<(StepOutput, bool), RootError> {
    let inside: &Inside = cx.inside.ok_or(RootError::NoRoot)?;
    let gone = root.tidy()?;
    let before = manifest_of(&merged(cx, inside, None)?);
    let Sealed { layer, wrote } = seal(cx, &root.upper(), &gone, &before)?;
    let names = emptied(&before, &layer, &inside.view);
    if !names.is_empty() {
        return Err(RootError::Emptied { names });
    }
    let path: Utf8PathBuf = cx.out.join("layer");
    fs_err::rename(root.upper(), &path)?;
    fs_err::write(format!("{path}.manifest"), layer.to_text())?;
    Ok((StepOutput { name: Name::fixed("layer"), kind: ArtifactKind::Tree, path }, wrote))
}
