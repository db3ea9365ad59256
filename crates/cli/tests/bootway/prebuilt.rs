//! Pre-build, install, test: what guests run is built once by Nix, put into their store, and tests only boot.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{
    project::{Run, program, run},
    testing::{TestNix, derivation, packages},
};

const PROFILES: [&str; 4] = ["broken", "config", "help", "themes"];

/// What is built: programs of four profiles, which read a file of another path of the store.
fn flake(nix: &TestNix, greeting: &str) {
    let library = derivation("library", &format!("mkdir $out; echo 'greeting=\"{greeting}\"' > $out/lib.sh"));
    let programs: String = PROFILES
        .iter()
        .map(|name| {
            let code = u8::from(*name == "broken");
            format!(
                "echo '#!/bin/sh' > $out/bin/{name}; echo \". ${{library}}/lib.sh\" >> $out/bin/{name}\n\
                 echo 'echo \"$greeting: {name}\"; exit {code}' >> $out/bin/{name}\nchmod +x $out/bin/{name}\n"
            )
        })
        .collect();
    let profiles = derivation("profiles", &format!("mkdir -p $out/bin\n{programs}"));
    let profiles = format!("(let library = {library}; in {profiles})");
    nix.flake("vm", &packages(&[("profiles", &profiles)]));
}

/// The newest kernel of this machine.
fn kernel() -> Utf8PathBuf {
    if let Ok(path) = std::env::var("BOOTWAY_TEST_KERNEL") {
        return path.into();
    }
    let entries = Utf8Path::new("/boot").read_dir_utf8().into_iter().flatten().flatten();
    let kernels = entries.map(camino::Utf8DirEntry::into_path);
    let newest =
        kernels.filter(|path| path.file_name().is_some_and(|name| name.starts_with("vmlinuz-"))).max();
    newest.expect("install a kernel: `cargo xtask setup`, or `apt-get install linux-image-cloud-amd64`")
}

/// A plan of three phases, whose tests are profiles of one machine.
fn write_plan(nix: &TestNix) {
    let root = nix.root();
    fs_err::copy(kernel(), root.join("vmlinuz")).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs_err::read(path).ok());
    let busybox = busybox.expect("install busybox-static: `apt-get install busybox-static`");
    fs_err::create_dir_all(root.join("early/bin")).unwrap();
    fs_err::write(root.join("early/bin/busybox"), busybox).unwrap();
    let store = nix.store();
    let above = store.parent().unwrap();
    let init = format!(
        "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p /proc /sys /dev {above}\n\
         mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev\n\
         ln -s /nix/store {store}\nwhile :; do setsid cttyhack sh; done\n"
    );
    nix.write(&root.join("early/init"), &init);
    let mut text = "format = 1\nname = \"prebuilt\"\nepoch = 1735689600\ndefault-phase = \"all\"\n\
        nix = { flake = \"path:./flakes/vm\", substituters = [] }\n\
        [machine.m]\naccel = \"tcg\"\nmemory = \"256MiB\"\n\
        limits = { boot = \"5min\", check = \"5min\", power-off = \"5min\" }\n\
        [[phase]]\nname = \"pre-build\"\n[[phase.step]]\nname = \"profiles\"\n\
        nix-build = { attribute = \"profiles\", kind = \"tree\" }\n\
        [[phase]]\nname = \"install\"\n[[phase.step]]\nname = \"store\"\n\
        closure = { roots = [\"profiles\"], verify = \"hashes\" }\n\
        [[phase.step]]\nname = \"early\"\n[phase.step.tree]\nfrom = [\"./early\", \"store\"]\n\
        edits = [\n{ chmod = { path = \"init\", mode = \"0755\" } },\n\
        { chmod = { path = \"bin/busybox\", mode = \"0755\" } },\n]\n\
        [[phase.step]]\nname = \"initrd\"\ninitramfs = { from = [\"early\"] }\n\
        [[phase]]\nname = \"test\"\n"
        .to_owned();
    for name in PROFILES {
        text += &format!(
            "[[phase.step]]\nname = \"test-{name}\"\n[phase.step.vm]\nboot = \"kernel\"\nkernel = \"./vmlinuz\"\n\
             initrd = \"initrd\"\ncmdline = \"console=ttyS0 panic=-1 quiet no_timer_check\"\nmachine = \"m\"\n\
             snapshot = \"required\"\n\
             check = [{{ name = \"the store is there\", run = \"ls -d /nix/store/*-profiles\" }}]\n\
             [[phase.step.vm.test]]\nname = \"{name}\"\n\
             check = [{{ name = \"runs\", run = \"/nix/store/*-profiles/bin/{name}\", contains = \"BOOT-DEMO: {name}\" }}]\n"
        );
    }
    nix.write(&root.join("plan.toml"), &text);
}

