//! What happens between the kernel and the init of a root.

use bootway_exec::Cancel;
use bootway_image::Tree;
use bootway_plan::Judgement;

use super::{KernelReport, Notes, Role};
use crate::{anatomy::Anatomy, disk::Disk, firmware};

/// With this in its initramfs, a shim checks the root against its signed digest before it starts it.
///
/// Source: `ChromiumOS` initramfs, `factory_shim/bootstrap.sh`, which calls `setup_dm_root` of `lib/dm_root_utils.sh`
/// unless `cros_debug` is on the command line.
const CHECKS_ROOT: &str = "lib/dm_root_utils.sh";
/// What the firmware's choice says about what comes after the kernel.
const AHEAD: [&str; 3] = [
    "kern_guid leads to a partition",
    "the partition after the kernel has a boot loader",
    "a root file system for the boot loader",
];
/// What marks the partitions of roots that a boot loader looks for.
pub(super) const ROOTS: &str = "shimboot_rootfs:";
/// The longest name that menus show whole.
const LONGEST: usize = 16;

pub(super) fn findings(
    disk: &Disk,
    anatomy: &Anatomy,
    early: Option<&Tree>,
    root: Option<&Tree>,
    notes: &mut Notes<'_>,
) {
    if let Some(early) = early {
        refusal(anatomy, early, notes);
        tools(early, notes);
    }
    for finding in firmware::choose(&disk.file).map(|chosen| chosen.findings).unwrap_or_default() {
        if !AHEAD.contains(&finding.name.as_str()) {
            continue;
        }
        let judgement = if finding.good { Judgement::Good } else { Judgement::Bad };
        let answer = if finding.good { "yes" } else { "no" };
        notes.say(judgement, finding.name, answer, finding.detail);
    }
    state(disk, root, notes);
    for entry in disk.gpt.entries.iter().filter(|entry| entry.label.starts_with(ROOTS)) {
        let name = &entry.label[ROOTS.len()..];
        if name.chars().count() > LONGEST {
            let evidence =
                format!("`{name}` has {} characters, of which menus show {LONGEST}", name.chars().count());
            notes.say(
                Judgement::Doubtful,
                format!("name of partition {}", entry.number),
                "too long",
                evidence,
            );
        }
    }
}

/// Whether the kernel that the firmware starts installs another one, which it vouches for by its hash.
pub(super) fn recovers(kernels: &[KernelReport], main: u32) -> bool {
    let main = kernels.iter().find(|kernel| kernel.number == main).and_then(|kernel| kernel.cmdline.as_ref());
    main.is_some_and(|cmdline| cmdline.contains("kern_b_hash="))
}

/// A recovery image where a shim is wanted, or the other way round, is most likely a mistake.
pub(super) fn kind(role: Role, recovers: bool, notes: &mut Notes<'_>) {
    match (role, recovers) {
        (Role::Shim | Role::Image, true) => notes.say(
            if role == Role::Shim { Judgement::Bad } else { Judgement::Fact },
            "kind of image",
            "a recovery image, no shim",
            "its kernel vouches for the one that it installs (kern_b_hash): it starts no root of yours, and is good for firmware and module options",
        ),
        (Role::Recovery, false) => notes.say(
            Judgement::Doubtful,
            "kind of image",
            "no recovery image",
            "its kernel vouches for no other one (kern_b_hash)",
        ),
        (Role::Shim | Role::Image, false) | (Role::Recovery, true) => {}
    }
}

fn refusal(anatomy: &Anatomy, early: &Tree, notes: &mut Notes<'_>) {
    let name = "refuses an unsigned root";
    let checks = early.follow(CHECKS_ROOT).is_some();
    let debug = anatomy.cmdline.split_ascii_whitespace().any(|argument| argument == "cros_debug");
    match (checks, debug) {
        (true, false) => notes.say(
            Judgement::Bad,
            name,
            "yes",
            format!("its initramfs has {CHECKS_ROOT}, and `cros_debug` is not on the signed command line: it starts no root but its own"),
        ),
        (true, true) => notes.say(
            Judgement::Good,
            name,
            "no",
            format!("its initramfs has {CHECKS_ROOT}, but `cros_debug` on the signed command line keeps it from checking"),
        ),
        (false, _) => notes.say(Judgement::Good, name, "no", format!("its initramfs has no {CHECKS_ROOT}")),
    }
}

/// The programs that a boot loader in the shim's initramfs works with.
fn tools(early: &Tree, notes: &mut Notes<'_>) {
    let there = |names: &[&'static str]| -> (Vec<&'static str>, Vec<&'static str>) {
        names.iter().partition(|name| {
            ["bin", "sbin", "usr/bin", "usr/sbin"]
                .iter()
                .any(|dir| early.follow(&format!("{dir}/{name}")).is_some())
        })
    };
    let (found, missing) = there(&["busybox", "cgpt", "dmsetup", "frecon-lite", "cryptsetup", "pv"]);
    let judgement = if missing.contains(&"busybox") { Judgement::Doubtful } else { Judgement::Fact };
    let evidence = format!(
        "of what boot loaders use it lacks {}",
        if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") }
    );
    notes.say(judgement, "programs in the initramfs", found.join(", "), evidence);
}

/// Old shims start nothing without this file on the first partition.
fn state(disk: &Disk, root: Option<&Tree>, notes: &mut Notes<'_>) {
    let _ = root;
    let Some(entry) = disk.gpt.entries.iter().find(|entry| entry.number == 1) else {
        let evidence = "partition 1 is not there; old shims want etc/lsb-factory on it";
        notes.say(Judgement::Doubtful, "state partition", "missing", evidence);
        return;
    };
    match disk.tree(entry, &Cancel::default()) {
        Ok((tree, _)) if tree.follow("dev_image/etc/lsb-factory").is_some() => {
            notes.say(
                Judgement::Good,
                "state partition",
                "as old shims want it",
                "dev_image/etc/lsb-factory is there",
            );
        }
        Ok(_) => {
            let evidence = "no dev_image/etc/lsb-factory, without which old shims stop";
            notes.say(Judgement::Doubtful, "state partition", "not for old shims", evidence);
        }
        Err(error) => {
            notes.say(Judgement::Unknown, "state partition", "cannot be read", super::chain(&error));
        }
    }
}
