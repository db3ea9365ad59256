//! What the firmware of a Chromebook would start, for the machine that stands in for one.

use bootway_chromeos::{
    firmware::{self, FirmwareError},
    kernel::{Arch, boot_kernel},
    vboot::KernelPartition,
};
use bootway_plan::{Class, Failure};
use bootway_vm::{Chosen, FirmwareCheck, Looked};
use camino::Utf8Path;

/// Looks at the disk `image` as the firmware does.
pub(crate) fn look(image: &Utf8Path) -> Looked {
    let disk = match fs_err::File::open(image) {
        Ok(disk) => disk.into_file(),
        Err(error) => return nothing(Vec::new(), Failure::new(Class::Environment, error.to_string())),
    };
    match firmware::choose(&disk) {
        Ok(chosen) => {
            let checks = told(&chosen.findings);
            Looked { checks, chosen: start(&chosen) }
        }
        Err(error) => {
            let checks = match &error {
                FirmwareError::NoKernel { findings, .. } => told(findings),
                FirmwareError::Read(_) => Vec::new(),
            };
            nothing(checks, failure(&error))
        }
    }
}

/// The kernel of `chosen` as QEMU takes it.
fn start(chosen: &firmware::Chosen) -> Result<Chosen, Failure> {
    let name = format!("kernel partition {} `{}`", chosen.partition.number, chosen.partition.label);
    let cannot = |error: &dyn std::error::Error| failure(error).because(format!("{name} cannot be started"));
    let partition = KernelPartition::parse(&chosen.bytes).map_err(|error| cannot(&error))?;
    let kernel = boot_kernel(&chosen.bytes, &partition).map_err(|error| cannot(&error))?;
    if kernel.arch != Arch::X8664 {
        let message =
            format!("{name} is for 64-bit Arm, and machines are x86-64: only a Chromebook can start it");
        return Err(Failure::new(Class::Check, message));
    }
    Ok(Chosen { kernel: kernel.image, cmdline: chosen.cmdline.clone() })
}

const fn nothing(checks: Vec<FirmwareCheck>, failure: Failure) -> Looked {
    Looked { checks, chosen: Err(failure) }
}

fn told(findings: &[firmware::Finding]) -> Vec<FirmwareCheck> {
    let one = |it: &firmware::Finding| FirmwareCheck {
        name: it.name.clone(),
        good: it.good,
        detail: it.detail.clone(),
    };
    findings.iter().map(one).collect()
}

/// An image that is not good: what is wrong with it, and why.
fn failure(error: &dyn std::error::Error) -> Failure {
    let mut failure = Failure::new(Class::Check, error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        failure.chain.push(error.to_string());
        cause = error.source();
    }
    failure
}
