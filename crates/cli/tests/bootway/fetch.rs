//! What a plan needs from the network, ahead of time; and the build without it.

use bootway_plan::{Event, EventKind};

use crate::{
    project::{Project, Run, from_error, oracle},
    sysroot::{built, tree},
    test_server::{Page, Server},
};

/// A package from an archive, a file, and a package that needs neither; all of it on `server`.
fn project(server: &Server, more: &str) -> Project {
    let project = Project::new("");
    project.write("hello-1/install.sh", "mkdir -p $DESTDIR/usr/bin && cp greeting $DESTDIR/usr/bin/hello\n");
    project.write("hello-1/greeting", "good day\n".repeat(1000));
    let (dir, archive) = (project.path().to_owned(), project.path().join("hello-1.tar"));
    oracle("tar", &["-C", dir.as_str(), "-cf", archive.as_str(), "hello-1"]);
    let bytes = fs_err::read(&archive).unwrap();
    let config = b"STATIC=y\n";
    let plan = format!(
        "format = 1\nname = \"test\"\nepoch = 1735689600\n{more}\
         [namespace.tools]\nrootfs = \"host\"\n\
         [package.hello]\nversion = \"1\"\nsource = \"{}\"\nsha256 = \"{}\"\nmirrors = [\"{}\"]\nstrategy = \"command\"\n\
         commands = [[\"sh\", \"-euc\", \"DESTDIR=${{destdir}} . ./install.sh\"]]\n\
         [package.alone]\nstrategy = \"command\"\ncommands = [[\"sh\", \"-c\", \"mkdir /alone; echo > /alone/it\"]]\n\
         [[phase]]\nname = \"root\"\nnamespace = \"tools\"\ndestdir = \"/rootfs\"\n\
         [[phase.step]]\nname = \"all\"\npackages = {{}}\n\
         [[phase]]\nname = \"out\"\n\
         [[phase.step]]\nname = \"config\"\nfetch = {{ url = \"{}\", sha256 = \"{}\" }}\n",
        server.url("old/hello-1.tar"),
        bootway_plan::Digest::of(&bytes),
        server.put("hello-1.tar", Page::Ranges(1, bytes)),
        server.put("config", Page::Bytes(config.to_vec())),
        bootway_plan::Digest::of(config),
    );
    fs_err::remove_file(archive).unwrap();
    fs_err::remove_dir_all(project.path().join("hello-1")).unwrap();
    project.write("test.plan.toml", plan);
    project
}

fn fetch(project: &Project, args: &[&str]) -> Run {
    let all: Vec<&str> = ["fetch", "test.plan.toml"].iter().chain(args).copied().collect();
    project.bootway(&all)
}

