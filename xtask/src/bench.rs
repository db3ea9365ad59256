//! How fast we are, beside the programs that people use for it and beside what nothing can beat.
//!
//! All contenders get the same and make the same of it. They take turns, so that what else the machine does falls on
//! all of them, and the median of the rounds counts.

mod closure;
mod disk;
mod harvest;
mod nix;
mod rounds;
mod squashfs;
mod trees;
mod vm;

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};

use crate::{
    Done,
    sh::{root, sh},
};

/// Measure beside other programs
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A closure of 30,000 files into a store in a directory, beside `xargs cp`
    Closure {
        /// Where to work: a tmpfs, so that the disk's noise is out; what is made there is made once
        #[arg(long, default_value = "/dev/shm/bootway-closure")]
        scratch: Utf8PathBuf,
        /// How often each takes its turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// A GPT disk with an ESP and an ext4 root, beside genimage, a script, and the limit
    Disk {
        /// A root file system of Debian of 700 MB or more, such as mmdebstrap makes
        tree: Utf8PathBuf,
        /// Where to work: a tmpfs, so that the disk's noise is out
        #[arg(long, default_value = "/dev/shm/bootway-bench")]
        scratch: Utf8PathBuf,
        /// How often each takes its turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// A shim taken apart, beside binwalk; a disk assembled, beside a sparse copy of it
    Harvest {
        /// A root file system of 1.5 GB or so to assemble a disk of
        #[arg(long)]
        tree: Option<Utf8PathBuf>,
        /// Where to work: a tmpfs, so that the disk's noise is out
        #[arg(long, default_value = "/dev/shm/bootway-harvest")]
        scratch: Utf8PathBuf,
        /// How often each takes its turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// A plan with one attribute that is built already, beside `nix build`
    Nix {
        /// Where to work; a store is made there, once
        #[arg(long, default_value = "/dev/shm/bootway-nix")]
        scratch: Utf8PathBuf,
        /// How often each takes its turn
        #[arg(long, default_value_t = 21)]
        rounds: usize,
    },
    /// Squashfs images, beside mksquashfs
    Squashfs(squashfs::Squashfs),
    /// Make the trees for `squashfs` below DIR: a Debian, and its packages as a store of Nix has them
    Trees {
        /// 2.5 GB must be free there; the Debian comes from its mirror, as root
        dir: Utf8PathBuf,
    },
    /// Tests of a guest that is saved and restored, beside booting it for each, and beside QEMU alone
    Vm {
        /// Where to work: a tmpfs, so that the disk's noise is out
        #[arg(long, default_value = "/dev/shm/bootway-vm")]
        scratch: Utf8PathBuf,
        /// How many tests there are of each machine
        #[arg(long, default_value_t = 11)]
        rounds: usize,
        #[command(flatten)]
        image: vm::Image,
    },
}

impl Bench {
    pub(crate) fn run(&self) -> Done {
        match &self.what {
            What::Closure { scratch, rounds } => closure::run(scratch, *rounds),
            What::Disk { tree, scratch, rounds } => disk::run(tree, scratch, *rounds),
            What::Harvest { tree, scratch, rounds } => harvest::run(tree.as_deref(), scratch, *rounds),
            What::Nix { scratch, rounds } => nix::run(scratch, *rounds),
            What::Squashfs(squashfs) => squashfs.run(),
            What::Trees { dir } => trees::make(dir),
            What::Vm { scratch, rounds, image } => vm::run(scratch, *rounds, image),
        }
    }
}

/// The path of a program that was built for release, `examples/NAME` or `NAME`.
pub(crate) fn released(program: &str) -> String {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), Utf8PathBuf::from);
    target.join("release").join(program).into_string()
}

/// Files below `dir` that `find` finds with `conditions`.
fn count(dir: &Utf8Path, conditions: &[&str]) -> Result<u64, Failure> {
    let listed =
        sh("find", [dir.as_str()]).args(conditions.iter().copied()).args(["-printf", "x"]).quiet()?;
    Ok(listed.len() as u64)
}

fn first_number(text: &str) -> Result<u64, Failure> {
    let digits = text.split_whitespace().next().unwrap_or_default();
    digits.parse().map_err(|_| Failure::new(Class::Bug, format!("`{text}` begins with no number")))
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}
