use bootway_exec::{Sandbox, ScriptedRunner};
use bootway_plan::{Digest, Failure};

use super::*;
use crate::test_server::{Page, Server};

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
      hint: look at the network, at `http_proxy`, or name a mirror that has it
    ");
}

#[test]
fn what_breaks_once_is_tried_again() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = Server::start();
    let url = server.put("busy", Page::Status(503, 2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/busy");
    fs_err::remove_dir_all(sandbox.cx().cache.join("sha256")).unwrap();
    let url = server.put("cut", Page::Halves(2, CONTENT.to_vec()));
    assert_eq!(fetched(&sandbox, &step(&url, &[])), "file /out/cut");
    assert_eq!(server.requests().len(), 6);
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
