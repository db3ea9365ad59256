use bootway_exec::{Sandbox, ScriptedRunner};
use bootway_plan::{Digest, EventKind, Failure};

use super::*;
use crate::{
    store::Amount,
    test_server::{Page, Server},
};

const CONTENT: &[u8] = b"what was wanted";

fn step(url: &str, mirrors: &[&str]) -> step::Fetch {
    let json = serde_json::json!({ "url": url, "mirrors": mirrors, "sha256": Digest::of(CONTENT) });
    serde_json::from_value(json).unwrap()
}

/// What comes of it, and what the cache then has.
fn fetched(sandbox: &Sandbox<'_>, step: &step::Fetch) -> String {
    let text = match fetch(&sandbox.cx(), step) {
        Ok(outputs) => {
            assert_eq!(fs_err::read(&outputs[0].path).unwrap(), CONTENT);
            format!("{} {}", outputs[0].kind, outputs[0].path)
        }
        Err(error) => Failure::of(&error).to_string(),
    };
    for entry in sandbox.cx().cache.join("sha256").read_dir_utf8().into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_name().starts_with(".partial-") {
            assert!(entry.metadata().unwrap().len() > 0, "nothing to go on from");
            continue;
        }
        assert_eq!(
            Digest::of(&fs_err::read(entry.path()).unwrap()).to_string(),
            entry.file_name(),
            "left behind"
        );
    }
    text.replace(sandbox.root().as_str(), "")
}

#[test]
fn what_was_downloaded_once_needs_no_network() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("files/image.bin?x=1", Page::Bytes(CONTENT.to_vec()));
    let step = step(&url, &[]);
    insta::assert_snapshot!(fetched(&sandbox, &step), @"file /out/image.bin");
    assert_eq!(server.requests().len(), 1);
    drop(server);
    fs_err::remove_file(sandbox.cx().out.join("image.bin")).unwrap();
    fetched(&sandbox, &step);
    assert!(sandbox.cx().out.join("image.bin").exists());
}

#[test]
fn a_wrong_file_is_not_taken() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("image.bin", Page::Bytes(b"something else".to_vec()));
    insta::assert_snapshot!(server.anonymous(&fetched(&sandbox, &step(&url, &[]))), @r#"
    error: `http://server/image.bin` is the wrong file: its SHA-256 is `f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8`, and `3de16cbea12fafcdb8de1fb9a914086b009a66d5316efc6bc87537ca9e191d65` is wanted
      hint: if the file was replaced on purpose and you trust it, set `sha256 = "f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8"`; else use a `mirror` that has the old one
    "#);
    let mirror = server.put("mirror/image.bin", Page::Bytes(CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[&mirror])), "file /out/image.bin");
}

#[test]
fn mirrors_are_tried_in_order() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let there = server.put("c", Page::Bytes(CONTENT.to_vec()));
    let busy = server.put("b", Page::Status(503, 9, Vec::new()));
    assert_eq!(fetched(&sandbox, &step(&server.url("a"), &[&busy, &there])), "file /out/a");
    assert_eq!(server.requests(), ["a", "b", "b", "b", "c"]);
}

#[test]
fn says_what_each_mirror_said() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let busy = server.put("b", Page::Status(503, 9, Vec::new()));
    let step = step(&server.url("a"), &[&busy, "file:///nowhere/x", "file://host/x"]);
    insta::assert_snapshot!(server.anonymous(&fetched(&sandbox, &step)), @"
    error: cannot download http://server/a: the server answers 404 Not Found; http://server/b: the server answers 503 Service Unavailable; file:///nowhere/x: failed to open file `/nowhere/x`: No such file or directory (os error 2); file://host/x: write `file:///PATH`
      hint: look at the network, at `http_proxy`, or name a mirror that has it; while there is a network, `bootway fetch` gets everything that the plan needs
    ");
}

