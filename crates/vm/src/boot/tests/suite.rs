//! Tests that go on from a machine that was saved.

use bootway_exec::Cx;

use super::*;

mod cancelled;
mod channels;
mod damaged;
mod shared;

/// A step with tests that runs again and again, with what was kept before.
struct Runs<'a> {
    sandbox: Sandbox<'a>,
    step: step::Vm,
    machines: Machines,
}

/// What `/init` does before it starts a shell, where there is a disk.
const DISK: [&str; 6] =
    ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"];

/// Its clock is wrong when it is saved.
const READY: &str = r#"{"name": "is up", "run": "date -s @1000000000 +up", "equals": "up"}"#;

static RUNNER: std::sync::LazyLock<SystemRunner> = std::sync::LazyLock::new(SystemRunner::default);

impl Runs<'_> {
    /// Boots busybox; `keys` are the step's beside what starts, `machine` those of the machine.
    fn new(keys: &str, machine: &str) -> Self {
        let mut sandbox = Sandbox::new(&*RUNNER);
        let initrd = sandbox.root().join("initrd");
        let busybox =
            fs_err::read("/bin/busybox").expect("install busybox-static: `apt-get install busybox-static`");
        let modules: Vec<_> = DISK.map(|name| (format!("{name}.ko"), exact::module(name))).into();
        let load: String = DISK.iter().map(|name| format!("insmod /{name}.ko\n")).collect();
        let init = format!("#!/bin/busybox sh\n{}", SHELL.replace("while", &format!("{load}while")));
        let mut files: Vec<(&str, &[u8])> = vec![("bin/busybox", &busybox), ("init", init.as_bytes())];
        files.extend(modules.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        fs_err::write(&initrd, cpio::archive(&files)).unwrap();
        add(&mut sandbox, "initrd", initrd);
        add(&mut sandbox, "vmlinuz", kernel());
        let step = format!(
            r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "machine": "m",
                "cmdline": "console=ttyS0 panic=-1 quiet no_timer_check", "check": [{READY}], {keys}}}"#
        );
        let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {machine} {GENEROUS}}}"#);
        let (step, machines) = parse(&step, &machine);
        Self { sandbox, step, machines }
    }

    fn run(&self) -> Seen {
        self.run_with(|cx| cx)
    }

    /// Runs with another context; only what happened in this run was seen.
    fn run_with<'a>(&'a self, change: impl FnOnce(Cx<'a>) -> Cx<'a>) -> Seen {
        let before = self.sandbox.events().len();
        let result = vm(&change(self.sandbox.cx()), &self.step, &self.machines, &no_loader);
        Seen { result, events: self.sandbox.events().split_off(before), disk: None, kept: Vec::new() }
    }

    /// What is kept.
    fn kept(&self) -> Vec<Utf8PathBuf> {
        kept(self.sandbox.cx().cache)
    }
}

fn kept(cache: &Utf8Path) -> Vec<Utf8PathBuf> {
    let dirs = cache.join("vm").read_dir_utf8().into_iter().flatten();
    dirs.map(|entry| entry.unwrap().into_path()).collect()
}

impl Seen {
    fn assert_good(&self) {
        let lines = self.console().join("\n");
        assert!(self.result.is_ok(), "{}\n{}\n{}\n{lines}", self.failure(), self.checks(), self.notes());
    }

    fn notes(&self) -> String {
        let note = |event: &EventKind| match event {
            EventKind::Note { text } => Some(format!("{text}\n")),
            _ => None,
        };
        self.events.iter().filter_map(note).collect()
    }

    /// QEMUs that were started with this on their line.
    fn started_with(&self, option: &str) -> usize {
        let with = |event: &&EventKind| matches!(event, EventKind::Command { line } if line.contains(option));
        self.events.iter().filter(with).count()
    }

    /// How many machines were booted to be saved, how many were restored, and how many were booted for themselves.
    fn began(&self) -> (usize, usize, usize) {
        let all = self.started_with("-nodefaults");
        let (saved, restored) = (self.started_with("share=on"), self.started_with("-incoming"));
        (saved, restored, all - saved - restored)
    }

