//! What a `vm` step would start, without starting it.

use bootway_exec::{Cmd, Cx};
use bootway_plan::step::{Machines, Vm};
use camino::Utf8Path;

use crate::{Machine, VmError, boot::host, commands, setup::media};

/// The command lines that [`vm`](crate::vm()) would run on this host.
///
/// The accelerator is a fact of the host: it is probed, once in the life of this process.
///
/// # Errors
///
/// If the machine is unknown, or the host lacks firmware or QEMU.
pub fn preview(cx: &Cx<'_>, step: &Vm, machines: &Machines) -> Result<Vec<Cmd>, VmError> {
    let machine = Machine::resolve(step.machine.as_ref(), machines, step.boot)?;
    // A plan that is only looked at has no scratch directory, and the probe needs one.
    let dir = tempfile::tempdir().map_err(VmError::io(cx.scratch))?;
    let scratch = Utf8Path::from_path(dir.path()).unwrap_or(cx.scratch);
    let host = host(&Cx { scratch, ..*cx }, &machine)?;
    Ok(commands(&machine, step.boot, &media(cx, step)?, &host, cx.scratch))
}
