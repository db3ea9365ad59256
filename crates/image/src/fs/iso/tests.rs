use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_plan::ArtifactKind;
use camino::Utf8PathBuf;

use super::*;
use crate::{look, verify};

fn tool(sandbox: &Sandbox<'_>, package: &str, program: &str, args: &[&str]) -> String {
    let cmd = Cmd::user(program).args(args.iter().copied()).env("SOURCE_DATE_EPOCH", "1735689600");
    let output = run(&sandbox.cx(), &cmd).unwrap_or_else(|error| {
        panic!(
            "{program}: {error}: {}\ninstall it with `apt-get install {package}`",
            sandbox.lines().join("\n")
        )
    });
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The files of an image with a squashfs in it, and with something for each firmware.
pub(crate) fn files(sandbox: &Sandbox<'_>) -> Utf8PathBuf {
    let dir = sandbox.root().join("files");
    let write = |path: &str, text: &[u8]| {
        let path = dir.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("isolinux/isolinux.bin", &vec![0x90; 24 << 10]);
    write("A long name, with spaces and more than thirty-one characters.txt", b"long\n");
    write("a/b/c/d/e/f/g/h/i/deep.txt", b"deep\n");
    write("big", &b"0123456789abcdef".repeat(10_000));
    for number in 0..120 {
        write(&format!("many/file-{number:03}"), number.to_string().as_bytes());
    }
    fs_err::os::unix::fs::symlink("../a/b/../b/c", dir.join("many/link")).unwrap();
    let root = sandbox.root().join("root/srv/.ssh");
    fs_err::create_dir_all(&root).unwrap();
    fs_err::write(root.join("authorized_keys"), "ssh-ed25519 AAAAkey1 me\n").unwrap();
    fs_err::create_dir_all(dir.join("live")).unwrap();
    let (from, image) = (sandbox.root().join("root"), dir.join("live/filesystem.squashfs"));
    tool(sandbox, "squashfs-tools", "mksquashfs", &[from.as_str(), image.as_str(), "-noappend", "-quiet"]);
    let esp = dir.join("isolinux/efi.img");
    tool(sandbox, "dosfstools", "mkfs.fat", &["-C", esp.as_str(), "1440"]);
    dir
}

const BIOS: [&str; 7] =
    ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4"];
const UEFI: [&str; 4] = ["-eltorito-alt-boot", "-e", "isolinux/efi.img", "-no-emul-boot"];

/// An image by xorriso.
pub(crate) fn image(sandbox: &Sandbox<'_>, name: &str, args: &[&str]) -> Utf8PathBuf {
    let dir = sandbox.root().join("files");
    let dir = if dir.exists() { dir } else { files(sandbox) };
    let path = sandbox.root().join(name);
    let all = [&["-as", "mkisofs", "-o", path.as_str(), "-V", "DEMO"], args, &[dir.as_str()]].concat();
    tool(sandbox, "xorriso", "xorriso", &all);
    path
}

/// A file that begins a BIOS on a disk; what is in it does not matter here.
fn code(sandbox: &Sandbox<'_>) -> Utf8PathBuf {
    let path = sandbox.root().join("mbr.bin");
    fs_err::write(&path, [0x90; 432]).unwrap();
    path
}

pub(crate) fn hybrid(sandbox: &Sandbox<'_>) -> Utf8PathBuf {
    let code = code(sandbox);
    let mut args = vec!["-R", "-isohybrid-mbr", code.as_str()];
    args.extend(BIOS);
    args.push("-boot-info-table");
    args.extend(UEFI);
    args.push("-isohybrid-gpt-basdat");
    image(sandbox, "hybrid.iso", &args)
}

fn appended(sandbox: &Sandbox<'_>) -> Utf8PathBuf {
    let code = code(sandbox);
    let esp = sandbox.root().join("files/isolinux/efi.img");
    let mut args = vec!["-R", "-partition_offset", "16", "--grub2-mbr", code.as_str()];
    args.extend(BIOS);
    args.extend([
        "-append_partition",
        "2",
        "0xef",
        esp.as_str(),
        "-appended_part_as_gpt",
        "-eltorito-alt-boot",
    ]);
    args.extend(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]);
    image(sandbox, "appended.iso", &args)
}

fn verdict(path: &Utf8PathBuf) -> String {
    match verify(ArtifactKind::Iso, path) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string().replace(path.as_str(), "it"),
    }
}

