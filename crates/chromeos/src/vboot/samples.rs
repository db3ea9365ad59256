//! Kernels and kernel partitions for tests, small, and signed with the developer keys that vboot publishes.

use super::{Keyblock, Pack, PrivateKey, pack};

/// The file `name` of vboot's developer keys.
pub(crate) fn devkey(name: &str) -> Vec<u8> {
    let path = format!("/usr/share/vboot/devkeys/{name}");
    fs_err::read(path).unwrap_or_else(|error| panic!("{error}: `apt install vboot-kernel-utils`"))
}

pub(crate) fn keyblock(name: &str) -> Keyblock {
    Keyblock::parse(&devkey(&format!("{name}.keyblock"))).unwrap()
}

pub(crate) fn private_key(name: &str) -> PrivateKey {
    PrivateKey::parse(&devkey(&format!("{name}.vbprivk"))).unwrap()
}

/// Something with the shape of a bzImage: four sectors of real-mode part, and `len` bytes.
pub(crate) fn bzimage(len: usize) -> Vec<u8> {
    let mut image: Vec<u8> = (0..2048 + len).map(|at| (at * 7 + at / 256) as u8).collect();
    image[0x1f1] = 3;
    image[0x1f4..0x1f8].copy_from_slice(&(len as u32 / 16).to_le_bytes());
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image
}

/// A kernel partition with this command line, signed as those of installed systems are: RSA2048, which is quick.
pub(crate) fn partition(cmdline: &str) -> Vec<u8> {
    signed("kernel", cmdline)
}

/// The same, signed as shims (`installer_kernel`) or recovery images (`recovery_kernel`) are.
pub(crate) fn signed(name: &str, cmdline: &str) -> Vec<u8> {
    let (keyblock, key) = (keyblock(name), private_key(&format!("{name}_data_key")));
    let kernel = bzimage(9000);
    pack(&Pack { bootloader: b"stub", ..Pack::new(&kernel, cmdline, &keyblock, &key) }).unwrap()
}
