//! A web server for tests: some files, and some of the ways in which servers fail.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bootway_exec::Cancel;

/// Requests that one server answers at most: a test that loops must end.
const REQUESTS: usize = 200;

/// What is at a path.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Half of these bytes so many times, then all of them.
    Halves(usize, Vec<u8>),
    /// This status so many times, then these bytes.
    Status(u16, usize, Vec<u8>),
    /// Half of what is asked for so many times, then all of it, by a server that knows ranges.
    Ranges(usize, Vec<u8>),
    /// Half of these bytes so many times, then all of them, by a server that does not say how many there are.
    Unsaid(usize, Vec<u8>),
    /// Nothing at all so many times, then these bytes.
    HangUp(usize, Vec<u8>),
    /// These bytes after any number of them that is asked for: a server that does not check what it says.
    Lies(Vec<u8>),
    /// A few bytes of many, and then nothing; the client is told to give up.
    Stall(Cancel),
}

/// Serves until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Arc::default();
        let requests = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let server = Self { address, pages, requests, stop };
        let (pages, requests, stop) =
            (Arc::clone(&server.pages), Arc::clone(&server.requests), Arc::clone(&server.stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().take(REQUESTS) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (pages, requests) = (Arc::clone(&pages), Arc::clone(&requests));
                // A client that hangs up is none of our business.
                std::thread::spawn(move || stream.map(|stream| answer(&stream, &pages, &requests)));
            }
        });
        server
    }

    /// Puts something at `path`, which has no leading slash.
    pub(crate) fn put(&self, path: &str, page: Page) -> String {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
        self.url(path)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Paths that were asked for, in order, each with `@` and the first byte if that is not the first of all.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// `text` without the port, which is another one each time.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(&self.address.to_string(), "server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(
    mut stream: &TcpStream,
    pages: &Mutex<BTreeMap<String, Page>>,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (path, start) = request(&mut reader)?;
    requests.lock().unwrap().push(if start > 0 { format!("{path}@{start}") } else { path.clone() });
    let page = pages.lock().unwrap().get_mut(&path).map(|page| {
        let now = page.clone();
        if let Page::Halves(times, _)
        | Page::Status(_, times, _)
        | Page::Ranges(times, _)
        | Page::Unsaid(times, _)
        | Page::HangUp(times, _) = page
        {
            *times = times.saturating_sub(1);
        }
        now
    });
    if let Some(Page::Stall(cancel)) = page {
        stream.write_all(&head(200, "Content-Length: 1000\r\n"))?;
        stream.write_all(b"some")?;
        cancel.cancel();
        // Until the client hangs up.
        return reader.read_line(&mut String::new()).map(drop);
    }
    stream.write_all(&reply(page, start))
}

/// The path that is asked for, and its first byte.
fn request(reader: &mut impl std::io::BufRead) -> std::io::Result<(String, usize)> {
    let mut text = String::new();
    while reader.read_line(&mut text)? > 2 {}
    let path = text.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let range =
        text.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    Ok((path, range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())))
}

/// The bytes of an answer, from its first line on.
fn reply(page: Option<Page>, start: usize) -> Vec<u8> {
    let sized = |status: u16, length: usize, bytes: &[u8]| {
        [&head(status, &format!("Content-Length: {length}\r\n"))[..], bytes].concat()
    };
    let part = |last: &str, rest: &[u8], sent: &[u8]| {
        let fields = format!("Content-Range: bytes {start}-{last}\r\nContent-Length: {}\r\n", rest.len());
        [&head(206, &fields)[..], sent].concat()
    };
    match page {
        None => sized(404, 0, b""),
        Some(Page::HangUp(1.., _) | Page::Stall(_)) => Vec::new(),
        Some(Page::Status(status, 1.., _)) => sized(status, 0, b""),
        Some(Page::Unsaid(0, bytes)) => [&head(200, "")[..], &bytes].concat(),
        Some(Page::Unsaid(_, bytes)) => [&head(200, "")[..], &bytes[..bytes.len() / 2]].concat(),
        Some(Page::Lies(bytes)) if start > 0 => part("/*", &bytes, &bytes),
        Some(Page::Ranges(times, bytes)) if start > 0 => match bytes.get(start..) {
            None | Some([]) => sized(416, 0, b""),
            Some(rest) => {
                let sent = if times > 0 { rest.len() / 2 } else { rest.len() };
                part(&format!("{}/{}", bytes.len() - 1, bytes.len()), rest, &rest[..sent])
            }
        },
        Some(Page::Halves(1.., bytes) | Page::Ranges(1.., bytes)) => {
            sized(200, bytes.len(), &bytes[..bytes.len() / 2])
        }
        Some(
            Page::Bytes(bytes)
            | Page::Halves(0, bytes)
            | Page::Status(_, 0, bytes)
            | Page::Ranges(0, bytes)
            | Page::HangUp(0, bytes)
            | Page::Lies(bytes),
        ) => sized(200, bytes.len(), &bytes),
    }
}

fn head(status: u16, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{fields}Connection: close\r\n\r\n").into_bytes()
}