fn shown(sandbox: &Sandbox<'_>, path: &Utf8PathBuf) -> String {
    let text = look(path).unwrap().to_string().replace(sandbox.root().as_str(), "WORK");
    let many = |line: &&str| !line.contains("/many/");
    text.lines().filter(many).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_hybrid_image_is_looked_at_as_every_firmware_does() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let hybrid = hybrid(&sandbox);
    let appended = appended(&sandbox);
    assert_eq!((verdict(&hybrid), verdict(&appended)), ("good".to_owned(), "good".to_owned()));
    insta::assert_snapshot!(shown(&sandbox, &hybrid), @"
    WORK/hybrid.iso: 3 MiB, ISO 9660 image DEMO, rock-ridge, 127 files, boots with bios, uefi; hybrid (mbr, gpt)
      bios  1.49 MiB      2 KiB  /isolinux/isolinux.bin
      uefi    88 KiB   1.41 MiB  /isolinux/efi.img
      mbr 1       0 B      3 MiB  0x00  active
      mbr 2    88 KiB   1.41 MiB  0xef
      gpt 1       0 B   2.97 MiB  basic-data  ISOHybrid
      gpt 2    88 KiB   1.41 MiB  basic-data  ISOHybrid1
                5 B  /A long name, with spaces and more than thirty-one characters.txt
                5 B  /a/b/c/d/e/f/g/h/i/deep.txt
            156 KiB  /big
              2 KiB  /isolinux/boot.cat
           1.41 MiB  /isolinux/efi.img
             24 KiB  /isolinux/isolinux.bin
              4 KiB  /live/filesystem.squashfs
          and 87 more: see `--json`
    ");
    insta::assert_snapshot!(shown(&sandbox, &appended), @"
    WORK/appended.iso: 3.72 MiB, ISO 9660 image DEMO, rock-ridge, 127 files, boots with bios, uefi; hybrid (mbr, gpt)
      bios   164 KiB      2 KiB  /isolinux/isolinux.bin
      uefi  1.99 MiB   1.41 MiB
      mbr 1     512 B   3.72 MiB  0xee
      gpt 1    32 KiB   1.96 MiB  basic-data  ISO9660
      gpt 2  1.99 MiB   1.41 MiB  esp  Appended2
      gpt 3  3.39 MiB    300 KiB  basic-data  Gap1
                5 B  /A long name, with spaces and more than thirty-one characters.txt
                5 B  /a/b/c/d/e/f/g/h/i/deep.txt
            156 KiB  /big
              2 KiB  /isolinux/boot.cat
           1.41 MiB  /isolinux/efi.img
             24 KiB  /isolinux/isolinux.bin
              4 KiB  /live/filesystem.squashfs
          and 87 more: see `--json`
    ");
}

#[test]
fn an_image_of_data_is_said_to_be_one() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = image(&sandbox, "data.iso", &["-R"]);
    insta::assert_snapshot!(verdict(&path), @"`it` is not an ISO 9660 image that firmware can start from: found a data image `DEMO`: it has no boot catalogue");
    insta::assert_snapshot!(shown(&sandbox, &path).lines().next().unwrap(), @"WORK/data.iso: 2.2 MiB, ISO 9660 image DEMO, rock-ridge, 126 files, data only: it has no boot catalogue");
}

/// Every name and size, by three ways of keeping names, beside what xorriso says.
#[test]
fn files_are_those_that_xorriso_lists() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = image(&sandbox, "rock.iso", &["-R"]);
    let listed =
        tool(&sandbox, "xorriso", "xorriso", &["-indev", path.as_str(), "-find", "/", "-exec", "lsdl"]);
    let listed: Vec<(char, String, String)> = listed
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = line.split_once('\'')?.1;
            let (name, target) = match name.split_once("' -> '") {
                Some((name, target)) => (name, target.trim_end_matches('\'')),
                None => (name.trim_end_matches('\''), ""),
            };
            let kind = line.chars().next()?;
            Some((kind, name.to_owned(), if kind == '-' { words[4].to_owned() } else { target.to_owned() }))
        })
        .collect();
    let file = fs_err::File::open(&path).unwrap();
    let mut extents = Vec::new();
    let listing = IsoReader::open(file.file(), 0).unwrap().unwrap().list(&mut extents).unwrap();
    let mut ours: Vec<(char, String, String)> = listing
        .files
        .iter()
        .map(|(path, found)| match found {
            Found::Directory => ('d', path.to_string(), String::new()),
            Found::File { size, .. } => ('-', path.to_string(), size.to_string()),
            Found::Symlink { target } => ('l', path.to_string(), target.clone()),
            Found::Other => ('?', path.to_string(), String::new()),
        })
        .collect();
    let mut theirs = listed;
    ours.sort();
    theirs.sort();
    assert!(theirs.len() > 130, "{theirs:?}");
    assert_eq!(ours, theirs);
}

