use std::collections::BTreeMap;

use bootway_exec::{Input, Reply, Sandbox, ScriptedRunner, Tool};
use bootway_plan::{
    ArtifactKind, Bytes, Name,
    step::{MachineSpec, Machines},
};

use super::*;

const QEMU: &str = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022\n";

const STEP: &str = r#"{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "disk": [{"image": "./disk"}],
    "cmdline": "quiet", "machine": "m", "check": [{"name": "up", "run": "true"}], "test": []}"#;

const MACHINE: &str = r#"{"accel": "tcg", "memory": "256MiB", "cpus": 1, "net": {"forward": {"web": 80}}}"#;

/// What a machine is made of, to be changed in one thing each.
#[derive(Clone)]
struct Made {
    step: String,
    machine: String,
    qemu: String,
    accel: AccelKind,
    disk: &'static str,
    /// The directory of the disk.
    place: &'static str,
    vars: Option<&'static str>,
}

impl Made {
    fn new() -> Self {
        Self {
            step: STEP.to_owned(),
            machine: MACHINE.to_owned(),
            qemu: QEMU.to_owned(),
            accel: AccelKind::Tcg,
            disk: "disk",
            place: "one",
            vars: None,
        }
    }

    fn step(from: &str, to: &str) -> Self {
        assert!(STEP.contains(from));
        Self { step: STEP.replace(from, to), ..Self::new() }
    }

    fn machine(from: &str, to: &str) -> Self {
        assert!(MACHINE.contains(from));
        Self { machine: MACHINE.replace(from, to), ..Self::new() }
    }

    /// The key, below `root`, where all files are.
    fn key(&self, root: &Utf8Path) -> Key {
        let runner = ScriptedRunner::default().on(Tool::QemuX86, Reply::ok(&self.qemu));
        let mut sandbox = Sandbox::new(&runner);
        for name in ["vmlinuz", "initrd", "disk"] {
            let dir = if name == "disk" { root.join(self.place) } else { root.to_owned() };
            fs_err::create_dir_all(&dir).unwrap();
            let path = dir.join(name);
            fs_err::write(&path, name).unwrap();
            let content = if name == "disk" { self.disk } else { name };
            let input = Input {
                path,
                kind: ArtifactKind::File,
                digest: Digest::of(content.as_bytes()),
                size: Bytes::new(4),
                made: false,
            };
            sandbox.inputs.insert(format!("./{name}").parse().unwrap(), input);
        }
        let step: step::Vm = serde_json::from_str(&self.step).unwrap();
        let machine: MachineSpec = serde_json::from_str(&self.machine).unwrap();
        let machines: Machines = BTreeMap::from([(Name::fixed("m"), machine)]);
        let cx = sandbox.cx();
        let mut setup = Setup::of(&cx, &step, &machines).unwrap();
        setup.host.accel = self.accel;
        setup.host.firmware = self.vars.map(|vars| {
            let [code, path] = ["code", "vars"].map(|name| root.join(name));
            fs_err::write(&code, "code").unwrap();
            fs_err::write(&path, vars).unwrap();
            crate::FirmwareFiles { code, vars: path }
        });
        Key::of(&cx, &step, &setup).unwrap()
    }
}

#[test]
fn whatever_a_machine_depends_on_makes_it_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    let key = |made: Made| made.key(root).digest;
    let first = key(Made::new());
    assert_eq!(first, key(Made::new()), "it is a name");
    let others = [
        ("another QEMU", Made { qemu: QEMU.replace("7.2.22", "7.2.23"), ..Made::new() }),
        ("another build of QEMU", Made { qemu: QEMU.replace("u18", "u19"), ..Made::new() }),
        ("-cpu and -accel", Made { accel: AccelKind::Kvm, ..Made::new() }),
        ("-m", Made::machine("256MiB", "257MiB")),
        ("-smp", Made::machine("\"cpus\": 1", "\"cpus\": 2")),
        ("-netdev", Made::machine(r#""forward""#, r#""isolated": true, "forward""#)),
        ("a disk more", Made::machine(r#""cpus""#, r#""disk": [{"size": "1GiB"}], "cpus""#)),
        ("a shell elsewhere", Made::machine(r#""cpus""#, r#""channel": "port", "cpus""#)),
        ("another prompt", Made::machine(r#""cpus""#, r#""login": {"shell": "% "}, "cpus""#)),
        ("another image", Made { disk: "other", ..Made::new() }),
        ("the image elsewhere", Made { place: "two", ..Made::new() }),
        ("-append", Made::step("quiet", "debug")),
        ("another check", Made::step("\"true\"", "\"false\"")),
        ("UEFI", Made { vars: Some("a"), ..Made::new() }),
        ("other variables of it", Made { vars: Some("b"), ..Made::new() }),
    ];
    let mut seen = BTreeMap::from([(first, "the first")]);
    for (what, made) in others {
        let before = seen.insert(key(made), what);
        assert_eq!(before, None, "{what} is the same");
    }
    let test = Made::step("\"test\": []", r#""test": [{"name": "a", "check": []}]"#);
    assert_eq!(first, key(test), "a test does not make the machine another one");
}

#[test]
fn memory_is_a_file_that_qemu_only_reads_where_it_can() {
    let seals = |said: &str| Version::of(said).maps_sealed_files();
    assert!(!seals(QEMU));
    assert!(!seals("QEMU emulator version 8.1.9\n"));
    assert!(seals("QEMU emulator version 8.2.0 (Debian 1:8.2.0+ds-1)\n"));
    assert!(seals("QEMU emulator version 10.0.2\n"));
    assert!(!seals("something else"));
    assert!(!seals("QEMU emulator version eight\n"));
    assert_eq!(Version::of(QEMU), Version { major: 7, minor: 2 });
    let line = |sealed| {
        let step: step::Vm = serde_json::from_str(STEP).unwrap();
        let machine = crate::Machine::resolve(None, &Machines::new(), step.boot).unwrap();
        let host = crate::Host { accel: AccelKind::Tcg, firmware: None };
        let memory = Memory::Restored { file: "/kept/ram".into(), sealed };
        let cmd = crate::command::command(
            &machine,
            step.boot,
            &crate::Media::default(),
            &host,
            memory,
            Utf8Path::new("/s"),
        );
        let line = cmd.to_string();
        let object = line.split(" -object ").nth(1).unwrap();
        object.split(' ').next().unwrap().to_owned()
    };
    insta::assert_snapshot!(line(false), @"memory-backend-file,id=pc.ram,size=512M,share=off,mem-path=/kept/ram");
    insta::assert_snapshot!(line(true), @"memory-backend-file,id=pc.ram,size=512M,share=off,readonly=on,rom=off,mem-path=/kept/ram");
}
