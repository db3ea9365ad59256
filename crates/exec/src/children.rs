//! A record of the process groups that are running, for the run after a SIGKILL.
//!
//! Programs die with this process (see `bootway-pdeath`), but what they started in turn may not. Each group that is
//! started has a file in a directory, named by its leader's pid, with the leader's start time; the next run kills
//! what is left of it.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process_group};

/// A file that says that a process group runs; removed when it has ended.
#[derive(Debug)]
pub(crate) struct ChildFile(Utf8PathBuf);

impl ChildFile {
    /// Writes the file for the group of `pid` into `dir`.
    pub(crate) fn write(dir: &Utf8Path, pid: u32) -> Option<Self> {
        let path = dir.join(pid.to_string());
        // Without the record a build is as good as with it; only the clean-up after a SIGKILL is weaker.
        fs_err::write(&path, start_time(pid)?).ok()?;
        Some(Self(path))
    }
}

impl Drop for ChildFile {
    fn drop(&mut self) {
        // A file that stays is harmless: pid and start time will not match.
        let _ = fs_err::remove_file(&self.0);
    }
}

/// Looks at `/proc` before we stop waiting for killed processes; each takes a millisecond or more.
const PATIENCE: u32 = 1000;

/// Kills every process group that a killed run left behind, by its records in `dir`; returns how many.
///
/// A group is killed only if a process of it is still there that began no earlier than the record says, so that a
/// recycled pid is left alone.
pub fn kill_leftovers(dir: &Utf8Path) -> usize {
    let Ok(records) = fs_err::read_dir(dir) else { return 0 };
    let mut killed = 0;
    for record in records.flatten() {
        let path = record.path();
        let group = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        let began = fs_err::read_to_string(&path).ok().and_then(|text| text.parse::<u64>().ok());
        if let (Some(group), Some(began)) = (group, began)
            && let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw)
            && has_member_since(group, began)
            && kill_process_group(pid, Signal::KILL).is_ok()
        {
            killed += 1;
            // The signal is sent; what holds files is gone a moment later.
            let gone = (0..PATIENCE).any(|_| !has_member_since(group, began));
            debug_assert!(gone, "process group {group} survives SIGKILL");
        }
        let _ = fs_err::remove_file(&path); // A second look at it does no harm.
    }
    killed
}

/// Waits until a process group that was killed holds no files any more: the first process of a PID namespace is there until
/// all others in it are gone.
pub(crate) fn await_end(group: u32) {
    let gone = (0..PATIENCE).any(|_| !has_member_since(group, 0));
    debug_assert!(gone, "process group {group} survives SIGKILL");
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since boot (proc(5)).
fn start_time(pid: u32) -> Option<String> {
    stat_field(pid, 22)
}

/// A field of `/proc/PID/stat`, numbered as in proc(5); the second, which may hold spaces, cannot be asked for.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3).map(str::to_owned)
}

fn has_member_since(group: u32, began: u64) -> bool {
    let Ok(processes) = fs_err::read_dir("/proc") else { return false };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let field = |pid, number| stat_field(pid, number).and_then(|text| text.parse::<u64>().ok());
    for pid in pids {
        // A zombie holds nothing.
        if stat_field(pid, 3).as_deref() != Some("Z")
            && field(pid, 5) == Some(u64::from(group))
            && field(pid, 22).is_some_and(|start| start >= began)
        {
            return true;
        }
    }
    false
}

/// CPU milliseconds and bytes written, of all processes of a group and what descends from them, that run now.
///
/// A descendant may be in a group of its own: Nix gives each of its builders a session.
pub(crate) fn group_usage(group: u32) -> crate::Usage {
    let mut usage = crate::Usage::default();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    for pid in family(group) {
        // utime, stime, and those of children that were waited for.
        let spent = (14..=17).filter_map(|number| stat_field(pid, number)?.parse::<u64>().ok()).sum::<u64>();
        usage.cpu_ms += spent * 1000 / ticks;
        let io = fs_err::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written =
            io.lines().find_map(|line| line.strip_prefix("wchar: ")).and_then(|n| n.parse::<u64>().ok());
        usage.written += written.unwrap_or(0);
    }
    usage
}

/// The processes of a group and what descends from them.
fn family(group: u32) -> BTreeSet<u32> {
    let Ok(processes) = fs_err::read_dir("/proc") else { return BTreeSet::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let field = |pid, number| stat_field(pid, number)?.parse::<u32>().ok();
    let mut others: Vec<(u32, u32)> = Vec::new();
    let mut family = BTreeSet::new();
    for pid in pids {
        match (field(pid, 4), field(pid, 5)) {
            (_, Some(of)) if of == group => {
                family.insert(pid);
            }
            (Some(parent), _) => others.push((pid, parent)),
            _ => (),
        }
    }
    loop {
        let before = family.len();
        family.extend(
            others
                .iter()
                .filter(|(_, parent)| family.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            return family;
        }
    }
}
