//! What the firmware makes of a signed command line.

use bootway_image::Guid;

use super::journal::Journal;

/// Bytes that a finished command line has a place for, with the zero at its end.
///
/// Source: depthcharge `src/vboot/stages.c` (`cmd_line_buf`).
const PLACE: usize = 2 * 4096;
/// What is put behind it.
const SECURE: &str = " cros_secure";
const NAME: &str = "the command line";

/// `signed` with each `%U` replaced by the GUID of the kernel partition, in lower case, and `cros_secure` behind it. Any
/// other `%x` stays. `None` if the firmware cannot make it, and so starts nothing.
pub(super) fn finished(signed: &str, guid: Guid, journal: &mut Journal) -> Option<String> {
    let mut line = String::with_capacity(signed.len());
    let mut chars = signed.chars();
    while let Some(char) = chars.next() {
        match char {
            '%' => match chars.next() {
                Some('U') => line.push_str(&guid.to_string()),
                Some(other) => line.extend(['%', other]),
                None => {
                    journal.refuse(NAME, format!("it ends with `%`, which the firmware refuses: `{signed}`"));
                    return None;
                }
            },
            other => line.push(other),
        }
    }
    line.push_str(SECURE);
    if line.len() >= PLACE {
        journal.refuse(
            NAME,
            format!("with `%U` replaced it has {} bytes, and {} at most have a place", line.len(), PLACE - 1),
        );
        return None;
    }
    journal.good(NAME, line.clone());
    Some(line)
}
