//! Feeds the parsers of other people's images with what libFuzzer makes up, and fails on a crash, on a second, on half
//! a gigabyte.
//!
//! The harnesses are in `fuzz/`, outside the workspace: they need a C++ compiler for libFuzzer, and counters in every
//! branch of the parsers. The compiler makes those with options that are stable, so that no other toolchain is needed.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::{
    Done,
    sh::{cargo, root, sh},
};

/// Where Cargo puts a target's programs; without a target, its flags would be those of build scripts, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What each begins with, and what it finds to be worth keeping.
const SEEDS: &str = "target/fuzz/corpus";
/// Counters that libFuzzer reads, and the table that says where they are.
const FLAGS: &str = "--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C codegen-units=1";
/// As many as have a processor each on the smallest machine that does this.
const AT_ONCE: usize = 2;

/// The harnesses: each program, and how long an input may be.
const PARSERS: [Parser; 16] = [
    parser("read", 32 << 10),
    parser("tar", 16 << 10),
    parser("iso", 128 << 10),
    parser("qcow2", 64 << 10),
    parser("oci", 8 << 10),
    parser("patch", 4 << 10),
    parser("kernel_partition", 64 << 10),
    parser("kernel_payload", 32 << 10),
    parser("initramfs", 32 << 10),
    parser("fit", 16 << 10),
    parser("zip", 16 << 10),
    parser("gpt", 40 << 10),
    parser("ext", 128 << 10),
    parser("cpio", 8 << 10),
    parser("registration", 4 << 10),
    parser("nar", 1 << 10),
];
/// One package for all: what they read is built once.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Feed the parsers with damaged images
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// For how long, each
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
    /// Which, such as `zip`; all of them if none is named
    #[arg(value_name = "PARSER", value_parser = PARSERS.map(|parser| parser.name))]
    parsers: Vec<String>,
}

/// A harness.
#[derive(Clone, Copy)]
struct Parser {
    name: &'static str,
    longest: u32,
}

const fn parser(name: &'static str, longest: u32) -> Parser {
    Parser { name, longest }
}

impl Fuzz {
    pub(crate) fn run(self) -> Done {
        let wanted =
            |parser: &Parser| self.parsers.is_empty() || self.parsers.iter().any(|it| it == parser.name);
        let parsers: Vec<_> = PARSERS.into_iter().filter(wanted).collect();
        build(&parsers)?;
        // Some parsers read files: those are in memory, and libFuzzer ends without removing them.
        let scratch = Utf8PathBuf::from(format!("/dev/shm/bootway-fuzz-{}", std::process::id()));
        fs_err::create_dir_all(&scratch).map_err(io)?;
        let next = AtomicUsize::new(0);
        let work = || -> Done {
            while let Some(parser) = parsers.get(next.fetch_add(1, Ordering::Relaxed)) {
                parser.feed(self.seconds, &scratch)?;
            }
            Ok(())
        };
        let fed = thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        });
        fs_err::remove_dir_all(&scratch).map_err(io)?;
        fed
    }
}

fn build(parsers: &[Parser]) -> Done {
    cargo(["build", "--release", "--quiet", "--manifest-path", MANIFEST, "--target", TARGET])
        .args(parsers.iter().flat_map(|parser| ["--bin", parser.name]))
        .args(["--target-dir", root().join("target/fuzz").as_str()])
        .env("RUSTFLAGS", FLAGS)
        .run()
}

impl Parser {
    fn feed(self, seconds: u32, scratch: &Utf8Path) -> Done {
        let target = root().join("target/fuzz");
        let program = target.join(TARGET).join("release").join(self.name);
        // Inputs of one are of no use to another.
        let seeds = root().join(SEEDS).join(self.name);
        fs_err::create_dir_all(&seeds).map_err(io)?;
        sh(program.as_str(), ["-timeout=1", "-rss_limit_mb=512", "-print_final_stats=1"])
            .args([format!("-max_len={}", self.longest), format!("-max_total_time={seconds}")])
            .args([format!("-artifact_prefix={target}/{}-", self.name)])
            .args([seeds.as_str()])
            .env("BOOTWAY_FUZZ_SEEDS", seeds.as_str())
            .env("TMPDIR", scratch.as_str())
            .run()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}
