//! A tree of a tar archive: one that can be read anywhere, or one that goes by once.
//!
//! All of GNU, pax and older archives is read: long names, extended attributes, sparse files, hard links, devices.
//! Nothing in an archive reaches outside the tree: a leading `/` means nothing, and `..` is refused.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::MetadataExt,
    sync::Arc,
};

use super::{Content, Id, Kind, Node, Piece, Rules, Tree, TreeError, limits::readable};

mod input;
mod member;
mod records;
mod sparse;

use input::{Anywhere, Once};
pub use member::TarError;
use member::{Header, Headers, What};

impl Tree {
    /// A tree of a tar archive that is not compressed. Contents stay in the archive.
    ///
    /// A later member replaces an earlier one of the same path. Directories that are not in the archive are made as
    /// by [`Tree::insert`], with mode 0755, root's unless a rule says otherwise.
    ///
    /// # Errors
    ///
    /// If the archive is compressed (then read it with [`TarStream`]), damaged or cut off, if a path has `..` in it,
    /// or if the format cannot hold what is in it.
    pub fn from_tar(file: File, rules: &Rules) -> Result<Self, TreeError> {
        let size = file.metadata().map_err(TarError::read)?.size();
        let file = Arc::new(file);
        let mut headers = Headers::new(Anywhere::new(Arc::clone(&file), size)?);
        let mut tree = rules.root();
        while let Some(header) = headers.next()? {
            let size = header.size;
            let pieces = headers.pieces(&header)?;
            let offset = headers.at();
            let content = || match pieces {
                None => Content::Part { file: Arc::clone(&file), offset, size },
                Some(map) => {
                    let pieces = map.iter().map(|piece| Piece { offset: offset + piece.offset, ..*piece });
                    Content::Pieces { file: Arc::clone(&file), pieces: pieces.collect(), size }
                }
            };
            tree.graft(header, rules, content)?;
            headers.skip_content()?;
        }
        Ok(tree)
    }
}

/// A tar archive that goes by once: from a pipe, or compressed with gzip, xz or zstd, which is seen by its first
/// bytes.
///
/// [`TarStream::next`] gives one member after the other, each to be read at once or not at all; meanwhile the tree
/// grows, and [`TarStream::finish`] gives it. In it, the content of every file is [`Content::Streamed`].
///
/// ```no_run
/// use std::io::Read;
///
/// use bootway_squashfs::{Rules, TarStream};
///
/// let mut stream = TarStream::new(std::io::stdin(), &Rules::default())?;
/// let mut content = Vec::new();
/// while let Some(mut member) = stream.next()? {
///     content.clear();
///     member.read_to_end(&mut content)?;
/// }
/// let tree = stream.finish();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TarStream {
    headers: Headers<Once>,
    rules: Rules,
    tree: Tree,
    path: Vec<u8>,
}

/// A member of a [`TarStream`]: what it is called and has become. Its content is read from it, holes as zeros.
#[derive(Debug)]
pub struct Member<'a> {
    id: Id,
    path: &'a [u8],
    size: u64,
    /// How much was given, holes too.
    given: u64,
    pieces: Option<Vec<Piece>>,
    headers: &'a mut Headers<Once>,
}

impl TarStream {
    /// Begins to read `input`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is compressed in a way that is not known here.
    pub fn new(input: impl Read + Send + 'static, rules: &Rules) -> Result<Self, TreeError> {
        let input = BufReader::with_capacity(256 << 10, input);
        let headers = Headers::new(Once::new(input)?);
        Ok(Self { headers, rules: rules.clone(), tree: rules.root(), path: Vec::new() })
    }

    /// The next file or further name, or `None` at the end of the archive. What the one before was not asked for is
    /// skipped, and members that the rules leave out are not given.
    ///
    /// # Errors
    ///
    /// As with [`Tree::from_tar`].
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend its members")]
    pub fn next(&mut self) -> Result<Option<Member<'_>>, TreeError> {
        loop {
            self.headers.skip_content()?;
            let Some(header) = self.headers.next()? else {
                return Ok(None);
            };
            let pieces = self.headers.pieces(&header)?;
            let size = header.size;
            self.path.clone_from(&header.path);
            let size = if matches!(header.what, What::File) { size } else { 0 };
            if let Some(id) = self.tree.graft(header, &self.rules, || Content::Streamed { size })? {
                let Self { headers, path, .. } = self;
                return Ok(Some(Member { id, path, size, given: 0, pieces, headers }));
            }
        }
    }

    /// What it has become so far.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tree, which is whole after [`TarStream::next`] gave `None`.
    pub fn finish(self) -> Tree {
        self.tree
    }
}

impl Member<'_> {
    /// Its file in the tree; that of an earlier member if this is one more name of it.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its path in the tree.
    pub fn path(&self) -> &[u8] {
        self.path
    }

    /// How many bytes there are to be read: none if it is no regular file, or one more name.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next piece that is not behind us: where it begins, and where it ends.
    fn next_piece(&self) -> Option<(u64, u64)> {
        match &self.pieces {
            None => Some((0, self.size)),
            Some(pieces) => {
                let next = pieces.partition_point(|piece| piece.at + piece.size <= self.given);
                pieces.get(next).map(|piece| (piece.at, piece.at + piece.size))
            }
        }
    }
}

impl Read for Member<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (begin, end) = self.next_piece().unwrap_or((self.size, self.size));
        let in_hole = self.given < begin;
        let left = if in_hole { begin } else { end } - self.given;
        let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let into = &mut into[..count];
        if in_hole {
            into.fill(0);
        } else if count > 0 {
            self.headers.content(into)?;
        }
        self.given += count as u64;
        Ok(count)
    }
}

impl Tree {
    /// What a member has become, its content made by `content`; `None` if it is left out.
    fn graft(
        &mut self,
        header: Header,
        rules: &Rules,
        content: impl FnOnce() -> Content,
    ) -> Result<Option<Id>, TreeError> {
        let path = header.path.as_slice();
        if rules.exclude.has_any(path) {
            return Ok(None);
        }
        let kind = match header.what {
            What::HardLink(ref target) => return self.graft_link(path, target, rules).map(Some),
            What::File => Kind::File(content()),
            What::Other(kind) => kind,
        };
        let mut node = Node::new(header.mode, kind).owner(header.uid, header.gid);
        for (name, value) in header.xattrs {
            if rules.keeps(self, path, &name)? {
                node.xattrs.insert(name.into(), value.into());
            }
        }
        self.notes.extend(header.lost);
        let node = rules.apply(path, node, header.mtime)?;
        self.insert(path, node).map(Some)
    }

    fn graft_link(&mut self, path: &[u8], target: &[u8], rules: &Rules) -> Result<Id, TreeError> {
        let wrong =
            |what| TarError::member(path, format!("it is a hard link to `{}`, {what}", readable(target)));
        if rules.exclude.has_any(target) {
            return Err(wrong("which is left out: leave out both").into());
        }
        let id = self
            .find(target)
            .ok_or_else(|| wrong("which is not before it: make the archive of whole directories"))?;
        self.link(path, id)?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
