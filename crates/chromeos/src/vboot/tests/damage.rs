//! What is changed, cut or made up is refused, and never makes the parser panic.

use super::*;

/// What comes of `bytes`: an error, or what does not verify, or nothing wrong.
fn verdict(bytes: &[u8]) -> Result<(), String> {
    let parsed = KernelPartition::parse(bytes).map_err(|error| error.to_string())?;
    parsed.keyblock.verify_hash().map_err(|error| format!("keyblock: {error}"))?;
    parsed.verify(bytes).map_err(|error| error.to_string())
}

#[test]
fn every_field_of_keyblock_and_preamble_is_checked() {
    let good = partition("quiet");
    let preamble = KernelPartition::parse(&good).unwrap().keyblock.size;
    verdict(&good).unwrap();
    let mut told = Vec::new();
    for at in (0..112).chain(preamble..preamble + 116).step_by(4) {
        for value in [0_u32, 1, 0x7fff_fff0, u32::MAX] {
            let mut bytes = good.clone();
            if bytes[at..at + 4] == value.to_le_bytes() {
                continue;
            }
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let error = verdict(&bytes).expect_err(&format!("{value:#x} at byte {at}"));
            if value == u32::MAX {
                told.push(format!("{at}: {error}"));
            }
        }
    }
    insta::assert_snapshot!(told.join("\n"), @"
    0: no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    4: no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    8: the keyblock at byte 0 is damaged: its major version is 4294967295 (0xffffffff), and must be 2
    12: keyblock: its hash is wrong: it was changed afterwards
    16: the keyblock at byte 0 is damaged: its size is 4294967295 (0xffffffff), and must be 112 to 65536
    20: keyblock: its hash is wrong: it was changed afterwards
    24: the keyblock at byte 0 is damaged: the offset of its signature is 4294967295 (0xffffffff), and must be behind its header, with 512 bytes within 1208 of the structure
    28: keyblock: its hash is wrong: it was changed afterwards
    32: the keyblock at byte 0 is damaged: the size of its signature is 4294967295 (0xffffffff), and must be at most 1024
    36: keyblock: its hash is wrong: it was changed afterwards
    40: the keyblock at byte 0 is damaged: the number of its signed bytes is 4294967295 (0xffffffff), and must be 112 to 1208, its header at least
    44: keyblock: its hash is wrong: it was changed afterwards
    48: the keyblock at byte 0 is damaged: the offset of its hash is 4294967295 (0xffffffff), and must be behind its header, with 64 bytes within 1208 of the structure
    52: keyblock: its hash is wrong: it was changed afterwards
    56: the keyblock at byte 0 is damaged: the size of its hash is 4294967295 (0xffffffff), and must be at most 1024
    60: keyblock: its hash is wrong: it was changed afterwards
    64: the keyblock at byte 0 is damaged: the number of its signed bytes is 4294967295 (0xffffffff), and must be 112 to 1208, its header at least
    68: keyblock: its hash is wrong: it was changed afterwards
    72: keyblock: its hash is wrong: it was changed afterwards
    76: keyblock: its hash is wrong: it was changed afterwards
    80: the keyblock at byte 0 is damaged: the offset of its key is 4294967295 (0xffffffff), and must be behind its header, with 520 bytes within the 632 that count
    84: keyblock: its hash is wrong: it was changed afterwards
    88: the keyblock at byte 0 is damaged: the size of its key is 4294967295 (0xffffffff), and must be 520 for RSA2048 SHA256
    92: keyblock: its hash is wrong: it was changed afterwards
    96: the keyblock at byte 0 is damaged: the algorithm of its key is 4294967295 (0xffffffff), and must be less than 18
    100: keyblock: its hash is wrong: it was changed afterwards
    104: keyblock: its hash is wrong: it was changed afterwards
    108: keyblock: its hash is wrong: it was changed afterwards
    1208: the preamble at byte 1208 is damaged: its size is 4294967295 (0xffffffff), and must be 116 to 1048576
    1212: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1216: the preamble at byte 1208 is damaged: the offset of its signature is 4294967295 (0xffffffff), and must be behind its header, with 256 bytes within 64328 of the structure
    1220: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1224: the preamble at byte 1208 is damaged: the size of its signature is 4294967295 (0xffffffff), and must be at most 1024
    1228: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1232: the preamble at byte 1208 is damaged: the number of its signed bytes is 4294967295 (0xffffffff), and must be 108 to 64328
    1236: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1240: the preamble at byte 1208 is damaged: its major version is 4294967295 (0xffffffff), and must be 2
    1244: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1248: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1252: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1256: the preamble at byte 1208 is damaged: the address of the boot loader is 1069056 (0x105000), and must be 0x2000 to 0x6000 bytes behind the load address 0xffffffff
    1260: the preamble at byte 1208 is damaged: the address of the boot loader is 1069056 (0x105000), and must be 0x2000 to 0x6000 bytes behind the load address 0xffffffff00100000
    1264: the preamble at byte 1208 is damaged: the address of the boot loader is 4294967295 (0xffffffff), and must be 0x2000 to 0x6000 bytes behind the load address 0x100000
    1268: the preamble at byte 1208 is damaged: the address of the boot loader is 18446744069415653376 (0xffffffff00105000), and must be 0x2000 to 0x6000 bytes behind the load address 0x100000
    1272: the preamble at byte 1208 is damaged: the size of the boot loader is 4294967295 (0xffffffff), and must be at most 20480, as the body has 28672 bytes
    1276: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1280: the preamble at byte 1208 is damaged: the offset of the body's signature is 4294967295 (0xffffffff), and must be behind its header, with 256 bytes within 372 of the structure
    1284: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1288: the preamble at byte 1208 is damaged: the size of the body's signature is 4294967295 (0xffffffff), and must be at most 1024
    1292: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1296: the body at byte 65536 needs 4294967295 bytes, and there are 28672: it is cut short
    1300: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1304: the preamble at byte 1208 is damaged: the address of the setup header is 4294967295 (0xffffffff), and must be 0x0 to 0x6800 bytes behind the load address 0x100000
    1308: the preamble at byte 1208 is damaged: the address of the setup header is 18446744069415657472 (0xffffffff00106000), and must be 0x0 to 0x6800 bytes behind the load address 0x100000
    1312: the preamble at byte 1208 is damaged: the size of the setup header is 4294967295 (0xffffffff), and must be at most 28672, as the body has 28672 bytes
    1316: the preamble of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    1320: the preamble at byte 1208 is damaged: its flags is 4294967295 (0xffffffff), and must be 0 in bits 0 and 1, a ChromeOS kernel; 1 is an Android boot image, 2 multiboot
    ");
}

#[test]
fn a_partition_that_is_cut_short_says_which_structure_is() {
    let good = partition("quiet");
    let mut told: Vec<String> = (0..good.len())
        .step_by(512)
        .chain([8, 111, 112, 1207])
        .map(|len| verdict(&good[..len]).expect_err(&format!("{len} bytes")))
        .map(|error| error.split(" needs ").next().unwrap_or_default().to_owned())
        .collect();
    told.dedup();
    told.sort_unstable();
    told.dedup();
    insta::assert_snapshot!(told.join("\n"), @"
    no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    the body at byte 65536
    the keyblock at byte 0
    the preamble at byte 1208
    ");
}

#[test]
fn every_byte_that_is_signed_matters() {
    let good = partition("quiet");
    let parsed = KernelPartition::parse(&good).unwrap();
    for at in
        [112, 500, 650, parsed.keyblock.size + 120, parsed.body.start, parsed.config.start, good.len() - 1]
    {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        verdict(&bytes).expect_err(&format!("byte {at}"));
    }
}

proptest! {
    #[test]
    fn damage_never_panics(
        changes in prop::collection::vec((prop_oneof![0..120_usize, 1208..1330_usize, 0..0x1_4000_usize], any::<u8>()), 0..6),
        len in prop_oneof![Just(usize::MAX), 0..0x1_4000_usize],
    ) {
        thread_local! { static GOOD: Vec<u8> = partition("quiet") }
        let mut bytes = GOOD.with(Clone::clone);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(len);
        if let Ok(parsed) = KernelPartition::parse(&bytes) {
            parsed.cmdline(&bytes);
            let _ = parsed.keyblock.verify_hash();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), magic: bool) {
        if magic && bytes.len() > 16 {
            bytes[..8].copy_from_slice(b"CHROMEOS");
            bytes[8..12].copy_from_slice(&[2, 0, 0, 0]);
        }
        let _ = KernelPartition::parse(&bytes);
        let _ = Keyblock::parse(&bytes);
        let _ = Key::parse(&bytes);
        let _ = PrivateKey::parse(&bytes);
    }

    #[test]
    fn arbitrary_command_lines_never_panic(line in r#"(dm=|kern_b_hash=|cros_part_hash=|[a-z0-9,:=+/%" -]){0,60}"#) {
        let _ = DmVerity::from_cmdline(&line);
        let _ = DmVerity::parse(&line);
        let _ = PartitionHash::from_cmdline(&line);
    }
}