#[test]
fn names_are_kept_in_three_ways() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cases: [(&str, &[&str]); 3] =
        [("rock.iso", &["-R", "-J"]), ("joliet.iso", &["--norock", "-J"]), ("plain.iso", &["--norock"])];
    let said = cases.map(|(name, args)| {
        let path = image(&sandbox, name, args);
        let file = fs_err::File::open(&path).unwrap();
        let reader = IsoReader::open(file.file(), 0).unwrap().unwrap();
        let mut files = Vec::new();
        let listing = reader.list(&mut files).unwrap();
        let is_long =
            |path: &TreePath| path.parent() == Some(TreePath::root()) && path.as_str().ends_with("txt");
        let long = listing.files.keys().find(|path| is_long(path)).unwrap();
        let deep = listing.files.iter().find(|(path, _)| path.name().to_lowercase() == "deep.txt").unwrap();
        let Found::File { number, .. } = deep.1 else { panic!("{deep:?}") };
        assert_eq!(reader.read(&files[*number as usize], 100).unwrap(), b"deep\n");
        format!("{:?}: {long} {}", reader.names, deep.0)
    });
    insta::assert_snapshot!(said.join("\n"), @"
    RockRidge { skip: 0 }: /A long name, with spaces and more than thirty-one characters.txt /a/b/c/d/e/f/g/h/i/deep.txt
    Joliet: /A long name, with spaces and more than thirty-one characters.txt /a/b/c/d/e/f/g/h/i/deep.txt
    Plain: /a_long_n.txt /a/b/c/d/e/f/g/h/i/deep.txt
    ");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = hybrid(&sandbox);
    let good = fs_err::read(&path).unwrap();
    let report = IsoReport::read(fs_err::File::open(&path).unwrap().file()).unwrap().unwrap();
    let catalogue = good[17 * 2048 + 71..][..4].try_into().map(u32::from_le_bytes).unwrap() as usize * 2048;
    let esp = report.boot.iter().find(|it| it.firmware == "uefi").unwrap().offset.get() as usize;
    let of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs_err::write(&path, &bytes).unwrap();
        verdict(&path)
    };
    let said = [
        of(&|bytes| bytes[16 * 2048 + 1] = b'X'),
        of(&|bytes| bytes[16 * 2048 + 81] ^= 1),
        of(&|bytes| bytes[17 * 2048] = 9),
        of(&|bytes| bytes[catalogue + 28] ^= 1),
        of(&|bytes| bytes[catalogue + 32] = 1),
        of(&|bytes| (bytes[catalogue + 32], bytes[catalogue + 96]) = (0, 0)),
        of(&|bytes| bytes[esp] = 0),
        of(&|bytes| bytes[512 + 40] ^= 1),
        of(&|bytes| bytes[1024 + 56] ^= 1),
        of(&|bytes| {
            let at = bytes.len() - 512;
            bytes[at + 56] ^= 1;
        }),
        of(&|bytes| bytes.truncate(bytes.len() - 512)),
        of(&|bytes| bytes.truncate(100 << 10)),
        of(&|bytes| bytes[446 + 12 + 3] = 0x7f),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    `it` is not an ISO 9660 image that firmware can start from: found no primary volume descriptor at byte 32768
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: descriptor 1 gives its size twice, and not the same
    `it` is not an ISO 9660 image that firmware can start from: found a data image `DEMO`: it has no boot catalogue
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the boot catalogue in block 43 has a validation entry whose checksum is wrong
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the boot catalogue in block 43 has an entry that is neither bootable nor not
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the boot catalogue has nothing that can be started
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: at byte 90112, where UEFI looks, there is no FAT file system
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the primary GPT has a header whose checksum is wrong
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the primary GPT has entries whose checksum is wrong
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the backup GPT has a header whose checksum is wrong
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the volume has 3145728 bytes, and the file 3145216: it is cut short; partition 1 of the MBR ends after the image; there is no backup GPT in sector 6143
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: the volume has 3145728 bytes, and the file 102400: it is cut short; `/A long name, with spaces and more than thirty-one characters.txt` ends after the image; at byte 1564672, where bios looks, there are only zeros; what bios starts ends after the image, at byte 1566720; what uefi starts ends after the image, at byte 1564672; partition 1 of the MBR ends after the image; partition 2 of the MBR ends after the image; there is no backup GPT in sector 6143; partition 1 of the GPT ends after the image; partition 2 of the GPT ends after the image
    `it` is not an ISO 9660 image that firmware can start from: found a damaged one: partition 1 of the MBR ends after the image
    ");
}

#[test]
fn damage_is_an_error_and_not_a_panic() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = hybrid(&sandbox);
    let good = fs_err::read(&path).unwrap();
    // Tables and directories are at the start.
    for at in (0..200 << 10).step_by(61).chain((32 << 10..36 << 10).step_by(3)) {
        let mut bytes = good[..300 << 10].to_vec();
        bytes[at] ^= 0xff;
        fs_err::write(&path, &bytes).unwrap();
        drop(verify(ArtifactKind::Iso, &path));
        drop(look(&path));
    }
}
