//! What no compiler looks at: sizes of files and functions, module headers, stray files, paths of one machine.
//!
//! The rules are in `docs/style.md`. Every violation is shown at once, each with its place.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use camino::{Utf8Path, Utf8PathBuf};

/// Lines of a file without its tests.
const FILE_LINES: usize = 400;
/// Lines of a function from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 60;
/// A bigger binary file needs a reason in [`BINARIES`].
const BINARY_BYTES: usize = 64 * 1024;
/// Binary files that may be bigger, and why.
const BINARIES: [(&str, &str); 1] = [("docs/report.png", "the picture in the README")];
/// Names of modules that say nothing.
const EMPTY_NAMES: [&str; 5] = ["mod", "utils", "helpers", "common", "imp"];

#[test]
fn files_have_one_idea() {
    none(sources().filter_map(|file| {
        let lines = file.text.lines().count() - tests_of(&file.text).map_or(0, |tests| tests.lines().count());
        let long = lines > FILE_LINES && !file.is_test();
        long.then(|| {
            format!("{} has {lines} lines without tests, the limit is {FILE_LINES}: split it", file.path)
        })
    }));
}

#[test]
fn functions_fit_on_a_screen() {
    none(sources().filter(|file| !file.is_test()).flat_map(|file| {
        let tests = tests_of(&file.text).map_or(0, str::len);
        let code = &file.text[..file.text.len() - tests];
        let long = functions(code).into_iter().filter(|function| function.lines > FUNCTION_LINES);
        long.map(|it| {
            format!("{}:{}: {} lines, the limit is {FUNCTION_LINES}: split it", file.path, it.line, it.lines)
        })
        .collect::<Vec<_>>()
    }));
}

#[test]
fn every_module_says_what_it_is() {
    none(sources().filter_map(|file| {
        let headed = file.text.starts_with("//! ");
        let included = file.path.file_name() == Some("tests.rs"); // `mod tests` of the file beside it
        (!headed && !included).then(|| format!("{}: begin with a `//!` line that says what it is", file.path))
    }));
}

#[test]
fn modules_have_names_that_say_something() {
    none(sources().filter_map(|file| {
        let name = file.path.file_stem().unwrap_or_default();
        EMPTY_NAMES.contains(&name).then(|| format!("{}: name it after what is in it", file.path))
    }));
}

#[test]
fn nothing_is_left_to_do_in_the_source() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    none(text_files().flat_map(|file| {
        places(&file, |line| marks.iter().any(|mark| line.contains(mark)))
            .map(|place| format!("{place}: do it, or write an issue"))
            .collect::<Vec<_>>()
    }));
}

/// A path of one machine works nowhere else, and says who built what.
#[test]
fn no_path_of_one_machine_is_kept() {
    let here = format!("{}/", root().canonicalize_utf8().unwrap());
    let roots = ["/home/", "/root/", "/Users/", &here];
    let goes_on = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || "-_.}>)*".contains(c));
    let has_path =
        |line: &str| roots.iter().any(|root| line.match_indices(root).any(|(at, _)| !goes_on(&line[..at])));
    none(text_files().filter(|file| !GUEST_PATHS.contains(&file.path.as_str())).flat_map(|file| {
        places(&file, has_path).map(|place| format!("{place}: use a relative path")).collect::<Vec<_>>()
    }));
}

/// Files in which such a path is a guest's, or an example of this very rule.
const GUEST_PATHS: [&str; 6] = [
    "xtask/tests/tidy.rs",
    "fixtures/plans/demo/initramfs/init",
    "fixtures/plans/installer/initramfs/init",
    "fixtures/plans/rootfs/initramfs/init",
    "crates/cli/tests/bootway/iso.rs",
    "crates/vm/src/boot/tests/exact/over_ssh.rs",
];

/// What a test tells to install, `cargo xtask setup` installs: a machine that is new has it, then.
#[test]
fn what_messages_tell_to_install_is_installed_by_setup() {
    let listed = fs_err::read_to_string(root().join("xtask/src/packages.rs")).unwrap();
    let is_listed = |name: &str| listed.contains(&format!("package(\"{name}\""));
    let name = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c)));
        text[..end.unwrap_or(text.len())].trim_end_matches('.').to_owned()
    };
    none(sources().flat_map(|file| {
        let commands = ["apt install ", "apt-get install "];
        let told = commands.iter().flat_map(|command| file.text.split(command).skip(1).map(name));
        let missing = told.filter(|name| !name.is_empty() && !is_listed(name));
        missing.map(|name| format!("{}: `{name}` is not in PACKAGES of xtask", file.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn no_snapshot_waits_for_review() {
    none(tracked().into_iter().filter_map(|path| {
        let stray = path.as_str().ends_with(".snap.new") || path.as_str().ends_with(".pending-snap");
        stray.then(|| format!("{path}: review it with `cargo insta review`, or remove it"))
    }));
}

#[test]
fn no_big_binary_file_is_kept() {
    none(tracked().into_iter().filter_map(|path| {
        let bytes = fs_err::read(root().join(&path)).ok()?;
        let listed = BINARIES.iter().any(|(name, _)| path == *name);
        let big = bytes.len() > BINARY_BYTES && bytes[..8192].contains(&0) && !listed;
        big.then(|| format!("{path} has {} bytes: make it in a test, or say why in BINARIES", bytes.len()))
    }));
}

/// A file of the repository that is text.
struct Text {
    /// Relative to the repository.
    path: Utf8PathBuf,
    text: String,
}

impl Text {
    /// Whether all of it is tests.
    fn is_test(&self) -> bool {
        self.path.components().any(|part| matches!(part.as_str(), "tests" | "tests.rs"))
    }
}

/// Rust files of the crates.
fn sources() -> impl Iterator<Item = Text> {
    text_files().filter(|file| file.path.extension() == Some("rs"))
}

fn text_files() -> impl Iterator<Item = Text> {
    tracked().into_iter().filter_map(|path| {
        // A tracked file that is gone is about to be removed; one that is not UTF-8 is no text.
        let text = fs_err::read_to_string(root().join(&path)).ok()?;
        Some(Text { path, text })
    })
}

/// What git keeps, or would keep if it were asked.
fn tracked() -> Vec<Utf8PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test of the workspace asks git about it")]
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let output = git.output().expect("git is there: this repository came with it");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let paths: Vec<Utf8PathBuf> = names.split_terminator('\0').map(Utf8PathBuf::from).collect();
    assert!(paths.len() > 50, "git lists only {} files", paths.len());
    paths
}

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The unit tests at the end of a file.
fn tests_of(text: &str) -> Option<&str> {
    text.find("\n#[cfg(test)]\nmod tests {").map(|at| &text[at..])
}

/// `path:line` of the lines that are `bad`.
fn places(file: &Text, bad: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    let bad = file.text.lines().enumerate().filter(move |(_, line)| bad(line));
    bad.map(|(index, _)| format!("{}:{}", file.path, index + 1))
}

/// A function as its lines show it: `rustfmt` puts the closing brace below its first line's indentation.
struct Function {
    line: usize,
    lines: usize,
}

fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let starts = lines.iter().enumerate().filter(|(_, line)| {
        let words = line.trim_start();
        !words.starts_with("//")
            && (words.starts_with("fn ") || words.split('"').next().unwrap_or("").contains(" fn "))
    });
    starts
        .filter_map(|(index, start)| {
            let closing = format!("{}}}", " ".repeat(indent(start)));
            let length = lines[index..].iter().position(|line| *line == closing)? + 1;
            Some(Function { line: index + 1, lines: length })
        })
        .collect()
}

#[track_caller]
fn none(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
