//! What the machine lacks, all of it at once, before any work.

use std::{collections::BTreeMap, fmt};

use bootway_exec::{Cx, Program, Tool, search_path};
use bootway_plan::{Bytes, Class, Failure, Need, Requires, Source, Step, step::Arch};
use bootway_vm::AccelKind;
use serde::Serialize;

use crate::{
    Loaded, Work,
    tools::{find, needs_uefi, programs_of},
};

/// Something that the machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Missing {
    /// What.
    pub what: String,
    /// Who needs it: steps, or the plan.
    pub needed_by: Vec<String>,
    /// What to do about it.
    pub remedy: String,
    /// The Debian package that would help.
    pub debian_package: Option<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (needed by {}): {}", self.what, self.needed_by.join(", "), self.remedy)
    }
}

/// Everything that `steps` need and this machine lacks.
pub fn doctor(loaded: &Loaded, steps: &[&Step], work: &Work) -> Vec<Missing> {
    let mut found: BTreeMap<String, Missing> = BTreeMap::new();
    let mut add = |what: String, by: &str, remedy: String, package: Option<&str>| {
        let missing = found.entry(what.clone()).or_insert_with(|| Missing {
            what,
            needed_by: Vec::new(),
            remedy,
            debian_package: package.map(str::to_owned),
        });
        missing.needed_by.push(format!("`{by}`"));
    };
    let path = search_path();
    for step in steps.iter().filter(|step| step.skipped.is_none()) {
        let own: &[String] = &step.common.requires.tools;
        let programs = programs_of(step, loaded.plan.machines());
        for program in programs.into_iter().filter(|it| !own.iter().any(|own| own == it.as_str())) {
            if find(program.as_str(), &path).is_none() {
                let package =
                    if let Program::Tool(tool) = program { Some(tool.debian_package()) } else { None };
                let remedy = match program {
                    Program::Tool(tool) => Tool::hint(tool),
                    Program::User(ref name) => format!("install `{name}`, or fix `argv` in the plan"),
                };
                add(format!("program `{}`", program.as_str()), step.id.as_str(), remedy, package);
            }
        }
        let arch = needs_uefi(step, loaded.plan.machines());
        if let Some(arch) = arch.filter(|arch| bootway_vm::FirmwareFiles::find(*arch).is_none()) {
            let (what, package) = match arch {
                Arch::X8664 => ("UEFI firmware (OVMF)", "ovmf"),
                Arch::Aarch64 => ("UEFI firmware for 64-bit ARM (AAVMF)", "qemu-efi-aarch64"),
            };
            let remedy = format!("install it: `apt-get install {package}`, or enter `nix develop ./nix`");
            add(what.to_owned(), step.id.as_str(), remedy, Some(package));
        }
        for source in step.inputs() {
            if let Source::Path { path, .. } = &source
                && !loaded.path(path).exists()
            {
                let remedy = "make it, or fix the path in the plan".to_owned();
                add(format!("`{}`", loaded.path(path)), step.id.as_str(), remedy, None);
            }
        }
    }
    for (what, remedy) in lacking(loaded.plan.requires(), loaded, work) {
        add(what, "the plan", remedy, None);
    }
    found.into_values().collect()
}

/// The failure of a run that cannot begin.
pub(crate) fn missing_failure(missing: &[Missing]) -> Failure {
    let packages: Vec<&str> = missing.iter().filter_map(|it| it.debian_package.as_deref()).collect();
    let mut chain = vec![match missing.len() {
        1 => "this machine lacks something that the plan needs".to_owned(),
        n => format!("this machine lacks {n} things that the plan needs"),
    }];
    chain.extend(missing.iter().map(ToString::to_string));
    let hint = (!packages.is_empty()).then(|| {
        let mut packages = packages;
        packages.sort_unstable();
        packages.dedup();
        format!("on Debian: apt-get install {}", packages.join(" "))
    });
    Failure { class: Class::Environment, chain, hint, program: None }
}

/// What of `requires` is not there, and what to do about it.
fn lacking(requires: &Requires, loaded: &Loaded, work: &Work) -> Vec<(String, String)> {
    let mut lacking = Vec::new();
    let path = search_path();
    // `docker|podman` is one of the two.
    let is_there = |tools: &str| tools.split('|').any(|tool| find(tool, &path).is_some());
    for tools in requires.tools.iter().filter(|tools| !is_there(tools)) {
        let any = tools.split('|').map(|tool| format!("`{tool}`")).collect::<Vec<_>>().join(" or ");
        lacking.push((format!("program {any}"), format!("install {any}")));
    }
    for file in requires.files.iter().map(|file| loaded.path(file)).filter(|file| !file.exists()) {
        lacking.push((format!("`{file}`"), "make it, or fix the path in the plan".to_owned()));
    }
    for name in requires.env.iter().filter(|name| !std::env::var(name).is_ok_and(|it| !it.is_empty())) {
        lacking.push((format!("environment variable `{name}`"), "set it".to_owned()));
    }
    let here = platform();
    if let Some(wanted) = requires.platform.as_ref().filter(|wanted| **wanted != here) {
        lacking.push((format!("platform `{wanted}`"), format!("this is `{here}`: run it there")));
    }
    if let Some(needed) = requires.disk_free
        && let Some(free) = free_space(work)
        && free < needed
    {
        lacking.push((
            format!("{} of free space at `{}`", needed.human(), work.root()),
            format!("it has {}: free some, or use another directory with `--work DIR`", free.human()),
        ));
    }
    lacking
}

/// Why a step cannot run on this machine, if it cannot.
pub(crate) fn unmet(requires: &Requires, loaded: &Loaded, work: &Work) -> Option<String> {
    let (what, remedy) = lacking(requires, loaded, work).into_iter().next()?;
    Some(format!("{what} is missing: {remedy}"))
}

/// Why hardware virtualisation cannot be used although `requires` asks for it.
pub(crate) fn without_kvm(cx: &Cx<'_>, requires: &Requires) -> Option<String> {
    if requires.kvm != Some(Need::Required) {
        return None;
    }
    no_kvm(cx).map(|reason| format!("KVM is required: {reason}"))
}

/// Why hardware virtualisation cannot be used on this machine, if so: a tiny guest is booted to find out.
pub fn no_kvm(cx: &Cx<'_>) -> Option<String> {
    match bootway_vm::probe(cx, Arch::X8664) {
        Ok(probe) if probe.kind == AccelKind::Kvm => None,
        Ok(probe) => Some(probe.reason),
        Err(error) => Some(format!("it cannot be probed: {error}")),
    }
}

fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Free space where the work directory is or will be.
fn free_space(work: &Work) -> Option<Bytes> {
    let dir = work.root().ancestors().find(|dir| dir.exists())?;
    let dir = if dir.as_str().is_empty() { camino::Utf8Path::new(".") } else { dir };
    let stat = rustix::fs::statvfs(dir.as_std_path()).ok()?;
    Some(Bytes::new(stat.f_bavail * stat.f_frsize))
}
