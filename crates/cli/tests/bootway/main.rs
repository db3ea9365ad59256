//! The program as a user meets it: real runs, real exit codes, real files.

#![expect(clippy::unwrap_used, reason = "clippy sees no tests in a file of tests that are modules")]

mod artifacts;
mod busybox;
mod checks;
mod chromeos;
mod closures;
mod completions;
mod debug;
mod demo;
mod diff;
mod errors;
mod fetch;
mod gc;
mod guest;
mod hostile;
mod iso;
mod kill;
mod killed_vm;
mod nix;
mod ordinary;
mod overrides;
mod packages;
mod ports;
mod prebuilt;
mod project;
mod queue;
mod record;
mod restricted;
mod rootfs;
mod same_bytes;
#[path = "../../../../fixtures/shim/place.rs"]
mod shim_fixture;
mod shimboot;
mod squashfs;
mod squashfs_kill;
mod swarm;
mod sysroot;
mod targets;
#[path = "../../../source/src/test_server.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod test_server;
#[path = "../../../nix/src/testing.rs"]
mod testing;
mod timings;
mod untracked;
mod write;
