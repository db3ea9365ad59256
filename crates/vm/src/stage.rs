//! The files that a machine works with, beside QEMU: what it writes to in the place of its images.

use bootway_plan::step::{Attach, Firmware};
use camino::Utf8Path;

use crate::{
    Host, ImageFile, Machine, Media, VmError,
    command::{VARS, disk_name},
    qcow2::{Base, card_size, overlay},
};

/// Makes them in `scratch`, as they are before the machine was ever switched on.
pub(crate) fn fresh(
    scratch: &Utf8Path,
    machine: &Machine,
    media: &Media,
    host: &Host,
) -> Result<(), VmError> {
    if let (Firmware::Uefi, Some(files)) = (machine.firmware, &host.firmware) {
        copy(&files.vars, &scratch.join(VARS))?;
    }
    for (n, disk) in written(machine, media) {
        let place = scratch.join(disk_name(n));
        match disk {
            Disk::Image(image) => {
                // A name that is relative is taken from where the disk is.
                let path = image.path.canonicalize_utf8().map_err(VmError::io(&image.path))?;
                let is_qcow2 = is_qcow2(&path)?;
                let size = if is_qcow2 {
                    virtual_size(&path)?
                } else {
                    fs_err::metadata(&path).map_err(VmError::io(&path))?.len()
                };
                let size = if image.attach == Attach::Sd {
                    card_size(size)
                } else {
                    size.checked_next_multiple_of(512)
                };
                let base = if is_qcow2 { Base::Qcow2(&path) } else { Base::Raw(&path) };
                let file = size.and_then(|size| overlay(base, size));
                let file = file.ok_or_else(|| VmError::Disk { path: path.clone() })?;
                fs_err::write(&place, file).map_err(VmError::io(&place))?;
            }
            Disk::Empty(size) => {
                let file = size.checked_next_multiple_of(512).and_then(|size| overlay(Base::Nothing, size));
                let file = file.ok_or_else(|| VmError::Disk { path: place.clone() })?;
                fs_err::write(&place, file).map_err(VmError::io(&place))?;
            }
        }
    }
    Ok(())
}

/// Makes them in `scratch`, as they are in `saved`, whose files must not change any more.
pub(crate) fn restored(
    scratch: &Utf8Path,
    machine: &Machine,
    media: &Media,
    saved: &Utf8Path,
) -> Result<(), VmError> {
    if machine.firmware == Firmware::Uefi {
        copy(&saved.join(VARS), &scratch.join(VARS))?;
    }
    for (n, _) in written(machine, media) {
        let base = saved.join(disk_name(n));
        let size = virtual_size(&base)?;
        let file = overlay(Base::Qcow2(&base), size).ok_or_else(|| VmError::Disk { path: base.clone() })?;
        let place = scratch.join(disk_name(n));
        fs_err::write(&place, file).map_err(VmError::io(&place))?;
    }
    Ok(())
}

/// Names of the files of a machine that has been switched on, which are a part of its state.
pub(crate) fn names(machine: &Machine, media: &Media) -> Vec<String> {
    let vars = (machine.firmware == Firmware::Uefi).then(|| VARS.to_owned());
    vars.into_iter().chain(written(machine, media).map(|(n, _)| disk_name(n))).collect()
}

enum Disk<'a> {
    Image(&'a ImageFile),
    Empty(u64),
}

/// Disks that a guest may write to, by their number among all.
fn written<'a>(machine: &'a Machine, media: &'a Media) -> impl Iterator<Item = (usize, Disk<'a>)> {
    let images = media.images.iter().map(Disk::Image);
    let own = machine.disks.iter().map(|disk| Disk::Empty(disk.size.get()));
    let discs = |disk: &Disk<'_>| matches!(disk, Disk::Image(image) if image.attach == Attach::Cdrom);
    images.chain(own).enumerate().filter(move |(_, disk)| !discs(disk))
}

/// Whether the file is a qcow2 image, and not a disk byte for byte. One that leads to other files of the machine is refused:
/// QEMU would open whatever an image names.
///
/// Source: QEMU, `docs/interop/qcow2.txt`: bytes 0 to 3, 8 to 15, and bit 2 of bytes 72 to 79 in version 3.
fn is_qcow2(path: &Utf8Path) -> Result<bool, VmError> {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = fs_err::File::open(path).and_then(|file| file.take(80).read_to_end(&mut start));
    read.map_err(VmError::io(path))?;
    if !start.starts_with(b"QFI\xFB") {
        return Ok(false);
    }
    let leads_away =
        |header: &[u8]| header[8..16].iter().any(|byte| *byte != 0) || header[7] >= 3 && header[79] & 4 != 0;
    if start.len() < 80 || leads_away(&start) {
        return Err(VmError::LeadsAway { path: path.to_owned() });
    }
    Ok(true)
}

/// Bytes of the disk that a qcow2 file stands for. Source: QEMU, `docs/interop/qcow2.txt`, bytes 24 to 31.
fn virtual_size(path: &Utf8Path) -> Result<u64, VmError> {
    use std::os::unix::fs::FileExt as _;
    let mut size = [0; 8];
    let file = fs_err::File::open(path).map_err(VmError::io(path))?;
    file.file().read_exact_at(&mut size, 24).map_err(VmError::io(path))?;
    Ok(u64::from_be_bytes(size))
}

/// Not as the file is: that may be read-only.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), VmError> {
    let bytes = fs_err::read(from).map_err(VmError::io(from))?;
    fs_err::write(to, bytes).map_err(VmError::io(to))
}
