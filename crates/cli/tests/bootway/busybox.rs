//! Plans that boot a kernel of this machine with busybox, under emulation.

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::project::Project;

/// Mounts what a system has, and has a shell on the console for ever.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
while :; do setsid cttyhack sh; done
";

/// A plan with a step `boots`, whose machine has `machine` and which has `more`: checks, tests.
pub(crate) fn project(machine: &str, more: &str) -> Project {
    // So long that only a guest that is stuck takes longer, however busy the host is.
    let limits = r#"limits = { boot = "5min", check = "5min", power-off = "5min" }"#;
    let project = Project::new(&format!(
        r#"
[machine.m]
accel = "tcg"
memory = "192MiB"
{limits}
{machine}
[[phase]]
name = "boot"
  [[phase.step]]
  name = "initrd"
  initramfs = {{ from = ["./root"] }}
  [[phase.step]]
  name = "boots"
  [phase.step.vm]
  boot = "kernel"
  kernel = "./vmlinuz"
  initrd = "initrd"
  cmdline = "console=ttyS0 panic=-1 quiet no_timer_check"
  machine = "m"
{more}
"#
    ));
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs_err::read(path).ok());
    let busybox = busybox.expect("install busybox-static: `apt-get install busybox-static`");
    for (name, bytes) in [("root/bin/busybox", &*busybox), ("root/init", INIT.as_bytes())] {
        let path = project.write(name, bytes);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs_err::copy(kernel(), project.path().join("vmlinuz")).unwrap();
    project
}

/// The kernel that tests boot.
fn kernel() -> Utf8PathBuf {
    if let Ok(path) = std::env::var("BOOTWAY_TEST_KERNEL") {
        return path.into();
    }
    let found = Utf8Path::new("/boot").read_dir_utf8().into_iter().flatten().flatten();
    let kernels = found.filter(|entry| entry.file_name().starts_with("vmlinuz-"));
    let kernel = kernels.map(camino::Utf8DirEntry::into_path).max();
    kernel.expect("there is no kernel in /boot: `cargo xtask setup` installs one, or set BOOTWAY_TEST_KERNEL")
}

/// Processes whose command line or directory has something of `dir` in it, and has not ended.
pub(crate) fn processes(dir: &Utf8Path) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs_err::read_dir("/proc").unwrap().flatten() {
        let path = process.path();
        if !process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) || is_gone(&path)
        {
            continue;
        }
        let line = fs_err::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let cwd = fs_err::read_link(path.join("cwd")).unwrap_or_default();
        if line.contains(dir.as_str()) || cwd.starts_with(dir) {
            found.push(format!("{} {line}", path.display()));
        }
    }
    found
}

/// Whether the process of a directory in `/proc` has ended, be it that nobody has asked how.
pub(crate) fn is_gone(process: &std::path::Path) -> bool {
    let stat = fs_err::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Waits until `is_so`; a host that is busy has time.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < std::time::Duration::from_mins(5), "it did not happen within five minutes");
        std::thread::yield_now();
    }
}

/// Writes `to` in the place of `from` in the plan.
#[track_caller]
pub(crate) fn edit(project: &Project, from: &str, to: &str) {
    let path = project.path().join("test.plan.toml");
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains(from), "the plan has no `{from}`");
    fs_err::write(&path, text.replacen(from, to, 1)).unwrap();
}
