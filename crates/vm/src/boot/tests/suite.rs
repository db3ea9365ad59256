//! Tests that go on from a machine that was saved.

use super::*;

/// Boots busybox with `tests`.
fn suite(init: &str, machine: &str, more: &str) -> Seen {
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1 quiet",
            "machine": "m", "check": [{{"name": "is up", "run": "echo up", "equals": "up"}}], {more}}}"#
    );
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {machine}}}"#);
    boot_files(&SystemRunner::default(), &step, &machine, &[("initrd", &initramfs(init))], |_| {})
}

#[test]
fn tests_go_on_from_a_saved_machine_and_see_nothing_of_each_other() {
    let test = |name: &str| {
        format!(
            r#"{{"name": "{name}", "check": [
                {{"name": "nobody was here", "run": "ls /mark", "exit": 1, "contains": "No such file"}},
                {{"name": "leaves a mark", "run": "touch /mark; head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '", "matches": "^[0-9a-f]{{32}}$"}},
                {{"name": "knows the time", "run": "date +%s", "matches": "^[0-9]+$"}}
            ]}}"#
        )
    };
    let seen = suite(
        SHELL,
        GENEROUS,
        &format!(r#""snapshot": "required", "test": [{}, {}, {}]"#, test("a"), test("b"), test("c")),
    );
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
    let said = |check: &str| -> Vec<String> {
        let of = |event: &EventKind| match event {
            EventKind::Check { name, verdict: Verdict::Passed, detail: Some(detail), .. }
                if name.ends_with(check) =>
            {
                Some(detail.clone())
            }
            _ => None,
        };
        seen.events.iter().filter_map(of).collect()
    };
    let random = said("leaves a mark");
    assert_eq!(random.len(), 3, "{}", seen.checks());
    assert!(random[0] != random[1] && random[1] != random[2] && random[0] != random[2], "{random:?}");
    assert_eq!(said("nobody was here").len(), 3);
    for event in &seen.events {
        if let EventKind::Note { text } = event {
            println!("{text}");
        }
    }
    println!("{:?}", said("knows the time"));
}
