//! The step: boot, decide the checks in their order, tell what was seen.

use std::time::{Duration, Instant};

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{
    Class, EventKind, Explain as _, Unit, Verdict,
    step::{self, AccelWish, CheckKind, Firmware, Machines},
};

use crate::{
    AccelKind, FirmwareFiles, Host, Machine,
    checks::{Checks, Decision},
    command::Memory,
    probe,
    setup::Setup,
    suite, told,
};

mod error;
pub(crate) mod handover;

pub use error::{LastWords, Said, VmError};
pub(crate) use error::{brief, seconds};
pub use handover::{Chosen, FirmwareCheck, Loader, Looked};

/// A check that is ready to be decided.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) kind: CheckKind,
    pub(crate) matches: Option<regex_lite::Regex>,
    pub(crate) within: Option<Duration>,
}

/// Boots what `step` names on one of `machines`, and decides its checks.
///
/// `loader` does what the firmware of a Chromebook does, for `boot = "chromeos"`.
///
/// Each check is told as an event, those that were not reached with the reason; so is each line of the console. The
/// image is only read. QEMU has ended when this returns.
///
/// # Errors
///
/// If the guest is not good, its machine could not be made, or the plan is wrong; [`VmError::class`] says which.
pub fn vm(
    cx: &Cx<'_>,
    step: &step::Vm,
    machines: &Machines,
    loader: &Loader<'_>,
) -> Result<Vec<StepOutput>, VmError> {
    let mut decided = 0;
    let result = boot(cx, step, machines, loader, &mut decided);
    if let Err(error) = &result {
        tell_undecided(cx, &step.checks, decided, None, error);
    }
    result.map(|()| Vec::new())
}

fn boot(
    cx: &Cx<'_>,
    step: &step::Vm,
    machines: &Machines,
    loader: &Loader<'_>,
    decided: &mut usize,
) -> Result<(), VmError> {
    let checks = all_ready(&step.checks)?;
    let setup = Setup::of(cx, step, machines)?;
    told::guest(cx, step, &setup)?;
    if !step.tests.is_empty() {
        return suite::run(cx, step, &setup, &checks, loader, decided);
    }
    let (accel, memory) = (setup.host.accel, setup.machine.memory.human());
    cx.note(format!("booting {} with {accel}, {memory} of memory", what(step)));
    let guest = setup.start(cx, Memory::Own, loader)?;
    let mut running = Checks::new(cx, guest, &setup);
    let result = decide(cx, &mut running, &checks, None, decided);
    if result.is_ok() {
        told::timing(cx, "boot-to-ready", running.began().elapsed());
    }
    running.finish_after(&result);
    result
}

/// Decides `checks` in their order; goes on behind one that is wrong, but not behind one that took too long.
pub(crate) fn decide(
    cx: &Cx<'_>,
    running: &mut Checks<'_>,
    checks: &[Ready],
    test: Option<&str>,
    decided: &mut usize,
) -> Result<(), VmError> {
    let total = Some(checks.len() as u64);
    let (mut first_bad, mut stopped, mut passed) = (None, None, 0);
    for check in checks {
        if test.is_none() {
            (cx.emit)(EventKind::Progress { done: *decided as u64, total, unit: Unit::Items });
        }
        let began = Instant::now();
        let result = running.decide(check);
        if let Some(decision) = seen(&result) {
            *decided += 1;
            (cx.emit)(EventKind::Check {
                name: name_of(test, &check.name),
                verdict: decision.verdict,
                after_ms: began.elapsed().as_millis() as u64,
                detail: decision.detail,
            });
        }
        let decision = result?;
        if decision.verdict == Verdict::Passed {
            passed += 1;
        } else {
            running.diagnose(check);
            first_bad = first_bad.or(Some((check.name.clone(), decision.detail.unwrap_or_default())));
        }
        if decision.verdict == Verdict::TimedOut {
            stopped = Some(check.name.clone());
            break;
        }
    }
    let Some((name, detail)) = first_bad else {
        if test.is_none() {
            (cx.emit)(EventKind::Progress { done: *decided as u64, total, unit: Unit::Items });
        }
        return Ok(());
    };
    Err(VmError::Failed { name, detail, more: checks.len() - passed - 1, stopped })
}

/// What a check's end says about the image: nothing, if the machine is what failed.
fn seen(result: &Result<Decision, VmError>) -> Option<Decision> {
    match result {
        Ok(decision) => Some(decision.clone()),
        Err(error) if error.class() == Class::Check => {
            let late = matches!(error, VmError::NoShell { .. });
            let verdict = if late { Verdict::TimedOut } else { Verdict::Failed };
            Some(Decision { verdict, detail: Some(error.to_string()) })
        }
        Err(_) => None,
    }
}

/// How a check of a test is told.
fn name_of(test: Option<&str>, check: &str) -> String {
    test.map_or_else(|| check.to_owned(), |test| format!("{test}: {check}"))
}

/// Tells the checks behind the first `decided` as not run.
pub(crate) fn tell_undecided(
    cx: &Cx<'_>,
    checks: &[step::Check],
    decided: usize,
    test: Option<&str>,
    error: &VmError,
) {
    for check in checks.iter().skip(decided) {
        (cx.emit)(EventKind::Check {
            name: name_of(test, &check.name),
            verdict: Verdict::NotRun,
            after_ms: 0,
            detail: Some(error.reason()),
        });
    }
}

/// Checks that are ready to be decided.
pub(crate) fn all_ready(checks: &[step::Check]) -> Result<Vec<Ready>, VmError> {
    checks.iter().map(ready).collect::<Result<_, _>>().map_err(VmError::Check)
}

fn ready(check: &step::Check) -> Result<Ready, String> {
    let kind = check.kind()?;
    let pattern = match &kind {
        CheckKind::Run(run) | CheckKind::Ssh(run) => run.matches.as_deref(),
        _ => None,
    };
    let matches = pattern.map(regex_lite::Regex::new).transpose().map_err(|error| {
        format!("`matches` of check `{}` is not a regular expression: {error}", check.name)
    })?;
    Ok(Ready {
        name: check.name.clone(),
        kind,
        matches,
        within: check.within.map(bootway_plan::Millis::duration),
    })
}

/// What this host has for `machine`.
pub(crate) fn host(cx: &Cx<'_>, machine: &Machine) -> Result<Host, VmError> {
    let firmware = match machine.firmware {
        Firmware::Uefi => {
            Some(FirmwareFiles::find(machine.arch).ok_or(VmError::NoFirmware { arch: machine.arch })?)
        }
        Firmware::Bios => None,
    };
    let accel = match machine.accel {
        AccelWish::Tcg => AccelKind::Tcg,
        AccelWish::Auto => {
            let probe = probe(cx, machine.arch)?;
            cx.note(probe.to_string());
            probe.kind
        }
        AccelWish::Kvm => {
            let probe = probe(cx, machine.arch)?;
            match probe.kind {
                AccelKind::Kvm => AccelKind::Kvm,
                AccelKind::Tcg => return Err(VmError::NoKvm { reason: probe.reason }),
            }
        }
    };
    Ok(Host { accel, firmware })
}

/// What starts, as the plan calls it.
pub(crate) fn what(step: &step::Vm) -> String {
    let source = step.image.as_ref().or(step.kernel.as_ref());
    source.map_or_else(String::new, |source| format!("`{source}`"))
}

#[cfg(test)]
pub(crate) mod tests;
