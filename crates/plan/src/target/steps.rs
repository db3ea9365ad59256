//! Targets as steps of a plan: what `bootway check` runs for them, and what `bootway up` builds.

use crate::{
    Action, ArtifactKind, Digest, Name, OutputRef, Phase, Plan, Source, Step, StepCommon, StepId, Tier,
    step::{Expect, Inspect, NixBuild, NixCheck, Runs},
};

use super::{Cell, Grid, System};

/// What of a program's output is run, where a variant does not say it.
const PROGRAMS: &str = "bin/*";

impl Plan {
    /// The plan with a phase `targets` behind its own: that every attribute that there is on `system` evaluates (tier
    /// quick), a build of each: of the default profiles (tier build), and of all others (tier full), and a run of each
    /// container that says what it does when it `runs` (tier full).
    ///
    /// The second value says which step builds which cell.
    #[must_use]
    pub fn with_targets<'a>(
        &self,
        grids: &'a [Grid<'a>],
        system: &System,
    ) -> (Self, Vec<(StepId, Cell<'a>)>) {
        let mut plan = self.clone();
        let mut taken: Vec<StepId> = plan.steps().map(|step| step.id.clone()).collect();
        let phase = free("targets", &plan.phases.iter().map(|it| it.name.clone()).collect::<Vec<_>>());
        let mut cells = Vec::new();
        let mut steps = Vec::new();
        for grid in grids {
            let there: Vec<Cell<'a>> = grid.cells().filter(|cell| cell.exists_on(system)).collect();
            if there.is_empty() {
                continue;
            }
            let id = free(&format!("{}-evaluates", grid.name()), &taken);
            taken.push(id.clone());
            let mut universal: Vec<String> = there.iter().map(|cell| cell.attribute(system)).collect();
            universal.dedup();
            let check = NixCheck { systems: vec![system.to_string()], universal, ..NixCheck::default() };
            steps.push(step(&plan, id, &phase, Action::NixCheck(check), Tier::Quick));
            for cell in there {
                let id = free(&format!("{}-{}-{}", cell.target, cell.profile, cell.name), &taken);
                taken.push(id.clone());
                let is_default = cell.profile == grid.default_profile();
                let tier = if is_default { Tier::Build } else { Tier::Full };
                steps.push(step(&plan, id.clone(), &phase, Action::NixBuild(build(&cell, system)), tier));
                if let Some(runs) = cell.variant.container.as_ref().and_then(|it| it.runs.clone()) {
                    let own = free(&format!("{id}-runs"), &taken);
                    taken.push(own.clone());
                    let it = step(&plan, own, &phase, Action::Inspect(running(&id, runs)), Tier::Full);
                    steps.push(Step { needs: vec![id.clone()], ..it });
                }
                cells.push((id, cell));
            }
        }
        if !steps.is_empty() {
            let description = Some("What the flake offers to run".to_owned());
            plan.phases.push(Phase { name: phase, description, implied: false, steps });
        }
        (plan, cells)
    }
}

fn build(cell: &Cell<'_>, system: &System) -> NixBuild {
    let is_program = cell.variant.kind() == ArtifactKind::Program;
    NixBuild {
        attribute: cell.attribute(system),
        glob: cell.variant.glob.clone().or_else(|| is_program.then(|| PROGRAMS.to_owned())),
        kind: cell.variant.kind(),
        flake: None,
        output: None,
        min_size: None,
        reproducible: false,
        impure: None,
    }
}

/// That what `built` makes is run.
fn running(built: &StepId, runs: Runs) -> Inspect {
    let of = OutputRef { step: built.clone(), output: None };
    let expect = vec![Expect { runs: Some(runs), ..Expect::default() }];
    Inspect { image: Source::Output { of, inside: None }, expect }
}

fn step(plan: &Plan, id: StepId, phase: &Name, action: Action, tier: Tier) -> Step {
    Step {
        common: StepCommon { tier: Some(tier), ..StepCommon::named(id.clone()) },
        id,
        phase: phase.clone(),
        action,
        needs: Vec::new(),
        skipped: None,
        env: plan.env.clone(),
        inside: None,
    }
}

/// `text` as a name that is not `taken`; one that is too long for a name keeps its beginning, and a digest of it all.
fn free(text: &str, taken: &[Name]) -> Name {
    /// As many bytes as a name may have.
    const MOST: usize = 40;
    let plain = text.to_ascii_lowercase();
    for n in 0_usize.. {
        let digest = Digest::of(format!("{n}{text}").as_bytes()).to_string();
        let begun = plain[..plain.len().min(MOST - 7)].trim_end_matches('-');
        let name = if n == 0 { plain.clone() } else { format!("{begun}-{}", &digest[..6]) };
        if let Ok(name) = name.parse::<Name>()
            && !taken.contains(&name)
        {
            return name;
        }
    }
    unreachable!("some digest is free")
}
