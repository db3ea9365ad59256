//! Files with holes in a tar archive.
//!
//! Source: the GNU tar manual, "Storing Sparse Files": the old format, and pax formats 0.0, 0.1 and 1.0.

use super::{
    super::Piece,
    member::{BLOCK, TarError},
    records::decimal,
};

/// The most pieces that a file may have: 24 MiB of memory.
pub(super) const PIECES: usize = 1 << 20;

/// Whether a member has holes.
#[derive(Clone, Debug)]
pub(super) enum Sparse {
    No,
    /// The pieces that are not; `offset` is not set yet.
    Known(Vec<Piece>),
    /// Its content begins with a list of them.
    InContent,
}

/// Why a map cannot be read.
pub(super) enum Fault {
    Archive(TarError),
    Map(&'static str),
}

impl Fault {
    pub(super) fn of(self, path: &[u8]) -> TarError {
        match self {
            Self::Archive(error) => error,
            Self::Map(what) => TarError::member(path, format!("{what}: make it without `--sparse`")),
        }
    }
}

/// Pieces of `offset,size,offset,size`.
pub(super) fn parse_list(list: &[u8]) -> Result<Vec<Piece>, &'static str> {
    let mut numbers = list.split(|byte| *byte == b',').filter(|number| !number.is_empty());
    let mut pieces = Vec::new();
    while let Some(at) = numbers.next() {
        let piece = decimal(at).zip(numbers.next().and_then(decimal));
        let (at, size) = piece.ok_or("a sparse map that is no pairs of numbers")?;
        if pieces.len() >= PIECES {
            return Err("a sparse file of too many pieces");
        }
        pieces.push(Piece { at, offset: 0, size });
    }
    Ok(pieces)
}

/// The list at the beginning of a content: how many, then offsets and sizes, a line each, padded to a block.
pub(super) fn read_map(mut next: impl FnMut(&mut [u8]) -> Result<(), TarError>) -> Result<Vec<Piece>, Fault> {
    let mut numbers = Vec::new();
    let mut wanted = None;
    let mut digits = Vec::new();
    loop {
        let mut block = [0; BLOCK as usize];
        next(&mut block).map_err(Fault::Archive)?;
        for byte in block {
            if wanted == Some(numbers.len()) {
                break;
            }
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Err(Fault::Map("its sparse map is no numbers"));
                }
                continue;
            }
            let number = decimal(&digits).ok_or(Fault::Map("its sparse map is no numbers"))?;
            digits.clear();
            if wanted.is_some() {
                numbers.push(number);
            } else if number > PIECES as u64 {
                return Err(Fault::Map("it is a sparse file of too many pieces"));
            } else {
                wanted = Some(number as usize * 2);
            }
        }
        if wanted == Some(numbers.len()) {
            let pairs = numbers.chunks_exact(2);
            return Ok(pairs.map(|pair| Piece { at: pair[0], offset: 0, size: pair[1] }).collect());
        }
    }
}

/// Where the bytes of each piece are, counted from where the first begins, when all of them have `stored` bytes and
/// the file that is meant has `size`.
pub(super) fn place(pieces: Vec<Piece>, size: u64, stored: u64) -> Result<Vec<Piece>, &'static str> {
    let mut placed = Vec::with_capacity(pieces.len());
    let (mut end, mut offset) = (0_u64, 0_u64);
    for piece in pieces {
        // Whether a piece that does not fill its last block is padded, archivers do not agree.
        if piece.at < end || !offset.is_multiple_of(BLOCK) && piece.size > 0 {
            return Err("its sparse map is in disorder: make it without `--sparse`");
        }
        end = piece
            .at
            .checked_add(piece.size)
            .filter(|end| *end <= size)
            .ok_or("its sparse map is longer than it: make it without `--sparse`")?;
        if piece.size > 0 {
            placed.push(Piece { offset, ..piece });
        }
        offset += piece.size;
    }
    if offset == stored {
        Ok(placed)
    } else {
        Err("its sparse map and its size do not agree: make it without `--sparse`")
    }
}
