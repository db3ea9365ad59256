//! `take_initramfs KERNEL-PARTITION OUT-DIR` writes `OUT-DIR/initramfs.cpio`, as it is embedded in the kernel, and
//! prints the peak memory in KiB: what scripts do with binwalk, and nothing else.

use std::{error::Error, io::Write as _};

use bootway_chromeos::{
    kernel::{boot_kernel, initramfs},
    vboot::KernelPartition,
};
use camino::Utf8Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [partition, out] = &args[..] else {
        return Err("usage: take_initramfs KERNEL-PARTITION OUT-DIR".into());
    };
    let bytes = fs_err::read(partition)?;
    let kernel = boot_kernel(&bytes, &KernelPartition::parse(&bytes)?)?;
    let initramfs = initramfs(&kernel.decompress()?, kernel.arch)?;
    fs_err::write(Utf8Path::new(out).join("initramfs.cpio"), &initramfs.cpio)?;
    let status = fs_err::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    writeln!(std::io::stdout(), "{}", peak.unwrap_or_default())?;
    Ok(())
}
