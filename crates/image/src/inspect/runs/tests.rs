use std::sync::Arc;

use bootway_exec::{Input, Reply, Sandbox, ScriptedRunner};
use bootway_plan::{ArtifactKind, Bytes, Source};
use serde_json::{Value, json};

use super::*;
use crate::{
    inspect::inspect,
    oci::oci,
    tree::{self, Composer, Content, Node, NodeKind},
};

fn add(sandbox: &mut Sandbox<'_>, name: &str, path: Utf8PathBuf, kind: ArtifactKind) {
    let input = Input { path, kind, digest: Digest::of(b""), size: Bytes::new(0), made: true };
    sandbox.inputs.insert(name.parse::<Source>().unwrap(), input);
}

/// Adds an image with one program as the input `image`.
fn image(sandbox: &mut Sandbox<'_>, arch: &str, format: &str) {
    let mut composer = Composer::new();
    let program = NodeKind::File(Content::Bytes(Arc::from(&b"\x7fELF"[..])));
    composer.place(&"bin/it".parse().unwrap(), Node::new(0o755, program)).unwrap();
    let root = sandbox.root().join("root");
    tree::write(&sandbox.cx(), &composer.finish(), &root).unwrap();
    add(sandbox, "root", root, ArtifactKind::Tree);
    let step = json!({ "from": "root", "entrypoint": ["/bin/it"], "arch": arch, "format": format });
    let made = oci(&sandbox.cx(), &serde_json::from_value(step).unwrap()).unwrap().remove(0);
    add(sandbox, "image", made.path, made.kind);
}

fn step(runs: &Value) -> step::Inspect {
    serde_json::from_value(json!({ "image": "image", "expect": [{ "runs": runs }] })).unwrap()
}

fn own_arch() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x86-64" }
}

/// What a step that `runs` says, and the programs that it starts.
fn look(runner: &ScriptedRunner, runs: &Value, arch: &str) -> String {
    let mut sandbox = Sandbox::new(runner);
    image(&mut sandbox, arch, "archive");
    let result = inspect(&sandbox.cx(), &step(runs));
    let said = sandbox.events().into_iter().find_map(|event| match event {
        EventKind::Check { name, verdict, detail, .. } => {
            Some(format!("{verdict:?} {name}: {}", detail.unwrap()))
        }
        _ => None,
    });
    let name = Trial::new(&sandbox.cx(), "docker", 1).name;
    let ended = if result.is_ok() { "good" } else { "not good" };
    let text = format!("{}\n{ended}\n{runner}", said.unwrap());
    assert!(fs_err::read_dir(sandbox.cx().scratch).unwrap().flatten().all(|it| it.file_name() == "layer-1"));
    text.replace(&name, "[name]").replace(sandbox.root().as_str(), "[dir]")
}

/// Answers as an engine does for a container that ends with `code`.
fn engine(program: &str, code: &str, printed: &str) -> ScriptedRunner {
    let before = [Reply::ok("Server: fine\n"), Reply::exits(1).stderr("no such container\n")];
    let own = [Reply::exits(1), Reply::ok("loaded\n"), Reply::ok("0123\n")];
    let after = [Reply::ok(&format!("{code}\n")), Reply::ok(printed), Reply::ok(""), Reply::ok("")];
    let all = before.into_iter().chain(own).chain(after);
    all.fold(ScriptedRunner::default(), |runner, reply| runner.on_program(program, reply))
}

