//! What the attribute bits of a partition mean.
//!
//! Sources: UEFI 2.10, table 5-8; the `ChromiumOS` disk format; vboot `firmware/lib/cgptlib/include/cgptlib_internal.h`.

use super::Entry;

/// Bits of a `ChromeOS` kernel partition, and what any partition has.
impl Entry {
    /// Sectors of the partition; 0 if it ends before it begins.
    pub fn sectors(&self) -> u64 {
        self.last.checked_sub(self.first).map_or(0, |more| more.saturating_add(1))
    }

    /// Bit 0: the platform needs it to function.
    pub const fn required(&self) -> bool {
        self.bits(0, 1) != 0
    }

    /// Bit 2: a BIOS may boot it.
    pub const fn legacy_boot(&self) -> bool {
        self.bits(2, 1) != 0
    }

    /// Bits 48 to 51 of a kernel: 15 is tried first, 0 never.
    pub const fn priority(&self) -> u8 {
        self.bits(48, 4)
    }

    /// Bits 52 to 55 of a kernel: how often it may still be tried before it has been successful.
    pub const fn tries(&self) -> u8 {
        self.bits(52, 4)
    }

    /// Bit 56 of a kernel: it has come up before.
    pub const fn successful(&self) -> bool {
        self.bits(56, 1) != 0
    }

    /// Bit 57 of a kernel: it has failed before.
    pub const fn error_counter(&self) -> bool {
        self.bits(57, 1) != 0
    }

    /// Bit 60 of basic data and of Linux data: not to be written to.
    pub const fn read_only(&self) -> bool {
        self.bits(60, 1) != 0
    }

    const fn bits(&self, from: u32, count: u32) -> u8 {
        ((self.attributes >> from) & ((1 << count) - 1)) as u8
    }
}