#[test]
fn after_a_fetch_a_build_needs_no_network() {
    let server = Server::start();
    let project = project(&server, "");
    let run = fetch(&project, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for said in [
        "404 Not Found; going on with the next mirror",
        "attempt 1 of 3 failed",
        "had 0 files (0 B), downloaded 2 files (",
        ", 1 attempt was made again",
        "Everything is here that was to be fetched\n  fetched for 2, in ",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert_eq!(fs_err::read_dir(project.path().join(".bootway/test/out")).unwrap().count(), 0, "it built");
    let requests = server.requests();
    // Everything is there and is looked at: nobody is asked.
    let run = fetch(&project, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("had 2 files (") && run.stderr.contains("downloaded 0 files"),
        "{}",
        run.stderr
    );
    assert_eq!(server.requests(), requests);
    drop(server);
    built(&project, &[]);
    let (path, _) = tree(&project, "hello", "layer");
    assert!(fs_err::read_to_string(path.join("rootfs/usr/bin/hello")).unwrap().starts_with("good day\n"));
    assert!(
        !fs_err::read_to_string(project.path().join(".bootway/test/ledger.jsonl"))
            .unwrap()
            .contains("fetch ")
    );
}

#[test]
fn a_file_that_is_missing_without_a_network_names_what_gets_it() {
    let server = Server::start();
    let project = project(&server, "");
    assert_eq!(fetch(&project, &["--step", "config"]).code, 0);
    drop(server);
    // Each mirror is tried three times, which takes its time.
    let plan = fs_err::read_to_string(project.path().join("test.plan.toml")).unwrap();
    let one: Vec<&str> = plan.lines().filter(|line| !line.starts_with("mirrors")).collect();
    project.write("test.plan.toml", one.join("\n") + "\n");
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let text = from_error(&run.stderr);
    assert!(text.contains("step `hello-source` failed"), "{text}");
    assert!(text.contains("cannot download http://127.0.0.1:"), "{text}");
    assert!(text.contains("`bootway fetch` gets everything that the plan needs"), "{text}");
    let run = fetch(&project, &[]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let text = from_error(&run.stderr);
    assert!(text.starts_with("error: what step `hello-source` needs was not fetched"), "{text}");
    assert!(text.contains("rerun: bootway fetch test.plan.toml --step hello-source"), "{text}");
}

#[test]
fn the_beginning_of_a_download_is_gone_on_from_or_collected() {
    let server = Server::start();
    let project = project(&server, "");
    let bytes = b"STATIC=y\n".to_vec();
    server.put("config", Page::Ranges(3, bytes.clone()));
    assert_eq!(fetch(&project, &["--step", "config"]).code, 5);
    let run = project.bootway(&["gc", "test.plan.toml"]);
    let part = format!("cache/sha256/.partial-{}", bootway_plan::Digest::of(&bytes));
    let line = run.stdout.lines().find(|line| line.contains(&part)).unwrap_or_default();
    assert!(line.ends_with("the beginning of a download that did not end"), "{}{}", run.stdout, run.stderr);
    let run = fetch(&project, &["--step", "config"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(server.requests(), ["config", "config@4", "config@6", "config@7"]);
    let run = project.bootway(&["gc", "test.plan.toml"]);
    assert!(!run.stdout.contains(".partial-"), "{}", run.stdout);
}

#[test]
fn only_what_the_selected_steps_need_is_fetched_and_programs_can_read_what() {
    let server = Server::start();
    let project = project(&server, "");
    let run = fetch(&project, &["--package", "alone"]);
    assert_eq!((run.code, server.requests()), (0, vec!["config".to_owned()]), "{}", run.stderr);
    let run = fetch(&project, &["--phase", "root", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events: Vec<Event> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended: Vec<String> = events
        .iter()
        .filter(|event| event.kind == EventKind::Finished)
        .filter_map(|event| Some(event.step.as_ref()?.to_string()))
        .collect();
    assert_eq!(ended, ["hello-source"]);
    let run = fetch(&project, &["--step", "nothing"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
}

#[test]
fn what_cannot_be_fetched_ahead_of_time_is_named() {
    let plan = "[namespace.tools]\nrootfs = \"host\"\nnetwork = true\n\
        [[phase]]\nname = \"root\"\nnamespace = \"tools\"\n\
        [[phase.step]]\nname = \"asks\"\ncommand = { argv = [\"true\"] }\n";
    let project = Project::new(plan);
    let run = fetch(&project, &[]);
    insta::assert_snapshot!(format!("exit code {}\n{}", run.code, run.stderr), @"
    exit code 7
    not fetched: what `asks` needs: its namespace has a network, which its programs may use
    error: nothing that the selected steps need can be fetched ahead of time
    ");
    let project = Project::new(
        "[[phase]]\nname = \"a\"\n[[phase.step]]\nname = \"tree\"\ntree = { edits = [{ mkdir = { path = \"x\" } }] }\n",
    );
    let run = fetch(&project, &[]);
    insta::assert_snapshot!(format!("exit code {}\n{}", run.code, run.stderr), @"
    exit code 0
    nothing of it comes from the network
    ");
}

#[test]
fn help_says_what_comes_from_where() {
    let run = Project::new("").bootway(&["fetch", "--help"]);
    assert_eq!(run.code, 0);
    insta::assert_snapshot!("fetch_help", run.stdout);
}
