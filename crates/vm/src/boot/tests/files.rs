//! Files that are bigger than a console likes.

use super::*;

/// It goes in and comes out again as it was, over a serial port that takes a second for it.
#[test]
fn a_big_file_goes_in_and_out() {
    let bytes: Vec<u8> = (0..64_u32 << 10).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1 quiet no_timer_check",
        "machine": "m", "check": [
            {"name": "in", "copy-in": {"from": "./big", "to": "/big"}},
            {"name": "size", "run": "wc -c </big", "equals": "65536"},
            {"name": "out", "copy-out": {"from": "/big", "to": "big"}}]}"#;
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {GENEROUS}}}"#);
    let files: [(&str, &[u8]); 2] = [("initrd", &initramfs(SHELL)), ("big", &bytes)];
    let seen = boot_files(&SystemRunner::default(), step, &machine, &files, |_| {});
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.checks());
    let (_, kept) = seen.kept.iter().find(|(name, _)| name.ends_with("big")).expect("it is kept");
    assert!(*kept == bytes, "{} bytes came out", kept.len());
}
