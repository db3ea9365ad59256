//! Pictures of guests' screens, for the page that shows them.

use std::collections::BTreeMap;

use bootway_plan::KeptKind;
use camino::{Utf8Path, Utf8PathBuf};

use crate::Report;

/// Bytes of one picture: a screen of 1280x800 has some ten thousand, if it shows text.
const ONE: u64 = 2 << 20;

/// Bytes of all of them: a page must still open.
const ALL: u64 = 24 << 20;

/// What each PNG begins with. Source: W3C, PNG (Third Edition), section 5.2.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Pictures by their place in the directory of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pictures(BTreeMap<Utf8PathBuf, Vec<u8>>);

impl Pictures {
    /// Those that `report` names, as far as they are in `run_dir` and not too big.
    ///
    /// One that is not there, or is no PNG, is left out: the page then says where it was.
    pub fn read(report: &Report, run_dir: &Utf8Path) -> Self {
        let mut pictures = BTreeMap::new();
        let mut left = ALL;
        let kept = report.steps.iter().flat_map(|step| &step.kept);
        for kept in kept.filter(|kept| kept.what == KeptKind::Screenshot) {
            let path = run_dir.join(&kept.path);
            let size = fs_err::metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
            if size.is_none_or(|size| size > ONE.min(left)) {
                continue;
            }
            let Ok(bytes) = fs_err::read(&path) else { continue };
            if bytes.starts_with(SIGNATURE) {
                left = left.saturating_sub(bytes.len() as u64);
                pictures.insert(kept.path.clone(), bytes);
            }
        }
        Self(pictures)
    }

    /// The one at `path`, as the address of an image in a page.
    pub(crate) fn data_uri(&self, path: &Utf8Path) -> Option<String> {
        Some(format!("data:image/png;base64,{}", base64(self.0.get(path)?)))
    }
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for n in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]);
            text.push(if n > group.len() { '=' } else { digit });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|it| base64(it.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
