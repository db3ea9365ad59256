//! What was made, for people and programs.

use std::{fmt, path::Path, time::Duration};

use bootway_plan::Bytes;
use bootway_report::span;
use bootway_squashfs::{Options, Summary};

/// An image that was made.
#[derive(Debug)]
pub(super) struct Made<'a> {
    pub(super) image: &'a Path,
    pub(super) options: &'a Options,
    pub(super) summary: &'a Summary,
    /// How long reading the tree took.
    pub(super) scan: Duration,
    /// How long all of it took.
    pub(super) all: Duration,
    /// Bytes of memory at most; `None` where the system does not tell.
    pub(super) memory: Option<u64>,
}

impl Made<'_> {
    /// Where the time went, of all threads together.
    fn times(&self) -> [(&'static str, Duration); 8] {
        let times = &self.summary.times;
        [
            ("walk", self.scan),
            ("read", times.read),
            ("hash", times.hash),
            ("compress", times.compress),
            ("fetch", times.fetch),
            ("write", times.write),
            ("tables", times.tables),
            ("keep", times.keep),
        ]
    }

    /// As one JSON object.
    pub(super) fn json(&self) -> serde_json::Value {
        let it = self.summary;
        let seconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
        let mut times: serde_json::Map<_, _> =
            self.times().map(|(name, time)| (name.to_owned(), seconds(time).into())).into_iter().collect();
        times.insert("all".to_owned(), seconds(self.all).into());
        serde_json::json!({
            "image": self.image.display().to_string(),
            "bytes": it.image,
            "inodes": it.inodes,
            "content": it.content,
            "duplicates": it.duplicates,
            "holes": it.holes,
            "cached": it.cached,
            "compressed": it.compressed,
            "read": it.read,
            "shared": it.shared,
            "damaged": it.damaged,
            "compressor": self.options.compressor.to_string(),
            "block_size": self.options.block_size.get(),
            "made": self.options.made,
            "seconds": times,
            "peak_memory": self.memory,
            "notes": it.notes,
        })
    }
}

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.summary;
        let human = |bytes: u64| Bytes::new(bytes).human();
        let ms = |time: Duration| span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let percent = |part: u64, whole: u64| {
            let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(0);
            format!("{}.{} %", tenths / 10, tenths % 10)
        };
        write!(f, "{}: {} in {}", self.image.display(), human(it.image), ms(self.all))?;
        if it.content > 0 {
            write!(f, ", {} of {}", percent(it.image, it.content), human(it.content))?;
        }
        write!(f, " in {} files", grouped(it.inodes.into()))?;
        write!(f, "\n  {} with blocks of {}", self.options.compressor, self.options.block_size)?;
        let parts = [
            (it.compressed, "compressed"),
            (it.cached, "taken from the cache"),
            (it.duplicates, "stored already"),
            (it.holes, "holes"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, what)| format!("{} {what}", human(*bytes)))
            .collect();
        if !parts.is_empty() {
            write!(f, "\n  {}", parts.join(", "))?;
        }
        let times = self.times();
        let times = times.iter().filter(|(_, time)| *time >= Duration::from_millis(50));
        let times: Vec<String> = times.map(|(name, time)| format!("{name} {}", ms(*time))).collect();
        if !times.is_empty() {
            write!(f, "\n  time of all threads: {}", times.join(", "))?;
        }
        if let Some(memory) = self.memory {
            write!(f, "\n  {} of memory at most", human(memory))?;
        }
        Ok(())
    }
}

/// `n` with commas between groups of three digits.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes of memory that this process had at most.
pub(super) fn peak_memory() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib << 10)
}
