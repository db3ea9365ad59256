//! How people write sizes, times, owners, modes and compressors on a command line.

use bootway_squashfs::Compressor;
use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

/// Compressors: a name, and a level if one likes. Shells complete the names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompressorParser;

impl TypedValueParser for CompressorParser {
    type Value = Compressor;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Compressor, Error> {
        let parser = StringValueParser::new().try_map(|text| text.parse::<Compressor>());
        parser.parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(["zstd", "gzip", "xz", "lz4", "lz4hc"].into_iter().map(PossibleValue::new)))
    }
}

/// Bytes: `131072`, `128K`, `128KiB`, `1M`, `1MiB`. All suffixes are binary, as `mksquashfs` has them.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let invalid =
        || format!("`{text}` is not a size: write bytes, or a number with K, M or G, such as `128K`");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kib" | "kbytes" => 10,
        "m" | "mb" | "mib" | "mbytes" => 20,
        "g" | "gb" | "gib" | "gbytes" => 30,
        _ => return Err(invalid()),
    };
    let number: u64 = number.parse().map_err(|_| invalid())?;
    number.checked_mul(1 << shift).ok_or_else(invalid)
}

/// Seconds since 1970, as `date +%s` prints them; `@` may stand before, as `date` reads them.
pub(crate) fn time(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('@').unwrap_or(text);
    let seconds: Result<u64, _> = number.parse();
    let seconds = seconds.map_err(|_| {
        format!("`{text}` is not a time: write seconds since 1970, such as `$(date -d '2025-01-01 UTC' +%s)`")
    })?;
    u32::try_from(seconds)
        .map_err(|_| format!("`{text}` is after 2106-02-07: squashfs holds up to {}", u32::MAX))
}

/// A numeric owner or group.
pub(crate) fn id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not a number: names differ from machine to machine, write what `id -u {text}` prints"
        )
    })
}

/// Permission bits in octal.
pub(crate) fn mode(text: &str) -> Result<u16, String> {
    let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{text}` is not a mode: write up to four octal digits, such as `0755`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_everybody_writes_them() {
        for text in ["131072", "128K", "128k", "128KB", "128KiB", "128Kbytes", "131072B"] {
            assert_eq!(size(text), Ok(131_072), "{text}");
        }
        assert_eq!([size("1M"), size("1MiB"), size("2G")], [Ok(1 << 20), Ok(1 << 20), Ok(2 << 30)]);
        for text in ["", "K", "1.5M", "-1", "1 M", "1T", "99999999999999999999", "17179869184G"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_and_modes_have_limits() {
        assert_eq!([time("0"), time("@1735689600")], [Ok(0), Ok(1_735_689_600)]);
        insta::assert_snapshot!(time("4294967296").unwrap_err(), @"`4294967296` is after 2106-02-07: squashfs holds up to 4294967295");
        insta::assert_snapshot!(time("now").unwrap_err(), @"`now` is not a time: write seconds since 1970, such as `$(date -d '2025-01-01 UTC' +%s)`");
        assert_eq!([mode("755"), mode("04755")], [Ok(0o755), Ok(0o4755)]);
        insta::assert_snapshot!(mode("17777").unwrap_err(), @"`17777` is not a mode: write up to four octal digits, such as `0755`");
        insta::assert_snapshot!(id("root").unwrap_err(), @"`root` is not a number: names differ from machine to machine, write what `id -u root` prints");
    }
}
