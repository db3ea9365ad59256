use std::{collections::BTreeSet, ffi::OsString};

use super::*;

/// What a command line becomes, in a line; or what is said about it.
fn becomes(line: &str) -> String {
    let args = line.split_whitespace().map(OsString::from).collect();
    match rewrite(args) {
        Ok(done) => {
            let args: Vec<_> = done.args.iter().map(|it| it.to_string_lossy()).collect();
            let notes: String = done.notes.iter().map(|it| format!("\nnote: {it}")).collect();
            args.join(" ") + &notes
        }
        Err(message) => format!("error: {message}"),
    }
}

#[test]
fn command_lines_that_people_have_become_ours() {
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -comp xz -Xbcj x86 -b 1M -noappend -all-root"), @"bootway squashfs create root it.sqfs --compressor=xz --bcj=x86 --block-size=1M --all-root");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -comp zstd -Xcompression-level 19 -processors 4 -root-mode 0755 -keep-as-directory -no-hardlinks"), @"
    bootway squashfs create root it.sqfs --compressor=zstd --level=19 --threads=4 --root-mode=0755 --under-name
    note: `-no-hardlinks` changes nothing: hard links stay hard links, and equal contents are stored once anyway
    ");
    insta::assert_snapshot!(becomes("bootway --color never squashfs create . it.snap -noappend -comp lz4 -no-fragments -no-progress -all-root -no-xattrs"), @"
    bootway --color never squashfs create . it.snap --compressor=lz4 --no-progress --all-root --no-xattrs
    note: `-no-fragments` changes nothing: small files always share blocks; they are read as they would be without
    ");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -force-uid 0 -repro-time 7 -e boot proc/1 -weird"), @"bootway squashfs create --exclude-as=path root it.sqfs --owner=0 --mkfs-time=7 --all-time=7 --exclude=boot --exclude=proc/1 --exclude=-weird");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -wildcards -ef list -e boot/* ...*.o"), @"bootway squashfs create root it.sqfs --exclude-as rooted --exclude-from=list --exclude=boot/* --exclude=...*.o");
    insta::assert_snapshot!(becomes("bootway squashfs create - it.sqfs -tar --level 3"), @"bootway squashfs create - it.sqfs --level 3");
    insta::assert_snapshot!(becomes("bootway squashfs extract -f -n -d out it.sqfs etc"), @"bootway squashfs extract --force --no-progress --dest=out it.sqfs etc");
    insta::assert_snapshot!(becomes("bootway squashfs extract -ll it.sqfs"), @"bootway squashfs list --long it.sqfs");
    insta::assert_snapshot!(becomes("bootway squashfs extract -s it.sqfs"), @"bootway squashfs list --info it.sqfs");
    insta::assert_snapshot!(becomes("bootway squashfs create -h"), @"bootway squashfs create -h");
}

#[test]
fn what_cannot_be_done_is_refused_with_our_way() {
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -sort list"), @"error: `-sort` is not taken: files are stored in the order of their names, so that images can be compared");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -p x"), @"error: `-p` is not taken: make a tar of the files, say it there (`tar --transform --mode --owner`, or a program of yours), and give the tar as the source");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -noD"), @"error: `-noD` is not taken: there is no image without compression; `-comp lz4` is as fast as copying");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -no-Progress"), @"error: `-no-Progress` is an option of neither bootway nor mksquashfs: did you mean `-no-progress`? `bootway squashfs options` shows those of mksquashfs");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -frobnicate"), @"error: `-frobnicate` is an option of neither bootway nor mksquashfs: `bootway squashfs options` shows those of mksquashfs");
    insta::assert_snapshot!(becomes("bootway squashfs create root it.sqfs -b"), @"error: `-b` needs a value: `-b SIZE`");
    insta::assert_snapshot!(becomes("bootway squashfs extract it.sqfs -cat etc/fstab"), @"error: `-cat` is not taken: `extract IMAGE PATH`, and `cat` it from there");
}

#[test]
fn other_commands_and_what_follows_two_dashes_stay_as_they_are() {
    for line in [
        "bootway build -j 4",
        "bootway inspect squashfs -comp",
        "bootway squashfs verify -x",
        "bootway squashfs list -l it.sqfs",
        "bootway squashfs create -- -comp -b",
    ] {
        assert_eq!(becomes(line), line);
    }
}

#[test]
fn no_option_has_two_fates() {
    for table in [MKSQUASHFS, UNSQUASHFS] {
        let mut seen = BTreeSet::new();
        for name in table.iter().flat_map(|it| it.names) {
            assert!(seen.insert(name), "{name}");
        }
    }
}

/// Every option that the installed tools tell of is in the table.
#[test]
fn no_option_of_the_real_tools_is_forgotten() {
    for (tool, table) in [("mksquashfs", MKSQUASHFS), ("unsquashfs", UNSQUASHFS)] {
        let help = help_of(tool);
        let told: Vec<&str> = help.lines().filter_map(option).collect();
        assert!(told.len() > 30, "{help}");
        for name in told {
            // `-d[est]` is `-d` and `-dest`.
            let spellings = match name.split_once('[') {
                Some((short, rest)) => {
                    vec![short.to_owned(), format!("{short}{}", rest.trim_end_matches(']'))]
                }
                None => vec![name.to_owned()],
            };
            for name in spellings {
                assert!(table.iter().any(|it| it.names.contains(&name.as_str())), "{tool} has {name}");
            }
        }
    }
}

/// The option that a line of the help is about.
fn option(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    (word.starts_with('-') && !word.starts_with("--")).then_some(word)
}

#[expect(clippy::disallowed_methods, reason = "a test asks the tool that the table is about")]
fn help_of(tool: &str) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = std::process::Command::new(tool).arg("-help").env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}; apt-get install squashfs-tools"));
    [output.stdout, output.stderr].iter().map(|it| String::from_utf8_lossy(it)).collect()
}