/// D.4.10, in its words.
#[test]
fn without_an_engine_that_answers_it_does_not_run_and_says_why() {
    let none = ScriptedRunner::default()
        .on_program("docker", Reply::missing())
        .on_program("podman", Reply::missing());
    insta::assert_snapshot!(look(&none, &json!({}), own_arch()), @"
    NotRun runs: docker or podman not found
    good
    $ docker info
    $ podman info
    ");
    let down = ScriptedRunner::default()
        .on_program("docker", Reply::exits(1).stderr("Cannot connect to the Docker daemon\n"))
        .on_program("podman", Reply::missing());
    insta::assert_snapshot!(look(&down, &json!({}), own_arch()), @"
    NotRun runs: daemon not running
    good
    $ docker info
    $ podman info
    ");
    let other = ScriptedRunner::default();
    insta::assert_snapshot!(look(&other, &json!({}), "riscv64"), @"
    NotRun runs: it is for linux/riscv64, and this is linux/amd64
    good
    ");
}

#[test]
fn the_first_engine_that_answers_runs_it_and_gets_everything_back() {
    let second = engine("podman", "3", "listening\nbye\n").on_program("docker", Reply::exits(1));
    let runs = json!({ "args": ["--once"], "env": { "A": "b c" }, "exit": 3, "contains": "listening" });
    insta::assert_snapshot!(look(&second, &runs, own_arch()), @r#"
    Passed runs "--once", prints "listening": linux/amd64, 119 B; exit code 3, by podman
    good
    $ docker info
    $ podman info
    $ podman rm --force [name]
    $ podman rmi localhost/[name]:latest
    $ podman load --quiet --input [dir]/scratch/container-1.tar
    $ podman run --detach --name [name] --network=none --pull=never --stop-timeout=0 --log-driver=json-file --env 'A=b c' localhost/[name]:latest --once
    $ podman wait [name]
    $ podman logs [name]
    $ podman rm --force [name]
    $ podman rmi localhost/[name]:latest
    "#);
}

#[test]
fn what_it_does_wrong_is_said_with_its_last_line() {
    let runs = |text: &str| serde_json::from_str::<Runs>(text).unwrap();
    let lines = ["one".to_owned(), "cannot bind".to_owned(), String::new()];
    let cases = [
        ("{}", Some(0), &lines[..]),
        ("{}", Some(1), &lines),
        ("{}", Some(137), &[]),
        ("{}", None, &lines),
        (r#"{ "within": "2s" }"#, None, &lines),
        (r#"{ "exit": 2 }"#, Some(0), &lines),
        (r#"{ "stays": "3s" }"#, None, &lines),
        (r#"{ "stays": "3s" }"#, Some(0), &lines),
        (r#"{ "stays": "3s", "contains": "ready" }"#, None, &lines),
        (r#"{ "contains": "one\ncannot" }"#, Some(0), &lines),
    ];
    let said = cases.map(|(text, code, printed)| {
        let (verdict, said) = judge(&runs(text), code, printed, "podman");
        format!("{verdict:?} {}: {said}", name(&runs(text)))
    });
    insta::assert_snapshot!(said.join("\n"), @r#"
    Passed runs: exit code 0, by podman
    Failed runs: it ended with exit code 1, and not 0: it printed `cannot bind`
    Failed runs: it ended with exit code 137, and not 0: it printed nothing
    TimedOut runs: it still runs after 20s: of a server say how long it `stays`; it printed `cannot bind`
    TimedOut runs: it still runs after 2s: of a server say how long it `stays`; it printed `cannot bind`
    Failed runs: it ended with exit code 0, and not 2: it printed `cannot bind`
    Passed runs for 3s: still runs after 3s, by podman
    Failed runs for 3s: it ended with exit code 0 within 3s: it printed `cannot bind`
    Failed runs for 3s, prints "ready": still runs after 3s, and "ready" is not in what it printed: it printed `cannot bind`
    Passed runs, prints "one\ncannot": exit code 0, by podman
    "#);
}

#[test]
fn an_engine_that_cannot_says_why() {
    let runner = |replies: Vec<Reply>| {
        let before = [Reply::ok(""), Reply::exits(1), Reply::exits(1)];
        let all = before.into_iter().chain(replies);
        all.fold(ScriptedRunner::default(), |runner, reply| runner.on_program("docker", reply))
    };
    let load = runner(vec![Reply::exits(1).stderr("write /x: no space left on device\n\n")]);
    let start =
        runner(vec![Reply::ok(""), Reply::exits(127).stderr("exec: \"/bin/it\": exec format error\n")]);
    let wait = runner(vec![Reply::ok(""), Reply::ok(""), Reply::killed()]);
    let first = |text: String| text.lines().next().unwrap().to_owned();
    let said = [load, start, wait].map(|runner| first(look(&runner, &json!({}), own_arch())));
    insta::assert_snapshot!(said.join("\n"), @r#"
    Failed runs: docker cannot load it: write /x: no space left on device
    Failed runs: docker cannot start it: exec: "/bin/it": exec format error
    Failed runs: docker cannot say how it ended: it was killed by a signal
    "#);
}

#[test]
fn an_image_is_handed_over_whole_however_it_is_stored() {
    for format in ["layout", "archive", "docker"] {
        let runner = ScriptedRunner::default();
        let mut sandbox = Sandbox::new(&runner);
        image(&mut sandbox, own_arch(), format);
        let source = "image".parse::<Source>().unwrap();
        let before = Container::read(&sandbox.inputs[&source].path).unwrap().unwrap();
        let path = sandbox.root().join("for-engine.tar");
        before.write_for_engine(&sandbox.cx(), 0, "localhost/it:latest", &path).unwrap();
        crate::verify(ArtifactKind::Container, &path).unwrap();
        let after = Container::read(&path).unwrap().unwrap();
        let [before, after] = [before, after].map(|it| it.report.images[0].clone());
        assert_eq!(after.names, ["localhost/it:latest"]);
        assert_eq!((before.entrypoint, before.platform), (after.entrypoint, after.platform));
        let ids = |layers: Vec<crate::ContainerLayer>| layers.iter().map(|it| it.diff_id).collect::<Vec<_>>();
        assert_eq!(ids(before.layers), ids(after.layers));
    }
}

#[test]
fn what_would_be_run_is_shown() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let lines = container_commands(&cx, &step(&json!({ "args": ["-v"], "stays": "2s" })), "podman");
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let text = text.replace(&Trial::new(&cx, "podman", 1).name, "[name]");
    insta::assert_snapshot!(text.replace(sandbox.root().as_str(), "[dir]"), @"
    podman info
    podman load --quiet --input [dir]/scratch/container-1.tar
    podman run --detach --name [name] --network=none --pull=never --stop-timeout=0 --log-driver=json-file localhost/[name]:latest -v
    podman wait [name]
    podman logs [name]
    podman rm --force [name]
    podman rmi localhost/[name]:latest
    ");
}
