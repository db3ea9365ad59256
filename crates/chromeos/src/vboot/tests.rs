use proptest::prelude::*;

use super::{
    samples::{bzimage, devkey, keyblock, partition, private_key},
    *,
};

mod damage;
mod oracle;

/// A private key of each algorithm that vboot has: developer keys, and three that were made for these tests.
fn private(algorithm: Algorithm) -> PrivateKey {
    let der = match (algorithm.bits, algorithm.exponent) {
        (1024, _) => include_bytes!("tests/rsa1024.der").to_vec(),
        (2048, 3) => include_bytes!("tests/rsa2048exp3.der").to_vec(),
        (3072, _) => include_bytes!("tests/rsa3072exp3.der").to_vec(),
        (2048, _) => devkey("kernel_data_key.vbprivk").split_off(8),
        (4096, _) => devkey("kernel_subkey.vbprivk").split_off(8),
        _ => devkey("recovery_key.vbprivk").split_off(8),
    };
    PrivateKey::parse(&[u64::from(algorithm.number).to_le_bytes().to_vec(), der].concat()).unwrap()
}

#[test]
fn a_partition_that_was_packed_is_taken_apart() {
    let kernel = bzimage(9000);
    let (keyblock, key) = (keyblock("kernel"), private_key("kernel_data_key"));
    for (minor, arch) in [(0, PackArch::X86), (1, PackArch::X86), (2, PackArch::X86), (2, PackArch::Arm)] {
        let made = Pack {
            bootloader: b"stub",
            arch,
            version: 7,
            preamble_minor: minor,
            ..Pack::new(&kernel, "root=%U quiet", &keyblock, &key)
        };
        let bytes = pack(&made).unwrap();
        let parsed = KernelPartition::parse(&bytes).unwrap();
        assert_eq!(parsed.cmdline(&bytes), "root=%U quiet");
        assert_eq!(parsed.preamble.version, (2, minor));
        assert_eq!(parsed.preamble.kernel_version, 7);
        assert_eq!((parsed.body.start, parsed.body.end), (0x10000, bytes.len()));
        assert_eq!(parsed.keyblock, keyblock);
        assert_eq!(&bytes[parsed.bootloader.clone()][..5], b"stub\0");
        parsed.verify(&bytes).unwrap();
        assert!(parsed.remarks().is_empty());
        let body = &bytes[parsed.body.clone()];
        match (arch, &parsed.vmlinuz_header) {
            (PackArch::X86, Some(header)) => {
                assert!(minor > 0);
                assert_eq!([&bytes[header.clone()], &body[..9000]].concat(), kernel);
                assert_eq!(&bytes[parsed.zero_page.clone()][0x202..0x206], b"HdrS");
            }
            (PackArch::X86, None) => assert_eq!((minor, &body[..9000]), (0, &kernel[2048..])),
            (PackArch::Arm, header) => {
                assert_eq!((header, &body[..kernel.len()]), (&None, &kernel[..]));
                assert!(bytes[parsed.zero_page.clone()].iter().all(|byte| *byte == 0));
            }
        }
    }
}

#[test]
fn what_is_before_the_keyblock_is_skipped_by_whole_sectors_and_said() {
    let partition = partition("quiet");
    let wrapped = |before: usize| [vec![0x55; before], partition.clone()].concat();
    let parsed = KernelPartition::parse(&wrapped(4096)).unwrap();
    assert_eq!(parsed.start, 4096);
    assert_eq!(parsed.cmdline(&wrapped(4096)), "quiet");
    parsed.verify(&wrapped(4096)).unwrap();
    let refused = |before| KernelPartition::parse(&wrapped(before)).unwrap_err().to_string();
    insta::assert_snapshot!(
        [parsed.remarks().join(""), refused(100), refused(1 << 20)].join("\n"),
        @"
    the keyblock is at byte 4096, not at the start: the firmware does not look there
    no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    "
    );
}

