//! Fragments and data blocks: each is unpacked once, by several threads.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError, atomic::Ordering, mpsc},
    thread,
};

use super::{Ended, Fault, Inodes, Place, Run};
use crate::{
    format::{
        Bytes, InodeRef,
        block::DataBlock,
        inode::{Body, File, Type},
        superblock::Superblock,
    },
    read::ReadError,
};

/// Blocks that wait for a thread.
const WAITING: usize = 64;

/// A block to unpack.
struct Job {
    place: Place,
    at: u64,
    block: DataBlock,
    /// Bytes that must come out; a fragment has any number of them, up to a block.
    expected: Option<usize>,
}

/// Sends blocks to those who unpack.
type Feed<'f> = dyn FnMut(&dyn Fn(Job)) -> Result<(), Ended> + 'f;
/// Blocks that are known, by where they are: their words and the bytes that must come out.
type Seen = HashMap<u64, (DataBlock, usize)>;

impl Run<'_> {
    /// How many bytes each fragment has; none for one that does not unpack.
    pub(super) fn fragments(&self) -> Result<Vec<Option<usize>>, Ended> {
        let table = self.image.tables.fragments;
        let lens = Mutex::new(Vec::new());
        self.unpack(
            &mut |send| {
                for index in 0..table.count as u32 {
                    let place = Place::Fragment { index };
                    // What cannot be read takes no memory here, however many the image says there are.
                    let entry = self.readable(|| place.clone(), self.image.fragment_entry(index));
                    let Some(entry) = entry else { break };
                    lens.lock().unwrap_or_else(PoisonError::into_inner).push(None);
                    self.spend(self.image.superblock.block_size.get().into())?;
                    self.check_place(&place, entry.start, entry.block);
                    send(Job { place, at: entry.start, block: entry.block, expected: None });
                }
                Ok(())
            },
            &|job, len| {
                let Place::Fragment { index } = job.place else { return };
                lens.lock().unwrap_or_else(PoisonError::into_inner)[index as usize] = Some(len);
                self.count(|checked| checked.fragments += 1);
            },
        )?;
        Ok(lens.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every block of every file.
    pub(super) fn files(&self, inodes: &Inodes, fragments: &[Option<usize>]) -> Result<(), Ended> {
        let mut seen = Seen::new();
        let files = inodes.iter().filter(|(_, known)| known.kind == Type::File);
        self.unpack(
            &mut |send| {
                for (number, known) in files.clone() {
                    self.file(*number, known.place, fragments, &mut seen, send)?;
                    self.files.fetch_add(1, Ordering::Relaxed);
                    self.count(|checked| checked.files += 1);
                }
                Ok(())
            },
            &|_, _| self.count(|checked| checked.data_blocks += 1),
        )
    }

    fn file(
        &self,
        number: u32,
        place: InodeRef,
        fragments: &[Option<usize>],
        seen: &mut Seen,
        send: &dyn Fn(Job),
    ) -> Result<(), Ended> {
        let here = || Place::inode(number);
        let Some((inode, mut list)) = self.readable(here, self.image.inode(place)) else { return Ok(()) };
        let Body::File(file) = inode.body else { return Ok(()) };
        let block_size = self.image.superblock.block_size;
        let size = u64::from(block_size.get());
        let (mut at, mut sparse, mut holes) = (file.start, 0, 0);
        for index in 0..file.block_count(block_size) {
            let word = list.u32("the list of a file's blocks");
            let block = word.and_then(|word| Ok(DataBlock::decode(word, block_size.get())?));
            let Some(block) = self.readable(here, block) else { return Ok(()) };
            let expected = size.min(file.size - index * size);
            if block == DataBlock::Hole {
                self.spend(4)?;
                sparse += expected;
                holes += 1;
                continue;
            }
            if seen.get(&at) != Some(&(block, expected as usize)) {
                seen.insert(at, (block, expected as usize));
                self.spend(expected)?;
                self.check_place(&here(), at, block);
                send(Job { place: here(), at, block, expected: Some(expected as usize) });
            }
            at = at.saturating_add(block.len().into());
        }
        self.count(|checked| checked.holes += holes);
        self.check_sparse(number, &file, sparse);
        self.check_tail(number, &file, fragments);
        Ok(())
    }

    /// Data is between the superblock and the inodes.
    fn check_place(&self, place: &Place, at: u64, block: DataBlock) {
        let end = at.saturating_add(block.len().into());
        let inodes = self.image.superblock.inode_table;
        if at < Superblock::LEN as u64 || end > inodes {
            self.problem(place.clone(), ReadError::Beyond { what: "a data block", at, end, len: inodes });
        }
    }

    /// A writer can leave it at 0. One that counts may not say that the file is nothing but holes.
    fn check_sparse(&self, number: u32, file: &File, found: u64) {
        let said = file.sparse;
        if said != 0 && said != found && !(said.checked_add(1) == Some(file.size) && found >= said) {
            let what = "the number of bytes in holes";
            self.problem(Place::inode(number), Fault::Disagrees { what, said, found });
        }
    }

    fn check_tail(&self, number: u32, file: &File, fragments: &[Option<usize>]) {
        let Some(tail) = file.tail else { return };
        let here = Place::inode(number);
        let len = file.size & u64::from(self.image.superblock.block_size.get() - 1);
        if len == 0 {
            return self
                .problem(here, Fault::Rule("it has an end in a fragment, and no bytes are left for it"));
        }
        match fragments.get(tail.fragment as usize) {
            None => {
                let (index, count) = (tail.fragment.into(), fragments.len() as u64);
                self.problem(here, Fault::Missing { what: "fragment", index, count });
            }
            Some(Some(has)) if u64::from(tail.offset) + len > *has as u64 => {
                let (offset, end) = (tail.offset.into(), u64::from(tail.offset) + len);
                self.problem(here, ReadError::Tail { offset, end, len: *has });
            }
            // One that does not unpack is a problem of its own.
            Some(_) => {}
        }
    }

    /// Runs `feed` on this thread, and what it sends on others; `done` is told what came out.
    fn unpack(&self, feed: &mut Feed<'_>, done: &(dyn Fn(&Job, usize) + Sync)) -> Result<(), Ended> {
        let threads = self.options.threads.or_else(|| thread::available_parallelism().ok());
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let receiver = Mutex::new(receiver);
        thread::scope(|scope| {
            for _ in 0..threads.map_or(1, NonZeroUsize::get) {
                scope.spawn(|| self.work(&receiver, done));
            }
            let result = feed(&|job| {
                // The receiver lives until the end of this function.
                let _ = sender.send(job);
            });
            drop(sender);
            result
        })
    }

    fn work(&self, jobs: &Mutex<mpsc::Receiver<Job>>, done: &(dyn Fn(&Job, usize) + Sync)) {
        let (mut packed, mut out) = (Vec::new(), Vec::new());
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let limit = job.expected.unwrap_or(self.image.superblock.block_size.get() as usize);
            if let Err(error) = self.image.blocks.data(job.at, job.block, limit, &mut packed, &mut out) {
                self.problem(job.place, error);
                continue;
            }
            let (at, found) = (job.at, out.len());
            if let Some(expected) = job.expected.filter(|expected| *expected != found) {
                self.problem(job.place.clone(), ReadError::BlockLen { at, found, expected });
            }
            self.count(|checked| checked.bytes += found as u64);
            done(&job, found);
        }
    }
}
