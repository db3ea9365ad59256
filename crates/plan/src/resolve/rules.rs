//! Rules between the parameters of one step, which serde cannot see.

use crate::{
    Action,
    problem::Collector,
    spec::StepSpec,
    step::{
        Boot, Channel, Disk, DiskFormat, Expect, FsKind, Inspect, MachineSpec, Partition, Runs, ShareOf,
        Size, Snapshot, Table, Vm,
    },
};

/// Adds every rule that `step` breaks.
pub(super) fn check_parameters(step: &StepSpec, problems: &mut Collector<'_>) {
    match &step.action {
        Action::Disk(disk) => check_disk(step, disk, problems),
        Action::Vm(vm) => check_vm(step, vm, problems),
        Action::Package(package) => add(step, package.problems(), problems),
        Action::Edit(edit) if edit.edits.is_empty() => {
            problems.add(&step.action_span, "without `edits` nothing is changed: add one");
        }
        Action::Command(command) => add(step, command.problems(), problems),
        Action::Inspect(inspect) => check_inspect(step, inspect, problems),
        Action::NixCheck(check) => add(step, check.problems(), problems),
        Action::Iso(iso) => add(step, iso.impossible().map(|it| (None, it)).into_iter().collect(), problems),
        Action::Oci(oci) => add(step, oci.impossible().map(|it| (None, it)).into_iter().collect(), problems),
        Action::Squashfs(squashfs) => {
            if let Some(reason) = squashfs.impossible() {
                problems.add(&step.action_span, reason);
            }
        }
        _ => (),
    }
}

fn check_disk(step: &StepSpec, disk: &Disk, problems: &mut Collector<'_>) {
    if disk.partitions.is_empty() {
        problems.add(&step.action_span, "this disk has no partitions: add a `partition`");
    }
    for partition in &disk.partitions {
        let label = &partition.label;
        let units = label.encode_utf16().count();
        if units > 36 {
            let mut message =
                format!("label `{label}` has {units} UTF-16 units, and GPT has room for 36: shorten it");
            if let Some((prefix, _)) = label.split_once(':') {
                let left = 36_usize.saturating_sub(prefix.encode_utf16().count() + 1);
                message += &format!("; behind `{prefix}:` there is room for {left}");
            }
            problems.add(&step.place_of(label), message);
        }
        check_fs(step, partition, problems);
        let of_disk = matches!(partition.size, Size::Share(share) if share.of == ShareOf::Disk);
        if (of_disk || partition.grow) && disk.size.is_none() {
            let message = format!(
                "partition `{label}` takes a part of the disk, which has no `size`: give the disk one"
            );
            problems.add(&step.place_of(label), message);
        }
    }
    if disk.table == Table::None && disk.partitions.len() > 1 {
        let count = disk.partitions.len();
        let message = format!("without a table there is one partition, not {count}: leave `table` out");
        problems.add(&step.action_span, message);
    }
    if disk.table == Table::None && disk.format == DiskFormat::Qcow2 {
        let message = "`qcow2` is for a disk with a table: leave `table` or `format` out";
        problems.add(&step.action_span, message);
    }
    if ![512, 4096].contains(&disk.sector_size.get()) {
        let message = format!("sectors of {} do not exist: use `512B` or `4KiB`", disk.sector_size);
        problems.add(&step.action_span, message);
    }
}

/// What is said about a file system must be about one that is made.
fn check_fs(step: &StepSpec, partition: &Partition, problems: &mut Collector<'_>) {
    let label = &partition.label;
    if let Some(fs_label) = &partition.fs_label {
        let (bytes, most) = (fs_label.len(), if partition.fs == Some(FsKind::Fat32) { 11 } else { 16 });
        let span = step.place_of(fs_label);
        match partition.fs {
            None => {
                problems.add(&span, format!("partition `{label}` has an `fs-label` and no `fs`: add one"));
            }
            Some(fs) if bytes > most => problems.add(
                &span,
                format!(
                    "`fs-label` `{fs_label}` has {bytes} bytes, {} has room for {most}: shorten it",
                    fs.as_str()
                ),
            ),
            Some(_) => (),
        }
    }
    if partition.journal == Some(true) && partition.fs != Some(FsKind::Ext4) {
        let message =
            format!("partition `{label}` asks for a journal, which only ext4 has: write `fs = \"ext4\"`");
        problems.add(&step.place_of(label), message);
    }
    if partition.min_content.is_some() && partition.content.is_none() {
        let message = format!("partition `{label}` has a `min-content` and no `content`: add one");
        problems.add(&step.place_of(label), message);
    }
}

