//! A machine and some files to a QEMU command line.

use std::time::Duration;

use bootway_exec::Cmd;
use bootway_plan::{
    Bytes,
    step::{Arch, Attach, Boot, Channel, Firmware},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{AccelKind, FirmwareFiles, Machine, tpm};

/// What a guest starts from, as paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Disks and discs, none of which is written to; the machine starts from the first if it starts from one.
    pub images: Vec<ImageFile>,
    /// What QEMU loads, if it loads a kernel.
    pub kernel: Option<Utf8PathBuf>,
    /// With a kernel.
    pub initrd: Option<Utf8PathBuf>,
    /// With a kernel, passed as it is; with a Chromebook's firmware, behind what is signed.
    pub cmdline: Option<String>,
}

/// An image, and what it is to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// What it is to the machine.
    pub attach: Attach,
}

/// What a host has that a command line depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Who runs the guest's instructions.
    pub accel: AccelKind,
    /// UEFI firmware, if there is any.
    pub firmware: Option<FirmwareFiles>,
}

/// Where the memory of a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory<'a> {
    /// Nowhere else.
    Own,
    /// In this file, which is written to.
    Kept(&'a Utf8Path),
    /// In this file as it was, which is not written to: what the guest writes is its own.
    Restored {
        /// The file.
        file: &'a Utf8Path,
        /// QEMU opens it only for reading, which it can from 8.2 on.
        sealed: bool,
    },
}

/// A guest ends when its checks are decided or have run out of time; this is only for a bug of ours.
const LIMIT: Duration = Duration::from_hours(24);

/// Name of QEMU's control socket; relative, as a socket's path has at most 107 bytes.
///
/// QEMU waits there for us (`wait=on`) before it does anything else. Otherwise its main loop accepts us while the thread
/// of its monitor takes the socket over, and now and then both do: what we say is then read by nobody, or by both at once
/// (`docs/decisions/0023-qemu-waits-for-who-controls-it.md`).
pub(crate) const SOCKET: &str = "qmp.sock";

/// Name of the socket of the guest's port.
pub(crate) const PORT: &str = "port.sock";

/// Name of the kernel that was chosen as a Chromebook's firmware does. The command line does not depend on which it is:
/// what is signed is handed over by the control socket.
pub(crate) const KERNEL: &str = "bzImage";

/// Name of the file that QEMU writes the screen to.
pub(crate) const SCREEN: &str = "screen.bin";

/// Name of the guest's copy of the firmware variables.
pub(crate) const VARS: &str = "vars.fd";

/// Has systemd start a shell on the guest's port. Source: `systemd-run-generator(8)`, `kernel-command-line(7)`.
///
/// systemd boots into the command instead of the guest's own target, waits for its end, and would switch the machine off
/// then. So the command only starts a unit with the loop, as `$0`, and the guest's own target, and ends. The loop keeps
/// the port open: what is said while one shell has ended and the next has not begun is not lost, and a program that the
/// first has left behind does not keep the next one out. The driver and the device may come later than the unit.
///
/// Linux knows only double quotes, so that there can be none inside; neither backslashes, nor a word that begins with
/// `$`, of which systemd makes something else.
const SYSTEMD_SHELL: &str = "systemd.unit=kernel-command-line.target systemd.run_success_action=none \
    systemd.run_failure_action=none systemd.run=\"/bin/sh -c \
    'set -f; IFS=; systemd-run -q --no-block --unit=bootway-shell -p Restart=always /bin/sh -c $0; \
    for d in /etc /run /usr/local/lib /usr/lib /lib; do t=$d/systemd/system/default.target; \
    if [ -e $t ]; then exec systemctl start --no-block $(basename $(readlink -f $t)); fi; done' \
    'modprobe -q virtio_console; p=/dev/virtio-ports/bootway; until [ -e $p ]; do sleep .05; done; \
    exec 3<>$p; while :; do (exec sh <&3 >&3 2>&3 3<&-); sleep .1; done'\"";

/// Name of what is written to in the place of disk `n`.
pub(crate) fn disk_name(n: usize) -> String {
    format!("disk{n}.qcow2")
}

