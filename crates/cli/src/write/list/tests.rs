use camino::{Utf8Path, Utf8PathBuf};

use super::*;
use crate::write::{
    host::Numbered,
    target::{Allowed, Target},
};
use bootway_plan::Bytes;

/// A machine with a disk, a stick, a card, a big stick and a stick that is in use.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let it = Self { dir: tempfile::tempdir().unwrap() };
        // A disk with LUKS on its second partition, the root on that, and swap.
        it.disk("sda", "pci0/ata1/host0", "8:0", 500 << 30, "SAMSUNG SSD", "0");
        it.partition("sda", "sda1", "8:1");
        it.partition("sda", "sda2", "8:2");
        it.partition("sda", "sda3", "8:3");
        it.holder("sda/sda2", "dm-0", "cryptroot", "253:0");
        it.disk("sdb", "pci0/usb1/1-1/host1", "8:16", 8 << 30, "SanDisk Ultra", "1");
        it.partition("sdb", "sdb1", "8:17");
        it.disk("sdc", "pci0/usb1/1-2/host2", "8:32", 1 << 40, "WD Elements", "0");
        it.disk("sdd", "pci0/usb1/1-3/host3", "8:48", 16 << 30, "Kingston DT", "1");
        it.partition("sdd", "sdd1", "8:49");
        it.disk("mmcblk0", "pci0/mmc_host/mmc0/mmc0:1", "179:0", 64 << 30, "", "0");
        it.write("sys/block/mmcblk0/device/type", "SD");
        it.write("sys/block/mmcblk0/device/name", "SD64G");
        it.write("sys/block/mmcblk0/ro", "1");
        it.disk("mmcblk1", "pci0/mmc_host/mmc1/mmc1:1", "179:8", 32 << 30, "", "0");
        it.write("sys/block/mmcblk1/device/type", "MMC");
        it.disk("loop0", "virtual", "7:0", 1 << 30, "", "0");
        it.disk("sde", "pci0/usb1/1-4/host4", "8:64", 0, "Card Reader", "1");
        it.write(
            "proc/self/mountinfo",
            "22 1 253:0 / / rw - ext4 /dev/mapper/cryptroot rw\n\
             23 22 8:1 / /boot rw - ext4 /dev/sda1 rw\n\
             24 22 8:49 / /media/a\\040b rw - vfat /dev/sdd1 rw\n",
        );
        it.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda3 partition 1 0 -2\n");
        it
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    fn host(&self) -> Host {
        Host { sys: self.path().join("sys"), proc: self.path().join("proc") }
    }

    fn write(&self, at: &str, text: &str) {
        let path = self.path().join(at);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn link(&self, at: &str, to: &Utf8Path) {
        let path = self.path().join(at);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(to, path).unwrap();
    }

    fn disk(
        &self,
        name: &str,
        bus: &str,
        number: &str,
        size: u64,
        model: &str,
        removable: &str,
    ) -> Utf8PathBuf {
        let at = format!("sys/devices/{bus}/block/{name}");
        let said = [
            ("dev", number.to_owned()),
            ("size", (size / 512).to_string()),
            ("ro", "0".to_owned()),
            ("removable", removable.to_owned()),
            ("queue/logical_block_size", "512".to_owned()),
            ("device/model", model.to_owned()),
        ];
        for (file, text) in said {
            self.write(&format!("{at}/{file}"), &text);
        }
        let real = self.path().join(at);
        self.link(&format!("sys/block/{name}"), &real);
        self.link(&format!("sys/dev/block/{number}"), &real);
        real
    }

    fn partition(&self, disk: &str, name: &str, number: &str) {
        let at = format!("sys/block/{disk}/{name}");
        self.write(&format!("{at}/dev"), number);
        self.write(&format!("{at}/partition"), &name[name.len() - 1..]);
        self.link(&format!("sys/dev/block/{number}"), &self.path().join(at));
    }

    fn holder(&self, of: &str, name: &str, called: &str, number: &str) {
        self.disk(name, "virtual", number, 1 << 30, "", "0");
        self.write(&format!("sys/block/{name}/dm/name"), called);
        self.link(&format!("sys/block/{of}/holders/{name}"), &self.path().join("sys/block").join(name));
    }

    fn target(&self, number: &str) -> Target {
        match self.host().by_number(number) {
            Some(Numbered::Disk(disk)) => {
                Target { path: format!("/dev/{}", disk.name).into(), size: disk.size, disk: Some(*disk) }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_what_can_be_taken_out_is_listed() {
    let disks = Machine::new().host().disks().unwrap();
    let removable: Vec<Disk> = disks.iter().filter(|disk| disk.removable).cloned().collect();
    insta::assert_snapshot!(describe(&removable), @"
    /dev/mmcblk0     64 GiB  MMC   SD64G, no partitions, read-only
    /dev/sdb          8 GiB  USB   SanDisk Ultra, 1 partition
    /dev/sdc       1024 GiB  USB   WD Elements, no partitions
    /dev/sdd         16 GiB  USB   Kingston DT, 1 partition
                  `sdd1` is mounted at `/media/a b`
    ");
    insta::assert_snapshot!(describe(&disks), @"
    /dev/mmcblk0     64 GiB  MMC   SD64G, no partitions, read-only
    /dev/mmcblk1     32 GiB  MMC   ?, no partitions
    /dev/sda        500 GiB  SATA  SAMSUNG SSD, 3 partitions
                  `sda1` is mounted at `/boot`: the system that is running
                  `sda2` is part of `cryptroot`
                  `dm-0` is mounted at `/`: the system that is running
                  `sda3` is swapped to: the system that is running
    /dev/sdb          8 GiB  USB   SanDisk Ultra, 1 partition
    /dev/sdc       1024 GiB  USB   WD Elements, no partitions
    /dev/sdd         16 GiB  USB   Kingston DT, 1 partition
                  `sdd1` is mounted at `/media/a b`
    ");
    insta::assert_snapshot!(describe(&[]), @"there is no disk that can be taken out: put one in");
    let json: Vec<_> = disks.iter().filter(|disk| disk.name == "sda").map(to_json).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    [
      {
        "device": "/dev/sda",
        "model": "SAMSUNG SSD",
        "partitions": [
          "sda1",
          "sda2",
          "sda3"
        ],
        "read-only": false,
        "sector-size": 512,
        "size": 536870912000,
        "system": true,
        "transport": "SATA",
        "uses": [
          "`sda1` is mounted at `/boot`",
          "`sda2` is part of `cryptroot`",
          "`dm-0` is mounted at `/`",
          "`sda3` is swapped to"
        ]
      }
    ]
    "#);
}

#[test]
fn what_must_not_be_written_to_is_refused_with_the_reason() {
    let machine = Machine::new();
    let all = Allowed { large: true, fixed: true };
    let refused = |number: &str, size: u64, allowed: Allowed| {
        let target = machine.target(number);
        target.check(Bytes::new(size), allowed).unwrap_err().to_string()
    };
    let shown = [
        refused("8:0", 1, all),
        refused("8:48", 1, all),
        refused("179:0", 1, all),
        refused("179:8", 1, Allowed::default()),
        refused("8:32", 1, Allowed::default()),
        refused("8:16", 9 << 30, all),
    ];
    insta::assert_snapshot!(shown.join("\n"), @"
    error: `/dev/sda` (SAMSUNG SSD, SATA, 500 GiB) holds the system that is running: `sda1` is mounted at `/boot`, `sda2` is part of `cryptroot`, `dm-0` is mounted at `/`, `sda3` is swapped to
      hint: nothing that bootway writes goes there; `bootway write --list` says what can be written to
    error: `/dev/sdd` is in use: `sdd1` is mounted at `/media/a b`
      hint: unmount it first: `umount /dev/sdd1`
    error: `/dev/mmcblk0` is read-only: look for the lock on the card
    error: `/dev/mmcblk1` (MMC, 32 GiB) cannot be taken out
      hint: `bootway write --list` says what can; `--allow-fixed` writes to it all the same
    error: `/dev/sdc` has 1024 GiB, which is a lot for a stick
      hint: if it is the one that is meant, say `--allow-large`
    error: the image has 9 GiB, `/dev/sdb` has 8 GiB
    ");
    for (number, allowed) in [("8:16", Allowed::default()), ("8:32", all), ("179:8", all)] {
        machine.target(number).check(Bytes::new(1 << 30), allowed).unwrap();
    }
    assert!(matches!(machine.host().by_number("8:17"), Some(Numbered::Partition { of }) if of == "sdb"));
    assert!(machine.host().by_number("8:99").is_none());
}
