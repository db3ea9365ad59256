//! A test of a guest in Rust: boot once, and have each test go on from there.
//!
//! ```text
//! cargo run -p bootway-vm --example guest -- /boot/vmlinuz-6.1.0 initrd.img
//! ```
//!
//! The first root must have a shell on the console, `ttyS0`.

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Failure, step::MachineSpec};
use bootway_vm::{TestGuest, TestVm, VmError};

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(kernel), Some(initrd)) = (args.next(), args.next()) else {
        eprintln!("usage: guest KERNEL INITRD");
        std::process::exit(2);
    };
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let machine = MachineSpec { memory: Some(bootway_plan::Bytes::new(256 << 20)), ..MachineSpec::default() };
    let vm = TestVm::kernel(kernel).initrd(initrd).cmdline("console=ttyS0 panic=-1 quiet").machine(machine);
    if let Err(error) = all(&sandbox, &vm) {
        eprintln!("{}", Failure::of(&error));
        std::process::exit(1);
    }
    println!("good");
}

/// Each of the tests has the guest as `prepare` left it.
pub(crate) fn all(sandbox: &Sandbox<'_>, vm: &TestVm) -> Result<(), VmError> {
    let saved = vm.save(&sandbox.cx(), prepare)?;
    saved.restore(&sandbox.cx(), forgets_nothing)?;
    saved.restore(&sandbox.cx(), sees_no_other)?;
    saved.restore(&sandbox.cx(), |guest| guest.power_off())
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
