//! `bootway inspect`: what is in an image.

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Failure, exit_code};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

/// Say what is in an image: partitions, file systems, kernels, layers; of a `ChromeOS` image, who signed it, and what it is fit for
#[derive(Debug, Args)]
#[command(after_help = "\
A ChromeOS image may be a raw disk, a zip archive with one, or a directory of chunks with their manifest.

Examples:
  bootway inspect disk.raw
  bootway inspect installer.iso
  bootway inspect container.tar.gz
  bootway inspect shim.bin.zip --sha256 1f3b...
  bootway inspect shim.bin --json")]
pub(crate) struct Inspect {
    /// A disk, a file system, an ISO or container image, an initramfs, a program, a kernel, a shim or a recovery image
    image: Utf8PathBuf,
    /// The SHA-256 that a `ChromeOS` image must have: of the raw disk, or of the file as it is
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let (image, chromeos) = match self.disk(&sandbox)? {
            Some(disk) => {
                let chromeos = bootway_chromeos::examine(&disk).map_err(|error| Failure::of(&error))?;
                (disk, chromeos)
            }
            None => (self.image.clone(), None),
        };
        let mut report = bootway_image::look(&image).map_err(|error| Failure::of(&error))?;
        report.path.clone_from(&self.image);
        let text = if self.json {
            let json = match chromeos {
                Some(chromeos) => {
                    let mut json = serde_json::to_value(&report).expect("plain data");
                    json["chromeos"] = serde_json::to_value(&chromeos).expect("plain data");
                    serde_json::to_string_pretty(&json)
                }
                None => serde_json::to_string_pretty(&report),
            };
            json.expect("plain data") + "\n"
        } else {
            let chromeos = chromeos.map(|chromeos| format!("\n{chromeos}")).unwrap_or_default();
            format!("{report}{chromeos}")
        };
        crate::print(&text);
        Ok(exit_code::DONE)
    }

    /// The raw disk that the image is, or that is in it; nothing if it is something else.
    fn disk(&self, sandbox: &Sandbox<'_>) -> Result<Option<Utf8PathBuf>, Failure> {
        let is_packed = is_packed(&self.image);
        if !is_packed && self.sha256.is_none() {
            return Ok(Utf8Path::is_file(&self.image).then(|| self.image.clone()));
        }
        let opened = bootway_chromeos::open(&sandbox.cx(), &self.image, "disk.raw", self.sha256.as_deref());
        opened.map(Some).map_err(|error| Failure::of(&error))
    }
}

/// Whether a disk has to be taken out of it first: a zip archive, a manifest, a directory that is neither a tree of ours
/// nor an OCI layout.
fn is_packed(path: &Utf8Path) -> bool {
    use std::io::Read as _;
    if path.is_dir() {
        return !Utf8PathBuf::from(format!("{path}.manifest")).exists() && !path.join("oci-layout").exists();
    }
    let mut start = Vec::new();
    let read = fs_err::File::open(path).and_then(|file| file.take(4).read_to_end(&mut start));
    read.is_ok() && (start.starts_with(b"PK\x03\x04") || path.extension() == Some("manifest"))
}
