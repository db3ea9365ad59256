//! The device-mapper table on a signed command line: which digest vouches for the root file system.
//!
//! `ChromeOS` kernels have written it in several ways:
//!
//! ```text
//! dm="1 vroot none ro 1,0 N verity payload=PARTUUID=%U/PARTNROFF=1 hashtree=… hashstart=N alg=sha256 root_hexdigest=… salt=…"
//! dm="vroot none ro,0 N verity payload=%U+1 hashtree=%U+1 hashstart=N alg=sha1 root_hexdigest=…"
//! dm="vroot none ro,0 N verity %U+1 %U+1 N 0 sha1 DIGEST"
//! dm="2 vboot none ro 1,0 M bootcache PARTUUID=%U/PARTNROFF=1 …, vroot none ro 1,0 N verity payload=254:0 hashtree=254:0 …"
//! dm="1 vroot none ro 1,0 N verity 0 DEVICE DEVICE 4096 4096 BLOCKS BLOCK sha256 DIGEST SALT"
//! ```
//!
//! Source: `ChromiumOS` kernels' `init/do_mounts_dm.c` and `drivers/md/dm-verity-chromeos.c`; crosutils'
//! `build_kernel_image.sh`; Linux `Documentation/admin-guide/device-mapper/verity.rst`.

use thiserror::Error;

use super::cmdline::argument;

/// Sectors of the device mapper have 512 bytes, whatever those of the disk have.
const SECTOR: u64 = 512;
/// Bytes of salt that Linux accepts.
const LONGEST_SALT: usize = 256;

/// A root file system under dm-verity, in the format 0 of `ChromeOS`: blocks of 4096 bytes, the salt behind the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmVerity {
    /// What the device is called: `vroot`.
    pub name: String,
    /// What is protected, in sectors of 512 bytes: the file system.
    pub sectors: u64,
    /// Where the protected data are.
    pub payload: DmDevice,
    /// Where the hash tree is.
    pub hashtree: DmDevice,
    /// First sector (of 512 bytes) of the hash tree in its device.
    pub hash_start: u64,
    /// The hash.
    pub algorithm: DmHash,
    /// The digest of the root of the tree.
    pub root_digest: Vec<u8>,
    /// What is hashed behind each block; may be empty.
    pub salt: Vec<u8>,
}

/// A hash of a verity tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmHash {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

/// A device in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DmDevice {
    /// So many partitions behind the kernel's own: 1 is the root partition.
    AfterKernel(u32),
    /// Anything else, as it is written: `ROOT_DEV`, `/dev/sda3`, a GUID.
    Other(String),
}

#[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
impl DmHash {
    /// Bytes of a digest.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl std::fmt::Display for DmHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        })
    }
}

impl DmDevice {
    fn parse(text: &str) -> Self {
        text.strip_prefix("PARTUUID=%U/PARTNROFF=")
            .or_else(|| text.strip_prefix("%U+"))
            .and_then(|number| number.parse().ok())
            .map_or_else(|| Self::Other(text.to_owned()), Self::AfterKernel)
    }
}

impl DmVerity {
    /// The verity table of a kernel command line in which `%U` is not replaced yet. `None` if it has no table.
    ///
    /// # Errors
    ///
    /// If there is a table, and none of its targets is a verity target that can be understood.
    pub fn from_cmdline(cmdline: &str) -> Result<Option<Self>, DmError> {
        match argument(cmdline, "dm") {
            Some(table) => Self::parse(table).map(Some),
            None => Ok(None),
        }
    }

    /// The first verity target of a table, what stands between the quotes of `dm="…"`.
    ///
    /// # Errors
    ///
    /// See [`from_cmdline`](Self::from_cmdline).
    pub fn parse(table: &str) -> Result<Self, DmError> {
        let devices = devices(table)?;
        let Some(target) = devices.iter().find(|target| target.kind == "verity") else {
            return Err(DmError::NoVerity { table: table.to_owned() });
        };
        let mut verity = target.verity()?;
        for device in [&mut verity.payload, &mut verity.hashtree] {
            if let Some(below) = mapped(device, &devices) {
                *device = below;
            }
        }
        Ok(verity)
    }
}

/// The device below the mapped device that `device` names by its number, as the bootcache form does.
fn mapped(device: &DmDevice, devices: &[Target<'_>]) -> Option<DmDevice> {
    let DmDevice::Other(text) = device else { return None };
    let index: usize = text.strip_prefix("254:")?.parse().ok()?;
    let below = devices.get(index).filter(|below| below.kind != "verity")?;
    below.arguments.first().map(|text| DmDevice::parse(text))
}

/// The first target of a device.
struct Target<'a> {
    name: &'a str,
    sectors: u64,
    kind: &'a str,
    arguments: Vec<&'a str>,
}

