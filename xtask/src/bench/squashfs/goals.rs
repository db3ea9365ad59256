//! What is compared, and what the issue asks for.

/// One thing that both make, and how much of the peer's time and bytes we may take.
pub(super) struct Goal {
    pub(super) name: &'static str,
    /// What `mksquashfs` is told.
    pub(super) peer: &'static [&'static str],
    /// What `bootway squashfs create` is told.
    pub(super) ours: &'static [&'static str],
    /// The most of its wall time.
    pub(super) wall: f64,
    /// The most of its bytes.
    pub(super) size: f64,
}

/// The most of the peer's memory.
pub(super) const PEAK: f64 = 0.1;
/// The most of a peer's cold time with zstd-15, when nothing has changed.
pub(super) const NOTHING_CHANGED: f64 = 0.01;
/// The same, when a hundredth of the files has changed.
pub(super) const LITTLE_CHANGED: f64 = 0.03;

/// As its `-comp gzip` does, which is its default.
const GZIP: &[&str] = &["-comp", "gzip"];

/// What rebuilds are measured with.
pub(super) const REBUILT: &Goal = &GOALS[0];

pub(super) const GOALS: [Goal; 4] = [
    Goal {
        name: "zstd-15",
        peer: &["-comp", "zstd", "-Xcompression-level", "15"],
        ours: &["--compressor", "zstd", "--level", "15", "--block-size", "128KiB"],
        wall: 0.90,
        size: 1.0,
    },
    Goal {
        name: "zstd-3",
        peer: &["-comp", "zstd", "-Xcompression-level", "3"],
        ours: &["--compressor", "zstd", "--level", "3", "--block-size", "128KiB"],
        wall: 0.75,
        size: 1.0,
    },
    Goal {
        name: "gzip",
        peer: GZIP,
        ours: &["--compressor", "gzip", "--level", "6", "--block-size", "128KiB"],
        wall: 0.12,
        size: 1.0,
    },
    Goal { name: "default", peer: GZIP, ours: &[], wall: 0.15, size: 1.0 },
];

impl Goal {
    /// What we are called.
    pub(super) fn our_name(&self) -> String {
        format!("{} bootway", self.name)
    }

    /// What a peer is called, which has one name for one way.
    pub(super) fn peer_name(&self, peer: &str) -> String {
        format!("{} {peer}", if self.peer == GZIP { "gzip-9" } else { self.name })
    }
}
