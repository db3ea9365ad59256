//! Access control lists, which ext2 and ext4 keep in a form of their own.
//!
//! Source: Linux `include/uapi/linux/posix_acl_xattr.h` for the attribute, `fs/ext4/acl.h` for the form on disk.

use std::borrow::Cow;

/// The tags whose entries name somebody: `ACL_USER` and `ACL_GROUP`.
const NAMED: [u16; 2] = [0x02, 0x08];

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
        for cut in [0, 3, 5, 19] {
            assert_eq!(on_disk("system.posix_acl_default", &list[..cut]), None, "{cut}");
        }
    }
}
