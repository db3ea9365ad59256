//! A machine and some files to a QEMU command line.

use std::time::Duration;

use bootway_exec::{Cmd, Tool};
use bootway_plan::{
    Bytes,
    step::{Boot, Firmware},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{AccelKind, FirmwareFiles, Machine};

/// What a guest starts from, as paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The disk; never written to.
    pub image: Option<Utf8PathBuf>,
    /// What QEMU loads, if it loads a kernel.
    pub kernel: Option<Utf8PathBuf>,
    /// With a kernel.
    pub initrd: Option<Utf8PathBuf>,
    /// With a kernel; passed as it is.
    pub cmdline: Option<String>,
}

/// What a host has that a command line depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Who runs the guest's instructions.
    pub accel: AccelKind,
    /// UEFI firmware, if there is any.
    pub firmware: Option<FirmwareFiles>,
}

/// A guest ends when its checks are decided or have run out of time; this is only for a bug of ours.
const LIMIT: Duration = Duration::from_hours(24);

/// Name of QEMU's control socket; relative, as a socket's path has at most 107 bytes.
pub(crate) const SOCKET: &str = "qmp.sock";

/// The disk of a guest.
const DISK: &str = "virtio-blk-pci,drive=disk";

/// Name of the guest's copy of the firmware variables.
pub(crate) const VARS: &str = "vars.fd";

/// The command lines that boot `media` on `machine`: one, of QEMU, in `scratch`.
///
/// The guest's serial port is QEMU's standard input and output. It begins paused, so that whoever connects to
/// `qmp.sock` misses nothing. Writes to the image go to a temporary file in `scratch`, which outlives the guest's
/// reboots and ends with QEMU.
pub fn commands(machine: &Machine, boot: Boot, media: &Media, host: &Host, scratch: &Utf8Path) -> Vec<Cmd> {
    let memory =
        machine.memory.round_up(Bytes::new(1 << 20)).map_or(u64::MAX >> 20, |memory| memory.get() >> 20);
    let mut cmd = Cmd::new(Tool::QemuX86)
        .dir(scratch)
        .env("TMPDIR", scratch.as_str())
        .stdin_pipe()
        .limit(LIMIT)
        .args(basics(host.accel))
        .arg("-m")
        .arg(format!("{memory}M"))
        .arg("-smp")
        .arg(machine.cpus.to_string())
        .args(["-S", "-chardev"])
        .arg(format!("socket,id=qmp,path={SOCKET},server=on,wait=off"))
        .args(["-mon", "chardev=qmp,mode=control", "-action", "panic=none"])
        .args(["-device", "pvpanic", "-device", "virtio-rng-pci"]);
    if let (Firmware::Uefi, Some(files)) = (machine.firmware, &host.firmware) {
        cmd = cmd
            .arg("-drive")
            .arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={}", option(files.code.as_str())))
            .arg("-drive")
            .arg(format!("if=pflash,unit=1,format=raw,file={VARS}"));
    }
    if machine.firmware == Firmware::Bios {
        // Without a screen SeaBIOS, and the boot loaders that print through it, use the serial port.
        cmd = cmd.args(["-machine", "graphics=off"]);
    }
    if let Some(image) = &media.image {
        cmd = cmd
            .arg("-drive")
            .arg(format!("if=none,id=disk,format=raw,snapshot=on,file={}", option(image.as_str())))
            // A kernel that QEMU loads has taken the first place already.
            .args([
                "-device",
                if boot == Boot::Disk { "virtio-blk-pci,drive=disk,bootindex=0" } else { DISK },
            ]);
    }
    if boot == Boot::Kernel {
        let given = [("-kernel", &media.kernel), ("-initrd", &media.initrd)];
        for (flag, path) in given.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            cmd = cmd.arg(flag).arg(path.as_str());
        }
        if let Some(cmdline) = &media.cmdline {
            cmd = cmd.arg("-append").arg(cmdline);
        }
    }
    vec![cmd]
}

/// What every QEMU of ours is given: no configuration of the host, no display, no network, a serial port on standard
/// input and output, and system calls that it does not need denied.
pub(crate) fn basics(accel: AccelKind) -> impl Iterator<Item = &'static str> {
    let (accel, cpu) = match accel {
        AccelKind::Kvm => ("kvm", "host"),
        AccelKind::Tcg => ("tcg,thread=multi", "max"),
    };
    let options = [
        ("-machine", "q35"),
        ("-accel", accel),
        ("-cpu", cpu),
        ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        ("-display", "none"),
        ("-nic", "none"),
        ("-chardev", "stdio,id=console,signal=off"),
        ("-serial", "chardev:console"),
    ];
    ["-nodefaults", "-no-user-config"]
        .into_iter()
        .chain(options.into_iter().flat_map(|(key, value)| [key, value]))
}

/// A value in a list of QEMU's options, where a comma ends it unless it is doubled.
fn option(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use bootway_plan::step::Machines;

    use super::*;

    fn host(accel: AccelKind) -> Host {
        let firmware = FirmwareFiles { code: "/fw/CODE.fd".into(), vars: "/fw/VARS.fd".into() };
        Host { accel, firmware: Some(firmware) }
    }

    fn shown(boot: Boot, media: &Media, accel: AccelKind) -> String {
        let machine = Machine::resolve(None, &Machines::new(), boot).unwrap();
        commands(&machine, boot, media, &host(accel), "/scratch/boots".into())[0].to_string()
    }

    #[test]
    fn a_disk_starts_from_uefi() {
        let media = Media { image: Some("/out/a,b disk.img".into()), ..Media::default() };
        insta::assert_snapshot!(shown(Boot::Disk, &media, AccelKind::Tcg), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 512M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=off -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -drive if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd -drive if=pflash,unit=1,format=raw,file=vars.fd -drive 'if=none,id=disk,format=raw,snapshot=on,file=/out/a,,b disk.img' -device virtio-blk-pci,drive=disk,bootindex=0");
    }

    #[test]
    fn a_kernel_is_loaded_with_exactly_the_command_line_of_the_plan() {
        let media = Media {
            image: None,
            kernel: Some("/out/vmlinuz".into()),
            initrd: Some("/out/initramfs.img".into()),
            cmdline: Some("console=ttyS0 quiet".to_owned()),
        };
        insta::assert_snapshot!(shown(Boot::Kernel, &media, AccelKind::Kvm), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 512M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=off -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -machine graphics=off -kernel /out/vmlinuz -initrd /out/initramfs.img -append 'console=ttyS0 quiet'");
    }
}
