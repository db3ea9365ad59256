//! A machine and some files to a QEMU command line.

use std::time::Duration;

use bootway_exec::{Cmd, Tool};
use bootway_plan::{
    Bytes,
    step::{Attach, Boot, Firmware},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{AccelKind, FirmwareFiles, Machine};

/// What a guest starts from, as paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The disk; never written to.
    pub image: Option<Utf8PathBuf>,
    /// What the disk is to the machine; `None` is a virtio disk.
    pub attach: Option<Attach>,
    /// What QEMU loads, if it loads a kernel.
    pub kernel: Option<Utf8PathBuf>,
    /// With a kernel.
    pub initrd: Option<Utf8PathBuf>,
    /// With a kernel, passed as it is; with a Chromebook's firmware, behind what is signed.
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

/// Name of the kernel that was chosen as a Chromebook's firmware does. The command line does not depend on which it is:
/// what is signed is handed over by the control socket.
pub(crate) const KERNEL: &str = "bzImage";

/// Name of the image as a card: cards have a power of two of bytes, and images do not.
pub(crate) const CARD: &str = "card.qcow2";

/// Name of the file that QEMU writes the screen to.
pub(crate) const SCREEN: &str = "screen.bin";

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
    if boot == Boot::Chromeos {
        cmd = cmd.args(["-vga", "std"]);
    } else if machine.firmware == Firmware::Bios {
        // Without a screen SeaBIOS, and the boot loaders that print through it, use the serial port.
        cmd = cmd.args(["-machine", "graphics=off"]);
    }
    if let Some(image) = &media.image {
        cmd = cmd.args(disk(image, media.attach.unwrap_or(Attach::Virtio), boot));
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
    if boot == Boot::Chromeos {
        cmd = cmd.args(["--preconfig", "-kernel", KERNEL]);
    }
    vec![cmd]
}

/// The options that make `image` a disk of the machine.
fn disk(image: &Utf8Path, attach: Attach, boot: Boot) -> Vec<String> {
    // A kernel that QEMU loads has taken the first place already; cards have none.
    let first = if boot == Boot::Disk { ",bootindex=0" } else { "" };
    let image = option(image.as_str());
    let drive = match attach {
        // Its base is only read, and it is gone with the scratch directory.
        Attach::Sd => format!("if=none,id=disk,format=qcow2,file={CARD}"),
        Attach::Virtio | Attach::Usb | Attach::Nvme => {
            format!("if=none,id=disk,format=raw,snapshot=on,file={image}")
        }
    };
    let (controller, device) = match attach {
        Attach::Virtio => (None, format!("virtio-blk-pci,drive=disk{first}")),
        Attach::Usb => (Some("qemu-xhci"), format!("usb-storage,drive=disk,removable=on{first}")),
        Attach::Sd => (Some("sdhci-pci"), "sd-card,drive=disk".to_owned()),
        Attach::Nvme => (None, format!("nvme,serial=bootway,drive=disk{first}")),
    };
    let mut options = vec!["-drive".to_owned(), drive];
    for device in controller.map(str::to_owned).into_iter().chain([device]) {
        options.extend(["-device".to_owned(), device]);
    }
    options
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
            ..Media::default()
        };
        insta::assert_snapshot!(shown(Boot::Kernel, &media, AccelKind::Kvm), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 512M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=off -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -machine graphics=off -kernel /out/vmlinuz -initrd /out/initramfs.img -append 'console=ttyS0 quiet'");
    }

    #[test]
    fn a_chromebook_has_a_screen_and_a_kernel_that_is_not_known_yet() {
        let media = Media {
            image: Some("/out/shim.bin".into()),
            attach: Some(Attach::Usb),
            cmdline: Some("console=ttyS0".to_owned()),
            ..Media::default()
        };
        insta::assert_snapshot!(shown(Boot::Chromeos, &media, AccelKind::Tcg), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 1024M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=off -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -vga std -drive if=none,id=disk,format=raw,snapshot=on,file=/out/shim.bin -device qemu-xhci -device usb-storage,drive=disk,removable=on --preconfig -kernel bzImage");
    }

    #[test]
    fn a_disk_is_attached_in_four_ways() {
        let shown = |attach, boot| disk("/a,b".into(), attach, boot).join(" ");
        let all = [Attach::Virtio, Attach::Usb, Attach::Sd, Attach::Nvme];
        let lines: Vec<_> = all.map(|attach| shown(attach, Boot::Disk)).to_vec();
        insta::assert_snapshot!(lines.join("\n"), @"
        -drive if=none,id=disk,format=raw,snapshot=on,file=/a,,b -device virtio-blk-pci,drive=disk,bootindex=0
        -drive if=none,id=disk,format=raw,snapshot=on,file=/a,,b -device qemu-xhci -device usb-storage,drive=disk,removable=on,bootindex=0
        -drive if=none,id=disk,format=qcow2,file=card.qcow2 -device sdhci-pci -device sd-card,drive=disk
        -drive if=none,id=disk,format=raw,snapshot=on,file=/a,,b -device nvme,serial=bootway,drive=disk,bootindex=0
        ");
        insta::assert_snapshot!(shown(Attach::Nvme, Boot::Chromeos), @"-drive if=none,id=disk,format=raw,snapshot=on,file=/a,,b -device nvme,serial=bootway,drive=disk");
    }
}
