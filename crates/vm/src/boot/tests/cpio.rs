//! Just enough of a cpio archive for Linux: the newc format.
//!
//! Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// An archive of programs, and of the directories that they are in.
pub(super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for dir in ["bin", "dev"] {
        entry(&mut out, dir, 0o040_755, &[], (0, 0));
    }
    // Where `/init` finds its standard input and output.
    entry(&mut out, "dev/console", 0o020_600, &[], (5, 1));
    for (name, bytes) in files {
        entry(&mut out, name, 0o100_755, bytes, (0, 0));
    }
    entry(&mut out, "TRAILER!!!", 0, &[], (0, 0));
    out
}

fn entry(out: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8], device: (u32, u32)) {
    let size = bytes.len() as u32;
    let fields =
        [out.len() as u32, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}