/// The command lines that boot `media` on `machine`, in `scratch`: of its TPM, if it has one, and of QEMU.
///
/// The guest's serial port is QEMU's standard input and output. It begins paused, so that whoever connects to
/// `qmp.sock` misses nothing. Writes to disks go to files in `scratch`, which outlive the guest's reboots.
pub fn commands(machine: &Machine, boot: Boot, media: &Media, host: &Host, scratch: &Utf8Path) -> Vec<Cmd> {
    let tpm = machine.tpm.then(|| tpm::command(scratch));
    tpm.into_iter().chain([command(machine, boot, media, host, Memory::Own, scratch)]).collect()
}

/// The same, for a machine with its memory in a file.
pub(crate) fn command(
    machine: &Machine,
    boot: Boot,
    media: &Media,
    host: &Host,
    memory: Memory<'_>,
    scratch: &Utf8Path,
) -> Cmd {
    let mut cmd = Cmd::new(machine.qemu())
        .dir(scratch)
        .env("TMPDIR", scratch.as_str())
        .stdin_pipe()
        .limit(LIMIT)
        .args(basics(machine.arch, host.accel))
        .args(memory_options(machine.memory, memory))
        .arg("-smp")
        .arg(machine.cpus.to_string())
        .args(["-S", "-chardev"])
        .arg(format!("socket,id=qmp,path={SOCKET},server=on,wait=on"))
        .args(["-mon", "chardev=qmp,mode=control", "-action", "panic=none"])
        .args(["-device", only(machine.arch, "pvpanic", "pvpanic-pci"), "-device", "virtio-rng-pci"]);
    if let (Firmware::Uefi, Some(files)) = (machine.firmware, &host.firmware) {
        cmd = cmd
            .arg("-drive")
            .arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={}", option(files.code.as_str())))
            .arg("-drive")
            .arg(format!("if=pflash,unit=1,format=raw,file={VARS}"));
    }
    cmd = cmd
        .args(screen(machine).iter().copied())
        .args(disks(machine, boot, media))
        .args(connections(machine, boot));
    if boot == Boot::Kernel {
        let given = [("-kernel", &media.kernel), ("-initrd", &media.initrd)];
        for (flag, path) in given.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            cmd = cmd.arg(flag).arg(path.as_str());
        }
        let shell = (machine.channel == Channel::Systemd).then_some(SYSTEMD_SHELL);
        let cmdline: Vec<&str> = media.cmdline.as_deref().into_iter().chain(shell).collect();
        if !cmdline.is_empty() {
            cmd = cmd.arg("-append").arg(cmdline.join(" "));
        }
    }
    if boot == Boot::Chromeos {
        cmd = cmd.args(["--preconfig", "-kernel", KERNEL]);
    }
    cmd
}

/// Of two values, the one for this processor.
const fn only(arch: Arch, x86_64: &'static str, aarch64: &'static str) -> &'static str {
    match arch {
        Arch::X8664 => x86_64,
        Arch::Aarch64 => aarch64,
    }
}

/// The options of the screen, and of the keyboard in front of it.
const fn screen(machine: &Machine) -> &'static [&'static str] {
    match (machine.arch, machine.screen, machine.firmware) {
        (Arch::X8664, true, _) => &["-vga", "std"],
        // Without a screen SeaBIOS, and the boot loaders that print through it, use the serial port.
        (Arch::X8664, false, Firmware::Bios) => &["-machine", "graphics=off"],
        (Arch::Aarch64, true, _) => &["-device", "virtio-gpu-pci", "-device", "virtio-keyboard-pci"],
        (_, false, _) => &[],
    }
}

/// How much memory, and where it is.
fn memory_options(size: Bytes, memory: Memory<'_>) -> Vec<String> {
    let size = size.round_up(Bytes::new(1 << 20)).map_or(u64::MAX >> 20, |size| size.get() >> 20);
    let (path, share, incoming) = match memory {
        Memory::Own => return vec!["-m".to_owned(), format!("{size}M")],
        Memory::Kept(path) => (path, "on", None),
        Memory::Restored { file, sealed: false } => (file, "off", Some(["-incoming", "defer"])),
        Memory::Restored { file, sealed: true } => {
            (file, "off,readonly=on,rom=off", Some(["-incoming", "defer"]))
        }
    };
    let path = option(path.as_str());
    let backend = format!("memory-backend-file,id=pc.ram,size={size}M,share={share},mem-path={path}");
    let options = ["-m", &format!("{size}M"), "-object", &backend, "-machine", "memory-backend=pc.ram"];
    options.into_iter().chain(incoming.into_iter().flatten()).map(str::to_owned).collect()
}

