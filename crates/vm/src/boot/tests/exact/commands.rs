//! Commands whose output and exit code are exact, however unkind.

use super::*;

/// A command, what it must print, and its exit code.
type Case = (&'static str, String, Vec<u8>, u8);

fn cases() -> Vec<Case> {
    let of = |name, command: &str, output: &[u8], code| (name, command.to_owned(), output.to_vec(), code);
    let all: Vec<u8> = (0..=255).collect();
    let lines: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let long = "x".repeat(30_000);
    let strange = "'\"\\ $HOME `id` \t~!#*?[a-z]{1,2}\u{1b}[31mä€\u{7f}";
    let quoted = format!("printf %s '{}'", strange.replace('\'', r"'\''"));
    vec![
        of("no newline at the end", "printf 'half a line'", b"half a line", 0),
        of("nothing", "true", b"", 0),
        of("only newlines", "printf '\\n\\n\\n'", b"\n\n\n", 0),
        of("exit 255", "exit 255", b"", 255),
        of("killed", "sh -c 'kill -KILL $$'", b"Killed\n", 137),
        of("kills its own shell", "echo before; kill -KILL $(sh -c 'echo $PPID')", b"before\nKilled\n", 137),
        of("aborted", "sh -c 'echo before; kill -ABRT $$'", b"before\nAborted\n", 134),
        of("a prompt", "printf '/ # \\n# \\nlogin: \\n~ # '", b"/ # \n# \nlogin: \n~ # ", 0),
        of(
            "what looks like a marker",
            "echo '<_bw3-000000000000'; echo '_bw3-000000000000>'; echo ' 0'",
            b"<_bw3-000000000000\n_bw3-000000000000>\n 0\n",
            0,
        ),
        of("what looks like an exit code", "printf ' 7\\n 8\\n'; exit 9", b" 7\n 8\n", 9),
        of("NUL", "printf 'a\\000b\\000'", b"a\0b\0", 0),
        of(
            "each byte",
            "n=0; while [ $n -lt 256 ]; do printf \"\\\\$(printf %03o $n)\"; n=$((n + 1)); done",
            &all,
            0,
        ),
        of(
            "a question to the terminal",
            "printf '\\033[6n\\033[31mred\\033[0m\\033]0;title\\007\\033[2J'",
            b"\x1b[6n\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
            0,
        ),
        of("carriage returns", "printf '1%%\\r100%%\\r\\n'", b"1%\r100%\r\n", 0),
        of(
            "what a kernel says",
            "printf '[    1.234567] Kernel panic - not syncing: no\\n'",
            b"[    1.234567] Kernel panic - not syncing: no\n",
            0,
        ),
        of("a hundred thousand lines", "seq 1 100000", lines.as_bytes(), 0),
        of("a long line", "head -c 300000 /dev/zero | tr '\\000' y", &vec![b'y'; 300_000], 0),
        of("a long command", &format!("printf %s {long}"), long.as_bytes(), 0),
        of("strange letters", &quoted, strange.as_bytes(), 0),
        of("lines of its own", "for n in 1 2; do\n\techo $n\ndone # here\n", b"1\n2\n", 0),
        of("both outputs", "echo a; echo b >&2; echo c", b"a\nb\nc\n", 0),
        of("a reader", "read line; echo \"$? <$line>\"; cat", b"1 <>\n", 0),
        of("a syntax error", "sh -c 'if true' 2>/dev/null", b"", 2),
        of(
            "a kernel that talks meanwhile",
            "for n in 1 2 3; do echo $n; echo \"<2>noise $n\" >/dev/kmsg; done",
            b"1\n2\n3\n",
            0,
        ),
    ]
}

fn commands_are_exact(over: Over) {
    asked(over, |checks| {
        for (name, command, output, code) in cases() {
            let began = Instant::now();
            let got = checks.command(&command, Duration::from_mins(5)).unwrap();
            println!("{over:?} {name}: {} ms", began.elapsed().as_millis());
            match got {
                Asked::Ended(Ended::Exited { output: got, code: got_code }) => {
                    assert!(
                        got == output && got_code == code,
                        "{over:?}: {name}: {got_code}, {} bytes: `{}`",
                        got.len(),
                        brief(&String::from_utf8_lossy(&got))
                    );
                }
                other => panic!("{over:?}: {name}: {other:?}"),
            }
        }
    });
}

#[test]
fn commands_over_the_console_are_exact() {
    commands_are_exact(Over::Serial);
}

#[test]
fn commands_over_a_port_are_exact() {
    commands_are_exact(Over::Port);
}
