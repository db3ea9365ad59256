//! A file of an archive, streamed to where it belongs: unpacked, counted, hashed and checked in one pass.

use flate2::{Decompress, FlushDecompress, Status};

use super::{
    OpenError, STRIDE,
    digests::Digests,
    parts::Parts,
    sparse::Sparse,
    zip::{Entry, Method, ZipError, zip_error},
};

/// Writes what `entry` holds; the digest of the whole archive is counted, too.
pub(super) fn extract(
    parts: &Parts,
    entry: &Entry,
    to: &mut Sparse,
    digests: &mut Digests<'_>,
) -> Result<(), OpenError> {
    let data = entry.data(parts)?;
    let end = data + entry.stored;
    let method = entry.method().map_err(|error| zip_error(parts, error))?;
    let mut output = Output { entry, parts, to, crc: crc32fast::Hasher::new(), found: 0 };
    let mut inflate = Inflate { state: Decompress::new(false), buffer: vec![0; STRIDE], ended: false };
    // Without a digest, what is before and after it is not read.
    let range = if digests.wanted() { 0..parts.size() } else { data..end };
    parts.stream(range, digests, |at, digests, bytes| {
        digests.whole(bytes)?;
        let inside = |offset: u64| (offset.clamp(data, end).saturating_sub(at) as usize).min(bytes.len());
        let bytes = &bytes[inside(data)..inside(end)];
        match method {
            Method::Stored => output.put(bytes, digests),
            Method::Deflate => inflate.feed(bytes, at.max(data), &mut output, digests),
        }
    })?;
    if method == Method::Deflate && !inflate.ended {
        let reason = format!("the stream does not end within its {} bytes", entry.stored);
        let error = ZipError::Deflate { name: entry.shown(), offset: end, reason };
        return Err(zip_error(parts, error));
    }
    output.finish()
}

/// Where unpacked bytes go.
struct Output<'a> {
    entry: &'a Entry,
    parts: &'a Parts,
    to: &'a mut Sparse,
    crc: crc32fast::Hasher,
    found: u64,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8], digests: &mut Digests<'_>) -> Result<(), OpenError> {
        self.found += bytes.len() as u64;
        if bytes.len() as u64 > self.to.left() {
            return Err(self.wrong_size());
        }
        self.crc.update(bytes);
        digests.disk(bytes)?;
        self.to.write(bytes)
    }

    fn wrong_size(&self) -> OpenError {
        let Entry { size, .. } = *self.entry;
        zip_error(self.parts, ZipError::Size { name: self.entry.shown(), found: self.found, size })
    }

    fn finish(self) -> Result<(), OpenError> {
        if self.to.left() != 0 {
            return Err(self.wrong_size());
        }
        let (found, crc) = (self.crc.finalize(), self.entry.crc);
        if found == crc {
            return Ok(());
        }
        Err(zip_error(self.parts, ZipError::Crc { name: self.entry.shown(), found, crc }))
    }
}

/// A raw deflate stream that comes in pieces.
struct Inflate {
    state: Decompress,
    buffer: Vec<u8>,
    ended: bool,
}

impl Inflate {
    /// Unpacks `bytes`, which are at byte `at` of the archive.
    fn feed(
        &mut self,
        mut bytes: &[u8],
        at: u64,
        output: &mut Output<'_>,
        digests: &mut Digests<'_>,
    ) -> Result<(), OpenError> {
        let begin = self.state.total_in();
        let fail = |offset: u64, reason: String| {
            let name = output.entry.shown();
            zip_error(output.parts, ZipError::Deflate { name, offset, reason })
        };
        loop {
            if self.ended {
                let left = bytes.len();
                let offset = at + self.state.total_in() - begin;
                let error = || fail(offset, format!("the stream has ended, and {left} bytes follow"));
                return if bytes.is_empty() { Ok(()) } else { Err(error()) };
            }
            let (took, made) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(bytes, &mut self.buffer, FlushDecompress::None)
                .map_err(|error| fail(at + self.state.total_in() - begin, error.to_string()))?;
            let (took, made) = (self.state.total_in() - took, self.state.total_out() - made);
            bytes = &bytes[took as usize..];
            output.put(&self.buffer[..made as usize], digests)?;
            self.ended = status == Status::StreamEnd;
            // Nothing goes in and nothing comes out: it needs what comes next.
            if took == 0 && made == 0 && !self.ended {
                return Ok(());
            }
        }
    }
}