/// The options of all disks: images first, then the machine's own.
fn disks(machine: &Machine, boot: Boot, media: &Media) -> Vec<String> {
    // A kernel that QEMU loads has taken the first place already.
    let starts = matches!(boot, Boot::Disk | Boot::Iso);
    let images = media.images.iter().map(|image| (image.attach, None, Some(image)));
    let own = machine
        .disks
        .iter()
        .map(|disk| (disk.attach.unwrap_or(Attach::Virtio), disk.serial.as_deref(), None));
    let mut options = Vec::new();
    let mut controllers = Vec::new();
    for (n, (attach, serial, image)) in images.chain(own).enumerate() {
        let drive = match (attach, image) {
            (Attach::Cdrom, Some(image)) => {
                format!("if=none,id=disk{n},format=raw,readonly=on,file={}", option(image.path.as_str()))
            }
            // What is written is gone with the machine: whoever waits for it to be on the host's disk waits for nothing.
            _ => format!("if=none,id=disk{n},format=qcow2,cache=unsafe,file={}", disk_name(n)),
        };
        options.extend(["-drive".to_owned(), drive]);
        let controller = match (attach, machine.arch) {
            (Attach::Usb, _) => Some("qemu-xhci"),
            (Attach::Sd, _) => Some("sdhci-pci"),
            // A PC has them of its own.
            (Attach::Sata, Arch::Aarch64) => Some("ahci,id=ide"),
            (Attach::Cdrom, Arch::Aarch64) => Some("virtio-scsi-pci"),
            (Attach::Virtio | Attach::Nvme | Attach::Sata | Attach::Cdrom, _) => None,
        };
        // One stick after the other fits into the same controller; a slot for cards has room for one.
        if let Some(controller) = controller.filter(|it| *it == "sdhci-pci" || !controllers.contains(it)) {
            controllers.push(controller);
            options.extend(["-device".to_owned(), controller.to_owned()]);
        }
        // What a disc has installed can start once the disc is taken out: UEFI starts nothing that has no place.
        let first = match boot {
            _ if starts && n == 0 => ",bootindex=0".to_owned(),
            Boot::Iso => format!(",bootindex={n}"),
            Boot::Disk | Boot::Kernel | Boot::Chromeos => String::new(),
        };
        let serial = serial.map(|serial| format!(",serial={}", option(serial))).unwrap_or_default();
        let device = match attach {
            Attach::Virtio => format!("virtio-blk-pci,drive=disk{n}{serial}{first}"),
            Attach::Usb => format!("usb-storage,drive=disk{n},removable=on{serial}{first}"),
            // Firmware does not start from cards.
            Attach::Sd => format!("sd-card,drive=disk{n}"),
            Attach::Nvme if serial.is_empty() => format!("nvme,serial=bootway{n},drive=disk{n}{first}"),
            Attach::Nvme => format!("nvme,drive=disk{n}{serial}{first}"),
            Attach::Sata => format!("ide-hd,drive=disk{n}{serial}{first}"),
            Attach::Cdrom => {
                format!("{},drive=disk{n}{serial}{first}", only(machine.arch, "ide-cd", "scsi-cd"))
            }
        };
        options.extend(["-device".to_owned(), device]);
    }
    options
}

