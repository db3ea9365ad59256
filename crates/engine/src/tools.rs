//! The programs that steps use, and their versions.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _};

use bootway_exec::{Cmd, Program, Runner, Tool, search_path};
use bootway_plan::{
    Action, Step,
    step::{Arch, Firmware, FsKind, Machines, Vm},
};
use bootway_vm::Machine;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// The programs that `step` starts and that what it makes depends on.
pub(crate) fn tools_of(step: &Step, machines: &Machines) -> Vec<Tool> {
    match &step.action {
        // A machine that is not right is told when the step runs.
        Action::Vm(vm) => machine_of(vm, machines).map_or(vec![Tool::QemuX86], |machine| machine.tools()),
        Action::NixBuild(_) | Action::NixCheck(_) | Action::Closure(_) => vec![Tool::Nix],
        Action::Disk(disk) if disk.partitions.iter().any(|it| it.fs == Some(FsKind::Ext2)) => {
            vec![Tool::Mke2fs]
        }
        _ => Vec::new(),
    }
}

/// The programs that `step` needs, as they are looked up on `PATH`.
pub(crate) fn programs_of(step: &Step, machines: &Machines) -> Vec<Program> {
    let mut programs: Vec<Program> = tools_of(step, machines).into_iter().map(Program::Tool).collect();
    // What runs in a root is looked for there.
    if step.inside.is_none()
        && let Action::Command(command) = &step.action
        && let Some(first) = command.argv.first().map(ToString::to_string)
        && !first.contains("${")
    {
        programs.push(Program::User(first));
    }
    let one = step.common.requires.tools.iter().filter(|tools| !tools.contains('|'));
    programs.extend(one.cloned().map(Program::User));
    programs
}

/// The processor that `step` boots through UEFI, so that firmware for it must be there.
pub(crate) fn needs_uefi(step: &Step, machines: &Machines) -> Option<Arch> {
    let Action::Vm(vm) = &step.action else { return None };
    let machine = machine_of(vm, machines)?;
    (machine.firmware == Firmware::Uefi).then_some(machine.arch)
}

fn machine_of(vm: &Vm, machines: &Machines) -> Option<Machine> {
    Machine::resolve(vm.machine.as_ref(), machines, vm.boot).ok()
}

/// Where `program` is, if it is on `path` (the value of `PATH`) or is a path itself.
pub(crate) fn find(program: &str, path: &str) -> Option<Utf8PathBuf> {
    let runs =
        |path: &Utf8PathBuf| fs_err::metadata(path).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0);
    if program.contains('/') {
        return Some(Utf8PathBuf::from(program)).filter(runs);
    }
    path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Utf8Path::new(dir).join(program)).find(runs)
}

/// The first line of what a tool says about its version, asked once for each state of its file.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    file: Option<Utf8PathBuf>,
    known: BTreeMap<Utf8PathBuf, Known>,
    changed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    look: (u64, i64, u64),
    version: String,
}

impl Versions {
    /// Reads what is remembered in `file`; what cannot be read is asked again.
    pub(crate) fn load(file: Utf8PathBuf) -> Self {
        let known = serde_json::from_slice(&fs_err::read(&file).unwrap_or_default()).unwrap_or_default();
        Self { file: Some(file), known, changed: false }
    }

    /// Writes what is remembered, if it has changed.
    pub(crate) fn save(&self) {
        if let (Some(file), true) = (&self.file, self.changed) {
            // Without it the tools are asked again.
            let _ = serde_json::to_vec(&self.known).map(|text| fs_err::write(file, text));
        }
    }

    /// The version of `tool`, or `None` if it is not there.
    pub(crate) fn of(&mut self, tool: Tool, runner: &dyn Runner) -> Option<String> {
        let program = find(tool.program(), &search_path())?;
        let metadata = fs_err::metadata(&program).ok()?;
        let look = (metadata.len(), metadata.mtime(), metadata.ino());
        if let Some(known) = self.known.get(&program).filter(|known| known.look == look) {
            return Some(known.version.clone());
        }
        let version = ask(tool, runner)?;
        self.known.insert(program, Known { look, version: version.clone() });
        self.changed = true;
        Some(version)
    }
}

/// The first line that `tool` prints about its version, on whichever stream.
fn ask(tool: Tool, runner: &dyn Runner) -> Option<String> {
    use bootway_exec::Poll;
    let mut process = runner.spawn(&Cmd::new(tool).args(tool.version_args().iter().copied())).ok()?;
    let mut printed = Vec::new();
    // Every version question ends within milliseconds; a tool that hangs on it has no version.
    for _ in 0..200 {
        match process.poll(std::time::Duration::from_millis(50)) {
            Poll::Output(_, bytes) => printed.extend(bytes),
            Poll::Nothing => (),
            Poll::Ended(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&printed).into_owned();
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()))?;
    Some(line.trim().to_owned())
}
