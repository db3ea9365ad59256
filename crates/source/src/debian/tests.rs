use bootway_exec::{Cx, Sandbox, ScriptedRunner, SystemRunner, run};
use bootway_plan::{Failure, step};

use super::*;
use crate::{
    archive::tests::{Tar, listing, package, xz},
    test_server::{Page, Server},
};

/// A small signed archive behind a web server.
struct Archive {
    server: Server,
    /// The keys that sign it.
    keyring: Utf8PathBuf,
    gnupg: GnupgHome,
}

/// A directory with a throwaway key.
pub(super) struct GnupgHome(tempfile::TempDir);

impl GnupgHome {
    pub(super) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.gpg(
            "gpg",
            &["--quick-generate-key", "Test archive <test@example.org>", "ed25519", "sign", "never"],
        );
        home.gpg("gpg", &["--output", &home.path("keyring.gpg"), "--export"]);
        home
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn gpg(&self, program: &str, args: &[&str]) {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let quiet: &[&str] =
            if program == "gpg" { &["--batch", "--yes", "--quiet", "--passphrase", ""] } else { &[] };
        let cmd = Cmd::user(program)
            .args(["--homedir", &self.path("")])
            .args(quiet.iter().copied())
            .args(args.iter().copied());
        run(&sandbox.cx(), &cmd)
            .unwrap_or_else(|error| panic!("{error}: install it with `apt-get install gnupg gpgv`"));
    }

    pub(super) fn clear_sign(&self, text: &str) -> Vec<u8> {
        fs_err::write(self.path("Release"), text).unwrap();
        self.gpg("gpg", &["--output", &self.path("InRelease"), "--clearsign", &self.path("Release")]);
        fs_err::read(self.path("InRelease")).unwrap()
    }
}

impl Drop for GnupgHome {
    fn drop(&mut self) {
        // The agent is in a process group of its own.
        self.gpg("gpgconf", &["--kill", "all"]);
    }
}

/// Name, further fields, the file that is in it.
type Stanza = (&'static str, &'static str, &'static str);

const PACKAGES: [Stanza; 9] = [
    ("base-files", "Priority: required\n", "etc/debian_version"),
    ("busybox-static", "Provides: busybox (= 1.35)\n", "bin/busybox"),
    (
        "linux-image-6.1",
        "Depends: kmod | linux-initramfs-tool, initramfs-tools (>= 0.120+deb11u2)\n",
        "lib/modules/6.1/a.ko",
    ),
    ("kmod", "Pre-Depends: libc6:any (>= 2.36)\n", "usr/bin/kmod"),
    ("initramfs-tools", "Depends: mail-transport-agent, busybox (>= 1.30)\n", "etc/initramfs"),
    ("libc6", "", "usr/lib/libc.so.6"),
    ("exim4", "Priority: optional\nProvides: mail-transport-agent\n", "usr/bin/exim4"),
    ("qmail", "Priority: extra\nProvides: mail-transport-agent\n", "usr/bin/qmail"),
    ("broken", "Depends: kmod, nowhere | libc6 (>= 3)\n", "broken"),
];

impl Archive {
    fn new() -> Self {
        Self::with(&PACKAGES)
    }

    fn with(packages: &[Stanza]) -> Self {
        let server = Server::start();
        let gnupg = GnupgHome::new();
        let mut index = String::new();
        for (name, fields, file) in packages {
            let deb = deb(name, file);
            let path = format!("pool/{name}_1_amd64.deb");
            index += &format!(
                "Package: {name}\nVersion: 2.36-1\nArchitecture: amd64\nDescription: x\n continued: y\n{fields}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
                deb.len(),
                Digest::of(&deb),
            )
            .replace("Version: 2.36-1", if *name == "initramfs-tools" { "Version: 0.142" } else { "Version: 2.36-1" });
            server.put(&format!("debian/{path}"), Page::Bytes(deb));
        }
        let index = xz(index.as_bytes());
        let release = format!(
            "Origin: Test\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64 arm64\nComponents: main contrib\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
            Digest::of(&index),
            index.len(),
        );
        server.put("debian/dists/bookworm/InRelease", Page::Bytes(gnupg.clear_sign(&release)));
        server.put("debian/dists/bookworm/main/binary-amd64/Packages.xz", Page::Bytes(index));
        let keyring = gnupg.path("keyring.gpg").into();
        Self { server, keyring, gnupg }
    }

    fn step(&self, packages: &[&str]) -> step::Debian {
        let json = serde_json::json!({ "packages": packages, "mirror": self.server.url("debian") });
        serde_json::from_value(json).unwrap()
    }

    fn files(&self) -> DebianFiles<'_> {
        DebianFiles { lock: "plan.lock".into(), keyring: &self.keyring }
    }

    /// What comes of it: the tree, or what is wrong.
    fn run(&self, cx: &Cx<'_>, step: &step::Debian) -> String {
        let text = match debian(cx, step, &self.files()) {
            Ok(outputs) => {
                let text = listing(&cx.out.join("tree.manifest"));
                fs_err::remove_dir_all(&outputs[0].path).unwrap();
                text
            }
            Err(error) => Failure::of(&error).to_string(),
        };
        let root = cx.plan_dir.parent().unwrap().as_str();
        self.server.anonymous(&text).replace(root, "").replace(self.keyring.as_str(), "/keyring.gpg")
    }

    /// The same in a sandbox of its own.
    fn outcome(&self, step: &step::Debian) -> String {
        let runner = SystemRunner::default();
        self.run(&Sandbox::new(&runner).cx(), step)
    }
}

