//! What a `vm` step would start, without starting it.

use bootway_exec::{Cmd, Cx};
use bootway_plan::step::{Machines, Vm};

use crate::{
    Machine, VmError,
    boot::{host, media},
    commands,
};

/// The command lines that [`vm`](crate::vm()) would run on this host.
///
/// The accelerator is a fact of the host: it is probed, once in the life of this process.
///
/// # Errors
///
/// If the machine is unknown, or the host lacks firmware or QEMU.
pub fn preview(cx: &Cx<'_>, step: &Vm, machines: &Machines) -> Result<Vec<Cmd>, VmError> {
    let machine = Machine::resolve(step.machine.as_ref(), machines, step.boot)?;
    let host = host(cx, &machine)?;
    Ok(commands(&machine, step.boot, &media(cx, step)?, &host, cx.scratch))
}