#[test]
fn a_body_that_begins_late_is_read_and_said() {
    let kernel = bzimage(9000);
    let (keyblock, key) = (keyblock("kernel"), private_key("kernel_data_key"));
    let bytes = pack(&Pack { padding: 0x11000, ..Pack::new(&kernel, "", &keyblock, &key) }).unwrap();
    let parsed = KernelPartition::parse(&bytes).unwrap();
    parsed.verify(&bytes).unwrap();
    insta::assert_snapshot!(parsed.remarks().join("\n"), @"the body begins 69632 bytes in: the firmware wants it within 65536");
}

#[test]
fn what_cannot_be_packed_is_said() {
    let (keyblock, key) = (keyblock("kernel"), private_key("kernel_data_key"));
    let refused = |kernel: &[u8], cmdline: &str| {
        pack(&Pack::new(kernel, cmdline, &keyblock, &key)).unwrap_err().to_string()
    };
    let mut short = bzimage(100);
    short[0x1f1] = 200;
    insta::assert_snapshot!(
        [refused(b"MZ", ""), refused(&short, ""), refused(&bzimage(100), &"x".repeat(4096))].join("\n"),
        @"
    the kernel is no bzImage: it has no `HdrS` at byte 514
    the kernel is no bzImage: its real-mode part, by the sectors at byte 497, is longer than all of it
    the command line has 4096 bytes, and at most 4095 have a place
    "
    );
}

#[test]
fn every_algorithm_signs_and_verifies() {
    let other = Key::parse(&devkey("firmware_data_key.vbpubk")).unwrap();
    for number in 0..Algorithm::COUNT {
        let algorithm = Algorithm::of(number).unwrap();
        let key = private(algorithm);
        let public = key.public(3);
        let signature = key.sign(b"something");
        assert_eq!(public.verify(b"something", &signature), Ok(()), "{algorithm}");
        assert!(public.verify(b"some thing", &signature).is_err(), "{algorithm}");
        assert!(other.verify(b"something", &signature).is_err(), "{algorithm}");
        assert_eq!(Key::parse(&public.to_file()), Ok(public));
    }
    assert_eq!(Algorithm::of(18), None);
}

#[test]
fn keys_and_keyblocks_are_made_as_vboot_made_its_own() {
    for (name, version) in [("kernel_data_key", 1), ("kernel_subkey", 1), ("recovery_key", 1)] {
        let file = devkey(&format!("{name}.vbpubk"));
        assert_eq!(private_key(name).public(version).to_file(), file, "{name}");
    }
    for (name, signer) in [("kernel", "kernel_subkey"), ("installer_kernel", "recovery_key")] {
        let given = keyblock(name);
        let made = Keyblock::create(&given.data_key, given.flags, Some(&private_key(signer)));
        assert_eq!(made.bytes(), given.bytes(), "{name}");
    }
}

#[test]
fn who_signed_a_keyblock_and_when_it_counts_is_said() {
    let told = |name: &str| {
        let keyblock = keyblock(name);
        keyblock.verify_hash().unwrap();
        let signer = Known::signer_of(&keyblock).map_or("unknown", |known| known.name);
        let data_key = &keyblock.data_key;
        format!("{name}: {} = {}; by {signer}; for {data_key}", keyblock.flag_names(), keyblock.modes())
    };
    let own = private(Algorithm::of(1).unwrap());
    let unsigned = Keyblock::create(&own.public(1), 7, None);
    let by_other = Keyblock::create(&own.public(1), 0, Some(&own));
    let unknown = |keyblock: &Keyblock| {
        assert_eq!(Known::signer_of(keyblock), None);
        format!("{:?}; {}; {}", keyblock.verify(&own.public(1)), keyblock.modes(), keyblock.data_key)
    };
    insta::assert_snapshot!(
        [
            told("installer_kernel"),
            told("recovery_kernel"),
            told("kernel"),
            told("minios_kernel"),
            unknown(&unsigned),
            unknown(&by_other),
        ]
        .join("\n"),
        @"
    installer_kernel: DEV REC !MINIOS = only in developer mode, only in recovery mode, not as miniOS; by recovery_key; for the public developer key `recovery_kernel_data_key` (RSA8192 SHA512)
    recovery_kernel: !DEV DEV REC !MINIOS = with developer mode on or off, only in recovery mode, not as miniOS; by recovery_key; for the public developer key `recovery_kernel_data_key` (RSA8192 SHA512)
    kernel: !DEV DEV !REC !MINIOS = with developer mode on or off, not in recovery mode, not as miniOS; by kernel_subkey; for the public developer key `kernel_data_key` (RSA2048 SHA256)
    minios_kernel: !DEV DEV REC MINIOS = with developer mode on or off, only in recovery mode, only as miniOS; by recovery_key; for the public developer key `minios_kernel_data_key` (RSA4096 SHA512)
    Err(Unsigned); with developer mode on or off, not in recovery mode, neither as miniOS nor otherwise, which only old firmware lets pass; an unknown RSA1024 SHA256 key, SHA-1 1fc5e39e71a6b80a109d7b051fb6bbd441c1764e
    Ok(()); neither with developer mode on nor off, so never, neither in recovery mode nor outside, so never, neither as miniOS nor otherwise, which only old firmware lets pass; an unknown RSA1024 SHA256 key, SHA-1 1fc5e39e71a6b80a109d7b051fb6bbd441c1764e
    "
    );
}

