//! The configuration that a kernel carries (`CONFIG_IKCONFIG`).
//!
//! Source: Linux, `kernel/configs.c`: the marker `IKCFG_ST`, the configuration as gzip, the marker `IKCFG_ED`.

use std::io::Read;

use super::Config;

/// Configurations are about 150 KB.
const CONFIG_MAX: u64 = 4 << 20;

/// The configuration that `vmlinux` carries, if it does.
pub fn config(vmlinux: &[u8]) -> Option<Config> {
    memchr::memmem::find_iter(vmlinux, b"IKCFG_ST\x1f\x8b\x08").find_map(|at| {
        let mut decoder = flate2::bufread::GzDecoder::new(&vmlinux[at + 8..]);
        let mut text = String::new();
        decoder.by_ref().take(CONFIG_MAX).read_to_string(&mut text).ok()?;
        // The end of the stream has to be the end that is marked.
        let at_end = decoder.read(&mut [0]).is_ok_and(|length| length == 0);
        (at_end && decoder.get_ref().starts_with(b"IKCFG_ED")).then(|| parse(&text))
    })
}

fn parse(text: &str) -> Config {
    let lines = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
    let unquoted = |value: &str| {
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        inner.map_or_else(|| value.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    lines.map(|(name, value)| (name.to_owned(), unquoted(value))).collect()
}
