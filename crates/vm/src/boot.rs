//! The step: boot, decide the checks in their order, tell what was seen.

use std::time::{Duration, Instant};

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{
    Class, EventKind, Explain as _, Unit, Verdict,
    step::{self, AccelWish, Attach, Boot, CheckKind, Firmware, Machines},
};
use camino::Utf8Path;

use crate::{
    AccelKind, FirmwareFiles, Host, Machine, Media, card,
    checks::{Checks, Decision},
    command::{CARD, VARS, commands},
    guest::{Guest, Start},
    probe,
};

mod error;
mod handover;

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
    let mut decided = Vec::new();
    let result = boot(cx, step, machines, loader, &mut decided);
    if let Err(error) = &result {
        tell_undecided(cx, step, decided.len(), error);
    }
    result.map(|()| Vec::new())
}

fn boot(
    cx: &Cx<'_>,
    step: &step::Vm,
    machines: &Machines,
    loader: &Loader<'_>,
    decided: &mut Vec<Verdict>,
) -> Result<(), VmError> {
    let machine = Machine::resolve(step.machine.as_ref(), machines, step.boot)?;
    let checks = step.checks.iter().map(ready).collect::<Result<Vec<_>, _>>().map_err(VmError::Check)?;
    let media = media(cx, step)?;
    let host = host(cx, &machine)?;
    if let (Firmware::Uefi, Some(files)) = (machine.firmware, &host.firmware) {
        // Not a copy of the file: that would be read-only where the original is.
        let vars = fs_err::read(&files.vars).map_err(VmError::io(cx.scratch))?;
        fs_err::write(cx.scratch.join(VARS), vars).map_err(VmError::io(cx.scratch))?;
    }
    if let (Some(image), Some(Attach::Sd)) = (&media.image, media.attach) {
        make_card(cx, image)?;
    }
    let start = match (step.boot, &media.image) {
        (Boot::Chromeos, Some(image)) => handover::start(cx, image, media.cmdline.as_deref(), loader)?,
        _ => Start { cmdline: None, screen: false },
    };
    cx.note(format!("booting {} with {}, {} of memory", what(step), host.accel, machine.memory.human()));
    let cmds = commands(&machine, step.boot, &media, &host, cx.scratch);
    let guest = Guest::start(cx, cmds.first().expect("there is one command"), start)?;
    let mut running = Checks::new(cx, guest, &machine, media);
    let result = decide(cx, &mut running, &checks, decided);
    running.finish();
    result
}

/// Makes the SD card that has the bytes of `image`.
fn make_card(cx: &Cx<'_>, image: &Utf8Path) -> Result<(), VmError> {
    // A name that is relative is taken from where the card is.
    let image = image.canonicalize_utf8().map_err(VmError::io(image))?;
    let size = fs_err::metadata(&image).map_err(VmError::io(&image))?.len();
    let card = card::size(size).and_then(|size| card::overlay(&image, size));
    let card = card.ok_or_else(|| VmError::Card { path: image.clone() })?;
    fs_err::write(cx.scratch.join(CARD), card).map_err(VmError::io(cx.scratch))
}

/// Decides `checks` in their order; goes on behind one that is wrong, but not behind one that took too long.
fn decide(
    cx: &Cx<'_>,
    running: &mut Checks<'_>,
    checks: &[Ready],
    decided: &mut Vec<Verdict>,
) -> Result<(), VmError> {
    let total = Some(checks.len() as u64);
    let (mut first_bad, mut stopped) = (None, None);
    for check in checks {
        (cx.emit)(EventKind::Progress { done: decided.len() as u64, total, unit: Unit::Items });
        let began = Instant::now();
        let result = running.decide(check);
        if let Some(decision) = seen(&result) {
            decided.push(decision.verdict);
            (cx.emit)(EventKind::Check {
                name: check.name.clone(),
                verdict: decision.verdict,
                after_ms: began.elapsed().as_millis() as u64,
                detail: decision.detail,
            });
        }
        let decision = result?;
        if decision.verdict != Verdict::Passed && first_bad.is_none() {
            first_bad = Some((check.name.clone(), decision.detail.unwrap_or_default()));
        }
        if decision.verdict == Verdict::TimedOut {
            stopped = Some(check.name.clone());
            break;
        }
    }
    let Some((name, detail)) = first_bad else {
        (cx.emit)(EventKind::Progress { done: decided.len() as u64, total, unit: Unit::Items });
        return Ok(());
    };
    let passed = decided.iter().filter(|verdict| **verdict == Verdict::Passed).count();
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

/// Tells the checks behind the first `decided` as not run.
fn tell_undecided(cx: &Cx<'_>, step: &step::Vm, decided: usize, error: &VmError) {
    for check in step.checks.iter().skip(decided) {
        (cx.emit)(EventKind::Check {
            name: check.name.clone(),
            verdict: Verdict::NotRun,
            after_ms: 0,
            detail: Some(error.reason()),
        });
    }
}

fn ready(check: &step::Check) -> Result<Ready, String> {
    let kind = check.kind()?;
    let pattern = if let CheckKind::Run(run) = &kind { run.matches.as_deref() } else { None };
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

pub(crate) fn media(cx: &Cx<'_>, step: &step::Vm) -> Result<Media, VmError> {
    let path = |source: &Option<bootway_plan::Source>| {
        source.as_ref().map(|source| cx.input(source).map(|input| input.path.clone())).transpose()
    };
    let media = Media {
        image: path(&step.image)?,
        attach: Some(step.attach()),
        kernel: path(&step.kernel)?,
        initrd: path(&step.initrd)?,
        cmdline: step.cmdline.clone(),
    };
    match step.boot {
        Boot::Disk if media.image.is_none() => Err(VmError::Nothing { boot: "disk", key: "image" }),
        Boot::Kernel if media.kernel.is_none() => Err(VmError::Nothing { boot: "kernel", key: "kernel" }),
        Boot::Chromeos if media.image.is_none() => Err(VmError::Nothing { boot: "chromeos", key: "image" }),
        Boot::Disk | Boot::Kernel | Boot::Chromeos => Ok(media),
    }
}

/// What this host has for `machine`.
pub(crate) fn host(cx: &Cx<'_>, machine: &Machine) -> Result<Host, VmError> {
    let firmware = match machine.firmware {
        Firmware::Uefi => Some(FirmwareFiles::find().ok_or(VmError::NoFirmware)?),
        Firmware::Bios => None,
    };
    let accel = match machine.accel {
        AccelWish::Tcg => AccelKind::Tcg,
        AccelWish::Auto => {
            let probe = probe(cx)?;
            cx.note(probe.to_string());
            probe.kind
        }
        AccelWish::Kvm => {
            let probe = probe(cx)?;
            match probe.kind {
                AccelKind::Kvm => AccelKind::Kvm,
                AccelKind::Tcg => return Err(VmError::NoKvm { reason: probe.reason }),
            }
        }
    };
    Ok(Host { accel, firmware })
}

fn what(step: &step::Vm) -> String {
    let source = match step.boot {
        Boot::Disk | Boot::Chromeos => &step.image,
        Boot::Kernel => &step.kernel,
    };
    source.as_ref().map_or_else(String::new, |source| format!("`{source}`"))
}

#[cfg(test)]
mod tests;
