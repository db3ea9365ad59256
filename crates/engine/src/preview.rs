//! The command lines that a plan would run, without running anything.

use bootway_exec::{Cmd, Cx, Input, Inputs, Runner};
use bootway_plan::{ArtifactKind, Bytes, Digest, Failure, Source, StepId};

use crate::{Loaded, Work, dispatch, inputs::linked, kept, looking::looking};

/// For each step the programs that it would start, in order, with the arguments that they would be given.
///
/// A step's command lines depend on its parameters, on paths and on the machine, never on what an earlier step made:
/// a build starts exactly these, and a test says so. Steps whose work is done in Rust have none.
///
/// # Errors
///
/// If a step cannot say.
pub fn preview(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    helper: &[String],
) -> Result<Vec<(StepId, Vec<Cmd>)>, Failure> {
    let plan = &loaded.plan;
    let jobs = crate::Options::default().jobs;
    let mut all = Vec::new();
    for step in plan.steps().filter(|step| step.skipped.is_none()) {
        let inputs: Inputs = step
            .inputs()
            .into_iter()
            .zip(1..)
            .map(|(source, number)| {
                let path = match (&source, source.inside()) {
                    (_, Some(_)) => linked(work, &step.id, number),
                    (Source::Path { path, .. }, None) => loaded.path(path),
                    (Source::Output { of, .. }, None) => {
                        let other = plan.step(of.step.as_str());
                        let outputs = other.map(bootway_plan::Step::outputs).unwrap_or_default();
                        let name =
                            of.output.clone().or_else(|| outputs.first().map(|(name, _)| name.clone()));
                        let file = other.zip(name).map(|(other, name)| other.action.file_name(&name));
                        work.out(&of.step).join(file.unwrap_or_default())
                    }
                };
                let made = source.output().is_some() && source.inside().is_none();
                let kind = if source.inside().is_some() { ArtifactKind::File } else { ArtifactKind::Tree };
                (source, Input { path, kind, digest: Digest::of(&[]), size: Bytes::new(0), made })
            })
            .collect();
        let say = |cx: &Cx<'_>| dispatch::commands(&Cx { helper, jobs, ..*cx }, &step.action, loaded);
        let mut commands = looking(step, loaded, work, runner, &inputs, say)
            .map_err(|failure| failure.because(format!("step `{}` cannot be previewed", step.id)))?;
        let keep = |cx: &Cx<'_>| kept::command(cx, &step.action, loaded, &work.roots(&step.id));
        commands.extend(looking(step, loaded, work, runner, &inputs, keep));
        all.push((step.id.clone(), commands));
    }
    Ok(all)
}
