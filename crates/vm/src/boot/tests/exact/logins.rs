//! A guest with a name, a password and three disks, as an installer's disc is asked.

use super::*;

/// Asks for a name and a password on the serial console, and colours its prompt.
const INIT: &str = r#"
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /root /etc /run/demo
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /$module.ko; done
echo 'root:x:0:0::/root:/bin/sh' >/etc/passwd
echo 'root::1::::::' >/etc/shadow
echo 'root:let me in' | chpasswd -m
echo 'PS1="$(printf "\033[1;31m")installer$(printf "\033[0m\033[6n") # "; export PS1' >/etc/profile
(sleep 1; printf 'STATE=applied\nDETAIL="auto-applied"\n' >/run/demo/status) &
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
hostname demo
while :; do getty -L 115200 ttyS0 vt100; done
"#;

#[test]
fn an_installer_is_logged_in_to_and_asked() {
    let checks = r#"
        {"name": "is root", "run": "id -u", "equals": "0"},
        {"name": "is configured", "wait-file": {"path": "/run/demo/status", "values": {"STATE": "applied", "DETAIL": "auto-applied"}}},
        {"name": "first disk", "run": "grep -w vda /proc/partitions", "matches": " 4194304 vda$"},
        {"name": "second disk", "run": "grep -w vdb /proc/partitions", "matches": " 1572864 vdb$"},
        {"name": "third disk", "run": "grep -w vdc /proc/partitions", "matches": " 1572864 vdc$"},
        {"name": "has an address", "wait-ip": "eth0"},
        {"name": "two thousand lines", "run": "seq 1 2000; printf '\\033[6n'; exit 7", "exit": 7, "matches": "^1\n2\n[\\s\\S]*\n2000\n\u001b\\[6n$"}"#;
    let modules = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"];
    let modules = [&modules[..], &["failover", "net_failover", "virtio_net", "virtio_blk"]].concat();
    let (step, _) = plan(Over::Serial, checks);
    let disk = |size: &str| format!(r#"{{"size": "{size}"}}"#);
    let machine = format!(
        r#"{{"accel": "tcg", "memory": "256MiB", "net": {{}}, "disk": [{}, {}, {}],
            "login": {{"prompt": "login: ", "password": "let me in", "shell": " # "}}, {GENEROUS}}}"#,
        disk("4GiB"),
        disk("1536MiB"),
        disk("1536MiB")
    );
    let initrd = archive(&format!("#!/bin/busybox sh\n{INIT}"), &modules, &[]);
    let seen = boot_files(&SystemRunner::default(), &step, &machine, &[("initrd", &initrd)], |_| {});
    assert!(seen.result.is_ok(), "{}\n{}", seen.story(), seen.console().join("\n"));
}
