//! Each kind of check, as it passes and as it fails: many tests on one machine that was saved.

use super::*;

/// Busybox, with a `systemctl` that knows four units: `slow` is active when it is asked the third time. While there is a
/// `/stays`, its shell's `reboot` and `poweroff` do nothing, and with a `/turns` it is a reboot that they do.
const SYSTEM: &str = r#"
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
cat >/bin/systemctl <<'END'
#!/bin/sh
case "$1 $2" in
    "is-active good.service") echo active;;
    "is-active bad.service") echo failed; exit 3;;
    "is-active off.service") echo inactive; exit 3;;
    "is-active slow.service") echo x >>/asked
        if [ $(wc -l </asked) -ge 3 ]; then echo active; else echo activating; exit 3; fi;;
    "status bad.service") echo "bad.service - Bad"; echo "   Active: failed (Result: exit-code)"; exit 3;;
    "list-units --failed") echo "bad.service loaded failed failed Bad";;
    *) exit 4;;
esac
END
chmod 755 /bin/systemctl
cat >/shrc <<'END'
reboot() { [ -e /stays ] || busybox reboot "$@"; }
poweroff() { if [ -e /turns ]; then busybox reboot "$@"; elif [ ! -e /stays ]; then busybox poweroff "$@"; fi; }
END
export ENV=/shrc
while :; do setsid cttyhack sh; done
"#;

/// Decides `tests`, each on a copy of one machine. What is told of each, in the order of the plan.
fn decided(init: &str, tests: &[(&str, &str)]) -> (Seen, String) {
    let test = |(name, checks): &(&str, &str)| format!(r#"{{"name": "{name}", "check": [{checks}]}}"#);
    let tests: Vec<_> = tests.iter().map(test).collect();
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1 quiet no_timer_check",
            "machine": "m", "check": [{{"name": "is up", "run": "true"}}], "snapshot": "required", "test": [{}]}}"#,
        tests.join(", ")
    );
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {GENEROUS}}}"#);
    let files: [(&str, &[u8]); 2] =
        [("initrd", &initramfs(init)), ("file", b"#!/bin/sh\necho from the host \"$@\"\n")];
    let seen = boot_files(&SystemRunner::default(), &step, &machine, &files, |_| {});
    let mut told: Vec<String> = seen.story().lines().map(str::to_owned).collect();
    let order = |line: &String| {
        let begin = format!(r#"{{"name": "{}","#, name_in(line));
        tests.iter().position(|test| test.starts_with(&begin))
    };
    told.truncate(told.iter().position(String::is_empty).unwrap_or(told.len()));
    // Tests are decided side by side; each decides its own checks in their order.
    told.sort_by_key(order);
    (seen, told.join("\n"))
}

/// The test in `Passed TEST: CHECK: detail`.
fn name_in(line: &str) -> &str {
    line.split_once(' ').and_then(|(_, rest)| rest.split_once(": ")).map_or("", |(name, _)| name)
}

