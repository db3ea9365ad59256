//! A kernel partition, taken apart layer by layer.

use bootway_image::{GptEntry, Tree};

use crate::{
    HarvestError,
    disk::Disk,
    kernel::{self, BootKernel, Initramfs},
    vboot::KernelPartition,
};

/// Everything that is in a kernel partition.
pub(crate) struct Anatomy {
    pub(crate) entry: GptEntry,
    pub(crate) bytes: Vec<u8>,
    pub(crate) partition: KernelPartition,
    pub(crate) cmdline: String,
    pub(crate) boot: BootKernel,
    pub(crate) vmlinux: Vec<u8>,
}

impl Anatomy {
    /// Takes the partition `entry` of `disk` apart, down to the kernel as it runs.
    pub(crate) fn of(disk: &Disk, entry: &GptEntry) -> Result<Self, HarvestError> {
        let bytes = disk.read(entry)?;
        let label = || entry.label.clone();
        let partition = KernelPartition::parse(&bytes)
            .map_err(|source| HarvestError::Vboot { label: label(), source })?;
        let damaged = |source| HarvestError::Kernel { label: label(), source };
        let boot = kernel::boot_kernel(&bytes, &partition).map_err(damaged)?;
        let vmlinux = boot.decompress().map_err(damaged)?;
        let cmdline = partition.cmdline(&bytes);
        Ok(Self { entry: entry.clone(), bytes, partition, cmdline, boot, vmlinux })
    }

    /// The embedded initramfs, and the tree that the kernel makes of it.
    pub(crate) fn initramfs(&self) -> Result<(Initramfs, Tree), HarvestError> {
        let label = || self.entry.label.clone();
        let initramfs = kernel::initramfs(&self.vmlinux, self.boot.arch)
            .map_err(|source| HarvestError::Kernel { label: label(), source })?;
        let tree = Tree::from_cpio(&initramfs.cpio)
            .map_err(|source| HarvestError::Initramfs { label: label(), source: Box::new(source) })?;
        Ok((initramfs, tree))
    }
}