/// The devices of a table, each with its first target.
fn devices(table: &str) -> Result<Vec<Target<'_>>, DmError> {
    let odd = |what| DmError::Table { what, table: table.to_owned() };
    let mut parts = table.split(',').map(|part| part.split_ascii_whitespace().collect::<Vec<_>>());
    let mut found = Vec::new();
    while let Some(mut head) = parts.next() {
        if found.is_empty() && head.first().is_some_and(|first| first.parse::<u32>().is_ok()) {
            head.remove(0);
        }
        let (name, targets) = match head[..] {
            [] => continue,
            [name, _, _] => (name, 1),
            [name, _, _, count] => {
                (name, count.parse::<usize>().map_err(|_| odd("the number of targets of a device"))?)
            }
            _ => return Err(odd("`NAME UUID MODE [TARGETS]` of a device")),
        };
        for number in 0..targets {
            let target =
                parts.next().ok_or_else(|| odd("one of the targets that a device is said to have"))?;
            let [_, sectors, kind, arguments @ ..] = &target[..] else {
                return Err(odd("`START SECTORS KIND` of a target"));
            };
            let sectors = sectors.parse().map_err(|_| odd("the number of sectors of a target"))?;
            if number == 0 {
                found.push(Target { name, sectors, kind, arguments: arguments.to_vec() });
            }
        }
    }
    Ok(found)
}

impl Target<'_> {
    fn verity(&self) -> Result<DmVerity, DmError> {
        let missing = |what| DmError::Missing { what };
        let arguments = &self.arguments;
        let named = |name: &str| {
            arguments.iter().find_map(|text| text.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let at = |index: usize| arguments.get(index).map(|text| (*text).to_owned());
        let [payload, hashtree, hash_start, algorithm, digest, salt] = match arguments.first() {
            Some(first)
                if ["payload=", "hashtree=", "alg=", "hashstart="].iter().any(|it| first.starts_with(it)) =>
            {
                ["payload", "hashtree", "hashstart", "alg", "root_hexdigest", "salt"].map(named)
            }
            Some(&"0") => return self.upstream(),
            Some(&"1") => return Err(DmError::Format),
            _ => [at(0), at(1), at(2), at(4), at(5), at(6)],
        };
        let algorithm = algorithm.ok_or(missing("alg"))?;
        let hash_start = hash_start.ok_or(missing("hashstart"))?;
        self.with(
            &payload.ok_or(missing("payload"))?,
            &hashtree.ok_or(missing("hashtree"))?,
            number("hashstart", &hash_start)?,
            &algorithm,
            &digest.ok_or(missing("root_hexdigest"))?,
            &salt.unwrap_or_default(),
        )
    }

    /// The arguments of Linux's own verity target: version, devices, block sizes, blocks, hash block, hash, digest, salt.
    fn upstream(&self) -> Result<DmVerity, DmError> {
        let [_, payload, hashtree, data_block, hash_block, _, hash_start, algorithm, digest, salt, ..] =
            self.arguments[..]
        else {
            return Err(DmError::Missing { what: "salt" });
        };
        for size in [data_block, hash_block] {
            if size != "4096" {
                return Err(DmError::Value { what: "block size", value: size.to_owned(), limit: "4096" });
            }
        }
        let start = number("hash block", hash_start)?.checked_mul(4096 / SECTOR).ok_or_else(|| {
            DmError::Value { what: "hash block", value: hash_start.to_owned(), limit: "on a disk" }
        })?;
        let salt = if salt == "-" { "" } else { salt };
        self.with(payload, hashtree, start, algorithm, digest, salt)
    }

    fn with(
        &self,
        payload: &str,
        hashtree: &str,
        hash_start: u64,
        algorithm: &str,
        digest: &str,
        salt: &str,
    ) -> Result<DmVerity, DmError> {
        let value = |what, value: &str, limit| DmError::Value { what, value: value.to_owned(), limit };
        let algorithm = match algorithm {
            "sha1" => DmHash::Sha1,
            "sha256" => DmHash::Sha256,
            other => return Err(value("alg", other, "`sha1` or `sha256`")),
        };
        let root_digest = unhex(digest)
            .filter(|bytes| bytes.len() == algorithm.len())
            .ok_or_else(|| value("root_hexdigest", digest, "the digest of `alg` in hexadecimal digits"))?;
        let salt = unhex(salt)
            .filter(|bytes| bytes.len() <= LONGEST_SALT)
            .ok_or_else(|| value("salt", salt, "at most 256 bytes in hexadecimal digits"))?;
        Ok(DmVerity {
            name: self.name.to_owned(),
            sectors: self.sectors,
            payload: DmDevice::parse(payload),
            hashtree: DmDevice::parse(hashtree),
            hash_start,
            algorithm,
            root_digest,
            salt,
        })
    }
}

fn number(what: &'static str, text: &str) -> Result<u64, DmError> {
    text.parse().map_err(|_| DmError::Value { what, value: text.to_owned(), limit: "a number" })
}

/// The bytes that pairs of hexadecimal digits stand for.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// A table cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DmError {
    /// It has another form.
    #[error("the table `dm=\"{table}\"` is not understood: {what} is missing or malformed")]
    Table {
        /// What was looked for.
        what: &'static str,
        /// All of it.
        table: String,
    },
    /// It has no verity target.
    #[error("the table `dm=\"{table}\"` has no verity target")]
    NoVerity {
        /// All of it.
        table: String,
    },
    /// Linux's newer format, which no `ChromeOS` image has.
    #[error("the verity target is of format 1: only format 0, the one of ChromeOS, is understood")]
    Format,
    /// Something is not said.
    #[error("the verity target has no `{what}`")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// Something has an impossible value.
    #[error("`{what}` of the verity target is `{value}`, and must be {limit}")]
    Value {
        /// What.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        limit: &'static str,
    },
}

#[cfg(test)]
mod tests;
