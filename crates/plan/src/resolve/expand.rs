//! `packages` in place: one step for each package, and before everything else the steps that get their sources.

use std::collections::BTreeSet;

use crate::{
    Action, ArtifactKind, Name, Source,
    nearest::unknown,
    problem::Collector,
    spec::{PhaseSpec, Spec, StepCommon, StepSpec},
    step::{DebianSource, Fetch, Package, PackageChange, PackageSpec, Packages},
};

/// The phase of the steps that get sources.
pub(crate) const SOURCES: &str = "sources";

/// The phases of `spec` with a step for each package.
pub(super) fn expand(spec: &Spec, problems: &mut Collector<'_>) -> Vec<PhaseSpec> {
    check_phases(spec, problems);
    let mut used: BTreeSet<&Name> = BTreeSet::new();
    let mut phases = Vec::new();
    for phase in &spec.phases {
        let mut steps = Vec::new();
        for step in &phase.steps {
            let Action::Packages(packages) = &step.action else {
                steps.push(placed(step, phase));
                continue;
            };
            for (name, package) in chosen(spec, phase, step, packages, problems) {
                used.insert(name);
                let mut package = package.clone();
                if let Some((_, change)) = phase.packages.get(name.as_str()) {
                    package.apply(change);
                }
                steps.extend(steps_of(spec, phase, step, packages, name, &package, problems));
            }
        }
        phases.push(PhaseSpec { steps, ..phase.clone() });
    }
    let sources: Vec<StepSpec> = spec
        .packages
        .iter()
        .filter(|(name, _)| used.contains(name))
        .filter_map(|(name, package)| source_step(spec, name, package, problems))
        .collect();
    if !sources.is_empty() {
        match phases.first_mut() {
            Some(first) if first.name == *SOURCES => first.steps.extend(sources),
            _ => phases.insert(0, PhaseSpec::of_sources(sources)),
        }
    }
    phases
}

/// A step; a package that is written as one goes where its phase says unless it says so itself.
fn placed(step: &StepSpec, phase: &PhaseSpec) -> StepSpec {
    let mut step = step.clone();
    if let Action::Package(package) = &mut step.action {
        package.install_prefix = package.install_prefix.take().or_else(|| phase.install_prefix.clone());
        package.destdir = package.destdir.take().or_else(|| phase.destdir.clone());
    }
    step
}

/// What phases say of packages must be about packages, and packages of phases.
fn check_phases(spec: &Spec, problems: &mut Collector<'_>) {
    let packages: Vec<&str> = spec.packages.keys().map(Name::as_str).collect();
    let phases: Vec<&str> = spec.phases.iter().map(|phase| phase.name.as_str()).collect();
    for phase in &spec.phases {
        for name in phase.packages.keys().filter(|name| !packages.contains(&name.as_str())) {
            let message = format!("phase `{}`: {}", phase.name, unknown("package", name.as_str(), &packages));
            problems.add(&phase.span, message);
        }
    }
    for (name, package) in spec.packages.iter() {
        for phase in package.phases.iter().flatten().filter(|phase| !phases.contains(&phase.as_str())) {
            let message = format!("package `{name}`: {}", unknown("phase", phase.as_str(), &phases));
            problems.add(&spec.place_in_package(name, phase.as_str()), message);
        }
    }
}

/// The packages that a `packages` step stands for, in the order of the plan.
fn chosen<'a>(
    spec: &'a Spec,
    phase: &PhaseSpec,
    step: &StepSpec,
    packages: &Packages,
    problems: &mut Collector<'_>,
) -> Vec<(&'a Name, &'a PackageSpec)> {
    let known: Vec<&str> = spec.packages.keys().map(Name::as_str).collect();
    for name in packages.only.iter().flatten().filter(|name| !known.contains(&name.as_str())) {
        problems.add(&step.place_of(name.as_str()), unknown("package", name.as_str(), &known));
    }
    let all = spec.packages.iter();
    all.filter(|(name, package)| match &packages.only {
        Some(only) => only.contains(name),
        None => package.phases.as_ref().is_none_or(|phases| phases.contains(&phase.name)),
    })
    .collect()
}

fn steps_of(
    spec: &Spec,
    phase: &PhaseSpec,
    step: &StepSpec,
    packages: &Packages,
    name: &Name,
    package: &PackageSpec,
    problems: &mut Collector<'_>,
) -> Vec<StepSpec> {
    let staged = package.stages.iter().map(|(stage, change)| {
        let mut package = package.clone();
        package.apply(change);
        (format!("{}{name}-{stage}", packages.prefix), package)
    });
    let staged: Vec<(String, PackageSpec)> = staged.collect();
    let plain = || vec![(format!("{}{name}", packages.prefix), package.clone())];
    let all = if staged.is_empty() { plain() } else { staged };
    let mut steps = Vec::new();
    for (id, package) in all {
        match id.parse() {
            Ok(id) => steps.push(step_of(spec, phase, step, id, name, package)),
            Err(error) => problems.add(&step.span, format!("package `{name}`: {error}")),
        }
    }
    steps
}

