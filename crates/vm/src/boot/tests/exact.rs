//! What a guest does is told for what it is: real guests with busybox, over every channel.

use bootway_exec::Cx;

use super::*;
use crate::{
    checks::{Asked, Checks},
    command::Memory,
    setup::Setup,
    shell::Ended,
};

mod commands;
mod guests;
mod logins;
pub(super) mod over_ssh;

/// How the guest is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Serial,
    Port,
    Ssh,
}

impl Over {
    /// Of the machine.
    const fn plan(self) -> &'static str {
        match self {
            Self::Serial => r#""channel": "serial""#,
            Self::Port => r#""channel": "port""#,
            Self::Ssh => r#""channel": "ssh", "net": {"forward": {"ssh": 22}}"#,
        }
    }

    /// Modules of the kernel, in the order that they are loaded in.
    fn modules(self) -> Vec<&'static str> {
        let virtio =
            ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"];
        let own: &[&str] = match self {
            Self::Serial => return Vec::new(),
            Self::Port => &["virtio_console"],
            Self::Ssh => &["failover", "net_failover", "virtio_net"],
        };
        [virtio.as_slice(), own].concat()
    }

    /// What `/init` does when everything is mounted.
    const fn shell(self) -> &'static str {
        match self {
            Self::Serial => "while :; do setsid cttyhack sh; done",
            // As the guide has it.
            Self::Port => {
                r"
until p=$(grep -lx bootway /sys/class/virtio-ports/*/name 2>/dev/null); do sleep 0.1; done; p=${p%/name}
(exec 3<>/dev/${p##*/}; while :; do (exec sh <&3 >&3 2>&3 3<&-); sleep 0.1; done) &
wait"
            }
            Self::Ssh => over_ssh::SERVER,
        }
    }
}

/// Before anything else.
const MOUNTS: &str = "
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /root /etc
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /$module.ko; done
";

/// The module of the kernel that tests boot.
pub(super) fn module(name: &str) -> Vec<u8> {
    let kernel = kernel();
    let release = kernel.file_name().and_then(|name| name.strip_prefix("vmlinuz-")).unwrap_or_default();
    let dir = format!("/lib/modules/{release}");
    let list =
        fs_err::read_to_string(format!("{dir}/modules.dep")).expect("the kernel's package has its modules");
    let file = format!("/{name}.ko:");
    let dashed = file.replace('_', "-");
    let line = list.lines().find(|line| line.contains(&file) || line.contains(&dashed));
    let path =
        line.and_then(|line| line.split(':').next()).unwrap_or_else(|| panic!("{dir} has no `{name}.ko`"));
    fs_err::read(format!("{dir}/{path}")).unwrap()
}

/// An initramfs whose guest is talked to `over` that, and `more` files.
pub(super) fn guest(over: Over, before: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    archive(&format!("#!/bin/busybox sh\n{MOUNTS}\n{before}\n{}\n", over.shell()), &over.modules(), more)
}

/// An initramfs with busybox, an `/init`, modules of the kernel with the list of them, and `more` files.
fn archive(init: &str, modules: &[&str], more: &[(&str, &[u8])]) -> Vec<u8> {
    let busybox =
        fs_err::read("/bin/busybox").expect("install busybox-static: `apt-get install busybox-static`");
    let list = modules.join(" ");
    let modules: Vec<_> = modules.iter().map(|it| (format!("{it}.ko"), module(it))).collect();
    let mut files: Vec<(&str, &[u8])> =
        vec![("bin/busybox", &busybox), ("init", init.as_bytes()), ("modules", list.as_bytes())];
    files.extend(modules.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    files.extend(more);
    cpio::archive(&files)
}

/// Boots such a guest, and decides `checks`.
fn decided(over: Over, before: &str, checks: &str) -> Seen {
    let (step, machine) = plan(over, checks);
    boot_files(&SystemRunner::default(), &step, &machine, &[("initrd", &guest(over, before, &[]))], |_| {})
}

pub(super) fn plan(over: Over, checks: &str) -> (String, String) {
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1 quiet no_timer_check",
            "machine": "m", "check": [{checks}]}}"#
    );
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {}, {GENEROUS}}}"#, over.plan());
    (step, machine)
}

/// Has a guest of its own do `work`.
fn asked(over: Over, work: impl FnOnce(&mut Checks<'_>)) {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let initrd = sandbox.root().join("initrd");
    fs_err::write(&initrd, guest(over, "", &[])).unwrap();
    add(&mut sandbox, "initrd", initrd);
    add(&mut sandbox, "vmlinuz", kernel());
    let (step, machine) = plan(over, "");
    let (step, machines) = parse(&step, &machine);
    let cx: Cx<'_> = sandbox.cx();
    let setup = Setup::of(&cx, &step, &machines).unwrap();
    let guest = setup.start(&cx, Memory::Own, &no_loader).unwrap();
    let mut checks = Checks::new(&cx, guest, &setup);
    work(&mut checks);
    checks.finish();
}
