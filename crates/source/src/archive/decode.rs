//! Decompression beside the reader: a thread decodes, another one uses what comes out.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::Scope,
    time::Duration,
};

use bootway_exec::Cancel;
use liblzma::{bufread::XzDecoder, stream::MtStreamBuilder};

use super::{
    fault::{Fault, Stop},
    limits,
};

/// How often cancellation is looked at while nothing comes.
const PATIENCE: Duration = Duration::from_millis(50);

/// Bytes that are handed over at once.
const CHUNK: usize = 256 << 10;

/// Chunks that may wait: most packages fit in whole, and are ready when it is their turn.
const QUEUE: usize = 64;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// What bytes are, by what they start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// A Debian package.
    Package,
    /// A tar archive or something compressed, which must then be one.
    Stream(Compression),
    /// Something that we know and do not read.
    Unsupported(&'static str),
}

/// What each format starts with.
const MAGICS: [(&[u8], Sniffed); 11] = [
    (b"!<arch>\n", Sniffed::Package),
    (&[0x1f, 0x8b], Sniffed::Stream(Compression::Gzip)),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Sniffed::Stream(Compression::Xz)),
    (&[0x28, 0xb5, 0x2f, 0xfd], Sniffed::Stream(Compression::Zstd)),
    (b"BZh", Sniffed::Stream(Compression::Bzip2)),
    (b"LZIP", Sniffed::Unsupported("compressed with lzip")),
    (&[0x04, 0x22, 0x4d, 0x18], Sniffed::Unsupported("compressed with lz4")),
    (b"PK\x03\x04", Sniffed::Unsupported("a zip archive")),
    (b"7z\xbc\xaf\x27\x1c", Sniffed::Unsupported("a 7-Zip archive")),
    (b"070701", Sniffed::Unsupported("a cpio archive")),
    (b"\xed\xab\xee\xdb", Sniffed::Unsupported("an RPM package")),
];

/// What `start`, the first bytes of something, says about it. Names are not asked: they lie.
pub(crate) fn sniff(start: &[u8]) -> Sniffed {
    let known = MAGICS.iter().find(|(magic, _)| start.starts_with(magic));
    known.map_or(Sniffed::Stream(Compression::None), |(_, sniffed)| *sniffed)
}

/// The decompressed bytes of `input`, by up to `jobs` threads where the format has independent blocks.
///
/// # Errors
///
/// If it is compressed in a way that we do not read.
pub(crate) fn decoder<'a>(
    mut input: impl BufRead + Send + 'a,
    jobs: usize,
) -> Result<Box<dyn Read + Send + 'a>, Stop> {
    Ok(match sniff(input.fill_buf()?) {
        Sniffed::Stream(Compression::None) => Box::new(input),
        Sniffed::Stream(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Sniffed::Stream(Compression::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Sniffed::Stream(Compression::Xz) => Box::new(XzStreams { decoder: Some(xz(input, jobs)?), jobs }),
        Sniffed::Stream(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(limits::ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Sniffed::Unsupported(what) => {
            return Err(Fault::Unsupported {
                what: what.to_owned(),
                remedy: "make it a tar archive: plain, gzip, bzip2, xz or zstd",
            }
            .into());
        }
        Sniffed::Package => {
            return Err(Fault::Unsupported {
                what: "a package inside a package".to_owned(),
                remedy: "unpack it by itself",
            }
            .into());
        }
    })
}

fn xz<R: BufRead>(input: R, jobs: usize) -> io::Result<XzDecoder<R>> {
    // No time limit on one call of the library: a call that returns early looks like the end to `XzDecoder`.
    let stream = MtStreamBuilder::new()
        .threads(u32::try_from(jobs.clamp(1, 16)).expect("it was just clamped"))
        .memlimit_threading(limits::XZ_THREADS_MEMORY)
        .memlimit_stop(limits::XZ_MEMORY)
        .decoder()?;
    Ok(XzDecoder::new_stream(input, stream))
}

/// One xz stream after the other, as in a file that was compressed in pieces and concatenated.
struct XzStreams<R: BufRead> {
    decoder: Option<XzDecoder<R>>,
    jobs: usize,
}

impl<R: BufRead> Read for XzStreams<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let n = decoder.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let mut input = self.decoder.take().expect("it was just used").into_inner();
            // Streams may be padded with zeros; see section 2.2 of the .xz file format.
            let zeros = loop {
                let bytes = input.fill_buf()?;
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                if zeros < bytes.len() || bytes.is_empty() {
                    break zeros;
                }
                input.consume(zeros);
            };
            input.consume(zeros);
            if !input.fill_buf()?.is_empty() {
                self.decoder = Some(xz(input, self.jobs)?);
            }
        }
    }
}

