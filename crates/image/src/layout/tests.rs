use bootway_plan::Failure;

use super::*;

const MIB: u64 = 1 << 20;

fn disk(json: &str) -> Disk {
    serde_json::from_str(json).unwrap()
}

/// Needs of so many MiB.
fn needs(mib: &[u64]) -> Vec<Need> {
    mib.iter().map(|mib| Need { least: mib * MIB, ..Need::default() }).collect()
}

fn shown(json: &str, needs_mib: &[u64]) -> String {
    match plan(&disk(json), &needs(needs_mib)) {
        Err(error) => Failure::of(&error).to_string(),
        Ok(layout) => {
            let mib = |bytes: u64| Bytes::new(bytes).human();
            let slot = |slot: &Slot| {
                format!(
                    "{} {} at {}, {}, {:#x}",
                    slot.number,
                    slot.label,
                    mib(slot.offset),
                    mib(slot.size),
                    slot.attributes
                )
            };
            let mut lines: Vec<String> = layout.partitions.iter().map(slot).collect();
            lines.push(format!("disk {}", mib(layout.size)));
            lines.join("\n")
        }
    }
}

#[test]
fn sizes_follow_from_contents() {
    insta::assert_snapshot!(
        shown(
            r#"{ "partition": [
                { "label": "EFI", "type": "esp", "size": "fit" },
                { "label": "KERN", "type": "chromeos-kernel", "size": "32MiB", "number": 2, "boot": { "priority": 10, "tries": 5, "successful": true } },
                { "label": "ROOT", "type": "linux-data", "size": { "percent": 120, "plus": "8MiB" }, "attributes": [60] },
                { "label": "DATA", "type": "linux-data", "size": { "min": "64MiB" } }
            ] }"#,
            &[33, 1, 100, 16],
        ),
        @r"
    1 EFI at 1 MiB, 33 MiB, 0x0
    2 KERN at 34 MiB, 32 MiB, 0x15a000000000000
    3 ROOT at 66 MiB, 128 MiB, 0x1000000000000000
    4 DATA at 194 MiB, 64 MiB, 0x0
    disk 259 MiB
    "
    );
}

#[test]
fn a_disk_with_a_size_is_filled() {
    insta::assert_snapshot!(
        shown(
            r#"{ "size": "1GiB", "partition": [
                { "label": "A", "type": "linux-data", "size": { "of": "disk", "percent": 25 } },
                { "label": "B", "type": "linux-data", "size": "fit", "grow": true },
                { "label": "C", "type": "linux-data", "grow": true }
            ] }"#,
            &[1, 10, 0],
        ),
        @r"
    1 A at 1 MiB, 256 MiB, 0x0
    2 B at 257 MiB, 388 MiB, 0x0
    3 C at 645 MiB, 378 MiB, 0x0
    disk 1 GiB
    "
    );
}

/// Every way a plan's numbers can be wrong, and what the person reads.
#[test]
fn what_does_not_fit_says_what_would() {
    let one = |partition: &str, mib| {
        shown(
            &format!(r#"{{ "partition": [{{ "label": "ROOT", "type": "linux-data", {partition} }}] }}"#),
            &[mib],
        )
    };
    let shown = [
        one(r#""size": "600MiB""#, 812),
        one(r#""size": { "percent": 50 }"#, 100),
        one(r#""size": "fit""#, 0),
        one(r#""size": "1000B""#, 0),
        one(r#""size": { "of": "disk", "percent": 50 }"#, 0),
        one(r#""size": "1MiB", "grow": true"#, 0),
        one(r#""size": "1MiB", "number": 129"#, 0),
        one(r#""size": "1MiB", "attributes": [64]"#, 0),
        one(r#""size": "1MiB", "boot": { "priority": 16 }"#, 0),
        shown(
            r#"{ "size": "512MiB", "partition": [{ "label": "A", "type": "swap", "size": "300MiB" }, { "label": "B", "type": "swap", "size": "300MiB" }] }"#,
            &[0, 0],
        ),
        shown(
            r#"{ "size": "512MiB", "partition": [{ "label": "A", "type": "swap", "grow": true }] }"#,
            &[600],
        ),
        shown(r#"{ "sector-size": "1KiB", "partition": [] }"#, &[]),
        shown(
            r#"{ "partition": [{ "label": "A", "number": 1, "type": "swap", "size": "1MiB" }, { "label": "B", "number": 1, "type": "swap", "size": "1MiB" }] }"#,
            &[0, 0],
        ),
        shown(
            r#"{ "partition": [{ "label": "shimboot_rootfs:nixos-with-a-long-name", "type": "swap", "size": "1MiB" }] }"#,
            &[0],
        ),
        shown(r#"{ "partition": [{ "label": "A", "type": "swap", "size": "8589934592GiB" }] }"#, &[0]),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error: partition `ROOT` needs 812 MiB, has 600 MiB
      hint: write `size = "fit"`, or at least `size = "812MiB"`
    error: partition `ROOT` needs 100 MiB, has 50 MiB
      hint: write `size = "fit"`, or at least `size = "100MiB"`
    error: partition `ROOT` has nothing that its size could fit: give it a `size`, or `content`
    error: partition `ROOT` is 1000B, which is not whole sectors of 512B: write 1KiB
    error: partition `ROOT` is a share of the disk, and the disk has no `size`: give it one
    error: partition `ROOT` grows, and the disk has no `size` to grow into: give it one
    error: partition `ROOT` has number 129: a table has places 1 to 128
    error: partition `ROOT` sets attribute bit 64: there are bits 0 to 63
    error: partition `ROOT` has boot priority 16: at most 15 is possible
    error: the disk needs 602 MiB, has 512 MiB
      hint: give the disk at least `size = "602MiB"`, or no size at all
    error: the disk needs 602 MiB, has 512 MiB
      hint: give the disk at least `size = "602MiB"`, or no size at all
    error: `sector-size` is 1KiB: a disk has sectors of 512B or 4KiB
    error: partition `B` has number 1, which another has: give it another, or none
    error: label `shimboot_rootfs:nixos-with-a-long-name` has 38 UTF-16 units, at most 36 fit a GPT label: shorten it by 2
    error: the partitions are bigger than 2^62 bytes together: give them less
    "#);
}

#[test]
fn identities_follow_from_what_a_partition_is_and_from_nothing_else() {
    let json = r#"{ "partition": [{ "label": "A", "type": "swap", "size": "1MiB" }, { "label": "B", "type": "swap", "size": "1MiB" }] }"#;
    let layout = plan(&disk(json), &needs(&[0, 0])).unwrap();
    assert_eq!(layout, plan(&disk(json), &needs(&[0, 0])).unwrap());
    assert_ne!(layout.partitions[0].guid(), layout.partitions[1].guid());
    let other = plan(&disk(&json.replace("\"B\"", "\"C\"")), &needs(&[0, 0])).unwrap();
    assert_eq!(layout.partitions[0].guid(), other.partitions[0].guid());
    assert_ne!(layout.guid, other.guid);
    insta::assert_snapshot!(layout.guid, @"f440cc19-27df-85d3-8df5-3c0d10000dc0");
}
