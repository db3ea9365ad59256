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

    # What the build plan said that a plan has no word for. Only `bootway plan --export bq2` reads it.
    [bq2]
    format = 2

    [[bq2.phase]]
    name = "host-setup"

      [[bq2.phase.step]]
      name = "download-sources"
      says = '{"destdir":"data/sysroot/sources","sources":[{"filename":"bq2-rootfs-0.4.0.tar.gz","name":"bq2-rootfs","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/bq2-rootfs-0.4.0.tar.gz","version":"0.4.0"},{"build_directory":"m4-1.4.19","filename":"m4-1.4.19.tar.gz","name":"m4","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/m4-1.4.19.tar.gz","version":"1.4.19"},{"build_directory":"musl-1.2.5","filename":"musl-1.2.5.tar.gz","name":"musl","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/musl-1.2.5.tar.gz","version":"1.2.5"},{"build_directory":"busybox-1_36_1","filename":"busybox-1.36.1.tar.gz","name":"busybox","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/busybox-1.36.1.tar.gz","version":"1.36.1"},{"build_directory":"linux-6.12.38","filename":"linux-headers-6.12.38.tar.gz","name":"linux-headers","url":"https://example.org/linux-headers-6.12.38.tar.gz","version":"6.12.38"},{"build_directory":"cmake-3.29.6","filename":"cmake-3.29.6.tar.gz","name":"cmake","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/cmake-3.29.6.tar.gz","version":"3.29.6"},{"build_directory":"llvm-project-llvmorg-18.1.7","filename":"llvm-project-18.1.7.tar.gz","name":"llvm-project","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/llvm-project-18.1.7.tar.gz","version":"18.1.7"},{"filename":"git-2.45.2.tar.gz","name":"git","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/git-2.45.2.tar.gz","version":"2.45.2"}]}'

      [[bq2.phase.step]]
      name = "populate-seed"
      says = '{"destdir":"data/sysroot/seed-rootfs","sources":[{"filename":"bq2-rootfs-0.4.0.tar.gz","name":"bq2-rootfs","sha256":"9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23","url":"https://example.org/bq2-rootfs-0.4.0.tar.gz","version":"0.4.0"}]}'

      [[bq2.phase.step]]
      name = "extract-sources"
      at = 2
      says = '{"build_dir":null,"clean_build":false,"configure_flags":[],"content":null,"destdir":"data/sysroot/workspace","env":{},"extract_sources":[{"build_directory":"m4-1.4.19","filename":"m4-1.4.19.tar.gz","name":"m4","version":"1.4.19"},{"build_directory":"musl-1.2.5","filename":"musl-1.2.5.tar.gz","name":"musl","version":"1.2.5"},{"build_directory":"busybox-1_36_1","filename":"busybox-1.36.1.tar.gz","name":"busybox","version":"1.36.1"},{"build_directory":"linux-6.12.38","filename":"linux-headers-6.12.38.tar.gz","name":"linux-headers","version":"6.12.38"},{"build_directory":"cmake-3.29.6","filename":"cmake-3.29.6.tar.gz","name":"cmake","version":"3.29.6"},{"build_directory":"llvm-project-llvmorg-18.1.7","filename":"llvm-project-18.1.7.tar.gz","name":"llvm-project","version":"18.1.7"},{"filename":"git-2.45.2.tar.gz","name":"git","version":"2.45.2"}],"install_prefix":null,"name":"extract-sources","packages":[],"patches":[],"sources":[],"sources_directory":null,"strategy":"extract-sources","workdir":null}'

    [[bq2.phase]]
    name = "sysroot-from-seed"

      [[bq2.phase.step]]
      name = "m4"
      says = '{"workdir":"/bq2-rootfs/workspace/m4-1.4.19"}'

      [[bq2.phase.step]]
      name = "musl"
      says = '{"workdir":"/bq2-rootfs/workspace/musl-1.2.5"}'

      [[bq2.phase.step]]
      name = "busybox"
      says = '{"workdir":"/bq2-rootfs/workspace/busybox-1_36_1"}'

      [[bq2.phase.step]]
      name = "linux-headers"
      says = '{"workdir":"/bq2-rootfs/workspace/linux-6.12.38"}'

      [[bq2.phase.step]]
      name = "cmake"
      says = '{"workdir":"/bq2-rootfs/workspace/cmake-3.29.6"}'

      [[bq2.phase.step]]
      name = "llvm-project-stage1"
      says = '{"build_dir":"/bq2-rootfs/workspace/llvm-build-stage1","workdir":"/bq2-rootfs/workspace/llvm-project-llvmorg-18.1.7"}'

      [[bq2.phase.step]]
      name = "llvm-project-stage2"
      says = '{"build_dir":"/bq2-rootfs/workspace/llvm-build-stage2","workdir":"/bq2-rootfs/workspace/llvm-project-llvmorg-18.1.7"}'

    [[bq2.phase]]
    name = "rootfs-from-sysroot"

      [[bq2.phase.step]]
      name = "musl"
      says = '{"workdir":"/bq2-rootfs/workspace/musl-1.2.5"}'

      [[bq2.phase.step]]
      name = "busybox"
      says = '{"workdir":"/bq2-rootfs/workspace/busybox-1_36_1"}'

      [[bq2.phase.step]]
      name = "linux-headers"
      says = '{"workdir":"/bq2-rootfs/workspace/linux-6.12.38"}'

    [[bq2.phase]]
    name = "system-from-sysroot"

      [[bq2.phase.step]]
      name = "m4"
      says = '{"workdir":"/workspace/m4-1.4.19"}'

      [[bq2.phase.step]]
      name = "cmake"
      says = '{"workdir":"/workspace/cmake-3.29.6"}'

    [[bq2.phase]]
    name = "tools-from-system"

      [[bq2.phase.step]]
      name = "git"
      says = '{"workdir":"/workspace/git-2.45.2"}'

    [[bq2.phase]]
    name = "finalize-rootfs"

      [[bq2.phase.step]]
      name = "rootfs-tarball"
      says = '{"install_prefix":"/workspace/bq2-rootfs.tar.gz","workdir":"/"}'
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

