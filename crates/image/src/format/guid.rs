//! GUIDs, as they are written down and as they are on disk.

use std::{fmt, str::FromStr};

use uuid::{Builder, Uuid};

/// A GUID.
///
/// ```
/// use bootway_image::Guid;
///
/// let esp: Guid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse()?;
/// assert_eq!(esp.to_disk()[..4], [0x28, 0x73, 0x2a, 0xc1]);
/// assert_eq!(Guid::from_disk(esp.to_disk()), esp);
/// # Ok::<(), uuid::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

impl Guid {
    /// A GUID in the order it is written down.
    pub const fn new(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }

    /// An identity of 16 bytes as a version 8 UUID (RFC 9562, section 5.8): six of its bits say so, the rest stay.
    pub const fn of_identity(identity: [u8; 16]) -> Self {
        Self(Builder::from_custom_bytes(identity).into_uuid())
    }

    /// Its bytes in the order it is written down, as Linux file systems store it.
    pub const fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The bytes on disk: the first three fields are little-endian, the last two are not.
    pub const fn to_disk(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }

    /// The inverse of [`to_disk`](Self::to_disk).
    pub const fn from_disk(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes_le(bytes))
    }

    /// Whether it is all zero: an unused entry of a partition table.
    pub const fn is_nil(self) -> bool {
        self.0.is_nil()
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for Guid {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::from_str(text).map(Self)
    }
}
