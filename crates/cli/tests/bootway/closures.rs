//! Pre-build, copy, test, as nobody and without a network: drivers that start guests, in a store of their own.

use std::os::unix::process::CommandExt as _;

use camino::Utf8PathBuf;
use serde_json::Value;

use crate::{
    guest,
    project::{Run, program, run},
    testing::{TestNix, derivation, packages},
};

const DRIVERS: [&str; 4] = ["broken", "config", "help", "themes"];

/// A script that starts a guest of its own, and is content if that says `BOOT-DEMO`; the guest of `broken` does not.
fn driver(name: &str) -> String {
    let text = if name == "broken" { "boot failed" } else { "BOOT-DEMO ready" };
    let qemu = "qemu-system-x86_64 -accel tcg -m 16 -nic none -display none -monitor none -serial stdio \
                -device isa-debug-exit,iobase=0xf4,iosize=4 -drive file=$1,format=raw,if=virtio,readonly=on";
    derivation(
        name,
        &format!(
            "mkdir -p $out/bin\n{}\
             echo '#!/bin/sh' > $out/bin/run; echo set -- $out/disk >> $out/bin/run\n\
             echo 'said=$({qemu})' >> $out/bin/run\n\
             echo 'echo \"$said\"; case $said in *BOOT-DEMO*) exit 0;; esac; exit 1' >> $out/bin/run\n\
             chmod +x $out/bin/run",
            guest::disk("$out/disk", &format!("{text}: {name}"))
        ),
    )
}

/// A project of somebody who is nobody, in a Nix of their own.
struct Drivers {
    nix: TestNix,
}

impl Drivers {
    fn new() -> Self {
        let nix = TestNix::new();
        let drivers = DRIVERS.map(driver);
        let named: Vec<(&str, &str)> = DRIVERS.into_iter().zip(drivers.iter().map(String::as_str)).collect();
        nix.flake("drivers", &packages(&named));
        let it = Self { nix };
        it.write_plan(&DRIVERS);
        fs_err::copy(env!("CARGO_BIN_EXE_bootway"), it.nix.root().join("bootway")).unwrap();
        if rustix::process::geteuid().is_root() {
            for entry in walkdir::WalkDir::new(it.nix.root()) {
                std::os::unix::fs::lchown(entry.unwrap().path(), Some(65_534), Some(65_534)).unwrap();
            }
        }
        // Nix 2.26 fails if several of it make a new store at once.
        assert_eq!(it.alone("nix-store", &["--init"]).code, 0);
        it
    }

    /// With the closures of `copied` in the store that tests see.
    fn write_plan(&self, copied: &[&str]) {
        let mut text = "format = 1\nname = \"tests\"\nepoch = 1735689600\ndefault-phase = \"all\"\n\
                        nix = { flake = \"path:./flakes/drivers\", substituters = [] }\n[[phase]]\nname = \"pre-build\"\n"
            .to_owned();
        for name in DRIVERS {
            text += &format!(
                "[[phase.step]]\nname = \"{name}\"\n\
                 nix-build = {{ attribute = \"{name}\", kind = \"program\", glob = \"bin/run\" }}\n"
            );
        }
        text += &format!(
            "[[phase]]\nname = \"copy\"\n[[phase.step]]\nname = \"store\"\n\
             closure = {{ roots = {copied:?}, into = \"./test-store\", verify = \"hashes\" }}\n\
             [[phase]]\nname = \"test\"\n"
        );
        for name in DRIVERS {
            text += &format!(
                "[[phase.step]]\nname = \"test-{name}\"\ntier = \"full\"\n\
                 command = {{ argv = [\"${{{name}}}\"], nix = {{ isolated = \"store\", no-build = [\"{name}\"] }} }}\n"
            );
        }
        fs_err::write(self.nix.root().join("plan.toml"), text).unwrap();
    }

    /// Runs a program as nobody, where there is no network, not even one to wait for.
    fn alone(&self, name: &str, args: &[&str]) -> Run {
        let mut command = program("unshare");
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        command.args(["--user", "--map-current-user", "--net", name]).args(args);
        run(command.current_dir(self.nix.root()).envs(self.nix.env()).env("CI", "1"))
    }

