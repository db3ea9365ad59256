//! Directory records, and what Rock Ridge adds to them: long names, modes, links.
//!
//! Source: ECMA-119, section 10.1; IEEE P1281 (SUSP 1.12) and P1282 (RRIP 1.12).

use super::{array, le32};

/// Bytes of a record without its name.
const HEAD: usize = 33;
/// More than any name has.
const MAX_NAME: usize = 1024;
/// More than any link's target has.
const MAX_TARGET: usize = 4096;

/// A file, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of the record itself.
    pub(crate) len: usize,
    /// Block of 2048 bytes, and bytes from there on.
    pub(crate) block: u32,
    pub(crate) size: u32,
    pub(crate) is_directory: bool,
    /// Another record of the same name follows, with more of the file.
    pub(crate) goes_on: bool,
    /// As it is: one byte, 0 or 1, for a directory itself and the one above.
    pub(crate) name: Vec<u8>,
    /// What other standards keep here.
    pub(crate) system_use: Vec<u8>,
}

/// Reads the record that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Option<Record> {
    let len = usize::from(*bytes.first()?);
    let bytes = bytes.get(..len)?;
    let name_len = usize::from(*bytes.get(HEAD - 1)?);
    let name = bytes.get(HEAD..HEAD + name_len)?;
    // The name is padded to an even place.
    let rest = bytes.get(HEAD + name_len + usize::from(name_len.is_multiple_of(2))..).unwrap_or_default();
    let flags = bytes[25];
    Some(Record {
        len,
        block: le32(bytes, 2),
        size: le32(bytes, 10),
        is_directory: flags & 2 != 0,
        goes_on: flags & 0x80 != 0,
        name: name.to_vec(),
        system_use: rest.to_vec(),
    })
}

/// A part of the system use area that is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// What Rock Ridge says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub(crate) struct RockRidge {
    pub(crate) name: Vec<u8>,
    /// As in `st_mode`.
    pub(crate) mode: Option<u32>,
    /// Of a symbolic link.
    pub(crate) target: Option<Vec<u8>>,
    /// Where a directory is that was too deep to stay in its place.
    pub(crate) child: Option<u32>,
    /// It is such a directory, and listed in its place.
    pub(crate) is_relocated: bool,
    /// Its contents are compressed by zisofs, and are not what they seem.
    pub(crate) is_packed: bool,
    name_goes_on: bool,
    part_goes_on: bool,
}

/// How much every system use area is to skip, if that of the root's first record says that there is SUSP at all.
pub(crate) fn skip(system_use: &[u8]) -> Option<usize> {
    let is_there = system_use.starts_with(b"SP\x07\x01\xbe\xef");
    is_there.then(|| usize::from(*system_use.get(6).unwrap_or(&0)))
}

impl RockRidge {
    /// Takes what an area says; where it goes on, if it does.
    pub(crate) fn take(&mut self, mut area: &[u8]) -> Option<Continuation> {
        let mut next = None;
        while let Some((signature, data, rest)) = entry(area) {
            match signature {
                b"CE" if data.len() >= 24 => {
                    next = Some(Continuation {
                        block: le32(data, 0),
                        offset: le32(data, 8),
                        len: le32(data, 16),
                    });
                }
                b"NM" if !data.is_empty() && (self.name_goes_on || self.name.is_empty()) => {
                    if data[0] & 0b110 == 0 && self.name.len() < MAX_NAME {
                        self.name.extend(&data[1..]);
                    }
                    self.name_goes_on = data[0] & 1 != 0;
                }
                b"PX" if data.len() >= 4 => self.mode = Some(u32::from_le_bytes(array(data, 0))),
                b"SL" if !data.is_empty() => self.link(&data[1..]),
                b"CL" if data.len() >= 4 => self.child = Some(le32(data, 0)),
                b"RE" => self.is_relocated = true,
                b"ZF" => self.is_packed = true,
                b"ST" => break,
                _ => {}
            }
            area = rest;
        }
        next
    }

    /// Takes the components of a symbolic link.
    fn link(&mut self, mut parts: &[u8]) {
        let mut target = self.target.take().unwrap_or_default();
        while let [flags, len, rest @ ..] = parts {
            let Some((text, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
            if !self.part_goes_on && !target.is_empty() && target != b"/" {
                target.push(b'/');
            }
            match flags & 0b1110 {
                0b10 => target.push(b'.'),
                0b100 => target.extend(b".."),
                0b1000 => target = b"/".to_vec(),
                _ => target.extend(text),
            }
            self.part_goes_on = flags & 1 != 0;
            parts = rest;
        }
        target.truncate(MAX_TARGET);
        self.target = Some(target);
    }
}

/// The first entry of an area: signature, data, and what follows.
fn entry(area: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let len = usize::from(*area.get(2)?);
    let (entry, rest) = area.split_at_checked(len)?;
    (len >= 4).then(|| (&entry[..2], &entry[4..], rest))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), signature in prop::sample::select(vec![*b"NM", *b"SL", *b"CE", *b"PX"])) {
            drop(parse(&bytes));
            let len = bytes.len().min(250) as u8 + 4;
            let area = [&signature[..], &[len, 1], &bytes[..bytes.len().min(250)], &bytes].concat();
            RockRidge::default().take(&area);
        }
    }

    #[test]
    fn a_link_is_put_together_from_its_parts() {
        let mut found = RockRidge::default();
        // `/`, `usr`, a component in two pieces, `..`.
        found.take(b"SL\x10\x01\x01\x08\x00\x00\x03usr\x01\x02sh");
        found.take(b"SL\x0c\x01\x00\x00\x03are\x04\x00");
        assert_eq!(found.target.unwrap(), b"/usr/share/..");
    }
}