/// What was said on the way.
fn notes(sandbox: &Sandbox<'_>, server: &Server) -> String {
    let notes = sandbox.events().into_iter().filter_map(|kind| match kind {
        EventKind::Note { text } => Some(server.anonymous(&text)),
        _ => None,
    });
    notes.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_network_breaks_is_tried_again_and_said() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("busy", Page::Status(503, 2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/busy");
    fs_err::remove_dir_all(sandbox.cx().cache.join("sha256")).unwrap();
    let url = server.put("gone", Page::HangUp(2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/gone");
    assert_eq!(server.requests(), ["busy", "busy", "busy", "gone", "gone", "gone"]);
    let said = notes(&sandbox, &server);
    let (busy, gone) = said.split_at(said.find("http://server/gone").unwrap());
    insta::assert_snapshot!(busy, @"
    http://server/busy: attempt 1 of 3 failed: the server answers 503 Service Unavailable; again in 0 s
    http://server/busy: attempt 2 of 3 failed: the server answers 503 Service Unavailable; again in 0 s
    ");
    // How a connection ends is told by the operating system in one of several ways.
    assert_eq!(gone.matches("http://server/gone: attempt ").count(), 2, "{gone}");
}

#[test]
fn a_server_that_is_not_there_is_tried_three_times_and_then_the_next() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let there = server.put("a", Page::Bytes(CONTENT.to_vec()));
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/a", listener.local_addr().unwrap())
    };
    assert_eq!(fetched(&sandbox, &step(&refused, &[&there])), "file /out/a");
    let said = notes(&sandbox, &server).replace(&refused, "http://nobody/a");
    assert_eq!(said.matches("http://nobody/a: attempt ").count(), 2, "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(said.ends_with("; going on with the next mirror"), "{said}");
    assert_eq!(server.requests(), ["a"]);
}

#[test]
fn what_is_missing_forbidden_or_wrong_is_asked_for_once() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let forbidden = server.put("forbidden", Page::Status(403, 9, Vec::new()));
    let wrong = server.put("wrong", Page::Ranges(0, b"something else".to_vec()));
    let there = server.put("there", Page::Bytes(CONTENT.to_vec()));
    let step = step(&server.url("missing"), &[&forbidden, &wrong, &there]);
    assert_eq!(fetched(&sandbox, &step), "file /out/missing");
    assert_eq!(server.requests(), ["missing", "forbidden", "wrong", "there"]);
    insta::assert_snapshot!(notes(&sandbox, &server), @"
    http://server/missing: the server answers 404 Not Found; going on with the next mirror
    http://server/forbidden: the server answers 403 Forbidden; going on with the next mirror
    http://server/wrong: its SHA-256 is f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8; going on with the next mirror
    ");
}

#[test]
fn a_download_goes_on_where_it_stopped_if_the_server_can_do_that() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    // 15 bytes: 7, then 4 of the other 8, then the rest.
    let url = server.put("a", Page::Ranges(2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
    assert_eq!(server.requests(), ["a", "a@7", "a@11"]);
    let said = notes(&sandbox, &server);
    assert!(said.contains("attempt 1 of 3") && said.contains("again from byte 7 in"), "{said}");
    assert!(said.contains("attempt 2 of 3") && said.contains("again from byte 11 in"), "{said}");
    // Another one sends all of it again, and that is taken.
    fs_err::remove_dir_all(sandbox.cx().cache.join("sha256")).unwrap();
    let url = server.put("b", Page::Halves(2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/b");
    assert_eq!(server.requests()[3..], ["b", "b@7", "b@7"]);
}

#[test]
fn the_next_mirror_goes_on_where_the_last_one_stopped() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let cut = server.put("cut", Page::Ranges(9, CONTENT.to_vec()));
    let there = server.put("there", Page::Ranges(0, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&cut, &[&there])), "file /out/cut");
    assert_eq!(server.requests(), ["cut", "cut@7", "cut@11", "there@13"]);
}

#[test]
fn what_came_before_a_failure_is_there_for_the_next_run() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("a", Page::Ranges(3, CONTENT.to_vec()));
    assert!(fetched(&sandbox, &step(&url, &[])).starts_with("error: cannot download"));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
    assert_eq!(server.requests(), ["a", "a@7", "a@11", "a@13"]);
    assert!(notes(&sandbox, &server).contains("13 bytes are there from an attempt before this run"));
    // All of it was there, and the run was killed before it got its name.
    let cache = sandbox.cx().cache.join("sha256");
    let digest = Digest::of(CONTENT).to_string();
    fs_err::rename(cache.join(&digest), cache.join(format!(".partial-{digest}"))).unwrap();
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_beginning_of_something_else_does_no_harm() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let partial = sandbox.cx().cache.join("sha256").join(format!(".partial-{}", Digest::of(CONTENT)));
    for (page, left, asked) in [
        (Page::Ranges(0, CONTENT.to_vec()), "rotten", ["a@6", "a"]),
        (Page::Ranges(0, CONTENT.to_vec()), "much longer than it should be", ["a@29", "a"]),
        (Page::Lies(CONTENT.to_vec()), "rotten", ["a@6", "a"]),
    ] {
        let _ = fs_err::remove_dir_all(sandbox.cx().cache.join("sha256"));
        fs_err::create_dir_all(partial.parent().unwrap()).unwrap();
        fs_err::write(&partial, left).unwrap();
        let before = server.requests().len();
        let url = server.put("a", page);
        assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
        assert_eq!(server.requests()[before..], asked);
    }
}

#[test]
fn a_download_ahead_of_time_makes_nothing_and_says_what_came() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("a", Page::Status(503, 1, CONTENT.to_vec()));
    let one = Amount { files: 1, bytes: CONTENT.len() as u64 };
    let came = download(&sandbox.cx(), &step(&url, &[])).unwrap();
    assert_eq!(came, Fetched { came: one, retries: 1, ..Fetched::default() });
    let had = download(&sandbox.cx(), &step(&url, &[])).unwrap();
    assert_eq!(had, Fetched { had: one, ..Fetched::default() });
    assert_eq!(sandbox.cx().out.read_dir_utf8().unwrap().count(), 0);
    drop(server);
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
}

#[test]
fn a_silent_server_does_not_hold_up_a_cancellation() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("slow", Page::Stall(sandbox.cancel.clone()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "error: cancelled");
}

#[test]
fn a_damaged_cache_is_mended() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("a", Page::Bytes(CONTENT.to_vec()));
    fs_err::create_dir_all(sandbox.cx().cache.join("sha256")).unwrap();
    fs_err::write(sandbox.cx().cache.join("sha256").join(Digest::of(CONTENT).to_string()), "rotten").unwrap();
    // Of a run that was killed.
    fs_err::write(
        sandbox.cx().cache.join("sha256").join(format!(".partial-{}", Digest::of(CONTENT))),
        "what w",
    )
    .unwrap();
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/a");
}

#[test]
fn two_at_once_download_it_once() {
    let runner = ScriptedRunner::default();
    let sandboxes = [Sandbox::new(&runner), Sandbox::new(&runner)];
    let cache = sandboxes[0].cx().cache.to_owned();
    let server = Server::start();
    let url = server.put("a", Page::Bytes(CONTENT.to_vec()));
    std::thread::scope(|scope| {
        for sandbox in &sandboxes {
            let (cache, url) = (&cache, &url);
            let cx = Cx { cache, emit: &|_| {}, ..sandbox.cx() };
            scope.spawn(move || fetch(&cx, &step(url, &[])).unwrap());
        }
    });
    assert_eq!(server.requests(), ["a"]);
}

#[test]
fn local_files_are_verified_too() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("a file");
    fs_err::write(&path, CONTENT).unwrap();
    let url = format!("file://{}", path.as_str().replace(' ', "%20"));
    let named = step::Fetch { file_name: Some("named".to_owned()), ..step(&url, &[]) };
    assert_eq!(fetched(&sandbox, &named), "file /out/named");
}

#[test]
fn says_what_is_wrong_with_the_plan() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    insta::assert_snapshot!(fetched(&sandbox, &step("ftp://x/y", &[])), @"error: `ftp://x/y` is not a URL that can be fetched: use http, https or file");
    let named = step::Fetch { file_name: Some("../y".to_owned()), ..step("http://x/y", &[]) };
    insta::assert_snapshot!(fetched(&sandbox, &named), @"error: `../y` cannot be the name of the file: set `file-name` to one without slashes");
    assert_eq!(sandbox.cx().out.read_dir_utf8().unwrap().count(), 0);
}