    /// What checks printed whose name ends so.
    fn printed(&self, check: &str) -> Vec<String> {
        let of = |event: &EventKind| match event {
            EventKind::Check { name, verdict: Verdict::Passed, detail: Some(detail), .. }
                if name.ends_with(check) =>
            {
                Some(detail.trim_start_matches("printed ").trim_matches('`').to_owned())
            }
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

/// `"test": […]` of tests with these names and a check.
fn tests(names: &[&str]) -> String {
    let test = |name: &&str| {
        format!(
            r#"{{"name": "{name}", "check": [{{"name": "adds", "run": "echo $((1+1))", "equals": "2"}}]}}"#
        )
    };
    format!(r#""test": [{}]"#, names.iter().map(test).collect::<Vec<_>>().join(","))
}

#[expect(clippy::disallowed_methods, reason = "guests are to have the time of this host")]
fn seconds_since_1970() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn tests_see_nothing_of_each_other_and_a_second_run_boots_nothing() {
    let test = |name: &str| {
        format!(
            r#"{{"name": "{name}", "check": [
                {{"name": "no file of another", "run": "ls /mark", "exit": 1, "contains": "No such file"}},
                {{"name": "no bytes of another", "run": "head -c 16 /dev/vda | tr -d '\\0' | wc -c", "equals": "0"}},
                {{"name": "writes to memory", "run": "echo {name} >/mark; cat /mark", "equals": "{name}"}},
                {{"name": "writes to the disk", "equals": "{name}",
                  "run": "printf {name} | dd of=/dev/vda conv=fsync,notrunc 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; head -c 1 /dev/vda"}},
                {{"name": "random", "run": "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '", "matches": "^[0-9a-f]{{32}}$"}},
                {{"name": "uuid", "run": "cat /proc/sys/kernel/random/uuid"}},
                {{"name": "time", "run": "date +%s"}}
            ]}}"#
        )
    };
    let all = ["a", "b", "c"].map(test).join(",");
    let runs =
        Runs::new(&format!(r#""snapshot": "required", "test": [{all}]"#), r#""disk": [{"size": "64MiB"}],"#);
    let mut drawn = Vec::new();
    for began in [(1, 3, 0), (0, 3, 0)] {
        let before = seconds_since_1970();
        let seen = runs.run();
        seen.assert_good();
        assert_eq!(seen.began(), began, "{}", seen.notes());
        let after = seconds_since_1970();
        let times = seen.printed(": time");
        let is_now = |time: &String| (before..=after).contains(&time.parse().unwrap());
        assert!(times.len() == 3 && times.iter().all(is_now), "{before} {times:?} {after}");
        drawn.extend(seen.printed(": random"));
        drawn.extend(seen.printed(": uuid"));
    }
    let count = drawn.len();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!((count, drawn.len()), (12, 12), "no two guests draw the same: {drawn:?}");
}

#[test]
fn a_machine_that_cannot_be_saved_is_booted_for_each_test_and_it_is_said_why() {
    let mut runs = Runs::new(&tests(&["a", "b"]), r#""disk": [{"size": "64MiB", "attach": "nvme"}],"#);
    let seen = runs.run();
    seen.assert_good();
    assert_eq!(seen.began(), (0, 0, 2));
    assert!(
        seen.notes()
            .contains("each test boots: the machine cannot be saved: QEMU cannot save an NVMe disk\n"),
        "{}",
        seen.notes()
    );
    assert_eq!(seen.printed("is up"), ["up"], "the checks of the step are told once: {}", seen.checks());
    assert_eq!(runs.kept(), [""; 0]);

    runs.step.snapshot = step::Snapshot::Required;
    let seen = runs.run();
    insta::assert_snapshot!(seen.story(), @"
    NotRun a: adds: the machine cannot be saved: QEMU cannot save an NVMe disk
    NotRun b: adds: the machine cannot be saved: QEMU cannot save an NVMe disk
    NotRun is up: the machine cannot be saved: QEMU cannot save an NVMe disk

    error: the machine cannot be saved: QEMU cannot save an NVMe disk
      hint: leave out `snapshot`, and each test boots a machine of its own
    ");
    assert_eq!(seen.class(), Some(Class::Environment));
    assert_eq!(seen.began(), (0, 0, 0));

    runs.step.snapshot = step::Snapshot::Never;
    let seen = runs.run();
    seen.assert_good();
    assert_eq!(seen.began(), (0, 0, 2));
}

/// As many tests at a time as the step may use processors, and as many machines that wait for theirs.
#[test]
fn no_more_machines_run_at_once_than_tests_and_those_that_are_next() {
    let runs = Runs::new(&tests(&["a", "b", "c", "d", "e"]), "");
    for jobs in [1, 2, 3] {
        let seen = runs.run_with(|cx| Cx { jobs, ..cx });
        seen.assert_good();
        let (mut now, mut most) = (std::collections::BTreeSet::new(), 0);
        for event in &seen.events {
            match event {
                EventKind::Command { line } if line.contains("-incoming") => {
                    let dir = line.split(" && ").next().unwrap().to_owned();
                    let at: usize = dir.rsplit_once("/test-").unwrap().1.parse().unwrap();
                    now.insert(["a", "b", "c", "d", "e"][at]);
                }
                EventKind::Check { name, .. } if name.ends_with(": adds") => {
                    assert!(now.remove(&name[..1]), "{name} did not begin");
                }
                _ => {}
            }
            most = most.max(now.len());
        }
        assert!((1..=2 * jobs).contains(&most), "{most} at once");
        assert!(now.is_empty(), "{now:?}");
    }
}