    fn bootway(&self, args: &[&str]) -> Run {
        let binary = self.nix.root().join("bootway");
        self.alone(binary.as_str(), args)
    }

    /// `bootway check --tier full`, its last line, and the steps of its report.
    fn check(&self) -> (i32, String, Value) {
        let ran = self.bootway(&["check", "plan.toml", "--tier", "full"]);
        let report = self.nix.root().join(".bootway/tests/runs/latest/report.json");
        let report = fs_err::read(&report).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        let report: Value = serde_json::from_slice(&report).unwrap();
        let last = ran.stderr.lines().last().unwrap_or_default().to_owned();
        assert!(!ran.stderr.contains("unable to download"), "{}", ran.stderr);
        (ran.code, last, report["steps"].clone())
    }
}

fn step<'a>(steps: &'a Value, id: &str) -> &'a Value {
    steps.as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

/// D.5.7 with D.5.2, D.5.4, D.5.5 and D.5.9: four guests of four drivers in one store, one of which does not start.
#[test]
fn drivers_start_guests_in_a_store_of_their_own_as_nobody_without_a_network() {
    let drivers = Drivers::new();
    let (code, last, cold) = drivers.check();
    // Pre-build and copy are five more, each counted as it ended.
    assert_eq!((code, last.as_str()), (5, "8 passed, 1 failed, 0 skipped"), "{cold:#}");
    for name in DRIVERS {
        let args = ["report", "plan.toml", "--step", &format!("test-{name}"), "--log"];
        let log = drivers.bootway(&args).stdout;
        let said = if name == "broken" { "boot failed: broken" } else { "BOOT-DEMO ready: " };
        assert!(log.contains(said) && log.contains(name), "{name}: {log}");
    }
    let store = drivers.nix.root().join("test-store");
    let verify = ["--store", store.as_str(), "--verify", "--check-contents"];
    let verified = drivers.alone("nix-store", &verify);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let host = || drivers.alone("nix-store", &["--dump-db"]).stdout;
    let before = host();
    assert!(before.contains("-themes"));

    let (code, last, warm) = drivers.check();
    assert_eq!((code, last.as_str()), (5, "8 passed, 1 failed, 0 skipped"));
    assert_eq!(host(), before, "the store that things are built in is as it was");
    // How long each took is measured: what was built before is not built again, and everything else runs.
    for name in DRIVERS {
        let states = [&cold, &warm].map(|steps| step(steps, name)["state"].to_string());
        assert!(states[0].contains("finished") && states[1].contains("cached"), "{states:?}");
        let ran = |id: &str| ["started-ms", "ended-ms"].map(|key| step(&warm, id)[key].as_u64());
        assert!(ran(&format!("test-{name}")).iter().all(Option::is_some), "{warm:#}");
    }
    let notes = step(&warm, "store")["notes"].to_string();
    assert!(notes.contains("4 of them there already; 0B in 0 files copied"), "{notes}");

    // A byte that is not what it was is found, and made good, before a test sees it.
    let disk = walkdir::WalkDir::new(&store).into_iter().flatten().find(|it| it.file_name() == "disk");
    let disk = Utf8PathBuf::from_path_buf(disk.unwrap().into_path()).unwrap();
    fs_err::set_permissions(&disk, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut bytes = fs_err::read(&disk).unwrap();
    bytes[0x1b] ^= 1;
    fs_err::write(&disk, bytes).unwrap();
    assert_eq!(drivers.alone("nix-store", &verify).code, 1);
    let notes = step(&drivers.check().2, "store")["notes"].to_string();
    assert!(notes.contains("1 damaged and replaced"), "{notes}");
    assert_eq!(drivers.alone("nix-store", &verify).code, 0);
}

/// D.5.6: what would have to be built first is not built, and the other tests run.
#[test]
fn a_driver_that_was_not_copied_fails_its_test_before_it_starts() {
    let drivers = Drivers::new();
    drivers.write_plan(&["broken", "config", "help"]);
    let (code, _, steps) = drivers.check();
    assert_eq!(code, 5);
    let failure = step(&steps, "test-themes")["state"].to_string();
    assert!(failure.contains("would build 1 derivation"), "{failure}");
    assert!(step(&steps, "test-help")["state"].to_string().contains("finished"), "{steps:#}");
}