fn step_of(
    spec: &Spec,
    phase: &PhaseSpec,
    step: &StepSpec,
    id: Name,
    name: &Name,
    package: PackageSpec,
) -> StepSpec {
    let mut common =
        StepCommon { name: id, limit: package.limit.or(step.common.limit), ..step.common.clone() };
    common.env.extend(package.env);
    common.env_unset.extend(package.env_unset);
    let (span, sources) = spec.places_of_package(name);
    let is_debian =
        package.source.as_deref().is_some_and(|text| matches!(Origin::of(text), Origin::Debian(_)));
    StepSpec {
        common,
        action: Action::Package(Package {
            package: Some(name.clone()),
            source: package.source.as_deref().and_then(|text| Origin::of(text).source(name)),
            version: package.version,
            // Of what Debian has, only that is unpacked.
            keep: if is_debian { Vec::new() } else { package.keep },
            strategy: package.strategy,
            subdir: package.subdir,
            build_dir: package.build_dir,
            configure_flags: package.configure_flags,
            make_flags: package.make_flags,
            config: package.config,
            commands: package.commands,
            patches: package.patches,
            install_prefix: package.install_prefix.or_else(|| phase.install_prefix.clone()),
            destdir: if package.destdir_clear {
                None
            } else {
                package.destdir.or_else(|| phase.destdir.clone())
            },
        }),
        span: step.span.clone(),
        action_span: span,
        sources,
    }
}

/// Where the source of a package is.
enum Origin {
    Url(String),
    Debian(String),
    Given(Option<Source>),
}

impl Origin {
    fn of(text: &str) -> Self {
        if text.contains("://") {
            return Self::Url(text.to_owned());
        }
        match text.strip_prefix("debian:") {
            Some(name) => Self::Debian(name.to_owned()),
            None => Self::Given(text.parse().ok()),
        }
    }

    /// What a step that builds package `name` reads.
    fn source(self, name: &Name) -> Option<Source> {
        match self {
            Self::Url(_) | Self::Debian(_) => format!("{name}-source").parse().ok(),
            Self::Given(source) => source,
        }
    }
}

/// The step that gets the source of a package, if there is something to get.
fn source_step(
    spec: &Spec,
    name: &Name,
    package: &PackageSpec,
    problems: &mut Collector<'_>,
) -> Option<StepSpec> {
    let text = package.source.as_deref()?;
    let place = spec.place_in_package(name, text);
    let action = match Origin::of(text) {
        Origin::Url(url) => {
            let Some(sha256) = package.sha256 else {
                let message = format!(
                    "package `{name}` has no `sha256`: what comes from `{url}` is only used if it is what you looked at"
                );
                problems.add(&place, message);
                return None;
            };
            Action::Fetch(Fetch {
                url,
                mirrors: package.mirrors.clone(),
                sha256,
                file_name: None,
                kind: ArtifactKind::File,
            })
        }
        Origin::Debian(name) => Action::DebianSource(DebianSource::named(name, package.keep.clone())),
        Origin::Given(Some(_)) => return None,
        Origin::Given(None) => {
            let message = format!(
                "`{text}` is no source: write a URL, `debian:NAME`, `step/output`, or a path that begins with `./` or `/`"
            );
            problems.add(&place, message);
            return None;
        }
    };
    let id = match format!("{name}-source").parse() {
        Ok(id) => id,
        Err(error) => {
            problems.add(&place, format!("the step for its source cannot have this name: {error}"));
            return None;
        }
    };
    let (span, sources) = spec.places_of_package(name);
    Some(StepSpec { common: StepCommon::named(id), action, span: span.clone(), action_span: span, sources })
}

impl PackageSpec {
    /// The package as a stage or a phase wants it.
    fn apply(&mut self, change: &PackageChange) {
        fn put<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(from) = from {
                to.clone_from(from);
            }
        }
        put(&mut self.strategy, change.strategy.as_ref());
        put(&mut self.configure_flags, change.configure_flags.as_ref());
        put(&mut self.make_flags, change.make_flags.as_ref());
        put(&mut self.commands, change.commands.as_ref());
        put(&mut self.patches, change.patches.as_ref());
        for (to, from) in [
            (&mut self.subdir, &change.subdir),
            (&mut self.build_dir, &change.build_dir),
            (&mut self.install_prefix, &change.install_prefix),
            (&mut self.destdir, &change.destdir),
        ] {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        self.configure_flags.retain(|flag| !change.configure_flags_drop.contains(flag));
        self.configure_flags.extend(change.configure_flags_add.iter().cloned());
        self.make_flags.extend(change.make_flags_add.iter().cloned());
        self.patches.extend(change.patches_add.iter().cloned());
        self.config.extend(change.config.clone());
        self.env.extend(change.env.clone());
        self.env_unset.extend(change.env_unset.iter().cloned());
        self.destdir_clear |= change.destdir_clear;
        self.limit = change.limit.or(self.limit);
    }
}
