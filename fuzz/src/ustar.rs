//! Headers of tar archives whose checksums are right, so that what is behind them is reached.
//!
//! Source: POSIX.1-2017, `pax`, "ustar Interchange Format".

const BLOCK: usize = 512;

/// A member: its header, and its data up to the next block.
pub fn member(name: &str, kind: u8, link: &str, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| out[at..at + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000755\x000000000\x000000000\0");
    put(124, format!("{:011o}\0{:011o}\0", data.len(), 1).as_bytes());
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    repair(&mut out);
    out.extend(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

/// The end of an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Makes the checksum of a header that of what is there.
pub fn repair(header: &mut [u8]) {
    // Zeros are the end, and must stay that.
    if header.iter().all(|byte| *byte == 0) {
        return;
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
