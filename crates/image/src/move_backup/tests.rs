use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_plan::step::Disk;
use camino::{Utf8Path, Utf8PathBuf};

use super::*;

/// A disk of one partition, and that disk on a device of `mib` MiB.
fn written(sandbox: &Sandbox<'_>, sector: &str, mib: u64) -> (Utf8PathBuf, File) {
    let step: Disk = serde_json::from_str(&format!(
        r#"{{ "sector-size": "{sector}", "partition": [{{ "label": "K", "type": "chromeos-kernel", "size": "8MiB",
             "boot": {{ "priority": 10, "tries": 5, "successful": true }} }}] }}"#
    ))
    .unwrap();
    let path = crate::disk(&sandbox.cx(), &step).unwrap().remove(0).path;
    let file = fs_err::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.set_len(mib << 20).unwrap();
    (path, file.into_parts().0)
}

#[track_caller]
fn ask(sandbox: &Sandbox<'_>, program: &str, args: &[&str]) -> String {
    match run(&sandbox.cx(), &Cmd::user(program).args(args.iter().copied())) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => panic!("{error}\napt-get install gdisk cgpt\n{}", sandbox.lines().join("\n")),
    }
}

fn sgdisk(sandbox: &Sandbox<'_>, disk: &Utf8Path) -> bool {
    ask(sandbox, "sgdisk", &["-v", disk.as_str()]).contains("No problems found")
}

#[test]
fn sgdisk_and_cgpt_find_the_backup_at_the_end() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (path, file) = written(&sandbox, "512B", 64);
    assert!(!sgdisk(&sandbox, &path), "the backup is in the middle of the device");
    let before = ask(&sandbox, "sfdisk", &["--json", path.as_str()]);
    let moved = move_gpt_backup(&file, 64 << 20).unwrap().unwrap();
    assert_eq!((moved.sector_size, moved.from, moved.to), (512, (10 << 11) - 1, (64 << 11) - 1));
    assert!(sgdisk(&sandbox, &path));
    assert!(ask(&sandbox, "cgpt", &["show", path.as_str()]).contains("priority=10 tries=5 successful=1"));
    let partitions = |json: &str| json[json.find("\"partitions\"").unwrap()..].to_owned();
    assert_eq!(partitions(&before), partitions(&ask(&sandbox, "sfdisk", &["--json", path.as_str()])));
    assert_eq!(move_gpt_backup(&file, 64 << 20).unwrap(), None, "it is there");
    // The backup alone brings everything back.
    file.write_all_at(&vec![0; 33 * 512], 512).unwrap();
    ask(&sandbox, "sgdisk", &["-e", path.as_str()]);
    assert!(sgdisk(&sandbox, &path));
}

#[test]
fn sectors_of_four_kib_have_their_own_end() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (path, file) = written(&sandbox, "4KiB", 32);
    let moved = move_gpt_backup(&file, 32 << 20).unwrap().unwrap();
    assert_eq!((moved.sector_size, moved.to), (4096, (32 << 8) - 1));
    let listed = ask(&sandbox, "fdisk", &["-b", "4096", "-l", path.as_str()]);
    assert!(listed.contains("Disklabel type: gpt"), "{listed}");
}

/// Every byte of the header and of the first entry, one after the other: an error, or the same table.
#[test]
fn a_damaged_table_is_not_moved() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (_, file) = written(&sandbox, "512B", 16);
    for at in (512..512 + 92).chain(1024..1024 + 128) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x41], at).unwrap();
        match move_gpt_backup(&file, 16 << 20) {
            Err(MoveBackupError::Header { .. }) => {}
            Ok(None) => assert!(at < 520, "byte {at}"), // No signature, no table.
            other => panic!("byte {at}: {other:?}"),
        }
        file.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn a_device_that_is_too_small_is_said() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (_, file) = written(&sandbox, "512B", 16);
    insta::assert_snapshot!(move_gpt_backup(&file, 8 << 20).unwrap_err(), @"partition 1 ends at sector 18431, and the backup has to begin at sector 16351: use a bigger device");
    assert_eq!(move_gpt_backup(&tempfile(&[]), 0).unwrap(), None);
}

fn tempfile(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2048), size in 0_u64..1 << 40) {
        let mut disk = vec![0; 512];
        disk.extend_from_slice(b"EFI PART");
        disk.extend(bytes);
        let _ = move_gpt_backup(&tempfile(&disk), size);
        // Checksums that are right let more of it through.
        disk.resize(4096, 0);
        disk[524..528].copy_from_slice(&92_u32.to_le_bytes());
        seal(&mut disk[512..1024]);
        let _ = move_gpt_backup(&tempfile(&disk), size);
    }
}
