use std::time::Duration;

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Bytes, EventKind, Millis};

use super::*;
use crate::testing::{TestNix, derivation, derivation_with, packages};

/// What came of a build, and what was said while it ran.
struct Came {
    result: Result<Vec<StepOutput>, BuildError>,
    events: Vec<EventKind>,
    /// What the artifact holds.
    bytes: Option<String>,
    provenance: serde_json::Value,
}

impl Came {
    #[track_caller]
    fn cause(&self) -> Cause {
        self.result.as_ref().expect_err("it was to fail").cause()
    }

    /// The message, with what depends on the directory of the test and on hashes left out.
    fn message(&self) -> String {
        let error = self.result.as_ref().expect_err("it was to fail");
        let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        without_hashes(&format!("{error}{hint}"))
    }

    fn texts(&self) -> Vec<String> {
        let text = |event: &EventKind| match event {
            EventKind::Line { text, .. } | EventKind::Note { text } => Some(text.clone()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    fn heartbeats(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, EventKind::Heartbeat { .. })).count()
    }
}

/// `/tmp/…/store/HASH-name` becomes `STORE/name`.
fn without_hashes(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive([' ', '\n', '`', '\'']) {
        match (word.find('/'), word.find("/store/")) {
            (Some(start), Some(at)) if word.len() > at + 40 => {
                shown += &format!("{}STORE/{}", &word[..start], &word[at + 40..]);
            }
            (Some(start), None) if word.contains("/flakes/") => {
                let at = word.find("/flakes/").unwrap();
                shown += &format!("{}FLAKES{}", &word[..start], &word[at + 7..]);
            }
            _ => shown += word,
        }
    }
    shown
}

fn step(flake: &Utf8Path, attribute: &str) -> step::NixBuild {
    step::NixBuild {
        attribute: attribute.to_owned(),
        flake: Some(flake.to_string()),
        output: None,
        glob: None,
        kind: ArtifactKind::File,
        min_size: None,
        reproducible: false,
        impure: None,
    }
}

fn build(nix: &TestNix, step: &step::NixBuild) -> Came {
    build_with(nix, step, &NixConfig::default(), |_| ())
}

/// Builds in a fresh directory; `meanwhile` runs beside it with the sandbox.
fn build_with(
    nix: &TestNix,
    step: &step::NixBuild,
    config: &NixConfig,
    meanwhile: impl FnOnce(&Sandbox<'_>) + Send,
) -> Came {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    let sandbox = &sandbox;
    let result = std::thread::scope(|scope| {
        scope.spawn(|| meanwhile(sandbox));
        nix_build(&sandbox.cx(), step, config)
    });
    let out = sandbox.cx().out;
    let bytes = fs_err::read_to_string(out.join("built")).ok();
    let provenance = fs_err::read(out.join("built.provenance.json")).unwrap_or_default();
    Came {
        result,
        events: sandbox.events(),
        bytes,
        provenance: serde_json::from_slice(&provenance).unwrap_or_default(),
    }
}

/// The attribute of one flake in six forms, and one pattern for all of them.
#[test]
fn six_outputs_of_one_attribute_have_six_results() {
    let nix = TestNix::new();
    let raw = |script: &str| {
        let flake = nix.flake("raw", &packages(&[("raw-rootfs-base", &derivation("raw", script))]));
        build(&nix, &step::NixBuild { glob: Some("*.img".to_owned()), ..step(&flake, "raw-rootfs-base") })
    };

    let file = raw("echo a file > $out");
    assert_eq!(file.bytes.as_deref(), Some("a file\n"), "{:?}", file.result);
    let nixos = raw("mkdir $out; echo nixos > $out/nixos.img; echo no > $out/nixos.txt");
    assert_eq!(nixos.bytes.as_deref(), Some("nixos\n"));
    let disk = raw("mkdir $out; echo disk > $out/disk.img");
    assert_eq!(disk.bytes.as_deref(), Some("disk\n"));

    let two = raw("mkdir $out; echo 1 > $out/a.img; echo 2 > $out/b.img");
    assert_eq!(two.cause(), Cause::OutputAmbiguous);
    insta::assert_snapshot!(two.message(), @r"
    `*.img` in `STORE/raw` matches more than one: `a.img`, `b.img`
    hint: write a `glob` that matches one of them
    ");
    let none = raw("mkdir -p $out/log; echo 1 > $out/log/build.txt; echo 2 > $out/README");
    assert_eq!(none.cause(), Cause::OutputMissing);
    insta::assert_snapshot!(none.message(), @r"
    nothing matches `*.img` in `STORE/raw`; there is only `README`, `log/build.txt`
    hint: fix `glob`; it starts inside the output
    ");
    let failing = raw("echo one; echo two >&2; exit 3");
    assert_eq!(failing.cause(), Cause::Builder);
    insta::assert_snapshot!(failing.message(), @r"
    `raw` failed to build: builder failed with exit code 3; it printed last:
      one
      two
    hint: build it alone: nix-store --realise STORE/raw.drv
    ");
    assert!(failing.texts().contains(&"two".to_owned()), "{:?}", failing.texts());
}

#[test]
fn the_image_inside_is_the_artifact_and_where_it_came_from_is_beside_it() {
    let nix = TestNix::new();
    let image = "mkdir -p $out/iso $out/nix-support; echo iso > $out/iso/demo.iso; \
                 echo file iso > $out/nix-support/hydra-build-products";
    let flake = nix.flake("iso", &packages(&[("bootImage", &derivation("boot-image", image))]));
    let came = build(&nix, &step(&flake, "bootImage"));
    assert_eq!(came.bytes.as_deref(), Some("iso\n"), "{:?}", came.result);
    let at = |name: &str| came.provenance[name].as_str().unwrap_or_default();
    assert!(at("store-path").ends_with("-boot-image"), "{:?}", came.provenance);
    assert_eq!(at("file"), format!("{}/iso/demo.iso", at("store-path")));
    assert!(at("nar-hash").starts_with("sha256-"));
    assert!(at("deriver").ends_with("-boot-image.drv"));
    assert_eq!(at("deriver"), at("drv"));
    assert!(came.provenance["duration-ms"].is_u64());
    // The hash is what Nix says of the same path.
    let asked = nix.ok("nix-store", &["--query", "--hash", at("store-path")]);
    let sri =
        nix.ok("nix", &["hash", "to-sri", "--type", "sha256", asked.trim().trim_start_matches("sha256:")]);
    assert_eq!(sri.trim(), at("nar-hash"));
    let told =
        came.events.iter().any(|event| matches!(event, EventKind::Finding(it) if it.name == "store path"));
    assert!(told);
}

#[test]
fn what_is_built_is_kept_from_being_collected_until_its_directory_goes() {
    let nix = TestNix::new();
    let flake = nix.flake("kept", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    let (partial, placed) = (sandbox.root().join("work/.partial"), sandbox.root().join("work/step"));
    fs_err::create_dir_all(&partial).unwrap();
    let cx = Cx { out: &partial, placed: &placed, ..sandbox.cx() };
    let (step, config) = (step(&flake, "a"), NixConfig::default());
    nix_build(&cx, &step, &config).unwrap();
    fs_err::remove_dir_all(&placed).unwrap();
    fs_err::rename(&partial, &placed).unwrap();
    nix.ok("nix-store", &["--gc"]);
    assert!(is_kept(&cx, &step, &config, &placed).unwrap());
    assert_eq!(fs_err::read_to_string(placed.join("built")).unwrap(), "a\n");
    let store_path = placed.join(".root").read_link_utf8().unwrap();
    fs_err::remove_dir_all(&placed).unwrap();
    nix.ok("nix-store", &["--gc"]);
    assert!(!store_path.exists());
    assert!(!is_kept(&cx, &step, &config, &placed).unwrap());
}

#[test]
fn what_a_build_runs_is_what_its_preview_says() {
    let nix = TestNix::new();
    let flake = nix.flake("git", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    nix.git(&flake);
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    let placed = sandbox.root().join("placed");
    let cx = Cx { placed: &placed, ..sandbox.cx() };
    let step = step::NixBuild { reproducible: true, ..step(&flake, "a") };
    let config = NixConfig::default();
    let preview: Vec<String> = build_commands(&cx, &step, &config).iter().map(ToString::to_string).collect();
    nix_build(&cx, &step, &config).unwrap();
    let ran = sandbox.events().into_iter().filter_map(|event| match event {
        EventKind::Command { line } => Some(line),
        _ => None,
    });
    let ran: Vec<String> = ran.collect();
    assert_eq!(preview, ran);
    assert_eq!(ran.len(), 7);
}

#[test]
fn every_failure_is_reported_and_the_rest_is_built() {
    let nix = TestNix::new();
    let bad = derivation("bad", "echo its last words; exit 1");
    let fetched = derivation_with(
        "fetched",
        "echo not this > $out",
        "outputHashAlgo = \"sha256\"; outputHashMode = \"flat\"; \
         outputHash = \"0000000000000000000000000000000000000000000000000000\";",
    );
    let flake = nix.flake(
        "many",
        &packages(&[
            ("bad", &bad),
            ("fetched", &fetched),
            ("good", &derivation("good", "echo good > $out")),
            ("top", &derivation("top", "cat ${bad} ${fetched} ${good} > $out")),
        ]),
    );
    let came = build(&nix, &step(&flake, "top"));
    let BuildError::NotBuilt(error) = came.result.as_ref().unwrap_err() else { panic!("{:?}", came.result) };
    let mut failed: Vec<(&str, Cause)> =
        error.failures.iter().map(|it| (crate::log::name_of(&it.drv), it.cause)).collect();
    failed.sort_unstable();
    assert_eq!(failed, [("bad", Cause::Builder), ("fetched", Cause::HashMismatch)]);
    assert!(came.message().contains("its last words"), "{}", came.message());
    let good = build(&nix, &step(&flake, "good"));
    assert!(!good.texts().iter().any(|line| line.contains("building")), "{:?}", good.texts());

    let alone = build(&nix, &step(&flake, "fetched"));
    assert_eq!(alone.cause(), Cause::HashMismatch);
    insta::assert_snapshot!(alone.message(), @r"
    `fetched` is not what its hash says: hash mismatch, specified: sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, got: sha256-wiE8wbJdTsLalSnSnx5+aTPmHPwaFt5lbTXsejI7Hd8=; it printed nothing
    hint: if what was fetched is what is meant, write its hash
    ");
}

#[test]
fn a_dependency_that_fails_is_told_from_the_thing_itself() {
    let nix = TestNix::new();
    let flake = nix.flake(
        "dep",
        &packages(&[
            ("bad", &derivation("bad", "echo its last words; exit 1")),
            ("top", &derivation("top", "cat ${bad} > $out")),
        ]),
    );
    let came = build(&nix, &step(&flake, "top"));
    assert_eq!(came.cause(), Cause::Dependency);
    insta::assert_snapshot!(came.message(), @r"
    `top` was not built, because `bad` failed to build: builder failed with exit code 1; it printed last:
      its last words
    hint: build it alone: nix-store --realise STORE/bad.drv
    ");
}

#[test]
fn a_missing_attribute_is_told_from_one_that_throws() {
    let nix = TestNix::new();
    let flake = nix.flake(
        "eval",
        &packages(&[("bootImage", &derivation("a", "")), ("broken", "throw \"this is broken\"")]),
    );
    let missing = build(&nix, &step(&flake, "bootimage"));
    assert_eq!(missing.cause(), Cause::MissingAttribute);
    insta::assert_snapshot!(missing.message(), @r"
    the flake `FLAKES/eval` has no `bootimage`: did you mean `bootImage`
    hint: all that there is: nix flake show FLAKES/eval
    ");
    let far = build(&nix, &step(&flake, "packages.x86_64-linux.something-else"));
    assert_eq!(far.cause(), Cause::MissingAttribute);
    insta::assert_snapshot!(far.message(), @r"
    the flake `FLAKES/eval` has no `packages.x86_64-linux.something-else`: it has `bootImage`, `broken`, `packages.x86_64-linux.bootImage`, `packages.x86_64-linux.broken`
    hint: all that there is: nix flake show FLAKES/eval
    ");
    let broken = build(&nix, &step(&flake, "broken"));
    assert_eq!(broken.cause(), Cause::Evaluation);
    assert!(broken.message().starts_with("`FLAKES/eval#broken` does not evaluate: this is broken"));
}

#[test]
fn an_attribute_that_means_another_output_is_not_guessed() {
    let nix = TestNix::new();
    let multi =
        derivation_with("multi", "echo out > $out; echo dev > $dev", "outputs = [ \"out\" \"dev\" ];");
    let flake = nix
        .flake("multi", &packages(&[("multi", &multi), ("dev", "multi.dev // { outputSpecified = true; }")]));
    assert_eq!(build(&nix, &step(&flake, "multi")).bytes.as_deref(), Some("out\n"));
    let dev = step::NixBuild { output: Some("dev".to_owned()), ..step(&flake, "multi") };
    assert_eq!(build(&nix, &dev).bytes.as_deref(), Some("dev\n"));
    let unsaid = build(&nix, &step(&flake, "dev"));
    insta::assert_snapshot!(unsaid.message(), @r#"
    `dev` means the output `dev` and not `out`
    hint: say which one in the plan: output = "dev"
    "#);
}

#[test]
fn files_that_git_does_not_know_are_named_before_evaluation() {
    let nix = TestNix::new();
    let flake = nix.flake("untracked", &packages(&[("a", "import ./profiles/list.nix")]));
    nix.git(&flake);
    nix.write(&flake.join("profiles/list.nix"), &derivation("a", "cat ${./words.txt} > $out"));
    nix.write(&flake.join("profiles/words.txt"), "words\n");
    nix.write(&flake.join("notes.txt"), "nobody needs it");
    let came = build(&nix, &step(&flake, "a"));
    assert_eq!(came.cause(), Cause::Untracked);
    insta::assert_snapshot!(came.message(), @r#"
    the flake needs files that Git does not know, so Nix does not see them: `profiles/list.nix`, `profiles/words.txt`
    hint: git -C FLAKES/untracked add -N profiles/list.nix profiles/words.txt (or `untracked = "warn"` in `[nix]`)
    "#);
    let warn = NixConfig { untracked: bootway_plan::Untracked::Warn, ..NixConfig::default() };
    let warned = build_with(&nix, &step(&flake, "a"), &warn, |_| ());
    assert_eq!(warned.cause(), Cause::Evaluation);
    assert!(warned.texts().iter().any(|text| text.contains("git -C")), "{:?}", warned.texts());
    nix.git_in(&flake, &["add", "-N", "profiles/list.nix", "profiles/words.txt"]);
    assert_eq!(build(&nix, &step(&flake, "a")).bytes.as_deref(), Some("words\n"));
}

#[test]
fn too_small_is_an_error_of_its_own() {
    let nix = TestNix::new();
    let flake = nix.flake("small", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    let big = step::NixBuild { min_size: Some(Bytes::new(1 << 20)), ..step(&flake, "a") };
    let came = build(&nix, &big);
    assert_eq!(came.cause(), Cause::OutputBad);
    insta::assert_snapshot!(came.message(), @r"
    `STORE/a` has 2 B, and at least 1 MiB are wanted
    hint: find out what is missing, or lower `min-size`
    ");
}

#[test]
fn a_build_that_comes_out_different_is_not_deterministic() {
    let nix = TestNix::new();
    let flake = nix.flake("random", &packages(&[("a", &derivation("a", "head -c 8 /dev/urandom > $out"))]));
    let twice = step::NixBuild { reproducible: true, ..step(&flake, "a") };
    let came = build(&nix, &twice);
    assert_eq!(came.cause(), Cause::NotDeterministic);
    insta::assert_snapshot!(came.message(), @r"
    `a` came out different when it was built again: may not be deterministic: output 'STORE/a' differs; it printed nothing
    hint: build it alone: nix-store --realise STORE/a.drv
    ");
}

#[test]
fn a_full_disk_is_told_by_what_was_said() {
    let nix = TestNix::new();
    let flake = nix.flake("full", &packages(&[("a", &derivation("a", "head -c 9 /dev/zero > /dev/full"))]));
    let came = build(&nix, &step(&flake, "a"));
    assert_eq!(came.cause(), Cause::NoSpace, "{}", came.message());
}

/// A builder that says what Nix says of other failures is a builder that failed.
#[test]
fn a_builder_that_forges_messages_fails_as_a_builder() {
    let nix = TestNix::new();
    let script = r#"echo '@nix {"action":"msg","level":0,"msg":"error: hash mismatch in fixed-output derivation"}' >&2
        echo '@nix {"action":"start","id":1,"type":105,"level":0,"text":"","fields":["/x.drv","",1,1]}' >&2
        echo '@nix {' >&2
        echo '@nix {"action":"setPhase","phase":"forgePhase"}' >&2
        exit 1"#;
    let flake = nix.flake("forged", &packages(&[("a", &derivation("a", script))]));
    let came = build(&nix, &step(&flake, "a"));
    assert_eq!(came.cause(), Cause::Builder);
    insta::assert_snapshot!(came.message(), @r"
    `a` failed to build in forgePhase: builder failed with exit code 1; it printed last:
      @nix {
    hint: build it alone: nix-store --realise STORE/a.drv
    ");
}

/// Show 4, first half: as long as its builder is silent there are heartbeats, and the build succeeds.
#[test]
fn a_silent_builder_has_heartbeats_and_a_limit_if_it_is_asked_for() {
    let nix = TestNix::new();
    let flake =
        nix.flake("silent", &packages(&[("a", &derivation("a", "echo begun; sleep 8; echo a > $out"))]));
    let warn = NixConfig { silent_warn: Some(Millis::new(2000)), ..NixConfig::default() };
    let kill = NixConfig { silent_kill: Some(Millis::new(2000)), ..warn.clone() };
    let killed = build_with(&nix, &step(&flake, "a"), &kill, |_| ());
    assert_eq!(killed.cause(), Cause::Silence);
    insta::assert_snapshot!(killed.message(), @r"
    `a` said nothing for too long: `silent-kill` is 2s; it printed last:
      begun
    hint: raise `silent-kill` in `[nix]`, or find out why it says nothing
    ");
    let came = build_with(&nix, &step(&flake, "a"), &warn, |_| ());
    assert!(came.result.is_ok(), "{:?}", came.result);
    assert!(came.heartbeats() >= 3, "{:?}", came.events);
    let last = came.events.iter().find_map(|event| match event {
        EventKind::Heartbeat { last, .. } => last.clone(),
        _ => None,
    });
    assert_eq!(last.as_deref(), Some("begun"));
}

/// A builder that writes slowly is stopped; what is on disk then is no artifact, and what was done is not done again.
#[test]
fn an_interrupted_build_leaves_nothing_and_the_next_one_goes_on() {
    let nix = TestNix::new();
    let flake = nix.flake("slow", &slow(&nix));
    let begun = nix.root().join("begun");
    let came = build_with(&nix, &step(&flake, "slow"), &NixConfig::default(), |sandbox| {
        wait_for(&begun);
        sandbox.cancel.cancel();
    });
    assert_eq!(came.cause(), Cause::Interrupted);
    assert_eq!(came.result.as_ref().unwrap_err().class(), Class::Cancelled);
    assert!(came.bytes.is_none());
    let path = nix.ok("nix", &["eval", "--raw", &format!("{flake}#slow.outPath")]);
    assert!(Utf8Path::new(&path).join("1").exists(), "the builder did not leave anything half done");
    assert_ne!(nix.run("nix-store", &["--check-validity", &path]).code, 0);
    fs_err::write(nix.root().join("go-on"), "").unwrap();
    let again = build(&nix, &step::NixBuild { kind: ArtifactKind::Tree, ..step(&flake, "slow") });
    assert!(again.result.is_ok(), "{:?}", again.result);
    let built: Vec<String> = again.texts().into_iter().filter(|it| it.starts_with("building")).collect();
    assert_eq!(built, ["building slow"]);
}

/// A flake whose `slow` needs `quick`, and says in a file that it has begun.
fn slow(nix: &TestNix) -> String {
    let root = nix.root();
    let script = format!(
        "cat ${{quick}}; mkdir $out; for n in $(seq 30); do echo $n > $out/$n; touch {root}/begun; \
         test -e {root}/go-on || sleep 1; done"
    );
    packages(&[("quick", &derivation("quick", "echo > $out")), ("slow", &derivation("slow", &script))])
}

fn wait_for(path: &Utf8Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !path.exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

#[test]
fn a_store_in_a_directory_holds_the_artifact() {
    let nix = TestNix::new();
    let busybox = Utf8Path::new("/bin/busybox");
    assert!(busybox.exists(), "this test needs a static busybox: `apt-get install busybox-static`");
    // Builds there see only the store: the shell is a file of the flake, under a name that busybox obeys.
    let flake = nix.flake(
        "chroot",
        "packages.x86_64-linux.a = derivation { name = \"a\"; system = \"x86_64-linux\"; \
         builder = \"${./tools}/sh\"; args = [ \"-c\" \"echo inside > $out; exit 0\" ]; };",
    );
    fs_err::create_dir(flake.join("tools")).unwrap();
    fs_err::copy(busybox, flake.join("tools/sh")).unwrap();
    let mut env = nix.env();
    // The directory decides, and store paths are called as everywhere.
    env.retain(|name, _| {
        !name.starts_with("NIX_STORE") && !name.starts_with("NIX_STATE") && !name.starts_with("NIX_LOG")
    });
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = env;
    let store = nix.root().join("chroot");
    let config = NixConfig { store: Some(store.to_string()), ..NixConfig::default() };
    let cx = sandbox.cx();
    let made = nix_build(&cx, &step(&flake, "a"), &config).unwrap();
    assert_eq!(fs_err::read_to_string(&made[0].path).unwrap(), "inside\n");
    let file = made[0].path.read_link_utf8().unwrap();
    assert!(file.starts_with(store.join("nix/store")), "{file}");
    assert!(is_kept(&cx, &step(&flake, "a"), &config, cx.out).unwrap());
}

#[test]
fn a_directory_is_an_artifact_of_kind_tree() {
    let nix = TestNix::new();
    let script = "mkdir -p $out/bin; echo '#!/bin/sh' > $out/bin/a; chmod +x $out/bin/a; ln -s bin/a $out/a";
    let flake = nix.flake("tree", &packages(&[("a", &derivation("a", script))]));
    let step = step::NixBuild { kind: ArtifactKind::Tree, ..step(&flake, "a") };
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    let made = nix_build(&sandbox.cx(), &step, &NixConfig::default()).unwrap();
    let text = fs_err::read_to_string(format!("{}.manifest", made[0].path)).unwrap();
    let manifest = bootway_plan::Manifest::from_text(&text).unwrap();
    let modes: Vec<(String, u16)> =
        manifest.entries.iter().map(|(path, entry)| (path.as_str().to_owned(), entry.mode)).collect();
    let wanted = [("", 0o755), ("a", 0o777), ("bin", 0o755), ("bin/a", 0o755)];
    assert_eq!(modes, wanted.map(|(path, mode)| (path.to_owned(), mode)));
}

#[test]
fn many_at_once_make_one_new_store() {
    for _ in 0..2 {
        let nix = TestNix::new();
        let flake = nix.flake("many", &packages(&[("a", &derivation("a", "echo a > $out"))]));
        let built = || {
            let runner = SystemRunner::default();
            let mut sandbox = Sandbox::new(&runner);
            sandbox.env = nix.env();
            nix_build(&sandbox.cx(), &step(&flake, "a"), &NixConfig::default())
                .map(drop)
                .map_err(|it| it.to_string())
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(built)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all, vec![Ok(()); 4]);
    }
}

#[test]
fn who_does_not_answer_is_said_once_with_the_remedy() {
    let nix = TestNix::new();
    let flake = nix.flake("alone", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    let mut env = nix.env();
    let config = env.get_mut("NIX_CONFIG").unwrap();
    *config = config.replace("substituters =", "substituters = http://127.0.0.1:9\ndownload-attempts = 1");
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = env;
    nix_build(&sandbox.cx(), &step(&flake, "a"), &NixConfig::default()).unwrap();
    let said =
        |event: &EventKind| matches!(event, EventKind::Note { text } if text.contains("`substituters = []`"));
    assert_eq!(sandbox.events().iter().filter(|event| said(event)).count(), 1, "{:#?}", sandbox.lines());
}

#[test]
fn nothing_is_fetched_from_anywhere_when_the_plan_says_so() {
    let nix = TestNix::new();
    let flake = nix.flake("offline", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    let mut env = nix.env();
    // As a machine would have it: somewhere to ask, that does not answer.
    let config = env.get_mut("NIX_CONFIG").unwrap();
    *config = config.replace("substituters =", "substituters = http://127.0.0.1:9");
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = env;
    let offline = NixConfig { substituters: Some(Vec::new()), ..NixConfig::default() };
    nix_build(&sandbox.cx(), &step(&flake, "a"), &offline).unwrap();
    let lines = sandbox.lines();
    assert!(!lines.iter().any(|line| line.contains("127.0.0.1") && !line.starts_with('$')), "{lines:#?}");
}

/// Two runs of the same: one builds, the other says what it waits for, and both have it.
#[test]
fn waiting_for_another_run_that_builds_the_same_is_said() {
    let nix = TestNix::new();
    let (begun, go_on) = (nix.root().join("begun"), nix.root().join("go-on"));
    let script = format!("touch {begun}; until test -e {go_on}; do sleep 0.1; done; echo a > $out");
    let flake = nix.flake("shared", &packages(&[("a", &derivation("a", &script))]));
    let step = step(&flake, "a");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| build(&nix, &step));
        wait_for(&begun);
        let second = build_with(&nix, &step, &NixConfig::default(), |sandbox| {
            let waits = || {
                let waiting =
                    |event| matches!(event, EventKind::Note { text } if text.contains("waiting for"));
                sandbox.events().into_iter().any(waiting)
            };
            let deadline = Instant::now() + Duration::from_mins(1);
            while !waits() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            fs_err::write(&go_on, "").unwrap();
        });
        assert!(second.texts().iter().any(|text| text.contains("waiting for")), "{:?}", second.texts());
        assert_eq!(second.bytes.as_deref(), Some("a\n"));
        assert!(first.join().unwrap().result.is_ok());
    });
}

/// What comes out of a cache is counted in bytes while it comes.
#[test]
fn a_download_is_told_in_bytes() {
    let nix = TestNix::new();
    let flake =
        nix.flake("cached", &packages(&[("a", &derivation("a", "head -c 3000000 /dev/zero > $out"))]));
    let cache = format!("file://{}/cache.nar", nix.root());
    let first = build(&nix, &step(&flake, "a"));
    let path = first.provenance["store-path"].as_str().unwrap().to_owned();
    nix.ok("nix", &["copy", "--to", &cache, &path]);
    nix.ok("nix-store", &["--delete", "--ignore-liveness", &path]);
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    sandbox.env.get_mut("NIX_CONFIG").unwrap().push_str("\nrequire-sigs = false\n");
    let config = NixConfig { substituters: Some(vec![cache]), ..NixConfig::default() };
    nix_build(&sandbox.cx(), &step(&flake, "a"), &config).unwrap();
    assert!(!sandbox.lines().iter().any(|line| line == "building a"), "{:?}", sandbox.lines());
    let told = sandbox.events().into_iter().filter_map(|event| match event {
        EventKind::Progress { done, total, unit: bootway_plan::Unit::Bytes } => Some((done, total)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let (done, total) = told.last().expect("bytes are counted");
    assert!(*done > 2_900_000 && *total == Some(3_000_112), "{told:?}");
}

/// A store may say that a path is valid; there is nothing to look into all the same.
#[test]
fn an_output_that_is_not_on_this_disk_is_no_artifact() {
    let nix = TestNix::new();
    let flake = nix.flake("gone", &packages(&[("a", &derivation("a", "echo a > $out"))]));
    let first = build(&nix, &step(&flake, "a"));
    fs_err::remove_file(first.provenance["store-path"].as_str().unwrap()).unwrap();
    let came = build(&nix, &step(&flake, "a"));
    assert_eq!(came.cause(), Cause::OutputMissing);
    insta::assert_snapshot!(came.message(), @"
    `STORE/a` is valid, as the store says, and is not on this machine's disk
    hint: if `NIX_REMOTE` leads to another machine, use `builders` of `[nix]` instead; if somebody removed it: nix-store --repair-path STORE/a
    ");
}
