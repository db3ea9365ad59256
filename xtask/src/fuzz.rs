//! Feeds the squashfs reader with what libFuzzer makes up, and fails on a crash, on a second, on half a gigabyte.
//!
//! The harness is in `fuzz/`, outside the workspace: it needs a C++ compiler for libFuzzer, and counters in every branch
//! of the reader. The compiler makes those with options that are stable, so that no other toolchain is needed.

use bootway_plan::{Class, Failure};
use clap::Args;

use crate::{
    Done,
    sh::{cargo, root, sh},
};

/// Where Cargo puts a target's programs; without a target, its flags would be those of build scripts, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The images that it begins with, and what it finds to be worth keeping.
const SEEDS: &str = "target/fuzz/corpus";
/// Counters that libFuzzer reads, and the table that says where they are.
const FLAGS: &str = "--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C codegen-units=1";

/// Feed the squashfs reader with damaged images
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// For how long
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
}

impl Fuzz {
    pub(crate) fn run(self) -> Done {
        let target = root().join("target/fuzz");
        let seeds = root().join(SEEDS);
        let read = target.join(TARGET).join("release/read");
        cargo(["build", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target", TARGET])
            .args(["--target-dir", target.as_str()])
            .env("RUSTFLAGS", FLAGS)
            .run()?;
        fs_err::create_dir_all(&seeds)
            .map_err(|error| Failure::new(Class::Environment, error.to_string()))?;
        sh(read.as_str(), ["-timeout=1", "-rss_limit_mb=512", "-max_len=32768", "-print_final_stats=1"])
            .args([format!("-max_total_time={}", self.seconds), format!("-artifact_prefix={target}/")])
            .args([seeds.as_str()])
            .env("BOOTWAY_FUZZ_SEEDS", SEEDS)
            .run()
    }
}
