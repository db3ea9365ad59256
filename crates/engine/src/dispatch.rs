//! From an action to the crate that does it: the one exhaustive match.

use bootway_exec::{Cmd, Cx, StepOutput, search_path};
use bootway_nix::Evaluated;
use bootway_plan::{Action, ArtifactKind, Class, Explain, Failure};
use bootway_source::{DebianError, DebianFiles, DebianStep, Fetched};
use camino::Utf8Path;

use crate::{Loaded, chromebook, isolated, sources, tools::find};

/// Does what `action` says.
pub(crate) fn run(
    cx: &Cx<'_>,
    action: &Action,
    loaded: &Loaded,
    evaluated: Option<&Evaluated>,
) -> Result<Vec<StepOutput>, Failure> {
    match action {
        Action::Command(step) => isolated::command(cx, step, loaded),
        Action::Debian(step) => {
            let lock = loaded.lock_file();
            explain(bootway_source::debian(cx, step, &DebianFiles::of_plan(&lock)))
        }
        Action::DebianSource(step) => {
            let lock = loaded.lock_file();
            explain(bootway_source::debian_source(cx, step, &DebianFiles::of_plan(&lock)))
        }
        Action::Fetch(step) => explain(bootway_source::fetch(cx, step)),
        Action::Unpack(step) => explain(bootway_source::unpack(cx, step)),
        Action::NixBuild(step) => explain(match evaluated {
            Some(evaluated) => bootway_nix::nix_build_of(cx, step, loaded.plan.nix(), evaluated),
            None => bootway_nix::nix_build(cx, step, loaded.plan.nix()),
        }),
        Action::NixCheck(step) => explain(bootway_nix::nix_check(cx, step, loaded.plan.nix())),
        Action::Closure(step) => explain(bootway_nix::closure(cx, step, loaded.plan.nix())),
        Action::Package(step) => explain(bootway_sysroot::package(cx, step, &sources::unpack)),
        Action::Packages(_) => Err(Failure::new(Class::Bug, "`packages` is many steps, and here is one")),
        Action::Edit(step) => explain(bootway_sysroot::edit(cx, step)),
        Action::Rootfs(step) => explain(bootway_sysroot::rootfs(cx, step)),
        Action::Tree(step) => explain(bootway_image::tree(cx, step)),
        Action::Initramfs(step) => explain(bootway_image::initramfs(cx, step)),
        Action::Squashfs(step) => explain(bootway_image::squashfs(cx, step)),
        Action::Uki(step) => explain(bootway_image::uki(cx, step)),
        Action::Disk(step) => explain(bootway_image::disk(cx, step)),
        Action::Iso(step) => explain(bootway_image::iso(cx, step)),
        Action::Oci(step) => explain(bootway_image::oci(cx, step)),
        Action::Harvest(step) => explain(bootway_chromeos::harvest(cx, step)),
        Action::Inspect(step) => explain(bootway_image::inspect(cx, step)),
        Action::Vm(step) => explain(bootway_vm::vm(cx, step, loaded.plan.machines(), &chromebook::look)),
    }
}

/// Brings what `action` downloads into the cache, and makes nothing.
pub(crate) fn download(cx: &Cx<'_>, action: &Action, loaded: &Loaded) -> Result<Fetched, Failure> {
    let lock = loaded.lock_file();
    let files = DebianFiles::of_plan(&lock);
    match action {
        Action::Fetch(step) => explain(bootway_source::download(cx, step)),
        Action::Debian(step) => explain(bootway_source::download_debian(cx, step.into(), &files)),
        Action::DebianSource(step) => explain(bootway_source::download_debian(cx, step.into(), &files)),
        _ => Err(Failure::new(Class::Bug, format!("`{}` has nothing to download", action.kind()))),
    }
}

/// The failure that an error is.
pub(crate) fn explain<T, E: Explain>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::of(&error))
}

/// The command lines that `action` would run, without running anything; work that is done in Rust has none.
pub(crate) fn commands(cx: &Cx<'_>, action: &Action, loaded: &Loaded) -> Result<Vec<Cmd>, Failure> {
    match action {
        Action::Command(step) => isolated::commands(cx, step, loaded),
        Action::Harvest(step) => Ok(bootway_chromeos::commands(cx, step)),
        Action::Vm(step) => explain(bootway_vm::preview(cx, step, loaded.plan.machines())),
        Action::Debian(step) => resolving(cx, step.into(), loaded),
        Action::DebianSource(step) => resolving(cx, step.into(), loaded),
        Action::Package(step) => explain(bootway_sysroot::package_commands(cx, step)),
        Action::NixBuild(step) => Ok(bootway_nix::build_commands(cx, step, loaded.plan.nix())),
        Action::NixCheck(step) => Ok(bootway_nix::check_commands(cx, step, loaded.plan.nix())),
        Action::Closure(step) => Ok(bootway_nix::closure_commands(cx, step, loaded.plan.nix())),
        Action::Inspect(step) => {
            let is_there = |engine: &str| find(engine, &search_path()).is_some();
            let engine = if !is_there("docker") && is_there("podman") { "podman" } else { "docker" };
            Ok(bootway_image::container_commands(cx, step, engine))
        }
        Action::Fetch(_)
        | Action::Unpack(_)
        | Action::Packages(_)
        | Action::Edit(_)
        | Action::Rootfs(_)
        | Action::Tree(_)
        | Action::Initramfs(_)
        | Action::Squashfs(_)
        | Action::Uki(_)
        | Action::Disk(_)
        | Action::Iso(_)
        | Action::Oci(_) => Ok(Vec::new()),
    }
}

/// What resolves the names of `step`, if the lock file does not do that already.
fn resolving(cx: &Cx<'_>, step: DebianStep<'_>, loaded: &Loaded) -> Result<Vec<Cmd>, Failure> {
    let lock = loaded.lock_file();
    let files = DebianFiles::of_plan(&lock);
    let locked = bootway_source::locked(&files.lock_path(cx.plan_dir, step), step);
    let locked = explain(locked.map_err(DebianError::Lock))?;
    let resolve = || bootway_source::debian_commands(cx.scratch, files.keyring);
    Ok(if locked.is_some() { Vec::new() } else { resolve() })
}

/// Whether what is at `path` is what it is said to be.
pub(crate) fn verify(kind: ArtifactKind, path: &Utf8Path) -> Result<(), Failure> {
    explain(bootway_image::verify(kind, path))?;
    match kind {
        ArtifactKind::ChromeosKernel => explain(bootway_chromeos::verify(path)),
        _ => Ok(()),
    }
}
