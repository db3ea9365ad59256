//! Conversations on paper; the ones with real shells are in `boot/tests.rs`.

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use proptest::{collection::vec, prelude::*};

use super::*;

const RECORDED: &str = "/ # _bwm=1-x; _bwc='true'\n> echo <1-x ...\n<1-x\n";

fn login(prompt: Option<&str>, password: Option<&str>) -> Login {
    Login {
        prompt: prompt.map(str::to_owned),
        user: "root".to_owned(),
        password: password.map(str::to_owned),
        shell: "# ".to_owned(),
    }
}

/// Says `heard` piece by piece, and shows what is done after each.
fn talk(login: &Login, heard: &[&str]) -> String {
    let mut session = Session::new(login, 1);
    let mut log = String::new();
    for piece in heard {
        session.push(piece.as_bytes());
        log += &format!("{piece:?} -> {:?}\n", session.next());
    }
    log
}

#[test]
fn a_console_that_is_a_shell_is_asked_until_it_answers() {
    let answer = format!("<{} base64>\n/ # ", marker(1, "session"));
    insta::assert_snapshot!(talk(&login(None, None), &["booting\n/ #", " ", "noise", "\n/ # ", &answer]), @r#"
    "booting\n/ #" -> Wait
    " " -> Type("_bwm=_bw1-3f3af1ecebbd; case \"$(command -v base64)\" in ?*) echo \"<$_bwm base64>\";; *) echo \"<$_bwm plain>\";; esac\n")
    "noise" -> Wait
    "\n/ # " -> Type("_bwm=_bw1-3f3af1ecebbd; case \"$(command -v base64)\" in ?*) echo \"<$_bwm base64>\";; *) echo \"<$_bwm plain>\";; esac\n")
    "<_bw1-3f3af1ecebbd base64>\n/ # " -> Ready(Base64)
    "#);
}

#[test]
fn a_name_and_a_password_are_given_when_asked_for() {
    let heard = [
        "Debian\n\nhost lo[    9.123456] random: crng init done\ngin: ",
        "root\n",
        "Password: ",
        "\nmotd\nroot@host:~# ",
    ];
    insta::assert_snapshot!(talk(&login(Some("login: "), Some("secret")), &heard), @r#"
    "Debian\n\nhost lo[    9.123456] random: crng init done\ngin: " -> Type("root\n")
    "root\n" -> Wait
    "Password: " -> Type("secret\n")
    "\nmotd\nroot@host:~# " -> Type("_bwm=_bw1-3f3af1ecebbd; case \"$(command -v base64)\" in ?*) echo \"<$_bwm base64>\";; *) echo \"<$_bwm plain>\";; esac\n")
    "#);
}

/// The greeting looks like the prompt, and comes in pieces.
#[test]
fn who_is_greeted_is_not_asked_again() {
    let heard =
        ["host login: ", "root\nPassword: ", "\nLast login: ", "Sat Nov 21 on ttyS0\n", "root@host:~# "];
    insta::assert_snapshot!(talk(&login(Some("login: "), Some("secret")), &heard), @r#"
    "host login: " -> Type("root\n")
    "root\nPassword: " -> Type("secret\n")
    "\nLast login: " -> Wait
    "Sat Nov 21 on ttyS0\n" -> Wait
    "root@host:~# " -> Type("_bwm=_bw1-3f3af1ecebbd; case \"$(command -v base64)\" in ?*) echo \"<$_bwm base64>\";; *) echo \"<$_bwm plain>\";; esac\n")
    "#);
}

#[test]
fn a_shell_that_wants_no_name_is_found_behind_one() {
    let heard =
        ["host login: root (automatic login)\n", "root\n", "-bash: root: command not found\nroot@host:~# "];
    insta::assert_snapshot!(talk(&login(Some("login: "), Some("secret")), &heard), @r#"
    "host login: root (automatic login)\n" -> Type("root\n")
    "root\n" -> Wait
    "-bash: root: command not found\nroot@host:~# " -> Type("_bwm=_bw1-3f3af1ecebbd; case \"$(command -v base64)\" in ?*) echo \"<$_bwm base64>\";; *) echo \"<$_bwm plain>\";; esac\n")
    "#);
}

#[test]
fn a_refused_login_is_told() {
    let heard = ["host login: ", "root\nPassword: ", "\nLogin incorrect\nhost login: "];
    insta::assert_snapshot!(talk(&login(Some("login: "), Some("wrong")), &heard), @r#"
    "host login: " -> Type("root\n")
    "root\nPassword: " -> Type("wrong\n")
    "\nLogin incorrect\nhost login: " -> Refused("the guest refused the login of `root`")
    "#);
    insta::assert_snapshot!(talk(&login(Some("login: "), None), &heard[..2]), @r#"
    "host login: " -> Type("root\n")
    "root\nPassword: " -> Refused("the guest asks for a password of `root`: add `password` to the machine's `login`")
    "#);
}

#[test]
fn what_is_typed_is_short_and_printable() {
    let command = format!("printf 'a\tb\n'; echo 'é' \"$HOME\" !! {}", "x".repeat(500));
    let typed = typed(&command, "1-x", Encoding::Base64);
    assert!(typed.lines().all(|line| line.len() < 255 && line.bytes().all(is_plain)), "{typed}");
}

fn ended(marker: &str, encoding: Encoding, text: &str) -> (Vec<String>, Option<Ended>) {
    let progress = Frame::new(marker, encoding).push(text.as_bytes());
    (progress.lines, progress.ended)
}

#[test]
fn the_kernel_may_talk_anywhere() {
    // `echo hello`, in base64: "hello\n 0\n".
    let text = format!(
        "{RECORDED}aGVs[    3.141592] virtio_blk: up\nbG8K[  OK  ] Started it.\nIDAK\n1-[    4.000000] more\nx>\n/ # "
    );
    let progress = Frame::new("1-x", Encoding::Base64).push(text.as_bytes());
    assert_eq!(progress.ended, Some(Ended::Exited { output: b"hello\n".to_vec(), code: 0 }));
    assert_eq!(progress.lines, ["hello"]);
    assert_eq!(progress.kernel.len(), 3);
    assert_eq!(progress.rest, b"\n/ # ");
}

#[test]
fn a_prompt_in_brackets_is_behind_the_end() {
    let text = "<1-x\nIDAK\n1-x>\n[root@host ~]# ";
    let progress = Frame::new("1-x", Encoding::Base64).push(text.as_bytes());
    assert_eq!(progress.ended, Some(Ended::Exited { output: Vec::new(), code: 0 }));
    assert_eq!(progress.rest, b"\n[root@host ~]# ");
}

#[test]
fn what_is_not_base64_is_not_taken_for_output() {
    let (_, ended) = ended("1-x", Encoding::Base64, "<1-x\naGVs\nrandom: crng init done\nbG8K\nIDAK\n1-x>\n");
    insta::assert_debug_snapshot!(ended, @r#"
    Some(
        Unreadable(
            "something else was printed on the console in between: `random: crng init done`",
        ),
    )
    "#);
}

#[test]
fn a_guest_without_base64_sends_what_the_terminal_shows() {
    let (lines, ended) =
        ended("1-x", Encoding::Plain, "<1-x\none\n[    3.141592] virtio_blk: up\ntwo 3\n1-x>\n");
    assert_eq!(lines, ["one", "two"]);
    assert_eq!(ended, Some(Ended::Exited { output: b"one\ntwo".to_vec(), code: 3 }));
}

/// What `shell` prints for `command`, as a console without echo has it.
fn console_of(shell: &[&str], command: &str, encoding: Encoding) -> Vec<u8> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let script = sandbox.root().join("typed");
    fs_err::write(&script, typed(command, "1-x", encoding)).unwrap();
    let cmd = Cmd::user(shell[0]).args(shell[1..].iter().copied()).stdin_file(&script);
    run(&sandbox.cx(), &cmd).unwrap_or_else(|error| panic!("install busybox and bash: {error}")).stdout
}

#[test]
fn shells_do_what_is_typed() {
    let command = "printf 'a\\tb\\n\\n'; echo \"é'$((1+1))\" >&2\nread x; (exit 7)";
    for shell in [&["busybox", "ash"][..], &["bash"], &["dash"]] {
        for encoding in [Encoding::Base64, Encoding::Plain] {
            let text = console_of(shell, command, encoding);
            let progress = Frame::new("1-x", encoding).push(&text);
            let expected = Ended::Exited { output: "a\tb\n\né'2\n".into(), code: 7 };
            assert_eq!(progress.ended, Some(expected), "{shell:?}");
        }
    }
}

/// A pipeline is begun from its left: a shell that is killed by its command may not have come to its right.
#[test]
fn a_command_that_kills_its_shell_has_an_end() {
    let command = "echo before; kill -9 $$; echo after; exit 7";
    // What is left of the shell goes on behind it: who reads it all sees all of it.
    let reader = r#""$@" | cat"#;
    for shell in [&["busybox", "ash"][..], &["bash"], &["dash"]] {
        for encoding in [Encoding::Base64, Encoding::Plain, Encoding::Raw] {
            let shell = [&["sh", "-c", reader, "sh"], shell].concat();
            for turn in 0..20 {
                let text = console_of(&shell, command, encoding);
                let ended = Frame::new("1-x", encoding).push(&text).ended;
                let expected = Ended::Exited { output: "before\nafter\n".into(), code: 7 };
                assert_eq!(ended, Some(expected), "{shell:?} {encoding:?} {turn}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any bytes that a command can print come back, and so does its exit code.
    #[test]
    fn output_is_exact(output in vec(any::<u8>(), 0..300), code: u8, text in "[^\0\r]{0,60}") {
        let octal: String = output.iter().map(|byte| format!("\\{byte:03o}")).collect();
        let text = text.replace('\'', "\"");
        let command = format!("printf '{octal}'; printf %s '{text}'; exit {code}");
        let console = console_of(&["busybox", "ash"], &command, Encoding::Base64);
        let progress = Frame::new("1-x", Encoding::Base64).push(&console);
        let expected = [output, text.into_bytes()].concat();
        prop_assert_eq!(progress.ended, Some(Ended::Exited { output: expected, code }));
    }
}

proptest! {
    #[test]
    fn where_the_pieces_are_cut_makes_no_difference(cuts in vec(0_usize..400, 0..12), plain: bool) {
        let encoding = if plain { Encoding::Plain } else { Encoding::Base64 };
        let body = if plain { "one\ntwo[    3.141592] up\n\n" } else { "b25lCnR3[    3.141592] up\nbwog\nMAo=\n" };
        let trailer = if plain { " 0\n" } else { "" };
        let text = format!("{RECORDED}{body}{trailer}1-x>\n[    5.000000] later\n# ");
        let mut at_once = Frame::new("1-x", encoding).push(text.as_bytes());
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut frame = Frame::new("1-x", encoding);
        let mut lines = Vec::new();
        let mut got = None;
        for pair in cuts.windows(2) {
            let progress = frame.push(&text.as_bytes()[pair[0]..pair[1]]);
            lines.extend(progress.lines);
            if progress.ended.is_some() {
                got = progress.ended;
                break;
            }
        }
        prop_assert!(matches!(got, Some(Ended::Exited { .. })), "{:?}", got);
        prop_assert_eq!(got, at_once.ended.take());
        prop_assert_eq!(lines, at_once.lines);
    }
}