#[test]
fn what_comes_to_be_so_is_waited_for() {
    let (_, told) = decided(
        SYSTEM,
        &[
            ("active", r#"{"name": "u", "wait-unit": "good.service"}"#),
            ("in time", r#"{"name": "u", "wait-unit": "slow.service"}"#),
            ("inactive", r#"{"name": "u", "wait-unit": "off.service", "state": "inactive"}"#),
            ("failed", r#"{"name": "u", "wait-unit": "bad.service", "state": "failed"}"#),
            ("has failed", r#"{"name": "u", "wait-unit": "bad.service"}"#),
            ("never active", r#"{"name": "u", "wait-unit": "off.service", "within": "1s"}"#),
            (
                "no systemd",
                r#"{"name": "rm", "run": "rm /bin/systemctl"}, {"name": "u", "wait-unit": "good.service"}"#,
            ),
            (
                "address",
                r#"{"name": "later", "run": "(sleep 1; ip addr add 169.254.1.1/16 dev lo; ip addr add 10.1.2.3/24 dev lo) >/dev/null 2>&1 &"}, {"name": "ip", "wait-ip": "lo"}"#,
            ),
            (
                "only link-local",
                r#"{"name": "add", "run": "ip addr add 169.254.1.1/16 dev lo"}, {"name": "ip", "wait-ip": "lo", "within": "1s"}"#,
            ),
            ("no address", r#"{"name": "ip", "wait-ip": "lo", "within": "1s"}"#),
            ("no interface", r#"{"name": "ip", "wait-ip": "eth9", "within": "1s"}"#),
            (
                "file",
                r#"{"name": "later", "run": "(sleep 1; printf 'STATE=applied\\nDETAIL=\"by itself\"\\nMORE=1\\n' >/tmp/state) >/dev/null 2>&1 &"},
            {"name": "f", "wait-file": {"path": "/tmp/state", "values": {"STATE": "applied", "DETAIL": "by itself"}}}"#,
            ),
            ("any file", r#"{"name": "f", "wait-file": {"path": "/init"}}"#),
            (
                "no file",
                r#"{"name": "f", "wait-file": {"path": "/tmp/it's", "values": {"A": "b"}}, "within": "1s"}"#,
            ),
            (
                "other value",
                r#"{"name": "w", "run": "echo STATE=pending >/tmp/state"},
            {"name": "f", "wait-file": {"path": "/tmp/state", "values": {"STATE": "applied"}}, "within": "1s"}"#,
            ),
            (
                "no value",
                r#"{"name": "w", "run": "echo STATE=pending >/tmp/state"},
            {"name": "f", "wait-file": {"path": "/tmp/state", "values": {"DETAIL": "x"}}, "within": "1s"}"#,
            ),
        ],
    );
    insta::assert_snapshot!(told, @r"
    Passed is up: printed nothing
    Passed active: u: `good.service` is active
    Passed in time: u: `slow.service` is active
    Passed inactive: u: `off.service` is inactive
    Passed failed: u: `bad.service` is failed
    Failed has failed: u: `bad.service` has failed
    TimedOut never active: u: not within 1 s: `off.service` is inactive
    Passed no systemd: rm: printed nothing
    Failed no systemd: u: the guest has no `systemctl`
    Passed address: later: printed nothing
    Passed address: ip: `lo` has 10.1.2.3
    Passed only link-local: add: printed nothing
    TimedOut only link-local: ip: not within 1 s: 1: lo    inet 169.254.1.1/16 scope global lo\       valid_lft forever preferred_lft forever
    TimedOut no address: ip: not within 1 s: `lo` has no IPv4 address
    TimedOut no interface: ip: not within 1 s: ip: can't find device 'eth9'
    Passed file: later: printed nothing
    Passed file: f: `/tmp/state` has DETAIL=by itself, STATE=applied
    Passed any file: f: `/init` is there
    TimedOut no file: f: not within 1 s: cat: can't open '/tmp/it's': No such file or directory
    Passed other value: w: printed nothing
    TimedOut other value: f: not within 1 s: `STATE` in `/tmp/state` must be `applied`, and is `pending`
    Passed no value: w: printed nothing
    TimedOut no value: f: not within 1 s: `DETAIL` in `/tmp/state` must be `x`, and is not there
    ");
}

#[test]
fn what_is_printed_copied_and_switched_is_seen() {
    let (seen, told) = decided(
        SYSTEM,
        &[
            (
                "console",
                r#"{"name": "later", "run": "(sleep 1; echo over >/dev/console) >/dev/null 2>&1 &"}, {"name": "says", "console": "over"}"#,
            ),
            ("silent console", r#"{"name": "says", "console": "over", "within": "1s"}"#),
            (
                "copies in",
                r#"{"name": "in", "copy-in": {"from": "./file", "to": "/tmp/a b"}},
            {"name": "runs", "run": "'/tmp/a b' 1 2", "equals": "from the host 1 2"}"#,
            ),
            ("nowhere", r#"{"name": "in", "copy-in": {"from": "./file", "to": "/nowhere/file"}}"#),
            (
                "copies out",
                r#"{"name": "makes", "run": "printf 'a\\000\\377\\r\\n\\033[1m' >/tmp/out"}, {"name": "out", "copy-out": {"from": "/tmp/out", "to": "out-bin"}}"#,
            ),
            ("nothing to copy", r#"{"name": "out", "copy-out": {"from": "/tmp/out", "to": "out-bin"}}"#),
            (
                "reboots",
                r#"{"name": "r", "reboot": true}, {"name": "is back", "run": "wc -l </proc/uptime", "equals": "1"}"#,
            ),
            (
                "does not reboot",
                r#"{"name": "rm", "run": "touch /stays"}, {"name": "r", "reboot": true, "within": "1s"}, {"name": "not reached", "run": "true"}"#,
            ),
            ("switches off", r#"{"name": "o", "power-off": true}"#),
            (
                "is not off",
                r#"{"name": "rm", "run": "touch /stays"}, {"name": "o", "power-off": true, "within": "1s"}"#,
            ),
            ("reboots instead", r#"{"name": "rm", "run": "touch /turns"}, {"name": "o", "power-off": true}"#),
            (
                "is off too early",
                r#"{"name": "o", "run": "poweroff -f"}, {"name": "not reached", "run": "true"}"#,
            ),
        ],
    );
    let told = regex_lite::Regex::new(r"after [0-9.]+ s|`/[^`]*/kept")
        .unwrap()
        .replace_all(&told, "[varies]")
        .into_owned();
    insta::assert_snapshot!(told, @"
    Passed is up: printed nothing
    Passed console: later: printed nothing
    Passed console: says: -
    TimedOut silent console: says: `over` was not on the console within 1 s; its console said last: `/ #`
    Passed copies in: in: 34 bytes are in `/tmp/a b`
    Passed copies in: runs: printed `from the host 1 2`
    Failed nowhere: in: `/nowhere/file` is not what it must be (1): chmod: /nowhere/file: No such file or directory
    Passed copies out: makes: printed nothing
    Passed copies out: out: 9 bytes, sha256 dbdeefe944b2614a8e58491b6af36cb111546eaea3e8e7f938a96e70bd92ade7, in [varies]/05-copies-out/out-bin`
    Failed nothing to copy: out: cat: can't open '/tmp/out': No such file or directory
    Passed reboots: r: shell again [varies]
    Passed reboots: is back: printed `1`
    Passed does not reboot: rm: printed nothing
    TimedOut does not reboot: r: the guest did not reboot within 1 s; its console said last: `/ #`
    NotRun does not reboot: not reached: not reached: `r` took too long
    Passed switches off: o: the machine was switched off (guest-shutdown) [varies]
    Passed is not off: rm: printed nothing
    TimedOut is not off: o: the guest was not off [varies]; its console said last: `/ #`
    Passed reboots instead: rm: printed nothing
    Failed reboots instead: o: the guest reset itself (guest-reset) although nobody asked for it; its console said last: `[time] reboot: Restarting system`
    Failed is off too early: o: the guest switched itself off (guest-shutdown) before its checks were decided; its console said last: `[time] reboot: Power down`
    NotRun is off too early: not reached: the guest switched itself off (guest-shutdown) before its checks were decided; its console said last: `[time] reboot: Power down`
    ");
    assert!(
        seen.kept.iter().any(|(name, bytes)| name.ends_with("out-bin") && bytes == b"a\0\xFF\r\n\x1B[1m")
    );
}

/// What the guest knows about a check that is not good is kept, and the check says what it would have said without.
#[test]
fn a_unit_that_failed_is_told_with_what_its_guest_knows() {
    let (seen, told) = decided(SYSTEM, &[("bad", r#"{"name": "is active", "wait-unit": "bad.service"}"#)]);
    insta::assert_snapshot!(told, @"
    Passed is up: printed nothing
    Failed bad: is active: `bad.service` has failed
    ");
    let kept: Vec<_> =
        seen.kept.iter().map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes))).collect();
    let about = |what: &str| {
        kept.iter().find(|(name, _)| name.contains(what)).map(|(_, text)| text.trim().to_owned())
    };
    assert_eq!(
        about("status").as_deref(),
        Some("bad.service - Bad\n   Active: failed (Result: exit-code)"),
        "{kept:?}"
    );
    assert_eq!(about("failed-units").as_deref(), Some("bad.service loaded failed failed Bad"), "{kept:?}");
    // The guest has no journal, and nothing is kept that says so.
    assert_eq!(about("journal"), None, "{kept:?}");
}

/// A machine that has not what a check looks at is a mistake of the plan, told before anything starts.
#[test]
fn a_check_that_its_machine_cannot_pass_is_told_before_anything_starts() {
    let failure = |check: &str, machine: &str| {
        let step = format!(
            r#"{{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{{"name": "a", {check}}}]}}"#
        );
        let seen = boot_reply(Reply::ok(""), &step, machine);
        assert_eq!(seen.class(), Some(Class::Plan), "{}", seen.failure());
        seen.failure()
    };
    let all = [
        failure(r#""screen": "x""#, r#"{"accel": "tcg"}"#),
        failure(r#""screenshot": {}"#, r#"{"accel": "tcg"}"#),
        failure(r#""screen": "x""#, r#"{"arch": "aarch64", "screen": true}"#),
        failure(r#""ssh": "true""#, r#"{"accel": "tcg"}"#),
        failure(r#""ssh": "true""#, r#"{"accel": "tcg", "net": {"forward": {"web": 80}}}"#),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    error: check `a` looks at the screen, and its machine has none: add `screen = true` to it
    error: check `a` looks at the screen, and its machine has none: add `screen = true` to it
    error: check `a` looks for text on the screen, which only a PC has: look at the `console`, or take a `screenshot`
    error: check `a` needs SSH, and nothing leads to port 22 of its machine: add `net = { forward = { ssh = 22 } }` to it
    error: check `a` needs SSH, and nothing leads to port 22 of its machine: add `net = { forward = { ssh = 22 } }` to it
    ");
}
