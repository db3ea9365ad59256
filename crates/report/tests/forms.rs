//! The forms of a report, each read by somebody else.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_plan::{
    Artifact, ArtifactKind, Bytes, Class, Digest, Event, EventKind, Failure, GuestImage, GuestInfo, Kept,
    KeptKind, Name, Slower, Stream, Timing, Verdict,
};
use bootway_report::{Pictures, Report, read_log, to_html, to_junit, to_markdown};
use camino::Utf8Path;

const NAMES: [&str; 7] = ["good", "failed", "check", "interrupted", "twelve", "shim", "guests"];

fn report(name: &str) -> Report {
    read_log(&Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/events/{name}.jsonl")))
        .unwrap()
}

/// A plan, a program and a guest that all try to break out.
fn hostile() -> Report {
    const EVIL: &str =
        "</pre></title>]]><script>alert(1)</script>\"'&\u{0}\u{1b}[2J\u{202e}\u{ffff}`|<img src=x>";
    let evil = || EVIL.to_owned();
    let step = |at_ms, kind| Event { at_ms, step: Some(Name::fixed("evil")), kind };
    let mut events = vec![step(0, EventKind::Started), step(1, EventKind::Note { text: evil() })];
    events.push(step(2, EventKind::Command { line: evil() }));
    events.push(step(3, EventKind::Line { stream: Stream::Console, text: evil() }));
    events.push(step(3, EventKind::Line { stream: Stream::Stderr, text: evil() }));
    let check = |verdict| EventKind::Check { name: evil(), verdict, after_ms: 4, detail: Some(evil()) };
    events.extend(
        [Verdict::Passed, Verdict::Failed, Verdict::TimedOut, Verdict::NotRun].map(|it| step(4, check(it))),
    );
    let artifact = Artifact {
        output: Name::fixed("x"),
        kind: ArtifactKind::File,
        path: EVIL.replace('\0', "").into(),
        size: Bytes::new(1),
        digest: Digest::of(b""),
    };
    events.push(step(5, EventKind::Made(artifact)));
    let image =
        GuestImage { source: evil(), path: evil().into(), digest: Digest::of(b""), size: Bytes::new(1) };
    events.push(step(
        5,
        EventKind::Guest(Box::new(GuestInfo {
            machine: Some(Name::fixed("m")),
            boot: evil(),
            firmware: evil(),
            memory: Bytes::new(1),
            cpus: 1,
            accel: evil(),
            accel_reason: evil(),
            images: vec![image],
        })),
    ));
    events.push(step(5, EventKind::Timing(Timing { name: evil(), ms: 1, test: Some(evil()) })));
    for what in [KeptKind::Log, KeptKind::Screenshot, KeptKind::Diagnostics] {
        let kept = Kept { what, label: evil(), path: evil().into(), test: Some(evil()) };
        events
            .push(step(5, EventKind::Kept(Kept { path: format!("kept/{}", evil()).into(), ..kept.clone() })));
        events.push(step(5, EventKind::Kept(kept)));
    }
    let slower = Slower { what: evil(), ms: 9, usual_ms: 1, runs: 5 };
    events.push(Event::of_run(5, EventKind::Slower(slower)));
    events.push(step(6, EventKind::Failed(Failure::new(Class::Step, evil()).because(evil()).hint(evil()))));
    events.push(Event::of_run(7, EventKind::Failed(Failure::new(Class::Bug, evil()))));
    Report::of(&events)
}

/// What Python's parser makes of `text`.
fn python(script: &str, text: &str) -> String {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let file = sandbox.cx().scratch.join("text");
    fs_err::write(&file, text).unwrap();
    let cmd = Cmd::user("python3").args(["-c", script]).arg(file.as_str());
    String::from_utf8(run(&sandbox.cx(), &cmd).expect("python3 reads it (apt-get install python3)").stdout)
        .unwrap()
}

const JUNIT: &str = r"
import sys, xml.etree.ElementTree as E
for suite in E.parse(sys.argv[1]).getroot():
    print(suite.get('name'), suite.get('tests'), suite.get('failures'), suite.get('errors'), suite.get('skipped'))
    for case in suite:
        print(' ', case.get('name')[:40].encode('ascii', 'replace').decode(), ','.join(x.tag for x in case) or 'passed')
    for what, tag in (('failures', 'failure'), ('errors', 'error'), ('skipped', 'skipped')):
        assert int(suite.get(what)) == len(suite.findall('testcase/' + tag)), what
    assert int(suite.get('tests')) == len(suite.findall('testcase'))
";

#[test]
fn another_parser_counts_the_same_in_junit() {
    insta::assert_snapshot!(python(JUNIT, &to_junit(&report("check"))));
    insta::assert_snapshot!(python(JUNIT, &to_junit(&report("interrupted"))));
    insta::assert_snapshot!(python(JUNIT, &to_junit(&hostile())));
    for name in NAMES {
        python(JUNIT, &to_junit(&report(name)));
    }
}

#[test]
fn a_failure_in_junit_says_everything() {
    insta::assert_snapshot!(to_junit(&report("failed")));
}

/// Every element is closed where it should be, and nothing is asked of anybody else.
const HTML: &str = r"
import sys
from html.parser import HTMLParser
VOID = {'meta', 'br', 'hr', 'img', 'input', 'link'}
class Page(HTMLParser):
    def __init__(self):
        super().__init__(); self.open = []; self.ids = []; self.hrefs = []; self.bad = []
    def handle_starttag(self, tag, attrs):
        if tag in ('script', 'link', 'iframe', 'object'): self.bad.append(tag)
        for name, value in attrs:
            inside = tag == 'img' and name == 'src' and value.startswith('data:image/png;base64,')
            if name.startswith('on') or (name in ('src', 'action') and not inside): self.bad.append(name)
            if name == 'id': self.ids.append(value)
            if name == 'href': self.hrefs.append(value)
        if tag not in VOID: self.open.append(tag)
    def handle_startendtag(self, tag, attrs): pass
    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag: self.bad.append('/' + tag + ' in ' + str(self.open))
        else: self.open.pop()
page = Page(); text = open(sys.argv[1], newline='').read(); page.feed(text); page.close()
assert not page.bad, page.bad
assert not page.open, page.open
inside = lambda href: href.startswith('#') and href[1:] in page.ids
beside = lambda href: href.startswith('kept/') or href.startswith('../')
assert all(inside(href) or beside(href) for href in page.hrefs), page.hrefs
assert 'http' not in text.replace('http-equiv', ''), 'names another place'
print('whole')
";

#[test]
fn the_page_is_whole_and_asks_nobody() {
    for name in NAMES {
        assert_eq!(python(HTML, &to_html(&report(name), &Pictures::default())), "whole\n", "{name}");
    }
    assert_eq!(python(HTML, &to_html(&hostile(), &Pictures::default())), "whole\n");
    assert_eq!(python(HTML, &to_html(&Report::default(), &Pictures::default())), "whole\n");
}

#[test]
fn markdown_says_the_verdict_first() {
    insta::assert_snapshot!(to_markdown(&report("failed")));
    insta::assert_snapshot!(to_markdown(&report("check")));
    insta::assert_snapshot!(to_markdown(&report("shim")));
}

/// Outside of code, no tag and no cell is anybody's but ours.
#[test]
fn a_guest_cannot_write_markdown() {
    let markdown = to_markdown(&hostile());
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with("| ✗ failed")).collect();
    assert_eq!(rows.len(), 1, "{markdown}");
    assert!(!rows[0].contains('<'), "{}", rows[0]);
    assert_eq!(rows[0].replace("\\|", "").matches('|').count(), 6, "{}", rows[0]);
}

#[test]
fn failures_come_before_everything_else_on_the_page() {
    let page = to_html(&report("failed"), &Pictures::default());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at("<h1>Failed: squash</h1>") < at("What went wrong"));
    assert!(at("What went wrong") < at("id=\"timeline\""));
    assert!(page.contains("bootway build fixtures/plans/demo.plan.toml --step squash"));
    assert!(page.contains("&lt;input/output error&gt; &amp; [1mmore[0m"));
}
