//! `bootway inspect`: what is in an image.

use bootway_plan::{Failure, exit_code};
use camino::Utf8PathBuf;
use clap::Args;

/// Say what is in an image: partitions, file systems, kernels
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A disk, a file system, an initramfs, an EFI program, a kernel
    image: Utf8PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let report = bootway_image::look(&self.image).map_err(|error| Failure::of(&error))?;
        let text = if self.json {
            serde_json::to_string_pretty(&report).expect("plain data") + "\n"
        } else {
            report.to_string()
        };
        crate::print(&text);
        Ok(exit_code::DONE)
    }
}
