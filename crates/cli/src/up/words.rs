//! Which of the arguments of `bootway up` are the target's.

use std::ffi::OsString;

/// Options of `bootway up` and of `bootway` itself that take the next argument as their value.
const WITH_VALUE: [&str; 7] = ["--target", "--plan", "--var", "--work", "--cache", "--system", "--color"];

/// Puts `--` behind the two positional arguments of `bootway up`, where what is left belongs to the target: `-h` and
/// everything else reaches it as it is.
pub(crate) fn separate(mut args: Vec<OsString>) -> Vec<OsString> {
    let mut places = 0;
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let text = arg.to_str().unwrap_or_default();
        if text == "--" {
            return args;
        }
        if places == 3 {
            args.insert(at, "--".into());
            return args;
        }
        if WITH_VALUE.contains(&text) {
            at += 1;
        } else if !text.starts_with('-') {
            if places == 0 && text != "up" {
                return args;
            }
            places += 1;
        }
        at += 1;
    }
    args
}

/// Whether the arguments are those of `bootway up`.
pub(super) fn is_up(args: &[OsString]) -> bool {
    let mut words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return word == "up";
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separated(line: &str) -> String {
        let args = separate(line.split(' ').map(OsString::from).collect());
        args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_behind_profile_and_variant_is_the_targets() {
        let lines = [
            "bootway up default runner -h",
            "bootway up default runner -- -h",
            "bootway up default runner --print -- x",
            "bootway up --target a --plan=p default --var x=y runner x --clients 7",
            "bootway --color never up default runner up",
            "bootway up default -- -h",
            "bootway up default -h",
            "bootway up -h",
            "bootway build up default runner -h",
            "bootway up",
        ];
        insta::assert_snapshot!(lines.map(separated).join("\n"), @"
        bootway up default runner -- -h
        bootway up default runner -- -h
        bootway up default runner -- --print -- x
        bootway up --target a --plan=p default --var x=y runner -- x --clients 7
        bootway --color never up default runner -- up
        bootway up default -- -h
        bootway up default -h
        bootway up -h
        bootway build up default runner -h
        bootway up
        ");
    }
}
