//! Access control lists, which ext2 and ext4 keep in a form of their own.
//!
//! Source: Linux `include/uapi/linux/posix_acl_xattr.h` for the attribute, `fs/ext4/acl.h` for the form on disk.

use std::borrow::Cow;

/// The tags whose entries name somebody: `ACL_USER` and `ACL_GROUP`.
const NAMED: [u16; 2] = [0x02, 0x08];
/// What an entry that names nobody has for an id: `ACL_UNDEFINED_ID`.
const NOBODY: [u8; 4] = [0xff; 4];

/// The value of the attribute `name` as the disk has it; `None` if it should be an access control list and is none.
pub(super) fn on_disk<'a>(name: &str, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if !["system.posix_acl_access", "system.posix_acl_default"].contains(&name) {
        return Some(Cow::Borrowed(value));
    }
    let entries = value.strip_prefix(&2_u32.to_le_bytes())?;
    let mut bytes = 1_u32.to_le_bytes().to_vec();
    let (entries, rest) = entries.as_chunks::<8>();
    for entry in entries {
        let named = NAMED.contains(&u16::from_le_bytes([entry[0], entry[1]]));
        bytes.extend_from_slice(if named { &entry[..] } else { &entry[..4] });
    }
    rest.is_empty().then_some(Cow::Owned(bytes))
}

/// The value of the attribute `name` as a running system shows it; `None` if it should be an access control list and the
/// disk has none.
pub(super) fn from_disk(name: &str, value: Vec<u8>) -> Option<Vec<u8>> {
    if !["system.posix_acl_access", "system.posix_acl_default"].contains(&name) {
        return Some(value);
    }
    let mut entries = value.strip_prefix(&1_u32.to_le_bytes())?;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    while let Some((entry, rest)) = entries.split_first_chunk::<4>() {
        let (id, rest) = if NAMED.contains(&u16::from_le_bytes([entry[0], entry[1]])) {
            rest.split_first_chunk::<4>()?
        } else {
            (&NOBODY, rest)
        };
        bytes.extend_from_slice(entry);
        bytes.extend_from_slice(id);
        entries = rest;
    }
    entries.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_entry_that_names_somebody_keeps_its_id() {
        let mut list = vec![2, 0, 0, 0];
        list.extend([1, 0, 7, 0, 255, 255, 255, 255]);
        list.extend([8, 0, 5, 0, 4, 0, 0, 0]);
        let stored = on_disk("system.posix_acl_access", &list).unwrap();
        assert_eq!(*stored, [1, 0, 0, 0, 1, 0, 7, 0, 8, 0, 5, 0, 4, 0, 0, 0]);
        assert_eq!(*on_disk("user.it", &list).unwrap(), list[..]);
        assert_eq!(from_disk("system.posix_acl_access", stored.to_vec()).unwrap(), list);
        assert_eq!(from_disk("user.it", list.clone()).unwrap(), list);
        for cut in [0, 3, 6, 13] {
            assert_eq!(from_disk("system.posix_acl_default", stored[..cut].to_vec()), None, "{cut}");
        }
        for cut in [0, 3, 5, 19] {
            assert_eq!(on_disk("system.posix_acl_default", &list[..cut]), None, "{cut}");
        }
    }
}
