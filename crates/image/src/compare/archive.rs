//! Archives of object files, member by member.
//!
//! Source: ar(5) of FreeBSD; System V ABI, chapter 7, "Archive File".

use super::Place;

const MAGIC: &[u8] = b"!<arch>\n";
/// Bytes of the header of a member.
const HEADER: usize = 60;

/// A member of an archive.
pub(super) struct Member<'a> {
    /// Its name as it is stored, with its number if it has none of its own.
    pub(super) name: String,
    /// Its time, owner, group and mode, as they are stored.
    pub(super) said: [(&'static str, String); 4],
    pub(super) data: &'a [u8],
}

/// The members of an archive; nothing if it is none, or is damaged.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut names: &[u8] = &[];
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (header, behind) = rest.split_at_checked(HEADER)?;
        let field = |from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim_end().to_owned();
        let size: usize = field(48, 58).parse().ok()?;
        let data = behind.get(..size)?;
        // Members begin at even bytes.
        rest = behind.get(size + size % 2..).unwrap_or_default();
        let name = match field(0, 16).as_str() {
            "//" => {
                names = data;
                "the table of names".to_owned()
            }
            "/" | "/SYM64/" => "the table of symbols".to_owned(),
            long if long.starts_with('/') => {
                let from: usize = long[1..].parse().ok()?;
                let name = names.get(from..)?.split(|byte| *byte == b'\n').next()?;
                String::from_utf8_lossy(name).trim_end_matches('/').to_owned()
            }
            short => short.trim_end_matches('/').to_owned(),
        };
        let said = [
            ("time", field(16, 28)),
            ("user", field(28, 34)),
            ("group", field(34, 40)),
            ("mode", field(40, 48)),
        ];
        members.push(Member { name, said, data });
    }
    Some(members)
}

impl Member<'_> {
    pub(super) fn place(&self, archive: &Place) -> Place {
        archive.inside(format!("member {}", self.name))
    }
}