fn deb(name: &str, file: &str) -> Vec<u8> {
    package("data.tar.xz", &Tar::default().dir("./").file(&format!("./{file}"), name).end())
}

#[test]
fn packages_are_locked_and_downloaded_ahead_of_time() {
    let Archive { server, keyring, gnupg: _gnupg } = &Archive::new();
    let files = DebianFiles { lock: "plan.lock".into(), keyring };
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let json = serde_json::json!({ "packages": ["kmod", "base-files"], "mirror": server.url("debian") });
    let step: step::Debian = serde_json::from_value(json).unwrap();
    let first = download_debian(&cx, (&step).into(), &files).unwrap();
    // The signed release, its index, and two packages.
    assert_eq!((first.had.files, first.came.files, first.retries), (0, 4, 0));
    assert_eq!(cx.out.read_dir_utf8().unwrap().count(), 0);
    let requests = server.requests().len();
    let second = download_debian(&cx, (&step).into(), &files).unwrap();
    assert_eq!((second.had.files, second.came.files), (2, 0));
    debian(&cx, &step, &files).unwrap();
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn what_is_locked_and_cached_needs_no_network() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let step = archive.step(&["linux-image-6.1", "base-files"]);
    let first = archive.run(&cx, &step);
    insta::assert_snapshot!(first, @"
    0755 / dir
    0755 /etc dir
    0644 /etc/debian_version 10 B
    0755 /lib dir
    0755 /lib/modules dir
    0755 /lib/modules/6.1 dir
    0644 /lib/modules/6.1/a.ko 15 B
    ");
    let lock = fs_err::read_to_string(cx.plan_dir.join("plan.lock")).unwrap();
    let masked = archive.server.anonymous(&lock);
    let masked = masked.replace(&Digest::of(&deb("base-files", "etc/debian_version")).to_string(), "DIGEST");
    let masked =
        masked.replace(&Digest::of(&deb("linux-image-6.1", "lib/modules/6.1/a.ko")).to_string(), "DIGEST");
    insta::assert_snapshot!(masked, @r#"
    {
      "format": 1,
      "debian": [
        {
          "suite": "bookworm",
          "arch": "amd64",
          "mirror": "http://server/debian",
          "components": ["main"],
          "dependencies": false,
          "packages": [
            "base-files",
            "linux-image-6.1"
          ],
          "date": "20260711T101637Z",
          "locked": [
            {"name":"base-files","version":"2.36-1","arch":"amd64","size":476,"sha256":"DIGEST","path":"pool/base-files_1_amd64.deb"},
            {"name":"linux-image-6.1","version":"2.36-1","arch":"amd64","size":484,"sha256":"DIGEST","path":"pool/linux-image-6.1_1_amd64.deb"}
          ]
        }
      ]
    }
    "#);
    let masked = |path: String| {
        path.split('/')
            .map(|name| if name.len() == 64 { "DIGEST" } else { name })
            .collect::<Vec<_>>()
            .join("/")
    };
    let mut asked: Vec<String> = archive.server.requests().into_iter().map(masked).collect();
    asked.sort();
    insta::assert_snapshot!(asked.join("\n"), @"
    debian/dists/bookworm/InRelease
    debian/dists/bookworm/main/binary-amd64/Packages.xz
    debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/DIGEST
    debian/pool/base-files_1_amd64.deb
    debian/pool/linux-image-6.1_1_amd64.deb
    ");

    let requests = archive.server.requests().len();
    assert!(locked(&cx.plan_dir.join("plan.lock"), (&step).into()).unwrap().is_some());
    // A runner without replies: nothing is started either.
    let scripted = ScriptedRunner::default();
    let again = archive.run(&Cx { runner: &scripted, ..cx }, &step);
    assert_eq!((again, scripted.to_string()), (first, String::new()));
    assert_eq!(archive.server.requests().len(), requests);
    assert_eq!(fs_err::read_to_string(cx.plan_dir.join("plan.lock")).unwrap(), lock);
}

#[test]
fn dependencies_come_too() {
    let archive = Archive::new();
    let step = step::Debian { dependencies: true, ..archive.step(&["linux-image-6.1"]) };
    insta::assert_snapshot!(archive.outcome(&step), @"
    0755 / dir
    0755 /bin dir
    0644 /bin/busybox 14 B
    0755 /etc dir
    0644 /etc/initramfs 15 B
    0755 /lib dir
    0755 /lib/modules dir
    0755 /lib/modules/6.1 dir
    0644 /lib/modules/6.1/a.ko 15 B
    0755 /usr dir
    0755 /usr/bin dir
    0644 /usr/bin/exim4 5 B
    0644 /usr/bin/kmod 4 B
    0755 /usr/lib dir
    0644 /usr/lib/libc.so.6 5 B
    ");
}

#[test]
fn a_chosen_alternative_is_not_chosen_again() {
    let archive = Archive::new();
    let step = step::Debian { dependencies: true, ..archive.step(&["initramfs-tools", "qmail"]) };
    let tree = archive.outcome(&step);
    assert!(tree.contains("/usr/bin/qmail") && !tree.contains("exim4"), "{tree}");
}

#[test]
fn what_cannot_be_met_is_named() {
    let archive = Archive::new();
    let step = step::Debian { dependencies: true, ..archive.step(&["broken"]) };
    insta::assert_snapshot!(archive.outcome(&step), @"error: `broken` depends on `nowhere | libc6`, which is not there: add a component or a suite that has it");
}

#[test]
fn unknown_packages_have_neighbours() {
    let archive = Archive::new();
    insta::assert_snapshot!(archive.outcome(&archive.step(&["busybox-statik"])), @"error: there is no package `busybox-statik` in bookworm main (amd64): did you mean `busybox-static`?");
    insta::assert_snapshot!(archive.outcome(&archive.step(&["mail-transport-agent"])), @"error: there is no package `mail-transport-agent` in bookworm main (amd64): it is provided by `exim4`, `qmail`");
    insta::assert_snapshot!(archive.outcome(&archive.step(&["zzz"])), @"error: there is no package `zzz` in bookworm main (amd64): look for it at packages.debian.org");
}

#[test]
fn only_the_new_request_is_resolved() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    archive.run(&cx, &archive.step(&["kmod"]));
    let path = cx.plan_dir.join("plan.lock");
    let before = LockFile::read(&path).unwrap();
    archive.run(&cx, &archive.step(&["libc6", "kmod"]));
    let after = LockFile::read(&path).unwrap();
    let request = |packages: &[&str]| Request::of(&archive.step(packages));
    assert_eq!(before.packages(&request(&["kmod"])), after.packages(&request(&["kmod"])));
    assert!(before.packages(&request(&["kmod", "libc6"])).is_none());
    assert!(after.packages(&request(&["kmod", "libc6"])).is_some());
    // What is kept of the tree is no part of the question.
    let mut keeping = archive.step(&["kmod"]);
    keeping.keep = vec!["usr/bin".to_owned()];
    assert!(locked(&path, (&keeping).into()).unwrap().is_some());
    assert_eq!(cx.plan_dir.read_dir_utf8().unwrap().count(), 1, "something was left beside the lock file");
}

#[test]
fn runs_what_it_says() {
    let archive = Archive::new();
    let runner =
        ScriptedRunner::default().on(Tool::Gpgv, bootway_exec::Reply::exits(2).stderr("gpgv: BAD signature"));
    let sandbox = Sandbox::new(&runner);
    let error = archive.run(&sandbox.cx(), &archive.step(&["kmod"]));
    let preview: String = debian_commands(sandbox.cx().scratch, &archive.keyring)
        .iter()
        .map(|cmd| format!("$ {cmd}\n"))
        .collect();
    assert_eq!(runner.to_string(), preview);
    insta::assert_snapshot!(error, @"
    error: `http://server/debian/dists/bookworm/InRelease` has no good signature by a key in `/keyring.gpg`
      caused by: `gpgv --keyring /keyring.gpg --output /scratch/Release /scratch/InRelease` exited with code 2
      hint: the archive may have new keys: update `debian-archive-keyring`; else do not trust this mirror (what `gpgv` said is above)
    ");
}

#[test]
fn only_a_good_signature_is_believed() {
    let archive = Archive::new();
    let other = GnupgHome::new();
    let keyring: Utf8PathBuf = other.path("keyring.gpg").into();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let step = archive.step(&["kmod"]);
    let refused = |keyring: &Utf8Path| {
        let files = DebianFiles { keyring, ..archive.files() };
        debian(&sandbox.cx(), &step, &files).unwrap_err()
    };
    assert!(matches!(refused(&keyring), DebianError::Signature { source: RunError::Failed { .. }, .. }));
    insta::assert_snapshot!(Failure::of(&refused("/nowhere/keys.gpg".into())), @"
    error: there is no keyring `/nowhere/keys.gpg` to verify the archive's signature with
      hint: install it: `apt-get install debian-archive-keyring`
    ");
    // The right key, and one letter changed.
    let good = fs_err::read_to_string(archive.gnupg.path("InRelease")).unwrap();
    let changed = good.replace("Origin: Test", "Origin: Tess");
    archive.server.put("debian/dists/bookworm/InRelease", Page::Bytes(changed.into_bytes()));
    assert!(matches!(
        refused(&archive.keyring),
        DebianError::Signature { source: RunError::Failed { .. }, .. }
    ));
    assert!(!sandbox.cx().plan_dir.join("plan.lock").exists());
}

#[test]
fn a_release_must_be_the_one_that_was_asked_for() {
    let archive = Archive::new();
    let signed = fs_err::read(archive.gnupg.path("InRelease")).unwrap();
    archive.server.put("debian/dists/trixie/InRelease", Page::Bytes(signed));
    let step = archive.step(&["kmod"]);
    insta::assert_snapshot!(archive.outcome(&step::Debian { suite: "trixie".to_owned(), ..step.clone() }), @"
    error: `http://server/debian/dists/trixie/InRelease` cannot be used: it is of suite `oldstable` (`bookworm`), not `trixie`
      hint: fix `suite`, `components`, `arch` or `mirror`
    ");
    insta::assert_snapshot!(archive.outcome(&step::Debian { arch: "riscv".to_owned(), ..step.clone() }), @"
    error: `http://server/debian/dists/bookworm/InRelease` cannot be used: it has nothing for `riscv`, only for `all`, `amd64`, `arm64`
      hint: fix `suite`, `components`, `arch` or `mirror`
    ");
    insta::assert_snapshot!(archive.outcome(&step::Debian { components: vec!["universe".to_owned()], ..step.clone() }), @"
    error: `http://server/debian/dists/bookworm/InRelease` cannot be used: it has no component `universe`, only `main`, `contrib`
      hint: fix `suite`, `components`, `arch` or `mirror`
    ");
    insta::assert_snapshot!(archive.outcome(&step::Debian { components: vec!["contrib".to_owned()], ..step.clone() }), @"error: the index of `bookworm` cannot be used: its release lists no `contrib/binary-amd64/Packages`");
    insta::assert_snapshot!(archive.outcome(&step::Debian { suite: "sid".to_owned(), ..step }), @"
    error: cannot download http://server/debian/dists/sid/InRelease: the server answers 404 Not Found
      hint: look at the network, at `http_proxy`, or name a mirror that has it; while there is a network, `bootway fetch` gets everything that the plan needs
    ");
}

#[test]
fn what_a_mirror_changes_is_not_taken() {
    let archive = Archive::new();
    let step = archive.step(&["kmod"]);
    let right = deb("kmod", "usr/bin/kmod");
    let mut wrong = right.clone();
    wrong[100] ^= 1;
    archive.server.put("debian/pool/kmod_1_amd64.deb", Page::Bytes(wrong.clone()));
    let said = archive.outcome(&step);
    let said = said
        .replace(&Digest::of(&wrong).to_string(), "GOT")
        .replace(&Digest::of(&right).to_string(), "WANTED");
    insta::assert_snapshot!(said, @"
    error: `http://server/debian/pool/kmod_1_amd64.deb` is the wrong file: its SHA-256 is `GOT`, and `WANTED` is wanted
      hint: the mirror is being updated or is not honest: try again later, or use another `mirror`
    ");
    archive.server.put("debian/pool/kmod_1_amd64.deb", Page::Bytes([&right[..], b"more"].concat()));
    assert!(archive.outcome(&step).contains("it sends more than the"));
    archive.server.put("debian/dists/bookworm/main/binary-amd64/Packages.xz", Page::Bytes(vec![0; 10]));
    assert!(archive.outcome(&step).contains("Packages.xz` is the wrong file"));
}

#[test]
fn what_ends_before_the_size_that_is_signed_is_tried_again() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let whole = deb("kmod", "usr/bin/kmod");
    let half = whole.len() / 2;
    archive.server.put("debian/pool/kmod_1_amd64.deb", Page::Unsaid(1, whole));
    assert!(archive.run(&sandbox.cx(), &archive.step(&["kmod"])).contains("/usr/bin/kmod"));
    let asked = archive.server.requests();
    let asked: Vec<&str> = asked.iter().filter_map(|path| path.strip_prefix("debian/pool/")).collect();
    assert_eq!(asked, ["kmod_1_amd64.deb".to_owned(), format!("kmod_1_amd64.deb@{half}")]);
}

/// The archive itself says so: the digest is right, the package is not.
#[test]
fn a_truncated_package_is_named_with_the_place() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let step = archive.step(&["kmod"]);
    archive.run(&cx, &step);
    let whole = deb("kmod", "usr/bin/kmod");
    let cut = whole[..whole.len() - 60].to_vec();
    let path = cx.plan_dir.join("plan.lock");
    let lock = fs_err::read_to_string(&path).unwrap();
    let lock = lock.replace(&Digest::of(&whole).to_string(), &Digest::of(&cut).to_string());
    let lock = lock.replace(&format!("\"size\":{}", whole.len()), &format!("\"size\":{}", cut.len()));
    fs_err::write(&path, lock).unwrap();
    archive.server.put("debian/pool/kmod_1_amd64.deb", Page::Bytes(cut));
    insta::assert_snapshot!(archive.run(&cx, &step), @"error: cannot unpack `kmod 2.36-1`: member `data.tar.xz` is truncated at byte 96: download or make it again");
}

#[test]
fn lock_files_that_are_none_are_named() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let locked = |path: &str| {
        let digest = Digest::of(b"");
        format!(
            r#"{{"format":1,"debian":[{{"suite":"s","arch":"a","mirror":"m","components":[],"dependencies":false,"packages":[],"locked":[{{"name":"x","version":"1","arch":"a","size":1,"sha256":"{digest}","path":"{path}"}}]}}]}}"#
        )
    };
    let said: Vec<String> = ["", r#"{"format":2,"debian":[]}"#, r#"{"format":1}"#, &locked("pool/../../x")]
        .map(|text| {
            fs_err::write(cx.plan_dir.join("plan.lock"), text).unwrap();
            archive.run(&cx, &archive.step(&["kmod"]))
        })
        .into();
    insta::assert_snapshot!(said.join("\n"), @"
    error: `/plan/plan.lock` is not a lock file: EOF while parsing a value at line 1 column 0
      hint: remove `/plan/plan.lock`: it is then made again
    error: `/plan/plan.lock` is not a lock file: its format is 2, and 1 is known
      hint: remove `/plan/plan.lock`: it is then made again
    error: `/plan/plan.lock` is not a lock file: missing field `debian` at line 1 column 12
      hint: remove `/plan/plan.lock`: it is then made again
    error: `/plan/plan.lock` is not a lock file: `pool/../../x` is not a path in an archive
      hint: remove `/plan/plan.lock`: it is then made again
    ");
}

#[test]
fn packages_that_debian_dropped_are_in_its_snapshots() {
    let at = |mirror| Pool { mirror, date: Some("20260711T101637Z") }.urls("pool/x.deb").join("\n");
    let urls = [
        "http://deb.debian.org/debian/",
        "https://security.debian.org/debian-security",
        "http://example.org/debian",
    ];
    insta::assert_snapshot!(urls.map(at).join("\n"), @"
    http://deb.debian.org/debian/pool/x.deb
    http://snapshot.debian.org/archive/debian/20260711T101637Z/pool/x.deb
    https://security.debian.org/debian-security/pool/x.deb
    http://snapshot.debian.org/archive/debian-security/20260711T101637Z/pool/x.deb
    http://example.org/debian/pool/x.deb
    ");
}

#[test]
fn stops_when_asked() {
    let archive = Archive::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    archive.server.put("debian/pool/kmod_1_amd64.deb", Page::Stall(sandbox.cancel.clone()));
    assert_eq!(archive.run(&sandbox.cx(), &archive.step(&["kmod", "libc6"])), "error: cancelled");
}
