//! LZO1X, which old images have: bytes out of instructions that copy from the input or from what is already out.
//!
//! Source: Linux, `Documentation/staging/lzo.rst`.

/// Why a block does not unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    Damaged,
    TooLarge,
}

/// Unpacks `packed` into the beginning of `out`, and says how many bytes that are.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut it = Block { packed, out, len: 0 };
    // How many literals the last instruction copied, 4 for any number above 3: it changes what the next one means.
    let mut literals = 0;
    if let Some((first, rest)) = it.packed.split_first()
        && *first > 17
    {
        it.packed = rest;
        let count = usize::from(*first - 17);
        it.literals(count)?;
        literals = count.min(4);
    }
    loop {
        let op = usize::from(it.byte()?);
        let (distance, count, trailing) = match op {
            0..16 if literals == 0 => {
                let count = it.count(op, 15)? + 3;
                it.literals(count)?;
                literals = 4;
                continue;
            }
            0..16 => {
                let high = usize::from(it.byte()?) << 2;
                let (base, count) = if literals == 4 { (2049, 3) } else { (1, 2) };
                (high + (op >> 2) + base, count, op & 3)
            }
            16..32 => {
                let count = it.count(op, 7)? + 2;
                let word = it.word()?;
                let distance = ((op & 8) << 11) + (word >> 2);
                if distance == 0 {
                    let end = count == 3 && it.packed.is_empty();
                    return if end { Ok(it.len) } else { Err(Error::Damaged) };
                }
                (distance + 16384, count, word & 3)
            }
            32..64 => {
                let count = it.count(op, 31)? + 2;
                let word = it.word()?;
                ((word >> 2) + 1, count, word & 3)
            }
            _ => {
                let count = if op < 128 { 3 + (op >> 5 & 1) } else { 5 + (op >> 5 & 3) };
                ((usize::from(it.byte()?) << 3) + (op >> 2 & 7) + 1, count, op & 3)
            }
        };
        it.copy(distance, count)?;
        it.literals(trailing)?;
        literals = trailing;
    }
}

struct Block<'a> {
    packed: &'a [u8],
    out: &'a mut [u8],
    len: usize,
}

impl Block<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.packed.split_first().ok_or(Error::Damaged)?;
        self.packed = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<usize, Error> {
        Ok(usize::from(self.byte()?) | usize::from(self.byte()?) << 8)
    }

    /// The length in those bits of an instruction. 0 is one that they have no room for: then zeros follow that count 255
    /// each, and the byte that ends them counts itself.
    fn count(&mut self, op: usize, bits: usize) -> Result<usize, Error> {
        if op & bits != 0 {
            return Ok(op & bits);
        }
        let zeros = self.packed.iter().take_while(|byte| **byte == 0).count();
        self.packed = &self.packed[zeros..];
        Ok(bits + zeros * 255 + usize::from(self.byte()?))
    }

    fn literals(&mut self, count: usize) -> Result<(), Error> {
        let (head, rest) = self.packed.split_at_checked(count).ok_or(Error::Damaged)?;
        let out = self.out.get_mut(self.len..self.len + count).ok_or(Error::TooLarge)?;
        out.copy_from_slice(head);
        self.packed = rest;
        self.len += count;
        Ok(())
    }

    /// From `distance` bytes back, which may overlap with what is being written.
    fn copy(&mut self, distance: usize, count: usize) -> Result<(), Error> {
        let from = self.len.checked_sub(distance).ok_or(Error::Damaged)?;
        if count > self.out.len() - self.len {
            return Err(Error::TooLarge);
        }
        for n in 0..count {
            self.out[self.len + n] = self.out[from + n];
        }
        self.len += count;
        Ok(())
    }
}