#[test]
fn every_published_key_is_known_by_its_name() {
    for name in ["recovery_key", "kernel_subkey", "recovery_kernel_data_key", "kernel_data_key", "root_key"] {
        assert_eq!(Key::parse(&devkey(&format!("{name}.vbpubk"))).unwrap().known().unwrap().name, name);
    }
    for (name, known) in [
        ("installer_kernel_data_key", "recovery_kernel_data_key"),
        ("minios_kernel_data_key", "minios_kernel_data_key"),
        ("firmware_data_key", "firmware_data_key"),
        ("ec_root_key", "ec_root_key"),
        ("ec_data_key", "ec_data_key"),
    ] {
        assert_eq!(Key::parse(&devkey(&format!("{name}.vbpubk"))).unwrap().known().unwrap().name, known);
    }
}

#[test]
fn hashes_of_partitions_are_held_against_them() {
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let line = format!(
        "cros_recovery kern_b_hash={sha256} cros_part_hash=12:2jmj7l5rSw0yVb/vlWAYkK/YBwk=,3:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
    let hashes = PartitionHash::from_cmdline(&line).unwrap();
    assert_eq!(
        hashes.iter().map(|it| (it.partition, it.digest.len())).collect::<Vec<_>>(),
        [(4, 32), (12, 20), (3, 32)]
    );
    for hash in &hashes {
        hash.verify(&mut &b""[..]).unwrap();
    }
    let odd = |line: &str| PartitionHash::from_cmdline(line).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            hashes[0].verify(&mut &b"x"[..]).unwrap_err().to_string(),
            odd("kern_b_hash=12345"),
            odd("kern_b_hash=zz"),
            odd("cros_part_hash=12"),
            odd("cros_part_hash=1:AAAA"),
        ]
        .join("\n"),
        @"
    partition 4 is not the one that `kern_b_hash` was signed for: its hash is 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881, not e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    `kern_b_hash=12345` on the command line is neither a SHA-1 nor a SHA-256
    `kern_b_hash=zz` on the command line is neither a SHA-1 nor a SHA-256
    `cros_part_hash=12` on the command line is neither a SHA-1 nor a SHA-256
    `cros_part_hash=1:AAAA` on the command line is neither a SHA-1 nor a SHA-256
    "
    );
    assert_eq!(PartitionHash::from_cmdline("quiet").unwrap(), []);
}

#[test]
fn arguments_are_split_as_the_kernel_splits_them() {
    let line = r#"a dm="1 vroot none" kern_guid=X "b=c d" kern_guid=Y"#;
    assert_eq!(argument(line, "dm"), Some("1 vroot none"));
    assert_eq!(argument(line, "kern_guid"), Some("X"));
    assert_eq!(argument(line, "a"), None);
    assert_eq!(argument(line, "guid"), None);
}