/// D.1.1: what was imported is exported as it was, but for the order of keys.
#[test]
fn what_was_imported_and_is_exported_is_as_it_was() {
    for json in [FORMAT_1, FORMAT_2] {
        let original: Value = serde_json::from_str(json).unwrap();
        let exported = export_bq2(&import(json)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(exported.lost, []);
        // `Value` sorts its keys.
        let again: Value = serde_json::from_str(&exported.json).unwrap();
        assert_eq!(again.to_string(), original.to_string());
    }
}

/// Whatever a build plan does not say, or says in a way that the original would not, comes back, too.
#[test]
fn build_plans_that_say_less_or_more_come_back_as_they_were() {
    let original: Value = serde_json::from_str(FORMAT_2).unwrap();
    let mut count = 0;
    let mut check = |changed: &Value, what: &str| {
        let Ok(text) = import_bq2(&changed.to_string(), &Name::fixed("sysroot")) else { return };
        let exported = export_bq2(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
        let again: Value = serde_json::from_str(&exported.json).unwrap();
        assert_eq!(again, *changed, "{what}\n{text}");
        assert_eq!(exported.lost, [], "{what}");
        count += 1;
    };
    let pointers = ["/phases/0", "/phases/2"].map(str::to_owned).into_iter().chain(
        [(0, 3), (1, 4), (5, 3)]
            .into_iter()
            .flat_map(|(phase, steps)| (0..steps).map(move |n| format!("/phases/{phase}/steps/{n}"))),
    );
    for pointer in pointers {
        let keys: Vec<String> =
            original.pointer(&pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        for key in keys {
            let mut changed = original.clone();
            let value = changed.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(&key).unwrap();
            check(&changed, &format!("without {pointer}/{key}"));
            changed.pointer_mut(&pointer).unwrap()[key.replace('_', "-")] = value;
            check(&changed, &format!("{pointer}/{key} with hyphens"));
            changed.pointer_mut(&pointer).unwrap()[&key] = Value::Null;
            changed.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().retain(|it, _| !it.contains('-'));
            check(&changed, &format!("{pointer}/{key} is null"));
        }
    }
    for (pointer, name) in
        [("/phases/1", "From Seed"), ("/phases/0/steps/0", "Fetch all"), ("/phases/1/steps/2", "GTK+ 3.0")]
    {
        let mut changed = original.clone();
        changed.pointer_mut(pointer).unwrap()["name"] = json!(name);
        check(&changed, name);
    }
    assert!(count > 300, "{count}");
}

/// What was kept is said as long as it means what the plan does.
#[test]
fn what_was_kept_gives_way_to_what_was_changed_since() {
    let text = import(FORMAT_2);
    let step = |exported: &Exported, phase: usize, name: &str| -> Value {
        let plan: Value = serde_json::from_str(&exported.json).unwrap();
        let steps = plan["phases"][phase]["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| step["name"] == name).unwrap_or_default()
    };
    // What is said besides stays.
    let changed = text.replacen(
        r#"package = { source = "m4-download", strategy = "autotools" }"#,
        r#"package = { source = "m4-download", strategy = "autotools", configure-flags = ["--disable-nls"] }"#,
        1,
    );
    let exported = export_bq2(&changed).unwrap();
    let m4 = step(&exported, 1, "m4");
    assert_eq!(m4["configure_flags"], json!(["--disable-nls"]));
    assert_eq!(m4["workdir"], json!("/bq2-rootfs/workspace/m4-1.4.19"));
    assert_eq!(exported.lost, []);
    // What contradicts it does not, and that is said.
    let changed =
        text.replace("https://example.org/m4-1.4.19.tar.gz\" }", "https://example.org/m4-1.4.20.tar.gz\" }");
    assert_ne!(changed, text);
    let exported = export_bq2(&changed).unwrap();
    let sources = step(&exported, 0, "download-sources")["sources"].clone();
    assert_eq!(sources[1]["url"], json!("https://example.org/m4-1.4.20.tar.gz"));
    assert_eq!(step(&exported, 1, "musl")["workdir"], json!("/bq2-rootfs/workspace/musl-1.2.5"));
    let lost: Vec<String> = exported.lost.iter().map(|(place, what)| format!("{place}: {what}")).collect();
    assert_snapshot!(lost.join("\n"));
    // A step that is gone is gone.
    let from = text.find("\n  [[phase.step]]\n  name = \"git\"\n").unwrap();
    let until = from + text[from..].find("\n[[phase]]").unwrap();
    let exported = export_bq2(&format!("{}{}", &text[..from], &text[until..])).unwrap();
    assert_eq!(step(&exported, 4, "git"), Value::Null);
    // And what no import writes is an error.
    let error = export_bq2(&text.replace("[bq2]\n", "[bq2]\nformt = 2\n")).unwrap_err();
    assert_snapshot!(error.to_string());
    let error = export_bq2(&text.replace("[bq2]\nformat = 2", "[bq2]\nformat = 3")).unwrap_err();
    assert_snapshot!(error.to_string(), @"
    this plan cannot be exported
    `bq2` is not what an import writes: the format of a build plan is 1 or 2, not 3
    ");
}

/// Without what was kept, the plan is what comes back: every value that it has a word for.
#[test]
fn what_comes_back_of_a_plan_without_what_was_kept_is_the_plan() {
    let text = import(FORMAT_2);
    let text = &text[..text.find("\n# What the build plan said").unwrap()];
    let exported = export_bq2(text).unwrap();
    assert_eq!(exported.lost, []);
    let original: Value = serde_json::from_str(FORMAT_2).unwrap();
    let exported: Value = serde_json::from_str(&exported.json).unwrap();
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