/// Builds one phase, and what it needs; with `jobs` of Nix, none of which means that nothing can be built.
fn build(nix: &TestNix, phase: &str, jobs: u8) -> Run {
    let mut env: BTreeMap<String, String> = nix.env();
    env.get_mut("NIX_CONFIG").unwrap().push_str(&format!("\nmax-jobs = {jobs}\nbuilders =\n"));
    let mut command = program(env!("CARGO_BIN_EXE_bootway"));
    command.args(["build", "plan.toml", "--phase", phase, "--keep-going"]);
    run(command.current_dir(nix.root()).envs(env).env("CI", "1"))
}

/// What the last run told: its report, and its events.
fn told(nix: &TestNix) -> (Value, Vec<Value>) {
    let dir = nix.root().join(".bootway/prebuilt/runs/latest");
    let report = serde_json::from_slice(&fs_err::read(dir.join("report.json")).unwrap()).unwrap();
    let events = fs_err::read_to_string(dir.join("events.jsonl")).unwrap();
    (report, events.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Lines of programs that steps of the phase `test` have started.
fn started(events: &[Value]) -> Vec<String> {
    let of = |event: &Value| {
        let is_test = event["step"].as_str().is_some_and(|step| step.starts_with("test-"));
        let line = event["kind"]["command"]["line"].as_str().filter(|_| is_test);
        line.map(str::to_owned)
    };
    events.iter().filter_map(of).collect()
}

fn step<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

/// D.5.7 and D.5.6.
#[test]
fn profiles_of_a_prebuilt_guest_are_tested_and_nothing_is_built() {
    let nix = TestNix::new();
    flake(&nix, "BOOT-DEMO");
    write_plan(&nix);
    let installed = build(&nix, "install", 1);
    assert_eq!(installed.code, 0, "{}", installed.stderr);

    // Nix may build nothing from here on.
    let tested = build(&nix, "test", 0);
    let (report, events) = told(&nix);
    assert_eq!(tested.code, 6, "{}", tested.stderr);
    // The three good ones, and what was asked before the machine was saved.
    assert!(tested.stderr.contains("checks 4 passed, 1 failed"), "{}", tested.stderr);
    let lines = started(&events);
    let with = |lines: &[String], option: &str| lines.iter().filter(|line| line.contains(option)).count();
    assert!(lines.iter().all(|line| line.contains("qemu-system-x86_64")), "{lines:#?}");
    assert_eq!(with(&lines, "share=on"), 1, "one is booted and saved, for all and for the next run");
    assert_eq!(with(&lines, "-incoming"), PROFILES.len());
    for name in PROFILES {
        let tested = step(&report, &format!("test-{name}"));
        let log = tested["console"].to_string();
        assert!(log.contains(&format!("BOOT-DEMO: {name}")), "{name}: {tested:#}");
        assert_eq!(tested["state"].to_string().contains("failed"), name == "broken", "{tested:#}");
        assert!(tested.to_string().contains("\"restore\""), "its time is recorded: {tested:#}");
    }
    assert!(step(&report, "profiles")["state"].to_string().contains("cached"), "{report:#}");

    // The next run has the verdicts that were good, and asks the others again, of the machine that is there.
    let tested = build(&nix, "test", 0);
    let (_, events) = told(&nix);
    assert_eq!(tested.code, 6, "{}", tested.stderr);
    assert!(tested.stderr.contains("cached 7, failed 1, checks 1 failed"), "{}", tested.stderr);
    let lines = started(&events);
    assert_eq!((with(&lines, "share=on"), with(&lines, "-incoming")), (0, 1));

    // What would have to be built first is not built, and no test is taken for one of what is there.
    flake(&nix, "NEW");
    let tested = build(&nix, "test", 0);
    let (report, events) = told(&nix);
    assert_eq!(tested.code, 5, "{}", tested.stderr);
    assert_eq!(started(&events), [""; 0]);
    assert!(step(&report, "profiles")["state"].to_string().contains("failed"), "{report:#}");
}
