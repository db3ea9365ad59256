use proptest::prelude::*;

use super::*;

const DRV: &str = "/nix/store/psg1x7i0jimc37rv92d7bp0yp9bwcgk5-a.drv";

fn told(lines: &[&str]) -> (Log, Vec<Told>) {
    let mut log = Log::default();
    let told = lines.iter().filter_map(|line| log.hear(line)).collect();
    (log, told)
}

fn started(more: &[&str]) -> (Log, Vec<Told>) {
    let start = format!(
        r#"@nix {{"action":"start","fields":["{DRV}","",1,1],"id":7,"level":3,"text":"building","type":105}}"#
    );
    let lines: Vec<&str> = [r#"@nix {"action":"start","id":3,"level":0,"text":"","type":104}"#, &start]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    told(&lines)
}

#[test]
fn a_build_is_followed_from_start_to_stop() {
    let (log, told) = started(&[
        r#"@nix {"action":"result","fields":[0,1,1,0],"id":3,"type":105}"#,
        r#"@nix {"action":"result","fields":["buildPhase"],"id":7,"type":104}"#,
        r#"@nix {"action":"result","fields":["10%\r\u001b[31;1mred\u001b[0m"],"id":7,"type":101}"#,
        r#"@nix {"action":"stop","id":7}"#,
    ]);
    let text: Vec<String> = told.iter().filter_map(Told::text).collect();
    assert_eq!(text, ["building a", "a is in buildPhase", "red"]);
    assert_eq!(told[1], Told::Progress { done: 0, expected: 1, running: 1 });
    let build = &log.builds()[DRV];
    assert!(build.silent.is_some());
    assert_eq!(build.phase.as_deref(), Some("buildPhase"));
    assert_eq!(build.tail, ["red"]);
}

#[test]
fn waiting_for_another_build_is_said() {
    let (_, told) =
        told(&[r#"@nix {"action":"start","id":1,"level":1,"text":"waiting for lock on 'x'","type":111}"#]);
    assert_eq!(told, [Told::Waiting("waiting for lock on 'x'".to_owned())]);
}

/// A builder's own messages and broken ones are text, never facts about builds.
#[test]
fn a_builder_that_forges_lines_changes_nothing() {
    let (log, told) = started(&[
        // Broken JSON comes through as it is, after a message that says so.
        r#"@nix {"action":"start", "#,
        // As a line of its output.
        r#"@nix {"action":"result","fields":["@nix {\"action\":\"stop\",\"id\":7}"],"id":7,"type":101}"#,
        // Progress on an activity that does not count builds.
        r#"@nix {"action":"result","fields":[9,9,9,9],"id":7,"type":105}"#,
        // An activity nobody has heard of.
        r#"@nix {"action":"result","fields":["x"],"id":99,"type":101}"#,
        r#"@nix {"action":"msg","level":0,"msg":"error: hash mismatch in fixed-output derivation"}"#,
        "@nix [1]",
        r#"@nix {"action":"result","fields":"no list","id":7,"type":101}"#,
    ]);
    assert!(log.builds()[DRV].silent.is_none());
    assert!(!told.iter().any(|it| matches!(it, Told::Progress { .. })));
    assert_eq!(log.builds().len(), 1);
    // It is kept as what was said, and decides nothing: see `realise`.
    assert_eq!(log.errors().collect::<Vec<_>>(), ["hash mismatch in fixed-output derivation"]);
}

#[test]
fn only_the_end_of_a_long_log_is_kept() {
    let (mut log, _) = started(&[]);
    for n in 0..1000 {
        log.hear(&format!(r#"@nix {{"action":"result","fields":["line {n}"],"id":7,"type":101}}"#));
    }
    log.hear(&format!(
        r#"@nix {{"action":"result","fields":["{}"],"id":7,"type":101}}"#,
        "ü".repeat(LINE_BYTES)
    ));
    let build = &log.builds()[DRV];
    assert_eq!((build.tail.len(), build.cut), (TAIL_LINES, 1001 - TAIL_LINES));
    assert!(build.tail.iter().all(|line| line.len() <= LINE_BYTES + '…'.len_utf8()));
}

proptest! {
    /// Any line at all is taken.
    #[test]
    fn nothing_panics(lines in proptest::collection::vec("(@nix )?\\PC{0,60}", 0..8)) {
        let mut log = Log::default();
        for line in &lines {
            log.hear(line);
        }
    }
}

/// As a substituter tells it: what is planned, then path by path; the file that a path comes in counts once.
#[test]
fn what_is_downloaded_is_counted_in_bytes() {
    let start = |id: u64, kind: u64, field: &str| {
        format!(
            r#"@nix {{"action":"start","fields":["{field}"],"id":{id},"level":4,"text":"","type":{kind}}}"#
        )
    };
    let result = |id: u64, kind: u64, fields: &str| {
        format!(r#"@nix {{"action":"result","fields":[{fields}],"id":{id},"type":{kind}}}"#)
    };
    let lines = [
        start(1, 102, ""),
        start(8, 101, "http://c/abc.narinfo"),
        result(8, 105, "500,500,0,0"),
        result(1, 106, "100,3000"),
        result(1, 106, "101,900"),
        start(2, 100, "/nix/store/psg1x7i0jimc37rv92d7bp0yp9bwcgk5-a"),
        start(3, 101, "http://c/nar/abc.nar.xz"),
        result(3, 105, "400,600,0,0"),
        result(2, 105, "1000,2000,0,0"),
        r#"@nix {"action":"stop","id":2}"#.to_owned(),
        start(4, 100, "/nix/store/psg1x7i0jimc37rv92d7bp0yp9bwcgk5-b"),
        result(4, 105, "700,1000,0,0"),
    ];
    let (_, said) = told(&lines.each_ref().map(String::as_str));
    let bytes = |done| Told::Bytes { done, expected: 3000 };
    assert_eq!(said, [bytes(0), bytes(0), bytes(0), bytes(1000), bytes(1700)]);

    let alone =
        [start(3, 101, "http://c/nixos.tar.xz"), result(3, 105, "400,0,0,0"), result(3, 105, "500,900,0,0")];
    let (_, said) = told(&alone.each_ref().map(String::as_str));
    assert_eq!(said, [Told::Bytes { done: 400, expected: 400 }, Told::Bytes { done: 500, expected: 900 }]);
}
