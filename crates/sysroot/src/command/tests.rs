use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use bootway_exec::{Cx, Input, Reply, Sandbox, ScriptedRunner, SystemRunner};
use bootway_plan::{ArtifactKind, Bytes, Digest, Failure, Manifest, Source, step};

use super::*;

fn step(json: &str) -> step::Command {
    serde_json::from_str(json).unwrap()
}

/// Runs `script` with a shell in a sandbox, with these outputs; what it made or said.
fn shell(script: &str, outputs: &str) -> String {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let argv = serde_json::to_string(&["sh", "-ec", script, "sh", "${out}"]).unwrap();
    let step = step(&format!(r#"{{ "argv": {argv}, "cwd": "${{out}}", "outputs": {outputs} }}"#));
    let text = match command(&sandbox.cx(), &step) {
        Ok(outputs) => outputs
            .iter()
            .map(|output| format!("{} {}: {}\n", output.kind, output.name, output.path))
            .collect(),
        Err(error) => Failure::of(&error).to_string(),
    };
    text.replace(sandbox.root().as_str(), "")
}

#[test]
fn fills_in_every_place() {
    let runner = ScriptedRunner::default().on_program("/plan/tools/make", Reply::ok(""));
    let mut sandbox = Sandbox::new(&runner);
    let source: Source = "kernel/image".parse().unwrap();
    let input = Input {
        path: "/out/kernel/vmlinuz".into(),
        kind: ArtifactKind::Kernel,
        digest: Digest::of(b""),
        size: Bytes::new(0),
        made: true,
    };
    sandbox.inputs.insert(source, input);
    let env = [("BOARD", "dedede"), ("TOKEN", "hunter2")];
    let env = env.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let secrets = ["hunter2".to_owned()];
    let cx = Cx {
        plan_dir: "/plan".into(),
        out: "/o".into(),
        scratch: "/s".into(),
        env: &env,
        secrets: &secrets,
        ..sandbox.cx()
    };
    let step = step(
        r#"{
            "argv": ["./tools/make", "--kernel=${kernel/image}", "${plan-dir}/a b", "${out}", "${scratch}/x"],
            "stdin": "kernel/image"
        }"#,
    );
    let preview: String = commands(&cx, &step).unwrap().iter().map(|cmd| format!("$ {cmd}\n")).collect();
    insta::assert_snapshot!(preview, @"$ cd /s && BOARD=dedede SOURCE_DATE_EPOCH=1735689600 TOKEN=[secret] /plan/tools/make --kernel=/out/kernel/vmlinuz '/plan/a b' /o /s/x < /out/kernel/vmlinuz");
    command(&cx, &step).unwrap();
    assert_eq!(runner.to_string(), preview);
}

#[test]
fn the_epoch_of_the_plan_can_be_overridden() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let env = [("SOURCE_DATE_EPOCH".to_owned(), "5".to_owned())].into();
    let cx = Cx { env: &env, scratch: "/s".into(), ..sandbox.cx() };
    let cmds = commands(&cx, &step(r#"{ "argv": ["true"] }"#)).unwrap();
    insta::assert_snapshot!(cmds[0], @"cd /s && SOURCE_DATE_EPOCH=5 true");
}

#[test]
fn a_command_without_outputs_is_judged_by_its_code() {
    assert_eq!(shell("true", "{}"), "");
    insta::assert_snapshot!(shell("exit 3", "{}"), @"error: `cd /out && SOURCE_DATE_EPOCH=1735689600 sh -ec 'exit 3' sh /out` exited with code 3");
}

#[test]
fn runs_in_its_scratch_directory() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    command(&sandbox.cx(), &step(r#"{ "argv": ["touch", "here"] }"#)).unwrap();
    assert!(sandbox.cx().scratch.join("here").exists());
}

#[test]
fn reads_standard_input_from_an_input() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("text");
    fs_err::write(&path, "hello").unwrap();
    let input = Input {
        path,
        kind: ArtifactKind::Text,
        digest: Digest::of(b"hello"),
        size: Bytes::new(5),
        made: false,
    };
    sandbox.inputs.insert("./text".parse().unwrap(), input);
    let step = step(r#"{ "argv": ["cat"], "stdin": "./text" }"#);
    command(&sandbox.cx(), &step).unwrap();
    assert_eq!(sandbox.lines().last().unwrap(), "hello");
}

#[test]
fn takes_what_the_plan_names() {
    insta::assert_snapshot!(
        shell(
            "mkdir -p sub/deep; echo kernel > sub/deep/vmlinuz-6.1; echo notes > notes.txt",
            r#"{ "kernel": { "glob": "**/vmlinuz-*" }, "notes": { "path": "notes.txt", "kind": "text", "min-size": "6B" } }"#,
        ),
        @"
    file kernel: /out/kernel
    text notes: /out/notes.txt
    ",
    );
}

#[test]
fn says_what_is_missing() {
    insta::assert_snapshot!(shell("touch a b", r#"{ "rootfs": { "path": "rootfs" } }"#), @"
    error: the command exited with code 0 but made no `rootfs` for output `rootfs`: `${out}` has `a`, `b`
      hint: write it to `${out}`, or fix `outputs` in the plan
    ");
    insta::assert_snapshot!(shell("mkdir d", r#"{ "rootfs": { "glob": "*.img" } }"#), @"
    error: the command exited with code 0 but made no `*.img` for output `rootfs`: `${out}` has nothing
      hint: write it to `${out}`, or fix `outputs` in the plan
    ");
}

#[test]
fn says_what_is_ambiguous() {
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do echo > $n.img; done";
    insta::assert_snapshot!(shell(script, r#"{ "rootfs": { "glob": "*.img" } }"#), @"
    error: output `rootfs` is to be the one match of `*.img`, and there are several: `1.img`, `10.img`, `2.img`, `3.img`, `4.img`, `5.img`, `6.img`, `7.img` and 2 more
      hint: make the pattern narrower, or name the `path`
    ");
}

#[test]
fn says_what_is_too_small() {
    let outputs = r#"{ "image": { "path": "image", "min-size": "1MiB" } }"#;
    insta::assert_snapshot!(shell("echo half > image", outputs), @"
    error: output `image` has 5 B, and `min-size` is 1MiB
      hint: look at what the command printed: it may have given up half-way
    ");
}

#[test]
fn believes_no_links() {
    let outputs = r#"{ "image": { "path": "image" } }"#;
    insta::assert_snapshot!(shell("ln -s /etc/passwd image", outputs), @"
    error: output `image` at `image` is a symbolic link, which cannot be of kind `file`
      hint: copy what it points to
    ");
    let outputs = r#"{ "image": { "path": "away/passwd" } }"#;
    insta::assert_snapshot!(shell("ln -s /etc away", outputs), @"error: output `image` at `away/passwd` is behind a symbolic link that leaves `${out}`: write the file itself there");
    let outputs = r#"{ "image": { "glob": "**/passwd" } }"#;
    insta::assert_snapshot!(shell("ln -s /etc away; ln -s /etc/passwd passwd", outputs), @"
    error: the command exited with code 0 but made no `**/passwd` for output `image`: `${out}` has nothing
      hint: write it to `${out}`, or fix `outputs` in the plan
    ");
}

#[test]
fn a_file_is_not_a_tree() {
    insta::assert_snapshot!(shell("echo > root", r#"{ "root": { "path": "root", "kind": "tree" } }"#), @"
    error: output `root` at `root` is a file, which cannot be of kind `tree`
      hint: fix `kind` in the plan, or what the command writes
    ");
    insta::assert_snapshot!(shell("mkdir root", r#"{ "root": { "path": "root" } }"#), @"
    error: output `root` at `root` is a directory, which cannot be of kind `file`
      hint: fix `kind` in the plan, or what the command writes
    ");
}

#[test]
fn places_are_checked_before_anything_runs() {
    for place in [r#""path": "../x""#, r#""path": "/x""#, r#""path": ".""#, r#""path": """#] {
        let said = shell("echo ran >&2; false", &format!(r#"{{ "x": {{ {place} }} }}"#));
        assert!(said.contains("leaves `${out}`"), "{place}: {said}");
    }
    insta::assert_snapshot!(shell("false", r#"{ "x": {} }"#), @"error: output `x`: `outputs` says no place for it: write `path` or `glob`");
    insta::assert_snapshot!(shell("false", r#"{ "x": { "path": "a", "glob": "b" } }"#), @"error: output `x`: `path` and `glob` exclude each other: write one");
    insta::assert_snapshot!(shell("false", r#"{ "x": { "glob": "a[" } }"#), @"error: output `x`: `a[` is not a pattern: unclosed character class; missing ']'");
}

#[test]
fn nothing_is_overwritten() {
    let outputs = r#"{ "image": { "glob": "sub/*" } }"#;
    insta::assert_snapshot!(shell("mkdir sub; touch sub/a image", outputs), @"error: output `image` cannot be at `/out/image`, where the command made something else: give one of them another name");
}

#[test]
fn a_tree_has_the_same_manifest_for_every_user() {
    let runner = SystemRunner::default();
    let manifests = ["022", "077"].map(|umask| {
        let sandbox = Sandbox::new(&runner);
        let script = format!(
            "umask {umask}; mkdir -p r/bin r/z; echo x > r/bin/x; chmod u+x r/bin/x; ln r/bin/x r/a; ln -s x r/bin/y; mkfifo r/p"
        );
        let argv = serde_json::to_string(&["sh", "-ec", &script]).unwrap();
        let outputs = r#"{ "root": { "path": "r", "kind": "tree" } }"#;
        let step = step(&format!(r#"{{ "argv": {argv}, "cwd": "${{out}}", "outputs": {outputs} }}"#));
        let outputs = command(&sandbox.cx(), &step).unwrap();
        assert_eq!(fs_err::metadata(&outputs[0].path).unwrap().permissions().mode() & 0o777, 0o777 & !u32::from_str_radix(umask, 8).unwrap());
        assert_eq!(fs_err::metadata(outputs[0].path.join("a")).unwrap().nlink(), 2);
        fs_err::read_to_string(format!("{}.manifest", outputs[0].path)).unwrap()
    });
    assert_eq!(manifests[0], manifests[1]);
    assert_eq!(Manifest::from_text(&manifests[0]).unwrap().to_text(), manifests[0]);
    insta::assert_snapshot!(manifests[0], @r#"
    {"path":"","mode":493,"kind":"directory"}
    {"path":"a","mode":493,"kind":{"file":{"size":2,"digest":"73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"}}}
    {"path":"bin","mode":493,"kind":"directory"}
    {"path":"bin/x","mode":493,"kind":{"hard-link":{"to":"a"}}}
    {"path":"bin/y","mode":511,"kind":{"symlink":{"target":"x"}}}
    {"path":"p","mode":493,"kind":"fifo"}
    {"path":"z","mode":493,"kind":"directory"}
    "#);
}

#[test]
fn stops_when_asked() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    sandbox.cancel.cancel();
    let error = command(&sandbox.cx(), &step(r#"{ "argv": ["sleep", "60"] }"#)).unwrap_err();
    assert_eq!(error.class(), Class::Cancelled);
}
