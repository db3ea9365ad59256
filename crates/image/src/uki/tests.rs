use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Bytes, Digest};

use super::*;
use crate::format::{kernel::tests::bzimage, pe::tests::stub};

fn file(sandbox: &mut Sandbox<'_>, name: &str, bytes: &[u8]) -> Source {
    let path = sandbox.root().join(name);
    fs_err::write(&path, bytes).unwrap();
    let source: Source = format!("./{name}").parse().unwrap();
    let input = Input {
        path,
        kind: ArtifactKind::File,
        digest: Digest::of(bytes),
        size: Bytes::new(bytes.len() as u64),
        made: false,
    };
    sandbox.inputs.insert(source.clone(), input);
    source
}

/// Headers as small as a test's, but with room for seven sections.
fn roomy_stub() -> Vec<u8> {
    let mut out = stub();
    out.splice(512..512, [0; 512]);
    out[88 + 60..88 + 64].copy_from_slice(&1024_u32.to_le_bytes());
    out[328 + 20..328 + 24].copy_from_slice(&1024_u32.to_le_bytes());
    out
}

fn step(sandbox: &mut Sandbox<'_>) -> step::Uki {
    step::Uki {
        stub: file(sandbox, "stub", &roomy_stub()),
        kernel: file(sandbox, "vmlinuz", &bzimage("6.1.0-t (builder) #1")),
        initrd: vec![file(sandbox, "a.img", b"first"), file(sandbox, "b.img", b"second")],
        cmdline: "console=ttyS0 quiet".to_owned(),
        os_release: None,
    }
}

#[test]
fn objdump_sees_every_section_where_we_put_it() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let step = step(&mut sandbox);
    let path = uki(&sandbox.cx(), &step).unwrap().remove(0).path;
    let cmd = Cmd::user("objdump").args(["-h", path.as_str()]).env("LC_ALL", "C");
    let listed = run(&sandbox.cx(), &cmd).expect("install the oracle: `apt-get install binutils`").stdout;
    let listed = String::from_utf8(listed).unwrap();
    let lines: Vec<_> = listed.lines().filter(|line| line.contains(" 2**")).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    0 .text         0000012c  0000000000001000  0000000000001000  00000400  2**4
    1 .osrel        00000043  0000000000002000  0000000000002000  00000600  2**2
    2 .cmdline      00000013  0000000000003000  0000000000003000  00000800  2**2
    3 .uname        00000007  0000000000004000  0000000000004000  00000a00  2**2
    4 .initrd       00000010  0000000000005000  0000000000005000  00000c00  2**2
    5 .linux        00000400  0000000000006000  0000000000006000  00000e00  2**2
    ");
    let bytes = fs_err::read(&path).unwrap();
    let pe = pe::parse(&bytes).unwrap();
    let content = |name: &str| {
        let section = pe.sections.iter().find(|section| section.name == name).unwrap();
        String::from_utf8_lossy(&bytes[section.file_offset as usize..][..section.size as usize]).into_owned()
    };
    assert_eq!(content(".initrd"), "first\0\0\0second\0\0");
    assert_eq!(content(".uname"), "6.1.0-t");
    assert_eq!(content(".cmdline"), "console=ttyS0 quiet");
    insta::assert_snapshot!(content(".osrel"), @r#"
    ID=linux
    NAME=Linux
    VERSION_ID=6.1.0-t
    PRETTY_NAME="Linux 6.1.0-t"
    "#);
    assert!(content(".linux").contains("HdrS"));
    insta::assert_snapshot!(Digest::of(&bytes), @"8d7b28b312343d021d85c76ff12d57f8d07593c33ead5535d1e81ee32aad2f35");
}

#[test]
fn says_what_is_wrong_with_its_parts() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let good = step(&mut sandbox);
    let mut messages = Vec::new();
    let mut fails = |sandbox: &Sandbox<'_>, step: &step::Uki| {
        messages.push(uki(&sandbox.cx(), step).unwrap_err().to_string());
    };
    let cmdline = format!("root=/dev/vda2 {}", "option=1 ".repeat(240));
    fails(&sandbox, &step::Uki { cmdline, ..good.clone() });
    fails(&sandbox, &step::Uki { cmdline: "quiet\n".to_owned(), ..good.clone() });
    let full = file(&mut sandbox, "full", &stub());
    fails(&sandbox, &step::Uki { stub: full, ..good.clone() });
    fails(&sandbox, &step::Uki { stub: good.kernel.clone(), ..good.clone() });
    fails(&sandbox, &step::Uki { kernel: good.initrd[0].clone(), ..good });
    insta::assert_snapshot!(messages.join("\n"), @r"
    `cmdline` has 2175 bytes, and the kernel takes 2047: it would be cut off after `…ption=1 option=1 option=`
    `cmdline` has the control character '\n' at byte 5: write it as one line
    `./full` cannot be the stub: it has room for 3 more sections, and 5 are needed
    `./vmlinuz` cannot be the stub: there is no `MZ` at byte 0
    `./a.img` is no kernel that an EFI stub can start: name a bzImage (`boot/vmlinuz-*`) or an arm64 `Image`
    ");
}
