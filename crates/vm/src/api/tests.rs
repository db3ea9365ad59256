//! The example, and what is said of a guest that is not good.

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{
    Bytes, Class, Explain as _, Failure, Millis,
    step::{AccelWish, Limits},
};

use super::*;
use crate::boot::tests::{SHELL, initramfs, kernel};

#[expect(dead_code, reason = "it is a program, too")]
#[path = "../../examples/guest.rs"]
mod example;

/// A guest with busybox, whose first root is in `sandbox`.
fn busybox(sandbox: &Sandbox<'_>) -> TestVm {
    let initrd = sandbox.root().join("initrd");
    fs_err::write(&initrd, initramfs(SHELL)).unwrap();
    let generous = Some(Millis::new(300_000));
    let machine = MachineSpec {
        memory: Some(Bytes::new(256 << 20)),
        accel: Some(AccelWish::Tcg),
        limits: Some(Limits { boot: generous, check: generous, power_off: generous }),
        ..MachineSpec::default()
    };
    TestVm::kernel(kernel())
        .initrd(initrd)
        .cmdline("console=ttyS0 panic=-1 quiet no_timer_check")
        .machine(machine)
}

#[test]
fn the_example_is_good() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    if let Err(error) = example::all(&sandbox, &busybox(&sandbox)) {
        panic!("{}\n{}", Failure::of(&error), sandbox.lines().join("\n"));
    }
    let left: Vec<_> = fs_err::read_dir(sandbox.cx().cache.join("vm")).unwrap().flatten().collect();
    assert!(left.is_empty(), "what was saved is gone with its value: {left:?}");
}

#[test]
fn a_guest_that_is_not_good_is_told() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let file = sandbox.root().join("file");
    fs_err::write(&file, b"a\0\xFFb\n").unwrap();
    let told = busybox(&sandbox).boot(&sandbox.cx(), |guest| {
        let mut told = Vec::new();
        let mut not_good = |result: Result<(), VmError>| {
            let error = result.expect_err("it is not good");
            assert_eq!(error.class(), Class::Check, "{error}");
            told.push(error.to_string());
        };
        not_good(guest.run("exit 3")?.exits(0).map(drop));
        not_good(guest.run("echo no")?.exits(0)?.prints("yes").map(drop));
        not_good(guest.run("echo no")?.contains("yes").map(drop));
        not_good(guest.run("echo no")?.lacks("no").map(drop));
        not_good(guest.has_active("ssh.service"));
        not_good(guest.copy_out("/nothing").map(drop));
        not_good(guest.copy_in(&file, "/nowhere/file"));
        guest.copy_in(&file, "/file")?;
        assert_eq!(guest.copy_out("/file")?, b"a\0\xFFb\n");
        assert_eq!(guest.run("false")?.code(), 1);
        assert_eq!(guest.run("printf 'a\\nb'")?.output(), b"a\nb");
        guest.reboot()?;
        not_good(guest.copy_out("/file").map(drop));
        not_good(guest.within(Duration::from_secs(1)).run("sleep 1000").map(drop));
        not_good(guest.has_file("/state", &[("ready", "yes")]));
        not_good(guest.sees("nothing like it"));
        guest.power_off()?;
        Ok(told.join("\n"))
    });
    let told = told.unwrap_or_else(|error| panic!("{}\n{}", Failure::of(&error), sandbox.lines().join("\n")));
    insta::assert_snapshot!(told, @"
    check `run` failed: `exit 3` exited with code 3, wanted 0; printed nothing
    check `run` failed: `echo no` printed `no`, wanted exactly `yes`
    check `run` failed: `echo no` printed `no`, wanted `yes` in it
    check `run` failed: `echo no` printed `no`, which must not have `no` in it
    check `has_active` failed: the guest has no `systemctl`
    check `copy_out` failed: cat: can't open '/nothing': No such file or directory
    check `copy_in` failed: `/nowhere/file` is not what it must be (1): chmod: /nowhere/file: No such file or directory
    check `copy_out` failed: cat: can't open '/file': No such file or directory
    check `run` failed: `sleep 1000` was still running after 1 s; it printed nothing
    check `has_file` failed: not within 1 s: cat: can't open '/state': No such file or directory
    check `sees` failed: `nothing like it` was not on the console within 1 s; its console said last: `/ #`
    ");
}
