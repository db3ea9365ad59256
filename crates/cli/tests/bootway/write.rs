//! `bootway write`: files stand for devices.

use std::{io::Read as _, process::Stdio};

use camino::Utf8PathBuf;

use crate::project::{Project, Run, program};

const DISK: &str = r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "tree"
  tree = { edits = [{ write = { path = "etc/motd", text = "hello\n" } }] }
  [[phase.step]]
  name = "disk"
  disk = { partition = [{ label = "ROOT", type = "linux-data", size = "48MiB", fs = "ext4", content = "tree" }] }
"#;

/// A disk that was built, and a file of so many MiB that stands for a stick with something on it.
fn ready(mib: usize) -> (Project, Utf8PathBuf) {
    let project = Project::new(DISK);
    let built = project.bootway(&["build", "test.plan.toml", "--work", "work", "--no-report"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let disk = project.path().join("work/out/disk/disk.raw");
    fs_err::rename(&disk, project.path().join("disk.raw")).unwrap();
    let stick = project.write("stick", vec![0xEE; mib << 20]);
    (project, stick)
}

/// With the code, and without how long it took.
fn said(project: &Project, run: &Run) -> String {
    let text = project.redact(&run.stderr);
    let text = text.split(", in ").next().unwrap_or_default().trim_end();
    format!("exit code {}\n{text}", run.code)
}

fn ask(name: &str, args: &[&str]) -> String {
    let output = program(name)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}: cargo xtask setup"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_stick_has_the_image_and_its_table_at_both_ends() {
    let (project, stick) = ready(96);
    let run = project.bootway(&["write", "disk.raw", "stick", "--yes"]);
    insta::assert_snapshot!(said(&project, &run), @"
    exit code 0
    written; reading it back
    `stick` has the image: 10 MiB written, 40 MiB of zeros, read back and the same; the backup of its partition table is at its end now
    ");
    assert!(ask("sgdisk", &["-v", stick.as_str()]).contains("No problems found"));
    let image = fs_err::read(project.path().join("disk.raw")).unwrap();
    let written = fs_err::read(&stick).unwrap();
    let partition = 1 << 20..49 << 20;
    assert!(image[partition.clone()] == written[partition], "the partition is what it was");
    let run =
        project.bootway(&["write", "disk.raw", "stick", "--yes", "--json", "--keep-gpt", "--no-verify"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((json["verified"].as_bool(), json["gpt-backup"].is_null()), (Some(false), true), "{json}");
    assert_eq!(json["bytes"], image.len());
    assert!(!ask("sgdisk", &["-v", stick.as_str()]).contains("No problems found"));
}

#[test]
fn what_should_not_be_written_is_refused_and_nothing_is_touched() {
    let (project, stick) = ready(40);
    project.write("disk.raw.gz", b"\x1f\x8b\x08 and more");
    project.write("empty", b"");
    let refused = |args: &[&str]| said(&project, &project.bootway(&[&["write"], args].concat()));
    let shown = [
        refused(&["disk.raw", "stick", "--yes"]),
        refused(&["disk.raw", "stick"]),
        refused(&["disk.raw", "no-such", "--yes"]),
        refused(&["disk.raw", "disk.raw", "--yes"]),
        refused(&["disk.raw", "/dev/null", "--yes"]),
        refused(&["disk.raw", "work", "--yes"]),
        refused(&["disk.raw.gz", "stick", "--yes"]),
        refused(&["empty", "stick", "--yes"]),
        refused(&["disk.raw"]),
    ];
    insta::assert_snapshot!(shown.join("\n"), @"
    exit code 4
    error: the image has 50 MiB, `stick` has 40 MiB
    exit code 4
    error: the image has 50 MiB, `stick` has 40 MiB
    exit code 4
    error: failed to query resolved metadata `no-such`: No such file or directory (os error 2)
      hint: `bootway write --list` says what there is; a file must be there in its full size: `truncate --size=8G FILE`
    exit code 4
    error: `disk.raw` is the image itself
    exit code 4
    error: `/dev/null` is neither a block device nor a file
    exit code 4
    error: `work` is neither a block device nor a file
    exit code 4
    error: `disk.raw.gz` is packed with gzip: nothing starts from that
      hint: unpack it first: `gunzip disk.raw.gz`
    exit code 4
    error: `empty` is not an image: it is no file, or empty
    exit code 2
    error: the following required arguments were not provided:
      <DEVICE>

    Usage: bootway write <IMAGE> <DEVICE>

    For more information, try '--help'.
    ");
    assert!(fs_err::read(stick).unwrap().iter().all(|byte| *byte == 0xEE));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (project, stick) = ready(96);
    let run = project.bootway(&["write", "disk.raw", "stick"]);
    insta::assert_snapshot!(said(&project, &run), @"
    exit code 2
    error: nobody can be asked whether `stick` may be overwritten
      hint: say `--yes` if it may
    ");
    assert!(fs_err::read(stick).unwrap().iter().all(|byte| *byte == 0xEE));
}

/// An image of 8 GiB takes long enough to be stopped in; it is holes, and so is the stick.
#[test]
fn ctrl_c_leaves_a_message_and_no_partition_table() {
    let (project, stick) = ready(96);
    let image = project.path().join("big");
    fs_err::copy(project.path().join("disk.raw"), &image).unwrap();
    fs_err::OpenOptions::new().write(true).open(&image).unwrap().set_len(8 << 30).unwrap();
    fs_err::OpenOptions::new().write(true).open(&stick).unwrap().set_len(8 << 30).unwrap();
    let mut child = project
        .command(&["write", "big", "stick", "--yes"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Until it has emptied the first piece, there is nothing to be stopped.
    let begins = || {
        fs_err::File::open(&stick).is_ok_and(|mut it| {
            let mut byte = [1];
            it.read_exact(&mut byte).is_ok() && byte == [0]
        })
    };
    while !begins() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code();
    insta::assert_snapshot!(stderr, @"
    error: `stick` is incomplete: it has a part of `big` and no partition table
      caused by: stopped
      hint: write the image again before the device is used
    ");
    assert_eq!(code, Some(130));
    let mut first = vec![0; 1 << 20];
    fs_err::File::open(&stick).unwrap().read_exact(&mut first).unwrap();
    assert!(first.iter().all(|byte| *byte == 0));
}

#[test]
fn help_says_what_is_refused() {
    let project = Project::new("");
    insta::assert_snapshot!(project.bootway(&["write", "--help"]).stdout, @"
    Write an image to a USB stick or an SD card, and read it back

    The device is refused if it holds the running system, if anything on it is in use, if it cannot be taken out, or if it is too small. Holes of the image become zeros. Everything is read back and compared; then the backup of the partition table is moved to the end of the device, where firmware looks for it.

    Usage: bootway write [OPTIONS] [IMAGE] [DEVICE]

    Arguments:
      [IMAGE]
              The image, as it will be on the device

      [DEVICE]
              The whole device, such as `/dev/sdb`, or a file that stands for one

    Options:
          --list
              List the devices that can be taken out, and what they are used for

          --yes
              Do not ask: for scripts

          --allow-large
              Write to a device of more than 256 GiB

          --allow-fixed
              Write to a disk that cannot be taken out

          --keep-gpt
              Leave the backup of the partition table where the image has it

          --no-verify
              Do not read back

          --json
              As JSON

          --no-progress
              Show no progress

          --color <WHEN>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` is set
              - always: Always
              - never:  Never
              
              [default: auto]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      bootway write --list
      sudo bootway write shimboot.raw /dev/sdb

    A file can stand for a device: `truncate --size=8G stick && bootway write shimboot.raw ./stick --yes`.
    Exit code 4 if the image or the device is refused, 5 if it cannot be written, 6 if it does not keep what was written, 130 if stopped or not confirmed.
    ");
}
