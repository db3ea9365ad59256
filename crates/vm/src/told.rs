//! What is told of a guest beside its checks: what it is made of, how long it took, what stays with the run.

use std::time::Duration;

use bootway_exec::Cx;
use bootway_plan::{
    EventKind, GuestImage, GuestInfo, Kept, KeptKind, Timing,
    step::{self, AccelWish, Boot, Firmware},
};
use camino::Utf8PathBuf;

use crate::{AccelKind, VmError, probe, setup::Setup};

/// Tells what the guest of `step` is made of, as it is now.
pub(crate) fn guest(cx: &Cx<'_>, step: &step::Vm, setup: &Setup) -> Result<(), VmError> {
    let disks = step.disks.iter().map(|disk| &disk.image);
    let own = [&step.image, &step.kernel, &step.initrd].into_iter().flatten();
    let image = |source| {
        let input = cx.input(source)?;
        let path = input.path.canonicalize_utf8().unwrap_or_else(|_| input.path.clone());
        Ok(GuestImage { source: source.to_string(), path, digest: input.digest, size: input.size })
    };
    let images = own.chain(disks).map(image).collect::<Result<_, VmError>>()?;
    let machine = &setup.machine;
    let boot = match setup.boot {
        Boot::Disk => "disk",
        Boot::Iso => "iso",
        Boot::Kernel => "kernel",
        Boot::Chromeos => "chromeos",
    };
    let firmware = match machine.firmware {
        Firmware::Uefi => "uefi",
        Firmware::Bios => "bios",
    };
    (cx.emit)(EventKind::Guest(Box::new(GuestInfo {
        machine: step.machine.clone(),
        boot: boot.to_owned(),
        firmware: firmware.to_owned(),
        memory: machine.memory,
        cpus: machine.cpus,
        accel: match setup.host.accel {
            AccelKind::Kvm => "kvm",
            AccelKind::Tcg => "tcg",
        }
        .to_owned(),
        accel_reason: match machine.accel {
            AccelWish::Tcg => "the machine says so".to_owned(),
            // The answer is known since the machine was set up.
            AccelWish::Auto | AccelWish::Kvm => probe(cx, machine.arch)?.reason,
        },
        images,
    })));
    Ok(())
}

/// Tells how long something took.
pub(crate) fn timing(cx: &Cx<'_>, name: &str, took: Duration) {
    let timing = Timing { name: name.to_owned(), ms: took.as_millis() as u64, test: None };
    (cx.emit)(EventKind::Timing(timing));
}

/// Tells a file that stays with the run.
pub(crate) fn kept(cx: &Cx<'_>, what: KeptKind, label: &str, path: Utf8PathBuf) {
    (cx.emit)(EventKind::Kept(Kept { what, label: label.to_owned(), path, test: None }));
}