/// The options of what leads out of the machine.
fn connections(machine: &Machine, boot: Boot) -> Vec<String> {
    let mut options = Vec::new();
    let mut add = |key: &str, value: String| options.extend([key.to_owned(), value]);
    if let Some(net) = &machine.net {
        let restrict = if net.isolated { ",restrict=on" } else { "" };
        add("-netdev", format!("user,id=net0{restrict}"));
        add("-device", "virtio-net-pci,netdev=net0".to_owned());
    }
    if matches!(machine.channel, Channel::Port | Channel::Systemd) {
        add("-device", "virtio-serial-pci".to_owned());
        add("-chardev", format!("socket,id=port,path={PORT},server=on,wait=off"));
        add("-device", "virtserialport,chardev=port,name=bootway".to_owned());
    }
    if machine.channel == Channel::Systemd && boot != Boot::Kernel {
        let line = option(SYSTEMD_SHELL);
        add("-smbios", format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={line}"));
    }
    if machine.tpm {
        add("-chardev", format!("socket,id=tpm,path={}", tpm::SOCKET));
        add("-tpmdev", "emulator,id=tpm0,chardev=tpm".to_owned());
        add("-device", format!("{},tpmdev=tpm0", only(machine.arch, "tpm-crb", "tpm-tis-device")));
    }
    options
}

/// What every QEMU of ours is given: no configuration of the host, no display, no network, a serial port on standard
/// input and output, and system calls that it does not need denied.
pub(crate) fn basics(arch: Arch, accel: AccelKind) -> impl Iterator<Item = &'static str> {
    let (accel, cpu) = match accel {
        AccelKind::Kvm => ("kvm", "host"),
        // What pointers are signed with need not be strong, and the architecture's own makes a boot twice as long.
        AccelKind::Tcg => ("tcg,thread=multi", only(arch, "max", "max,pauth-impdef=on")),
    };
    let options = [
        ("-machine", only(arch, "q35", "virt")),
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

    fn image(path: &str, attach: Attach) -> ImageFile {
        ImageFile { path: path.into(), attach }
    }

    fn shown(boot: Boot, media: &Media, accel: AccelKind) -> String {
        let machine = Machine::resolve(None, &Machines::new(), boot).unwrap();
        commands(&machine, boot, media, &host(accel), "/scratch/boots".into())[0].to_string()
    }

    #[test]
    fn a_disk_starts_from_uefi() {
        let media = Media { images: vec![image("/out/a,b disk.img", Attach::Virtio)], ..Media::default() };
        insta::assert_snapshot!(shown(Boot::Disk, &media, AccelKind::Tcg), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 512M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=on -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -drive if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd -drive if=pflash,unit=1,format=raw,file=vars.fd -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device virtio-blk-pci,drive=disk0,bootindex=0");
    }

    #[test]
    fn a_kernel_is_loaded_with_exactly_the_command_line_of_the_plan() {
        let media = Media {
            kernel: Some("/out/vmlinuz".into()),
            initrd: Some("/out/initramfs.img".into()),
            cmdline: Some("console=ttyS0 quiet".to_owned()),
            ..Media::default()
        };
        insta::assert_snapshot!(shown(Boot::Kernel, &media, AccelKind::Kvm), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 512M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=on -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -machine graphics=off -kernel /out/vmlinuz -initrd /out/initramfs.img -append 'console=ttyS0 quiet'");
    }

    #[test]
    fn a_chromebook_has_a_screen_and_a_kernel_that_is_not_known_yet() {
        let media = Media {
            images: vec![image("/out/shim.bin", Attach::Usb)],
            cmdline: Some("console=ttyS0".to_owned()),
            ..Media::default()
        };
        insta::assert_snapshot!(shown(Boot::Chromeos, &media, AccelKind::Tcg), @"cd /scratch/boots && TMPDIR=/scratch/boots qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 1024M -smp 1 -S -chardev socket,id=qmp,path=qmp.sock,server=on,wait=on -mon chardev=qmp,mode=control -action panic=none -device pvpanic -device virtio-rng-pci -vga std -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device qemu-xhci -device usb-storage,drive=disk0,removable=on --preconfig -kernel bzImage");
    }

    #[test]
    fn disks_are_attached_in_six_ways() {
        let machine = Machine::resolve(None, &Machines::new(), Boot::Disk).unwrap();
        let shown = |attach, boot| {
            let media = Media { images: vec![image("/a,b", attach)], ..Media::default() };
            disks(&machine, boot, &media).join(" ")
        };
        let all = [Attach::Virtio, Attach::Usb, Attach::Sd, Attach::Nvme, Attach::Sata, Attach::Cdrom];
        let lines: Vec<_> = all.map(|attach| shown(attach, Boot::Disk)).to_vec();
        insta::assert_snapshot!(lines.join("\n"), @"
        -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device virtio-blk-pci,drive=disk0,bootindex=0
        -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device qemu-xhci -device usb-storage,drive=disk0,removable=on,bootindex=0
        -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device sdhci-pci -device sd-card,drive=disk0
        -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device nvme,serial=bootway0,drive=disk0,bootindex=0
        -drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device ide-hd,drive=disk0,bootindex=0
        -drive if=none,id=disk0,format=raw,readonly=on,file=/a,,b -device ide-cd,drive=disk0,bootindex=0
        ");
        insta::assert_snapshot!(shown(Attach::Nvme, Boot::Chromeos), @"-drive if=none,id=disk0,format=qcow2,cache=unsafe,file=disk0.qcow2 -device nvme,serial=bootway0,drive=disk0");
    }

    #[test]
    fn a_machine_has_disks_a_network_a_screen_a_tpm_and_a_port() {
        let machines: Machines = serde_json::from_str(
            r#"{"m": {
                "firmware": "bios", "screen": true, "tpm": true, "channel": "systemd",
                "disk": [{"size": "4GiB", "serial": "a,b"}, {"size": "1GiB", "attach": "usb"}, {"size": "1GiB", "attach": "usb"}],
                "net": {"forward": {"ssh": 22}, "isolated": true}
            }}"#,
        )
        .unwrap();
        let machine = Machine::resolve(Some(&bootway_plan::Name::fixed("m")), &machines, Boot::Iso).unwrap();
        let media = Media { images: vec![image("/out/a.iso", Attach::Cdrom)], ..Media::default() };
        let cmd = command(
            &machine,
            Boot::Iso,
            &media,
            &host(AccelKind::Tcg),
            Memory::Kept("/state/ram".into()),
            "/s".into(),
        );
        insta::assert_snapshot!(cmd.to_string().replace(" -", "\n-"), @r#"
        cd /s && TMPDIR=/s qemu-system-x86_64
        -nodefaults
        -no-user-config
        -machine q35
        -accel tcg,thread=multi
        -cpu max
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -display none
        -nic none
        -chardev stdio,id=console,signal=off
        -serial chardev:console
        -m 512M
        -object memory-backend-file,id=pc.ram,size=512M,share=on,mem-path=/state/ram
        -machine memory-backend=pc.ram
        -smp 1
        -S
        -chardev socket,id=qmp,path=qmp.sock,server=on,wait=on
        -mon chardev=qmp,mode=control
        -action panic=none
        -device pvpanic
        -device virtio-rng-pci
        -vga std
        -drive if=none,id=disk0,format=raw,readonly=on,file=/out/a.iso
        -device ide-cd,drive=disk0,bootindex=0
        -drive if=none,id=disk1,format=qcow2,cache=unsafe,file=disk1.qcow2
        -device virtio-blk-pci,drive=disk1,serial=a,,b,bootindex=1
        -drive if=none,id=disk2,format=qcow2,cache=unsafe,file=disk2.qcow2
        -device qemu-xhci
        -device usb-storage,drive=disk2,removable=on,bootindex=2
        -drive if=none,id=disk3,format=qcow2,cache=unsafe,file=disk3.qcow2
        -device usb-storage,drive=disk3,removable=on,bootindex=3
        -netdev user,id=net0,restrict=on
        -device virtio-net-pci,netdev=net0
        -device virtio-serial-pci
        -chardev socket,id=port,path=port.sock,server=on,wait=off
        -device virtserialport,chardev=port,name=bootway
        -smbios 'type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.unit=kernel-command-line.target systemd.run_success_action=none systemd.run_failure_action=none systemd.run="/bin/sh
        -c '\''set
        -f; IFS=; systemd-run
        -q
        --no-block
        --unit=bootway-shell
        -p Restart=always /bin/sh
        -c $0; for d in /etc /run /usr/local/lib /usr/lib /lib; do t=$d/systemd/system/default.target; if [
        -e $t ]; then exec systemctl start
        --no-block $(basename $(readlink
        -f $t)); fi; done'\'' '\''modprobe
        -q virtio_console; p=/dev/virtio-ports/bootway; until [
        -e $p ]; do sleep .05; done; exec 3<>$p; while :; do (exec sh <&3 >&3 2>&3 3<&-); sleep .1; done'\''"'
        -chardev socket,id=tpm,path=tpm.sock
        -tpmdev emulator,id=tpm0,chardev=tpm
        -device tpm-crb,tpmdev=tpm0
        "#);
    }
}
