//! Keys that everybody has: the developer keys that are published with vboot.

use super::{Key, Keyblock};

/// A published key, whose private half is published too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What the file is called.
    pub name: &'static str,
    /// The SHA-256 of its bytes.
    pub sha256: &'static str,
}

/// The SHA-256 of the bytes behind the header of each `.vbpubk` in `tests/devkeys` of vboot.
const KNOWN: [Known; 9] = [
    known("recovery_key", "575ca51bbdf8e0a9bf07f2f85f0b4135d3ee256fd2f28f89108045d252ca642e"),
    known("kernel_subkey", "e432f23d811be795af8ddf6001d2a6c3e2675e3290bc024100e2a10d0fd9c6ee"),
    known("recovery_kernel_data_key", "ff5adff98494824f5f16414d94aa80e2589ac49641bf6240072ed9a5c944133d"),
    known("kernel_data_key", "cbff4f4a16e694cd87171d7d22a88c8d6be37165c198d813ecaebe1367980812"),
    known("minios_kernel_data_key", "de014fdb5511943bf0daf90da21bca2ecb80025141791833a91eaa3ea8ad1587"),
    known("root_key", "12fba9168046a6f4ca2934142d36633477c535efbf18bf0a9a9b95f1deb0e0ca"),
    known("firmware_data_key", "215fba227352f8ba0d3d4dea2f14b916f6669868d8b76db028ef75d217810b43"),
    known("ec_root_key", "919d4ab2ee3e7d55cdcd48904142d3353fc100cf7ba8c75fb9bd20aa442b36d0"),
    known("ec_data_key", "cb12577f49bd73db946157f72475d1540f53fdfee633ab074d371693d8d18392"),
];

/// The keys that sign keyblocks, whole: of shims, recovery images and miniOS, and of installed systems.
const SIGNERS: [&[u8]; 2] =
    [include_bytes!("devkeys/recovery_key.vbpubk"), include_bytes!("devkeys/kernel_subkey.vbpubk")];

const fn known(name: &'static str, sha256: &'static str) -> Known {
    Known { name, sha256 }
}

impl Known {
    /// Which one `key` is. The installer's and the recovery kernel's data key are one key.
    pub(super) fn of(key: &Key) -> Option<Self> {
        let sha256 = key.sha256();
        KNOWN.into_iter().find(|it| it.sha256 == sha256)
    }

    /// Which one has signed `keyblock`.
    pub fn signer_of(keyblock: &Keyblock) -> Option<Self> {
        SIGNERS
            .iter()
            .map(|bytes| Key::parse(bytes).expect("the published keys can be read"))
            .find(|key| keyblock.verify(key).is_ok())
            .and_then(|key| key.known())
    }
}
