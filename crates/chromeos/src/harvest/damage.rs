//! A whole image, small, cut and damaged: an error that says what and where, or the same harvest; never half of one.

use std::collections::BTreeMap;

use bootway_exec::{Cx, Input, Sandbox, SystemRunner};
use bootway_plan::{ArtifactKind, Bytes, Digest, step};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    examine::chain,
    kernel::{
        Compression,
        specimen::{bzimage, compress, payload, shim_cpio, vmlinux},
    },
    vboot::{
        self, Pack,
        samples::{keyblock, private_key},
    },
};

/// A shim of 5 MB or so: a kernel partition, a root behind it, and a table in which they do not stand in their order.
fn shim(sandbox: &mut Sandbox<'_>) -> Utf8PathBuf {
    let stored = compress(Compression::Xz, &shim_cpio());
    let kernel = bzimage(&payload(Compression::Gzip, &vmlinux(&stored, true)));
    let (keyblock, key) = (keyblock("kernel"), private_key("kernel_data_key"));
    let partition = vboot::pack(&Pack::new(&kernel, "console= kern_guid=%U", &keyblock, &key)).unwrap();
    let root = sandbox.root().join("root");
    for dir in ["sbin", "lib/firmware/intel", "etc"] {
        fs_err::create_dir_all(root.join(dir)).unwrap();
    }
    fs_err::write(root.join("sbin/init"), "#!/bin/sh\n").unwrap();
    fs_err::write(root.join("etc/lsb-release"), "CHROMEOS_RELEASE_BOARD=tiny\n").unwrap();
    fs_err::write(root.join("lib/firmware/intel/a.bin"), vec![b'a'; 40_000]).unwrap();
    let file = sandbox.root().join("kernel");
    fs_err::write(&file, partition).unwrap();
    add(sandbox, "./root", &root, ArtifactKind::Tree);
    add(sandbox, "./kernel", &file, ArtifactKind::File);
    let step: step::Disk = serde_json::from_str(
        r#"{ "partition": [
            { "label": "ROOT-A", "number": 3, "type": "chromeos-rootfs", "fs": "ext2", "size": "1MiB", "content": "./root" },
            { "label": "KERN-A", "number": 2, "type": "chromeos-kernel", "size": "1MiB", "content": "./kernel",
              "boot": { "priority": 15, "tries": 15 } }
        ] }"#,
    )
    .unwrap();
    let made = bootway_image::disk(&sandbox.cx(), &step).unwrap();
    made[0].path.clone()
}

fn add(sandbox: &mut Sandbox<'_>, name: &str, path: &Utf8Path, kind: ArtifactKind) {
    let (digest, size) = (Digest::of(b"the engine would know it"), Bytes::new(0));
    sandbox
        .inputs
        .insert(name.parse().unwrap(), Input { path: path.to_owned(), kind, digest, size, made: false });
}

