//! From what the firmware of a Chromebook would choose on a disk to what QEMU starts.

use bootway_exec::Cx;
use bootway_plan::{EventKind, Failure, Verdict};
use camino::Utf8Path;

use super::VmError;
use crate::command::KERNEL;

/// Does what the firmware of a Chromebook does with the disk at a path.
///
/// This crate knows machines, and not what is on their disks.
pub type Loader<'a> = dyn Fn(&Utf8Path) -> Looked + 'a;

/// What came of looking at a disk.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What was looked at, in order; told as checks, whether there is a kernel or not.
    pub checks: Vec<FirmwareCheck>,
    /// What starts, or why nothing does.
    pub chosen: Result<Chosen, Failure>,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareCheck {
    /// What it proves, in a few words; told as `firmware: NAME`.
    pub name: String,
    /// Whether it is as it must be; if not, nothing is started.
    pub good: bool,
    /// What was seen.
    pub detail: String,
}

/// A kernel that starts.
#[derive(Clone, PartialEq, Eq)]
pub struct Chosen {
    /// A bzImage.
    pub kernel: Vec<u8>,
    /// Its command line, with all that the firmware does to it.
    pub cmdline: String,
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen").field("kernel", &self.kernel.len()).field("cmdline", &self.cmdline).finish()
    }
}

/// What is put behind the signed command line unless a plan says something else: the kernel speaks on both consoles,
/// programs speak on the serial one, and the screen keeps its place in memory.
const OBSERVED: &str = "console=tty1 console=ttyS0,115200 no-scroll";

/// Linux on x86-64 takes so many bytes. Source: `COMMAND_LINE_SIZE`, arch/x86/include/asm/setup.h.
const CMDLINE_LIMIT: usize = 2047;

/// Asks `loader` what starts on `image`, tells what it looked at, and puts the kernel where QEMU finds it; returns the
/// kernel's command line.
pub(crate) fn kernel(
    cx: &Cx<'_>,
    image: &Utf8Path,
    behind: Option<&str>,
    loader: &Loader<'_>,
) -> Result<String, VmError> {
    let looked = loader(image);
    for check in &looked.checks {
        (cx.emit)(EventKind::Check {
            name: format!("firmware: {}", check.name),
            verdict: if check.good { Verdict::Passed } else { Verdict::Failed },
            after_ms: 0,
            detail: Some(check.detail.clone()),
        });
    }
    let chosen = looked.chosen.map_err(VmError::not_chosen)?;
    let mut bad = looked.checks.into_iter().filter(|check| !check.good);
    if let Some(check) = bad.next() {
        let more = bad.count();
        return Err(VmError::Finding { name: check.name, detail: check.detail, more });
    }
    let cmdline = format!("{} {}", chosen.cmdline, behind.unwrap_or(OBSERVED));
    if cmdline.len() > CMDLINE_LIMIT {
        return Err(VmError::Cmdline { length: cmdline.len(), limit: CMDLINE_LIMIT });
    }
    cx.note(format!("the kernel's command line is `{cmdline}`"));
    fs_err::write(cx.scratch.join(KERNEL), chosen.kernel).map_err(VmError::io(cx.scratch))?;
    Ok(cmdline)
}
