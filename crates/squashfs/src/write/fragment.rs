//! The fragment that is being filled: ends of files, one behind the other.

use std::{ops::Range, sync::Arc};

use super::{
    buffers::{Buffer, Buffers},
    work::{Part, Piece},
};
use crate::cache::Hash;

/// A fragment that is being filled.
#[derive(Default)]
pub(super) struct OpenFragment<'t> {
    /// Bytes so far.
    pub(super) filled: u32,
    members: Vec<(Piece<'t>, Hash)>,
    /// What of it is at hand, and which members are not.
    buffer: Option<Buffer>,
    ready: usize,
    parts: Vec<FragmentPart>,
}

/// A stretch of a fragment.
enum FragmentPart {
    /// At hand, here in the buffer.
    Ready(Range<usize>),
    /// The member of this number, which is not.
    Member(usize),
}

impl<'t> OpenFragment<'t> {
    /// Takes one more member; `data` is its content, if it is at hand.
    pub(super) fn add(
        &mut self,
        piece: Piece<'t>,
        hash: Hash,
        data: Option<(Arc<Buffer>, Range<usize>)>,
        raw: &Buffers,
        block_size: u32,
    ) {
        self.filled += piece.length;
        match data {
            None => self.parts.push(FragmentPart::Member(self.members.len())),
            Some((data, range)) => {
                let buffer = self.buffer.get_or_insert_with(|| raw.at_least(block_size as usize));
                let to = self.ready..self.ready + range.len();
                buffer[to.clone()].copy_from_slice(&data[range]);
                self.ready = to.end;
                match self.parts.last_mut() {
                    Some(FragmentPart::Ready(part)) => part.end = to.end,
                    _ => self.parts.push(FragmentPart::Ready(to)),
                }
            }
        }
        self.members.push((piece, hash));
    }

    /// Its members, and what to compress: what is at hand, and what must be read again.
    pub(super) fn close(self) -> (Vec<(Piece<'t>, Hash)>, Vec<Part<'t>>) {
        let buffer = self.buffer.map(Arc::new);
        let part = |part| match part {
            FragmentPart::Ready(range) => {
                Part::Ready { data: Arc::clone(buffer.as_ref().expect("what is ready is in it")), range }
            }
            FragmentPart::Member(index) => {
                let (piece, hash) = &self.members[index];
                Part::Again { piece: piece.clone(), hash: *hash }
            }
        };
        let parts = self.parts.into_iter().map(part).collect();
        (self.members, parts)
    }
}