/// What a harvest of `image` comes to.
fn harvested(sandbox: &mut Sandbox<'_>, image: &Utf8Path) -> Result<(), String> {
    add(sandbox, "./shim.bin", image, ArtifactKind::File);
    let step: step::Harvest =
        serde_json::from_str(r#"{ "image": "./shim.bin", "modules": false, "modprobe": false }"#).unwrap();
    let base = sandbox.cx();
    let [out, scratch] = ["harvest-out", "harvest-scratch"].map(|name| sandbox.root().join(name));
    for dir in [&out, &scratch] {
        let _ = fs_err::remove_dir_all(dir);
        fs_err::create_dir(dir).unwrap();
    }
    let cx = Cx { out: &out, scratch: &scratch, ..base };
    super::harvest(&cx, &step).map(drop).map_err(|error| chain(&error))
}

/// Digits are what differs from one place to the next.
fn shape(error: &str, image: &Utf8Path) -> String {
    let mut text = String::new();
    for char in error.replace(image.as_str(), "IMAGE").chars() {
        match char {
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            other => text.push(other),
        }
    }
    text
}

#[test]
fn a_cut_at_every_4_kib_is_an_error_until_only_the_backup_table_is_cut() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let whole = shim(&mut sandbox);
    harvested(&mut sandbox, &whole).unwrap();
    let bytes = fs_err::read(&whole).unwrap();
    let cut = sandbox.root().join("cut.bin");
    let mut seen: BTreeMap<usize, String> = BTreeMap::new();
    let mut last = String::new();
    for at in (0..=bytes.len()).step_by(4096) {
        fs_err::write(&cut, &bytes[..at]).unwrap();
        let result = match harvested(&mut sandbox, &cut) {
            Ok(()) => "harvested".to_owned(),
            Err(error) => shape(&error, &cut),
        };
        if result != last {
            seen.insert(at, result.clone());
            last = result;
        }
    }
    let seen: String = seen.iter().map(|(at, what)| format!("{at:>8}  {what}\n")).collect();
    insta::assert_snapshot!(seen, @"
          0  `IMAGE` is no image: it is empty
       4096  `IMAGE` is not a ChromeOS image: there is no GUID partition table: neither at byte N nor at byte N stands `EFI PART`
      20480  `IMAGE` is cut short: it has N bytes, and partition N needs N
    3145728  harvested
    ");
}

#[test]
fn what_is_signed_cannot_be_changed_unnoticed() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let whole = shim(&mut sandbox);
    let bytes = fs_err::read(&whole).unwrap();
    let start = (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(b"CHROMEOS\x02")).unwrap();
    let partition = vboot::KernelPartition::parse(&bytes[start..]).unwrap();
    let bad = sandbox.root().join("bad.bin");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for at in (0..partition.body.end).step_by(997) {
        let mut bytes = bytes.clone();
        bytes[start + at] ^= 0x10;
        fs_err::write(&bad, &bytes).unwrap();
        let result = match harvested(&mut sandbox, &bad) {
            Ok(()) => "harvested".to_owned(),
            Err(error) => shape(&error, &bad),
        };
        // Harvested: what is between the preamble and the body is padding that nobody signs. Of the keyblock the hash is
        // known here; its signature is for the firmware, which has the key.
        *seen.entry(result).or_default() += 1;
    }
    let seen: String = seen.iter().map(|(what, count)| format!("{count:>4}  {what}\n")).collect();
    insta::assert_snapshot!(seen, @"
    17  cannot take the kernel in partition `KERN-A` apart: layer N, the kernel: gzip at byte N of the boot image: damaged at byte N of N: corrupt gzip stream does not have a matching checksum
    65  harvested
     1  partition `KERN-A` is not a whole kernel partition: no keyblock at byte N: a kernel partition begins with `CHROMEOS`
    16  partition `KERN-A` is not what was signed: the body of the kernel partition: it is not signed with the public developer key `kernel_data_key` (RSAN SHAN), or was changed afterwards
    ");
}

#[test]
fn partitions_that_overlap_are_said_and_a_label_that_is_missing_is_named() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let whole = shim(&mut sandbox);
    add(&mut sandbox, "./shim.bin", &whole, ArtifactKind::File);
    let step = r#"{ "image": "./shim.bin", "kernel": "KERN-X", "modules": false }"#;
    let step: step::Harvest = serde_json::from_str(step).unwrap();
    let error = super::harvest(&sandbox.cx(), &step).unwrap_err();
    insta::assert_snapshot!(chain(&error).replace(whole.as_str(), "IMAGE"), @"`IMAGE` has no partition labelled `KERN-X`: there are 2 `KERN-A`, 3 `ROOT-A`");
    let step = r#"{ "image": "./shim.bin", "modules": false, "expect": ["initramfs:init", "lib/firmware/intel/*", "lib/firmware/none", "initramfs:bin/none"] }"#;
    let step: step::Harvest = serde_json::from_str(step).unwrap();
    let out = sandbox.root().join("another");
    fs_err::create_dir(&out).unwrap();
    let error = super::harvest(&Cx { out: &out, ..sandbox.cx() }, &step).unwrap_err();
    insta::assert_snapshot!(chain(&error), @"the harvest lacks `lib/firmware/none`, `initramfs:bin/none`");
    let step = r#"{ "image": "./shim.bin" }"#;
    let step: step::Harvest = serde_json::from_str(step).unwrap();
    let out = sandbox.root().join("a-third");
    fs_err::create_dir(&out).unwrap();
    let error = super::harvest(&Cx { out: &out, ..sandbox.cx() }, &step).unwrap_err();
    insta::assert_snapshot!(chain(&error), @"the shim has no `lib/modules/6.1.0-test`, the modules of its kernel: it has none at all; `modules = false` takes none");
}