/// What the decoding thread says.
enum Message {
    Bytes(Vec<u8>),
    /// All of it was decoded and its checksums are right.
    End,
    Failed(io::Error),
}

/// The decompressed bytes of an archive, as they come from another thread.
pub(crate) struct Decoded<'a> {
    messages: Receiver<Message>,
    cancel: &'a Cancel,
    part: String,
    chunk: Vec<u8>,
    used: usize,
    /// Bytes handed out.
    at: u64,
    ended: bool,
}

impl<'a> Decoded<'a> {
    /// Starts to decode `input`, which errors call `part`, in a thread of `scope`.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        input: Box<dyn Read + Send + 'scope>,
        part: String,
        cancel: &'a Cancel,
    ) -> Self {
        let (sender, messages) = sync_channel(QUEUE);
        scope.spawn(move || decode(input, &sender));
        Self { messages, cancel, part, chunk: Vec::new(), used: 0, at: 0, ended: false }
    }

    /// Bytes handed out so far.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// Whether all of it was decoded and handed out.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// The next bytes, at least one and at most `limit`; empty at the end.
    pub(crate) fn next(&mut self, limit: u64) -> Result<&[u8], Stop> {
        while self.used == self.chunk.len() && !self.ended {
            if self.cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            match self.messages.recv_timeout(PATIENCE) {
                Ok(Message::Bytes(chunk)) => (self.chunk, self.used) = (chunk, 0),
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => return Err(self.failed(&error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the decoding thread died").into());
                }
            }
        }
        let length = (self.chunk.len() - self.used).min(usize::try_from(limit).unwrap_or(usize::MAX));
        let bytes = &self.chunk[self.used..self.used + length];
        self.used += length;
        self.at += length as u64;
        Ok(bytes)
    }

    /// Exactly `buffer.len()` bytes; `false` when there is nothing at all.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Stop> {
        let mut filled = 0;
        while filled < buffer.len() {
            let bytes = self.next((buffer.len() - filled) as u64)?;
            if bytes.is_empty() {
                return if filled == 0 { Ok(false) } else { Err(self.truncated().into()) };
            }
            let length = bytes.len();
            buffer[filled..filled + length].copy_from_slice(bytes);
            filled += length;
        }
        Ok(true)
    }

    /// Passes over `bytes` bytes.
    pub(crate) fn skip(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            let passed = self.next(bytes)?.len() as u64;
            if passed == 0 {
                return Err(self.truncated().into());
            }
            bytes -= passed;
        }
        Ok(())
    }

    /// That it ends here.
    pub(crate) fn truncated(&self) -> Fault {
        Fault::Truncated { part: self.part.clone(), at: self.at }
    }

    /// That something is wrong `back` bytes before here.
    pub(crate) fn damaged(&self, back: u64, reason: impl Into<String>) -> Fault {
        Fault::Damaged { part: self.part.clone(), at: self.at.saturating_sub(back), reason: reason.into() }
    }

    fn failed(&self, error: &io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.truncated().into(),
            _ => self.damaged(0, format!("it does not decompress: {error}")).into(),
        }
    }
}

fn decode(mut input: Box<dyn Read + Send + '_>, sender: &SyncSender<Message>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        let message = loop {
            match input.read(&mut chunk[filled..]) {
                Ok(0) => break Some(Message::End),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Message::Failed(error)),
            }
            if filled == CHUNK {
                break None;
            }
        };
        chunk.truncate(filled);
        // The other side hangs up when it has seen enough.
        if !chunk.is_empty() && sender.send(Message::Bytes(chunk)).is_err() {
            return;
        }
        if let Some(last) = message {
            let _ = sender.send(last);
            return;
        }
    }
}
