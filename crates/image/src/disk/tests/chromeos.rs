//! Disks that a Chromebook starts from: what their old kernels mount, and where everything is.

use super::*;

/// Both partitions that an old kernel has to mount, and the one that it is in.
const SHIM: &str = r#"{ "partition": [
    { "label": "STATE", "type": "linux-data", "size": "1MiB", "fs": "ext4", "fs-label": "STATE" },
    { "label": "KERNEL", "type": "chromeos-kernel", "size": "32MiB", "content": "./kernel",
      "boot": { "priority": 10, "tries": 5, "successful": true } },
    { "label": "BOOT", "type": "chromeos-rootfs", "size": "20MiB", "fs": "ext2", "content": "./root" },
    { "label": "shimboot_rootfs:vendor", "type": "linux-data", "fs": "ext4", "fs-label": "shimboot_vendor",
      "journal": false, "size": { "of": "files", "percent": 115, "plus": "20MiB" }, "content": "./drivers" },
    { "label": "shimboot_rootfs:nixos", "type": "chromeos-rootfs", "fs": "ext4", "fs-label": "nixos",
      "size": { "of": "files", "percent": 110, "plus": "100MiB" }, "content": "./root", "owners": "keep" }
] }"#;

/// A tree `./name` with one file of so many MiB, which are holes.
fn provide_hollow(sandbox: &mut Sandbox<'_>, name: &str, mib: u64) {
    let dir = sandbox.root().join("plan").join(name);
    fs_err::create_dir_all(dir.join("lib/modules")).unwrap();
    fs_err::File::create(dir.join("lib/modules/big.ko")).unwrap().set_len(mib << 20).unwrap();
    provide(sandbox, name, &dir);
}

#[test]
fn everything_is_where_a_chromebook_looks_for_it() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    provide_hollow(&mut sandbox, "drivers", 100);
    let disk = made(&sandbox, SHIM);
    assert!(ask(&sandbox, "sgdisk", &["-v", disk.as_str()]).contains("No problems found"));
    let shown = ask(&sandbox, "cgpt", &["show", "-n", disk.as_str()]);
    let shown: Vec<&str> = shown
        .lines()
        .filter(|it| !it.contains("Unique") && !it.contains("UUID"))
        .map(str::trim_end)
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
     start        size    part  contents
         0           1          PMBR
         1           1          Pri GPT header
         2          32          Pri GPT table
      2048        2048       1  Label: "STATE"
                                Type: 0FC63DAF-8483-4772-8E79-3D69D8477DE4
                                Attr: [0]
      4096       65536       2  Label: "KERNEL"
                                Type: FE3A2A5D-4F32-41A7-B725-ACCC3285A309
                                Attr: [15a]
     69632       40960       3  Label: "BOOT"
                                Type: 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC
                                Attr: [0]
    110592      276480       4  Label: "shimboot_rootfs:vendor"
                                Type: 0FC63DAF-8483-4772-8E79-3D69D8477DE4
                                Attr: [0]
    387072      223232       5  Label: "shimboot_rootfs:nixos"
                                Type: 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC
                                Attr: [0]
    612319          32          Sec GPT table
    612351           1          Sec GPT header
    "#);
    let mut attributes = [0; 8];
    let file = fs_err::File::open(&disk).unwrap();
    file.file().read_exact_at(&mut attributes, 2 * 512 + 128 + 48).unwrap();
    assert_eq!(u64::from_le_bytes(attributes), 0x015A_0000_0000_0000);
    for label in ["STATE", "BOOT", "shimboot_rootfs:vendor", "shimboot_rootfs:nixos"] {
        ask(&sandbox, "e2fsck", &["-fn", carved(&sandbox, &disk, label).as_str()]);
    }
}

