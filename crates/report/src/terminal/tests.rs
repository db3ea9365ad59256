use bootway_plan::Event;
use camino::Utf8Path;

use super::*;
use crate::{Report, State, summary};

fn events(name: &str) -> Vec<Event> {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/events/{name}.jsonl"));
    let text = fs_err::read_to_string(path).unwrap();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

const LIVE: Style = Style { colour: false, width: 80, live: true, verbosity: Verbosity::Normal };

/// A screen that knows the four sequences that are used.
#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
    widest: usize,
}

impl Screen {
    fn feed(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => {
                    let sequence: String = chars.by_ref().skip(1).take_while_inclusive();
                    match sequence.as_str() {
                        "J" => self.lines.truncate(self.row),
                        "?7l" | "?7h" => (),
                        up => {
                            self.row -= up.strip_suffix('A').unwrap().parse::<usize>().unwrap();
                        }
                    }
                }
                '\r' => (),
                '\n' => self.row += 1,
                _ => {
                    if self.lines.len() <= self.row {
                        self.lines.resize(self.row + 1, String::new());
                    }
                    self.lines[self.row].push(c);
                    self.widest = self.widest.max(self.lines[self.row].chars().count());
                }
            }
        }
    }
}

trait TakeWhileInclusive {
    fn take_while_inclusive(&mut self) -> String;
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {
    /// Up to and with the letter that ends a control sequence.
    fn take_while_inclusive(&mut self) -> String {
        let mut text = String::new();
        for c in self {
            text.push(c);
            if c.is_ascii_alphabetic() {
                break;
            }
        }
        text
    }
}

/// All that a terminal of `style` is told of a fixture.
fn told(name: &str, style: Style) -> String {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, style);
    for event in events(name) {
        terminal.event(&event).unwrap();
    }
    terminal.end().unwrap();
    String::from_utf8(out).unwrap()
}

/// The screen when the run has come to `at`, with every tick that there would have been.
fn screen_at(name: &str, at: u64) -> String {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, LIVE);
    let mut now = 0;
    for event in events(name).iter().filter(|event| event.at_ms <= at) {
        while now + FRAME < event.at_ms {
            now += FRAME;
            terminal.tick(now).unwrap();
        }
        terminal.event(event).unwrap();
        now = event.at_ms;
    }
    terminal.tick(at).unwrap();
    let mut screen = Screen::default();
    screen.feed(std::str::from_utf8(&out).unwrap());
    assert!(screen.row <= screen.lines.len());
    screen.lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_good_run_without_a_terminal() {
    insta::assert_snapshot!(told("good", Style::PLAIN));
}

#[test]
fn a_failed_run_without_a_terminal() {
    insta::assert_snapshot!(told("failed", Style::PLAIN));
}

#[test]
fn checks_that_did_not_pass_without_a_terminal() {
    let told = told("check", Style::PLAIN);
    insta::assert_snapshot!(
        told.lines()
            .rev()
            .take(16)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .map(|it| format!("{it}\n"))
            .collect::<String>()
    );
}

#[test]
fn a_verbose_run_shows_what_programs_print() {
    let told = told("failed", Style { verbosity: Verbosity::Verbose, ..Style::PLAIN });
    assert!(told.contains("build/squash: adding file 1 of 900\n"));
    assert!(told.contains("$ build/squash: mksquashfs "));
}

#[test]
fn a_quiet_run_shows_only_what_is_bad() {
    insta::assert_snapshot!(told("good", Style { verbosity: Verbosity::Quiet, ..Style::PLAIN }));
}

#[test]
fn running_steps_have_a_line_each() {
    insta::assert_snapshot!(screen_at("good", 5000));
    insta::assert_snapshot!(screen_at("good", 8200));
    insta::assert_snapshot!(screen_at("good", 20_000));
}

#[test]
fn nothing_live_is_left_at_the_end() {
    insta::assert_snapshot!(screen_at("failed", 9000));
    insta::assert_snapshot!(screen_at("good", 50_000));
}

#[test]
fn live_lines_keep_to_the_width() {
    for width in [20, 40, 60, 80, 200] {
        let mut terminal = Terminal::new(Vec::new(), Style { width, ..LIVE });
        for event in events("good") {
            terminal.event(&event).unwrap();
            for line in terminal.live(event.at_ms) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn it_is_drawn_ten_times_a_second_at_most() {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, LIVE);
    for event in &events("good")[..2] {
        terminal.event(event).unwrap();
    }
    for at_ms in 10..1010 {
        let kind = EventKind::Progress { done: at_ms, total: Some(2000), unit: Unit::Items };
        terminal.event(&Event { at_ms, step: Some("packages".parse().unwrap()), kind }).unwrap();
    }
    let frames = String::from_utf8(out).unwrap().matches("\x1b[J").count();
    assert!(frames <= 12, "{frames} frames in a second");
}

#[test]
fn colour_says_nothing_that_words_do_not() {
    let coloured = told("failed", Style { colour: true, ..Style::PLAIN });
    let mut plain = String::new();
    let mut parts = coloured.split('\x1b');
    plain.push_str(parts.next().unwrap());
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(plain, told("failed", Style::PLAIN));
}

#[test]
fn ascii_is_ascii() {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, Style::PLAIN).ascii();
    for event in events("failed") {
        terminal.event(&event).unwrap();
    }
    assert!(out.is_ascii(), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn the_summary_says_where_to_look() {
    let places = [
        ("image", Utf8Path::new(".bootway/demo/out/disk/disk.raw")),
        ("report", Utf8Path::new("report.html")),
    ];
    for name in ["good", "failed", "check", "interrupted"] {
        insta::assert_snapshot!(name, summary(&Report::of(&events(name)), &Style::PLAIN, &places));
    }
}

#[test]
fn a_reason_is_said_once_for_all_that_did_not_run() {
    let mut report = Report::of(&events("good"));
    for (n, step) in report.steps.iter_mut().enumerate().skip(3) {
        let reason = if n == 4 { "kvm: no /dev/kvm" } else { "the run was stopped by an earlier failure" };
        step.state = State::Skipped { reason: reason.to_owned() };
    }
    let text = summary(&report, &Style::PLAIN, &[]);
    insta::assert_snapshot!(text.lines().find(|line| line.contains("skipped")).unwrap(), @"  built 3, skipped 7 (squash, disk, layout and 3 more: the run was stopped by an earlier failure; uki: kvm: no /dev/kvm), checks 8 passed, in 43.2 s");
}
