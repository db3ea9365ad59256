//! A guest that is talked to over SSH alone: dropbear, which the tests' host has.

use bootway_exec::Cmd;

use super::*;

/// Starts the server, where its libraries and its user are.
pub(super) const SERVER: &str = r"
mkdir -p /lib /lib64 /root/.ssh /dev/pts /etc/dropbear
mount -t devpts pts /dev/pts
mv /ld-linux-x86-64.so.2 /lib64/; mv /lib*.so* /lib/
mv /authorized_keys /root/.ssh/; chmod 700 / /root /root/.ssh
echo 'root::0:0::/root:/bin/sh' >/etc/passwd
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
chmod 755 /dropbear
/dropbear -R -s -p 22
while :; do setsid cttyhack sh; done
";

/// The server, its libraries, and who is let in; and the key that lets in.
pub(in crate::boot::tests) fn files() -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    const SERVER: &str = "/usr/sbin/dropbear";
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let run = |cmd: Cmd| {
        let line = cmd.to_string();
        let ended = bootway_exec::run(&sandbox.cx(), &cmd);
        String::from_utf8(ended.unwrap_or_else(|error| panic!("{line}: {error}")).stdout).unwrap()
    };
    let server = fs_err::read(SERVER).expect("install it: `apt-get install dropbear-bin`");
    let mut files = vec![("dropbear".to_owned(), server)];
    for path in run(Cmd::user("ldd").arg(SERVER)).split_whitespace().filter(|word| word.starts_with('/')) {
        files.push((Utf8Path::new(path).file_name().unwrap().to_owned(), fs_err::read(path).unwrap()));
    }
    let key = sandbox.root().join("key");
    run(Cmd::user("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key.as_str()]));
    files.push(("authorized_keys".to_owned(), fs_err::read(sandbox.root().join("key.pub")).unwrap()));
    (files, fs_err::read(key).unwrap())
}

/// Boots such a guest, with the key that it knows.
fn boot(checks: &str) -> Seen {
    let (files, key) = files();
    let more: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let (step, machine) = plan(Over::Ssh, checks);
    let step = step.replacen('{', r#"{"ssh-key": "./key", "#, 1);
    let initrd = guest(Over::Ssh, "", &more);
    let all: [(&str, &[u8]); 3] = [("initrd", &initrd), ("key", &key), ("file", &[0, 1, 2, 255, 10, 0])];
    boot_files(&SystemRunner::default(), &step, &machine, &all, |_| {})
}

#[test]
fn a_guest_is_asked_over_ssh_alone() {
    let checks = r#"
        {"name": "is root", "run": "id -u; echo to both >&2", "equals": "0\nto both"},
        {"name": "has no terminal", "run": "tty", "exit": 1},
        {"name": "is exact", "run": "printf 'a\\000b\\r\\n\\033[6n# '; exit 255", "exit": 255, "contains": "a\u0000b\r\n\u001b[6n#"},
        {"name": "is long", "run": "seq 1 100000", "matches": "^1\n2\n[\\s\\S]*\n99999\n100000$"},
        {"name": "was killed", "run": "kill -9 $(sh -c 'echo $PPID')", "exit": 137},
        {"name": "in", "copy-in": {"from": "./file", "to": "/file"}},
        {"name": "is there", "run": "od -An -tx1 /file", "equals": "00 01 02 ff 0a 00"},
        {"name": "out", "copy-out": {"from": "/file", "to": "file"}},
        {"name": "waits", "wait-file": {"path": "/etc/passwd"}},
        {"name": "once more", "ssh": "echo $((1+1)) # two", "equals": "2"},
        {"name": "loses its server", "run": "echo begun; kill $(pidof dropbear); sleep 1000"}"#;
    let seen = boot(checks);
    let story = regex_lite::Regex::new("in `[^`]*/file`|2\n3\n[0-9\n]*")
        .unwrap()
        .replace_all(&seen.story(), "…")
        .into_owned()
        .replace(|it: char| it.is_control() && it != '\n', "?");
    insta::assert_snapshot!(story, @"
    Passed is root: printed `0
    to both`
    Passed has no terminal: printed `not a tty`
    Passed is exact: printed `a?b?
    ?[6n#`
    Passed is long: printed `1
    ……`
    Passed was killed: printed `Killed`
    Passed in: 6 bytes are …
    Passed is there: printed `00 01 02 ff 0a 00`
    Passed out: 6 bytes, sha256 0ceb8e0e325d1b7eee2847cf234bb8314da7676f9275bb683f88232ddb9eab80, …
    Passed waits: `/etc/passwd` is there
    Passed once more: printed `2`
    Failed loses its server: the output of `echo begun; kill $(pidof dropbear); sleep 1000` cannot be read: the connection to its shell ended: ssh exited with code 255: Connection to 127.0.0.1 closed by remote host.

    error: check `loses its server` failed: the output of `echo begun; kill $(pidof dropbear); sleep 1000` cannot be read: the connection to its shell ended: ssh exited with code 255: Connection to 127.0.0.1 closed by remote host.
    ");
}

#[test]
fn a_guest_is_rebooted_and_switched_off_over_ssh() {
    let checks = r#"
        {"name": "leaves a mark", "run": "touch /mark"},
        {"name": "reboots", "reboot": true},
        {"name": "forgets", "run": "ls /mark", "exit": 1},
        {"name": "off", "power-off": true}"#;
    let seen = boot(checks);
    assert!(seen.result.is_ok(), "{}\n{}", seen.story(), seen.console().join("\n"));
}

/// QEMU is heard before ssh is, which may not notice at all that nobody is there any more.
#[test]
fn what_ends_a_guest_is_told_over_ssh_as_over_any_other_channel() {
    for (ends, told) in [
        ("reboot -f", "the guest reset itself (guest-reset) although nobody asked for it"),
        ("poweroff -f", "the guest switched itself off (guest-shutdown) before its checks were decided"),
        ("echo c >/proc/sysrq-trigger", "the guest's kernel panicked: `"),
    ] {
        let checks = format!(
            r#"{{"name": "is up", "run": "true"}}, {{"name": "{ends}", "run": "{ends}; sleep 1000"}}, {{"name": "next", "run": "true"}}"#
        );
        let seen = boot(&checks);
        guests::tell_delays(Over::Ssh, &seen);
        let [failed, not_run] = [format!("Failed {ends}: {told}"), format!("NotRun next: {told}")];
        let story = seen.story();
        assert!(story.contains(&failed) && story.contains(&not_run), "{story}");
    }
}
