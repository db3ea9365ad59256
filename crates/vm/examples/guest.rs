//! A test of a guest in Rust: boot once, and have each test go on from there.
//!
//! ```text
//! cargo run -p bootway-vm --example guest -- /boot/vmlinuz-6.1.0 initrd.img
//! ```
//!
//! The first root must have a shell on the console, `ttyS0`.

use std::error::Error;

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Failure, step::MachineSpec};
use bootway_vm::{TestGuest, TestVm, VmError};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initrd] = &args[..] else { return Err("usage: guest KERNEL INITRD".into()) };
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let machine = MachineSpec { memory: Some(bootway_plan::Bytes::new(256 << 20)), ..MachineSpec::default() };
    let vm = TestVm::kernel(kernel)
        .initrd(initrd)
        .cmdline("console=ttyS0 panic=-1 quiet no_timer_check")
        .machine(machine);
    Ok(all(&sandbox, &vm).map_err(|error| Failure::of(&error).to_string())?)
}

/// Each of the tests has the guest as `prepare` left it.
pub(crate) fn all(sandbox: &Sandbox<'_>, vm: &TestVm) -> Result<(), VmError> {
    let saved = vm.save(&sandbox.cx(), prepare)?;
    saved.restore(&sandbox.cx(), forgets_nothing)?;
    saved.restore(&sandbox.cx(), sees_no_other)?;
    saved.restore(&sandbox.cx(), ends)
}

fn prepare(guest: &mut TestGuest<'_>) -> Result<(), VmError> {
    guest.run("echo ready=yes >/state")?.exits(0).map(drop)
}

fn forgets_nothing(guest: &mut TestGuest<'_>) -> Result<(), VmError> {
    guest.run("id -u")?.exits(0)?.prints("0")?;
    guest.has_file("/state", &[("ready", "yes")])?;
    guest.run("echo ready=no >/state")?.exits(0).map(drop)
}

fn sees_no_other(guest: &mut TestGuest<'_>) -> Result<(), VmError> {
    guest.run("cat /state")?.prints("ready=yes")?.lacks("no").map(drop)
}

fn ends(guest: &mut TestGuest<'_>) -> Result<(), VmError> {
    guest.power_off()
}
