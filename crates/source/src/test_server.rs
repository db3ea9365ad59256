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

    /// Paths that were asked for, in order.
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
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    while reader.read_line(&mut line)? > 2 {}
    requests.lock().unwrap().push(path.clone());
    let page = pages.lock().unwrap().get_mut(&path).map(|page| {
        let now = page.clone();
        if let Page::Halves(times, _) | Page::Status(_, times, _) = page {
            *times = times.saturating_sub(1);
        }
        now
    });
    let mut respond = |status: u16, length: usize, bytes: &[u8]| {
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(bytes)
    };
    match page {
        None => respond(404, 0, b""),
        Some(Page::Halves(1.., bytes)) => respond(200, bytes.len(), &bytes[..bytes.len() / 2]),
        Some(Page::Status(status, 1.., _)) => respond(status, 0, b""),
        Some(Page::Bytes(bytes) | Page::Halves(0, bytes) | Page::Status(_, 0, bytes)) => {
            respond(200, bytes.len(), &bytes)
        }
        Some(Page::Stall(cancel)) => {
            respond(200, 1000, b"some")?;
            cancel.cancel();
            // Until the client hangs up.
            reader.read_line(&mut line).map(|_| ())
        }
    }
}
