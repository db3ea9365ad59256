use insta::assert_snapshot;

use super::*;
use crate::{Action, Overrides, Plan as Resolved, Spec, Vars, resolve};

const FORMAT_1: &str = include_str!("../../../../fixtures/bq2/format-1.json");
const FORMAT_2: &str = include_str!("../../../../fixtures/bq2/format-2.json");
const OVERRIDES: &str = include_str!("../../../../fixtures/bq2/overrides.json");

fn import(json: &str) -> String {
    import_bq2(json, &Name::fixed("sysroot")).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(text: &str) -> Resolved {
    let spec = Spec::from_toml(text, &Vars::default()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    resolve(&spec).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn wrong(json: &str) -> String {
    import_bq2(json, &Name::fixed("sysroot")).unwrap_err().to_string()
}

#[test]
fn both_formats_are_plans_that_can_be_run() {
    let ids =
        |text: &str| plan(&import(text)).steps().map(|it| it.id.to_string()).collect::<Vec<_>>().join("\n");
    assert_snapshot!(ids(FORMAT_1), @"
    m4
    sysroot-from-alpine-musl
    sysroot-from-alpine-busybox
    sysroot-from-alpine-linux-headers
    cmake
    llvm-project-stage1
    llvm-project-stage2
    rootfs-from-sysroot-musl
    rootfs-from-sysroot-busybox
    rootfs-from-sysroot-linux-headers
    ");
    assert_snapshot!(ids(FORMAT_2), @"
    bq2-rootfs-download
    m4-download
    musl-download
    busybox-download
    cmake-download
    llvm-project-download
    git-download
    populate-seed
    seed-resolv-conf
    alpine-apk-add
    sysroot-from-seed-m4
    sysroot-from-seed-musl
    sysroot-from-seed-busybox
    sysroot-from-seed-linux-headers
    sysroot-from-seed-cmake
    llvm-project-stage1
    llvm-project-stage2
    sysroot-libatomic-link
    rootfs-from-sysroot-musl
    rootfs-from-sysroot-busybox
    rootfs-from-sysroot-linux-headers
    musl-ld-path
    prepare-rootfs
    system-from-sysroot-m4
    system-from-sysroot-cmake
    git
    copy-certs
    remove-workspace
    rootfs-tarball
    ");
}

#[test]
fn a_plan_that_was_imported_reads_like_one_that_was_written() {
    assert_snapshot!(import(FORMAT_2), @r#"
    # Imported from a build plan of bootstrap-qcow2, format 2.
    format = 1
    name = "sysroot"
    epoch = 1735689600      # 2025-01-01 00:00:00 UTC
    default-phase = "all"

    [namespace.seed]
    rootfs = "populate-seed"
    network = true

    [namespace.bq2]
    inside = "seed"
    path = "bq2-rootfs"
    binds = [{ outer = "opt/sysroot", to = "opt/sysroot" }]

    [[phase]]
    name = "host-setup"
    description = "Prepare cached sources and seed the rootfs from the host."
    namespace = "host"

      [[phase.step]]
      name = "bq2-rootfs-download"
      fetch = { file-name = "bq2-rootfs-0.4.0.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/bq2-rootfs-0.4.0.tar.gz" }

      [[phase.step]]
      name = "m4-download"
      fetch = { file-name = "m4-1.4.19.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/m4-1.4.19.tar.gz" }

      [[phase.step]]
      name = "musl-download"
      fetch = { file-name = "musl-1.2.5.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/musl-1.2.5.tar.gz" }

      [[phase.step]]
      name = "busybox-download"
      fetch = { file-name = "busybox-1.36.1.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/busybox-1.36.1.tar.gz" }

      # `linux-headers` has no SHA-256 to know it by: put what is at https://example.org/linux-headers-6.12.38.tar.gz into ./sources/linux-headers-6.12.38.tar.gz.

      [[phase.step]]
      name = "cmake-download"
      fetch = { file-name = "cmake-3.29.6.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/cmake-3.29.6.tar.gz" }

      [[phase.step]]
      name = "llvm-project-download"
      fetch = { file-name = "llvm-project-18.1.7.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/llvm-project-18.1.7.tar.gz" }

      [[phase.step]]
      name = "git-download"
      fetch = { file-name = "git-2.45.2.tar.gz", sha256 = "9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23", url = "https://example.org/git-2.45.2.tar.gz" }

      [[phase.step]]
      name = "populate-seed"
      unpack = { from = "bq2-rootfs-download" }

      # extract-sources: packages unpack their own sources.

    [[phase]]
    name = "sysroot-from-seed"
    description = "Build a self-contained sysroot using seed rootfs tools."
    namespace = "seed"
    install-prefix = "/opt/sysroot"
    env = { CC = "/usr/bin/clang", PATH = "/opt/sysroot/bin:/usr/bin:/bin" }

      [[phase.step]]
      name = "seed-resolv-conf"
      edit = { edits = [{ write = { path = "etc/resolv.conf", text = "nameserver 8.8.8.8\n" } }] }

      [[phase.step]]
      name = "alpine-apk-add"
      command = { argv = ["apk", "add", "--no-cache", "bash", "clang"] }

      [[phase.step]]
      name = "sysroot-from-seed-m4"
      package = { source = "m4-download", strategy = "autotools" }

      [[phase.step]]
      name = "sysroot-from-seed-musl"
      package = { source = "musl-download", strategy = "autotools" }

      [[phase.step]]
      name = "sysroot-from-seed-busybox"
      package = { patches = ["./patches/busybox-1_36_1/tc.patch"], source = "busybox-download", strategy = "busybox" }

      [[phase.step]]
      name = "sysroot-from-seed-linux-headers"
      package = { make-flags = ["ARCH=x86"], source = "./sources/linux-headers-6.12.38.tar.gz", strategy = "linux-headers" }

      [[phase.step]]
      name = "sysroot-from-seed-cmake"
      env = { LDFLAGS = "-L/opt/sysroot/lib" }
      package = { commands = [["./bootstrap", "--prefix=${prefix}", "--parallel=${jobs}", "--", "-DBUILD_DOCS=OFF"], ["make", "-j${jobs}"], ["make", "install", "DESTDIR=${destdir}"]], source = "cmake-download", strategy = "command" }

      [[phase.step]]
      name = "llvm-project-stage1"
      package = { build-dir = "llvm-build-stage1", configure-flags = ["-DBUILD_SHARED_LIBS=OFF"], source = "llvm-project-download", strategy = "cmake", subdir = "llvm" }

      [[phase.step]]
      name = "llvm-project-stage2"
      package = { build-dir = "llvm-build-stage2", source = "llvm-project-download", strategy = "cmake", subdir = "llvm" }

      [[phase.step]]
      name = "sysroot-libatomic-link"
      edit = { edits = [{ symlink = { path = "opt/sysroot/lib/libatomic.so", target = "libatomic.so.1" } }] }

    [[phase]]
    name = "rootfs-from-sysroot"
    description = "Build a minimal rootfs using the newly built sysroot toolchain."
    namespace = "seed"
    install-prefix = "/usr"
    destdir = "/bq2-rootfs"
    env = { CC = "/opt/sysroot/bin/clang" }

      [[phase.step]]
      name = "rootfs-from-sysroot-musl"
      package = { source = "musl-download", strategy = "autotools" }

      [[phase.step]]
      name = "rootfs-from-sysroot-busybox"
      package = { patches = ["./patches/busybox-1_36_1/tc.patch"], source = "busybox-download", strategy = "busybox" }

      [[phase.step]]
      name = "rootfs-from-sysroot-linux-headers"
      package = { make-flags = ["ARCH=x86"], source = "./sources/linux-headers-6.12.38.tar.gz", strategy = "linux-headers" }

      [[phase.step]]
      name = "musl-ld-path"
      edit = { edits = [{ write = { path = "bq2-rootfs/etc/ld-musl-x86_64.path", text = "/lib:/usr/lib\n" } }] }

      [[phase.step]]
      name = "prepare-rootfs"
      edit = { edits = [{ write = { path = "bq2-rootfs/etc/os-release", text = "ID=bootstrap-qcow2\n" } }, { write = { path = "bq2-rootfs/.bq2-rootfs", text = "bq2-rootfs\n" } }] }

    [[phase]]
    name = "system-from-sysroot"
    description = "Rebuild sysroot packages into /usr inside the new rootfs."
    namespace = "bq2"
    install-prefix = "/usr"
    env = { LD = "/opt/sysroot/bin/ld.lld" }

      [[phase.step]]
      name = "system-from-sysroot-m4"
      package = { source = "m4-download", strategy = "autotools" }

      [[phase.step]]
      name = "system-from-sysroot-cmake"
      package = { commands = [["./bootstrap", "--prefix=${prefix}", "--parallel=${jobs}"], ["make", "-j${jobs}"], ["make", "install", "DESTDIR=${destdir}"]], source = "cmake-download", strategy = "command" }

    [[phase]]
    name = "tools-from-system"
    description = "Build additional developer tools inside the new rootfs."
    namespace = "bq2"
    install-prefix = "/usr"
    env = { CC = "clang" }

      [[phase.step]]
      name = "git"
      env = { NO_DOCS = "1" }
      package = { make-flags = ["-f", "Makefile.bq2", "NO_TCLTK=1"], source = "git-download", strategy = "make" }

    [[phase]]
    name = "finalize-rootfs"
    description = "Strip the sysroot prefix and emit a prefix-free rootfs tarball."
    namespace = "bq2"
    install-prefix = "/usr"

      [[phase.step]]
      name = "copy-certs"
      command = { argv = ["cp", "-a", "/workspace/certs/.", "/etc/ssl"] }

      [[phase.step]]
      name = "remove-workspace"
      edit = { edits = [{ remove = { path = "workspace" } }] }

      [[phase.step]]
      name = "rootfs-tarball"
      description = "what the original packs into a tarball, as a tree"
      rootfs = { drop = ["dev/**", "proc/**", "run/**", "sys/**", "tmp/**", "var/lib/**", "work/**", "workspace/**", ".bq2-rootfs"], namespace = "bq2" }
    "#);
}

#[test]
fn overrides_of_the_original_work_as_they_are() {
    let overrides = Overrides::from_json(OVERRIDES).unwrap_or_else(|error| panic!("{error}"));
    let text = overrides.apply(&import(FORMAT_2)).unwrap_or_else(|error| panic!("{error}"));
    let plan = plan(&text);
    let package = |step: &str| match &plan.step(step).unwrap().action {
        Action::Package(it) => it.clone(),
        _ => panic!(),
    };
    let ids: Vec<&str> =
        plan.steps().filter(|it| it.phase == *"sysroot-from-seed").map(|it| it.id.as_str()).collect();
    assert_snapshot!(ids.join("\n"), @"
    seed-resolv-conf
    alpine-apk-add
    sysroot-from-seed-m4
    sysroot-from-seed-musl
    sysroot-from-seed-busybox
    sysroot-libatomic-link
    motd
    ");
    assert_eq!(package("sysroot-from-seed-m4").configure_flags, ["--disable-nls"]);
    assert_eq!(plan.step("sysroot-from-seed-m4").unwrap().env["CFLAGS"], "-O1");
    assert_eq!(plan.step("sysroot-from-seed-m4").unwrap().env["CC"], "gcc");
    let busybox = package("sysroot-from-seed-busybox");
    assert_eq!(busybox.make_flags, ["V=1"]);
    assert_eq!(busybox.patches.len(), 2);
    let musl = package("rootfs-from-sysroot-musl");
    assert_eq!((musl.destdir.as_deref(), musl.install_prefix.as_deref()), (Some("/other"), Some("/")));
    assert_eq!(musl.configure_flags, ["--disable-static"]);
    assert_eq!(package("rootfs-from-sysroot-busybox").destdir, None);
    assert!(
        text.contains(r#"write = { path = "etc/resolv.conf", text = "nameserver 1.1.1.1\n" }"#),
        "{text}"
    );
    assert!(text.contains(r#"write = { path = "etc/motd", text = "hello\n" }"#), "{text}");
}

#[test]
fn formats_that_never_were_and_steps_without_counterpart_are_named() {
    assert_snapshot!(wrong("[]"), @"
    this plan cannot be imported
    Legacy build plan format is not supported: regenerate the plan with sysroot-builder
    ");
    assert_snapshot!(wrong(r#"{"format_version": 9, "phases": []}"#), @"
    this plan cannot be imported
    Unsupported build plan format version 9 (expected 1 or 2)
    ");
    assert_snapshot!(wrong(r#"{"phases": []}"#), @"
    this plan cannot be imported
    `format_version` is missing here: this is no build plan
    ");
    assert_snapshot!(wrong(r#"{"format_version": 2, "phases": [
        {"name": "a", "namespace": "host", "steps": [{"name": "x", "strategy": "crystal"}, {"name": "y", "strategy": "autotools", "workdir": "/w/y"}]},
        {"name": "b", "namespace": "moon", "steps": [
            {"name": "r", "strategy": "remove-tree", "install_prefix": "/"}, {"name": "s", "strategy": "symlink", "install_prefix": "/s"},
            {"name": "p", "strategy": "prefetch-shards"}, {"name": "q", "strategy": "magic"}, {"name": "n", "strategy": "autotools"}
        ]}
    ]}"#), @r#"
    this plan cannot be imported: 8 problems
    b: namespace `moon` is not known
    a: x: strategy `crystal` is about one compiler, and bootway has none of it: make it a `package` with `strategy = "command"`
    a: y: it changes the machine itself, and steps only change the root of a namespace
    b: r: `/` is never removed
    b: s: it has no `content`, which says where the link leads
    b: p: strategy `prefetch-shards` is about one compiler, and bootway has none of it: make it a `package` with `strategy = "command"`
    b: q: strategy `magic` is not known
    b: n: nothing says what it is built from: it has no `workdir`
    "#);
}

#[test]
fn keys_that_the_original_does_not_know_are_named_all_at_once() {
    assert_snapshot!(wrong(
        r#"{"format_version": 2, "fases": [], "phases": [{"name": "a", "namespace": "seed", "prefix": "/", "steps": [
        {"name": "m", "strategy": "autotools", "configure_flag": ["--x"], "sources": [{"name": "m", "sha265": ""}]},
        {"strategy": "autotools", "zebra": 1}
    ]}]}"#
    ));
}

/// D.1.1, on our side: what is exported is imported as the plan that it was.
#[test]
fn what_was_imported_and_is_exported_is_the_same_plan_again() {
    for (json, head) in [(FORMAT_1, "format 1"), (FORMAT_2, "format 2")] {
        let text = import(json);
        let exported = export_bq2(&text).unwrap_or_else(|error| panic!("{error}"));
        let lost: Vec<String> =
            exported.lost.iter().map(|(place, what)| format!("{place}: {what}")).collect();
        assert_snapshot!(head.replace(' ', "_"), lost.join("\n"));
        let again = import(&exported.json);
        let steps = |text: &str| plan(text).steps().map(|step| step.id.to_string()).collect::<Vec<_>>();
        assert_eq!(steps(&again), steps(&text), "{head}");
        // And from there on nothing is lost any more.
        let twice = export_bq2(&again).unwrap();
        assert_eq!((twice.json, twice.lost), (exported.json, Vec::new()), "{head}");
    }
}

/// The other side: every value of the original that is there is the one that it was.
#[test]
fn what_comes_back_of_a_build_plan_is_as_it_was() {
    let original: Value = serde_json::from_str(FORMAT_2).unwrap();
    let exported: Value = serde_json::from_str(&export_bq2(&import(FORMAT_2)).unwrap().json).unwrap();
    let mut different = Vec::new();
    let phases = |plan: &Value| plan["phases"].as_array().unwrap().clone();
    let (was, is) = (phases(&original), phases(&exported));
    assert_eq!(was.len(), is.len());
    for (was, is) in was.iter().zip(&is) {
        for key in ["name", "description", "namespace", "install_prefix", "destdir", "env"] {
            assert_eq!(was[key], is[key], "{key} of {}", was["name"]);
        }
        let names = |phase: &Value| -> Vec<String> {
            let steps = phase["steps"].as_array().unwrap();
            steps.iter().map(|step| step["name"].as_str().unwrap().to_owned()).collect()
        };
        for step in was["steps"].as_array().unwrap() {
            let name = step["name"].as_str().unwrap();
            let Some(other) = names(is).iter().position(|it| it == name) else {
                different.push(format!("{name}: lost"));
                continue;
            };
            let other = &is["steps"][other];
            for (key, value) in step.as_object().unwrap() {
                let empty = |value: &Value| {
                    value.is_null() || *value == json!([]) || *value == json!({}) || *value == json!(false)
                };
                let same = value == &other[key] || empty(value) && empty(&other[key]);
                if !same {
                    different.push(format!("{name}: {key}"));
                }
            }
        }
    }
    assert_snapshot!(different.join("\n"));
}

#[test]
fn what_the_original_cannot_say_is_named_all_at_once() {
    let plan = "format = 1\nname = \"p\"\nepoch = 0\n[[phase]]\nname = \"a\"\n\
        [[phase.step]]\nname = \"x\"\ncommand = { argv = [\"true\"] }\n\
        [[phase.step]]\nname = \"y\"\nsquashfs = { from = \"./y\" }\n\
        [[phase.step]]\nname = \"z\"\ntier = \"quick\"\ncommand = { argv = [\"apk\", \"add\", \"--no-cache\", \"git\"] }\n";
    assert_snapshot!(export_bq2(plan).unwrap_err().to_string());
    let (before, after) = (
        plan.find("[[phase.step]]\nname = \"x\"").unwrap(),
        plan.find("[[phase.step]]\nname = \"z\"").unwrap(),
    );
    let only = format!("{}{}", &plan[..before], &plan[after..]);
    let lost = export_bq2(&only).unwrap().lost;
    assert_snapshot!(
        "lost",
        lost.iter().map(|(place, what)| format!("{place}: {what}\n")).collect::<String>()
    );
}

#[test]
fn what_a_shell_would_fill_in_stays() {
    let text = import(
        r#"{"format_version": 2, "phases": [{"name": "a", "namespace": "seed", "steps":
            [{"name": "w", "strategy": "write-file", "install_prefix": "/w", "content": "${HOME}"}]}]}"#,
    );
    let plan = plan(&text);
    assert!(plan.to_json().contains("\"text\": \"${HOME}\""), "{}", plan.to_json());
}

#[test]
fn names_are_mapped() {
    assert_eq!(name("GTK+ 3.0"), "gtk--3-0");
    assert_eq!(name("_x"), "x");
    assert_eq!(
        name_in("a-phase-with-a-very-long-name-indeed", "llvm-stage2"),
        "a-phase-with-a-very-long-nam-llvm-stage2"
    );
}