/// Linux 4.4 knows neither `metadata_csum_seed` nor `orphan_file`; what it cannot write it must at least mount.
#[test]
fn no_file_system_has_a_feature_that_an_old_kernel_does_not_know() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    provide_hollow(&mut sandbox, "drivers", 100);
    let disk = made(&sandbox, SHIM);
    let mut lines = Vec::new();
    for label in ["STATE", "BOOT", "shimboot_rootfs:vendor", "shimboot_rootfs:nixos"] {
        let dumped = ask(&sandbox, "dumpe2fs", &["-h", carved(&sandbox, &disk, label).as_str()]);
        for line in dumped.lines().filter(|it| it.contains("features:") || it.contains("volume name")) {
            let (name, value) = line.split_once(':').unwrap();
            lines.push(format!("{label}: {name}: {}", value.trim()));
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    STATE: Filesystem volume name: STATE
    STATE: Filesystem features: ext_attr filetype extent sparse_super large_file
    BOOT: Filesystem volume name: BOOT
    BOOT: Filesystem features: ext_attr filetype sparse_super large_file
    shimboot_rootfs:vendor: Filesystem volume name: shimboot_vendor
    shimboot_rootfs:vendor: Filesystem features: ext_attr filetype extent sparse_super large_file
    shimboot_rootfs:nixos: Filesystem volume name: nixos
    shimboot_rootfs:nixos: Filesystem features: has_journal ext_attr dir_index filetype extent flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum
    shimboot_rootfs:nixos: Journal features: (none)
    ");
}

#[test]
fn sizes_are_shares_of_what_files_have() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    provide_hollow(&mut sandbox, "drivers", 100);
    provide_hollow(&mut sandbox, "root", 600);
    let size = |map: &DiskMap, label: &str| {
        map.partitions.iter().find(|it| it.label == label).unwrap().size.get() >> 20
    };
    let map = disk_layout(
        &sandbox.cx(),
        &step(SHIM.replace("20MiB\", \"fs\": \"ext2", "800MiB\", \"fs\": \"ext2").as_str()),
    )
    .unwrap();
    assert_eq!(size(&map, "shimboot_rootfs:vendor"), 135);
    assert!(
        (760..790).contains(&size(&map, "shimboot_rootfs:nixos")),
        "{}",
        size(&map, "shimboot_rootfs:nixos")
    );
}

#[test]
fn too_little_and_too_much_are_said() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let failure = |partition: &str| {
        let json = format!(r#"{{ "partition": [{{ "type": "chromeos-kernel", {partition} }}] }}"#);
        Failure::of(&disk(&sandbox.cx(), &step(&json)).unwrap_err()).to_string()
    };
    let shown = [
        failure(
            r#""label": "shimboot_rootfs:x", "fs": "ext4", "content": "./root", "min-content": "500MiB""#,
        ),
        failure(r#""label": "KERNEL", "size": "2MiB", "content": "./kernel""#),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error: the content of partition `shimboot_rootfs:x` is suspiciously small: 12.3 MiB, and `min-content` is 500 MiB
      hint: look whether it is the tree that was meant; if it is, lower `min-content` or leave it out
    error: partition `KERNEL` needs 2.86 MiB, has 2 MiB
      hint: write `size = "fit"`, or at least `size = "3MiB"`
    "#);
    disk(&sandbox.cx(), &step(
        r#"{ "partition": [{ "label": "shimboot_rootfs:a-name-of-19-signs1", "type": "swap", "size": "1MiB" }] }"#,
    ))
    .unwrap();
    insta::assert_snapshot!(sandbox.lines().join("\n"), @"`a-name-of-19-signs1` has 19 characters: menus of shim boot loaders have room for 16, shorten it");
}

#[test]
fn a_disk_without_a_table_is_its_file_system() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let step = step(
        r#"{ "table": "none", "size": "64MiB",
             "partition": [{ "label": "root", "type": "linux-data", "fs": "ext4", "size": "32MiB", "content": "./root", "owners": "keep" }] }"#,
    );
    let output = disk(&sandbox.cx(), &step).unwrap().remove(0);
    assert_eq!(output.kind, ArtifactKind::Ext4);
    crate::verify(output.kind, &output.path).unwrap();
    assert_eq!(fs_err::metadata(&output.path).unwrap().len(), 64 << 20);
    ask(&sandbox, "e2fsck", &["-fn", output.path.as_str()]);
    assert!(
        ask(&sandbox, "debugfs", &["-R", "stat /usr/lib/big", output.path.as_str()]).contains("Links: 2")
    );
}