fn check_vm(step: &StepSpec, vm: &Vm, problems: &mut Collector<'_>) {
    if vm.checks.is_empty() && vm.tests.is_empty() {
        problems.add(&step.action_span, "without a `check` nothing is proved: write down what must be seen");
    }
    for test in vm.tests.iter().filter(|test| test.checks.is_empty()) {
        let message = format!("test `{}` has no `check`: write down what must be seen", test.name);
        problems.add(&step.place_of(&test.name), message);
    }
    if vm.tests.is_empty() && vm.snapshot == Snapshot::Required {
        problems.add(&step.action_span, "`snapshot` is about tests, and there are none: add a `test`");
    }
    for check in vm.all_checks() {
        if let Err(reason) = check.kind() {
            problems.add(&step.place_of(&check.name), reason);
        }
    }
    if let Some(check) = vm.checks.iter().rfind(|check| check.power_off).filter(|_| !vm.tests.is_empty()) {
        let message = format!(
            "check `{}` switches the machine off before its tests: make it the last check of a test",
            check.name
        );
        problems.add(&step.place_of(&check.name), message);
    }
    let needs = match vm.boot {
        Boot::Disk => vm.image.is_none().then_some("a machine that boots from disk needs an `image`"),
        Boot::Iso => vm.image.is_none().then_some("a machine with `boot = \"iso\"` needs an `image`"),
        Boot::Kernel => vm.kernel.is_none().then_some("a machine with `boot = \"kernel\"` needs a `kernel`"),
        Boot::Chromeos => {
            vm.image.is_none().then_some("a machine with `boot = \"chromeos\"` needs an `image`")
        }
    };
    if let Some(message) = needs {
        problems.add(&step.action_span, message);
    }
    if let (Boot::Chromeos, Some(source)) = (vm.boot, vm.kernel.as_ref().or(vm.initrd.as_ref())) {
        let message =
            "with `boot = \"chromeos\"` the kernel is the one on the disk: leave out `kernel` and `initrd`";
        problems.add(&step.place_of_source(source), message);
    }
    if vm.attach.is_some() && vm.image.is_none() {
        problems.add(&step.action_span, "`attach` is about the disk: add its `image`");
    }
}

/// What a step wants of its machine, the machine must have.
pub(super) fn check_on_machine(
    step: &StepSpec,
    vm: &Vm,
    machine: &MachineSpec,
    problems: &mut Collector<'_>,
) {
    let has_screen = vm.boot == Boot::Chromeos || machine.screen == Some(true);
    let has_ssh = machine.net.as_ref().is_some_and(|net| net.forward.values().any(|port| port.guest() == 22));
    for check in vm.all_checks() {
        if (check.screen.is_some() || check.screenshot.is_some()) && !has_screen {
            let message = format!(
                "check `{}` looks at the screen, and this machine has none: add `screen = true` to it, or use `console`",
                check.name
            );
            problems.add(&step.place_of(&check.name), message);
        }
        if check.ssh.is_some() && !has_ssh {
            let message = format!(
                "check `{}` uses SSH, and this machine cannot be reached by it: add `net = {{ forward = {{ ssh = 22 }} }}` to it",
                check.name
            );
            problems.add(&step.place_of(&check.name), message);
        }
    }
    if machine.channel == Some(Channel::Ssh) && !has_ssh {
        let message =
            "`channel = \"ssh\"` needs port 22 of the guest: add `net = { forward = { ssh = 22 } }`";
        problems.add(&step.action_span, message);
    }
}

fn check_inspect(step: &StepSpec, inspect: &Inspect, problems: &mut Collector<'_>) {
    if inspect.expect.is_empty() {
        problems
            .add(&step.action_span, "without an `expect` nothing is proved: write down what must be true");
    }
    for expect in &inspect.expect {
        if *expect == Expect::default() {
            problems.add(&step.action_span, "an expectation that says nothing proves nothing: fill it in");
        }
        if let (Some(contains), None) = (&expect.contains, &expect.path) {
            problems.add(&step.place_of(contains), "`contains` is about the file at `path`: add the `path`");
        }
        if let Some(reason) = expect.runs.as_ref().and_then(Runs::impossible) {
            problems.add(&step.action_span, reason);
        }
    }
}

/// Adds what the parameters of a step say of themselves.
fn add(step: &StepSpec, found: Vec<(Option<String>, String)>, problems: &mut Collector<'_>) {
    for (text, message) in found {
        problems.add(&text.map_or_else(|| step.action_span.clone(), |it| step.place_of(&it)), message);
    }
}
