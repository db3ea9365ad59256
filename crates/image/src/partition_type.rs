//! What the type names of a plan are on disk.

use bootway_plan::step::PartitionType;

use crate::format::guid::Guid;

/// The type GUID of every named type.
///
/// Sources: UEFI 2.10, table 5-7; the Discoverable Partitions Specification; the `ChromiumOS` disk format; GRUB's manual.
const NAMED: [(PartitionType, Guid); 10] = [
    (PartitionType::Esp, Guid::new(0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b)),
    (PartitionType::Xbootldr, Guid::new(0xbc13_c2ff_59e6_4262_a352_b275_fd6f_7172)),
    (PartitionType::RootX8664, Guid::new(0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709)),
    (PartitionType::RootArm64, Guid::new(0xb921_b045_1df0_41c3_af44_4c6f_280d_3fae)),
    (PartitionType::LinuxData, Guid::new(0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4)),
    (PartitionType::Swap, Guid::new(0x0657_fd6d_a4ab_43c4_84e5_0933_c84b_4f4f)),
    (PartitionType::BiosBoot, Guid::new(0x2168_6148_6449_6e6f_744e_6565_6445_4649)),
    (PartitionType::ChromeosKernel, Guid::new(0xfe3a_2a5d_4f32_41a7_b725_accc_3285_a309)),
    (PartitionType::ChromeosRootfs, Guid::new(0x3cb8_e202_3b7e_47dd_8a3c_7ff2_a13c_fcec)),
    (PartitionType::ChromeosReserved, Guid::new(0x2e0a_753d_9e48_43b0_8337_b151_92cb_1b5e)),
];

/// The type GUID that stands for `kind` in a partition table.
///
/// # Panics
///
/// If `kind` is a GUID that is none; a plan's are checked when it is read.
pub fn guid_of(kind: &PartitionType) -> Guid {
    match kind {
        PartitionType::Guid(text) => text.parse().expect("a plan's type GUID was checked when it was read"),
        named => NAMED.iter().find(|(it, _)| it == named).expect("every named type is in the table").1,
    }
}

/// The type that `guid` stands for, by its name if it has one.
pub(crate) fn kind_of(guid: Guid) -> PartitionType {
    match NAMED.iter().find(|(_, it)| *it == guid) {
        Some((kind, _)) => kind.clone(),
        None => PartitionType::Guid(guid.to_string()),
    }
}

/// What partitions of this type are called: by the name that a plan uses, or else by the GUID.
///
/// `ChromeOS` has types of which no plan makes partitions; they have names nevertheless.
pub fn name_of(guid: Guid) -> String {
    match READ_ONLY.iter().find(|(_, it)| *it == guid) {
        Some((name, _)) => (*name).to_owned(),
        None => kind_of(guid).to_string(),
    }
}

/// Types that are met and never made.
///
/// Source: vboot `firmware/include/gpt.h`.
const READ_ONLY: [(&str, Guid); 5] = [
    ("basic-data", Guid::new(0xebd0_a0a2_b9e5_4433_87c0_68b6_b726_99c7)),
    ("chromeos-firmware", Guid::new(0xcab6_e88e_abf3_4102_a07a_d4bb_9be3_c1d3)),
    ("chromeos-hibernate", Guid::new(0x3f0f_8318_f146_4e6b_8222_c28c_8f02_e0d5)),
    ("chromeos-minios", Guid::new(0x0984_5860_705f_4bb5_b16c_8a8a_099c_af52)),
    ("android-vbmeta", Guid::new(0x8843_4509_d9d1_487d_b82c_15ef_964c_bd4b)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_type_has_its_own_guid() {
        for (name, kind) in PartitionType::NAMED {
            assert_eq!(kind_of(guid_of(&kind)), kind, "{name}");
        }
    }
}
