//! How fast each compressor packs a block of 128 KiB and a metadata block of 8 KiB.
//!
//! Run with `cargo bench -p bootway-squashfs --bench packers`. It guards against a context that is made anew for each
//! block, which metadata would show first, and against a level that slips; `codec_limit` is for real trees.

use std::hint::black_box;

use bootway_squashfs::{BlockSize, Compressor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Half text, half machine code: this file, and this program.
fn block(len: usize) -> Vec<u8> {
    let text = include_bytes!("packers.rs").iter().copied().cycle();
    let program = std::env::current_exe().and_then(fs_err::read).expect("this program can be read");
    text.take(len / 2).chain(program.iter().copied().cycle().take(len - len / 2)).collect()
}

fn packers(c: &mut Criterion) {
    for len in [8 << 10, 128 << 10] {
        let raw = block(len);
        let mut group = c.benchmark_group(format!("pack {} KiB", len >> 10));
        group.sample_size(10).throughput(Throughput::Bytes(len as u64));
        for name in ["lz4", "gzip-6", "zstd-3", "zstd-9", "zstd-15", "xz-6"] {
            let compressor: Compressor = name.parse().expect("a name that there is");
            let mut packer = compressor.packer(BlockSize::COMMON).expect("memory for one thread");
            let mut out = Vec::new();
            group.bench_function(name, |b| {
                b.iter(|| packer.pack(black_box(&raw), &mut out).expect("it packs"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, packers);
criterion_main!(benches);
