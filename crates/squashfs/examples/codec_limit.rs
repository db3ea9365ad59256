//! What the compressors can do at best: blocks of a tree, all in memory, nothing else to do.
//!
//! ```sh
//! cargo run --release -p bootway-squashfs --example codec_limit -- TREE 4 2 128 zstd-15 gzip-6 z15:btultra,search=3,target=24
//! ```
//!
//! TREE, then: of how many blocks one is taken, threads, KiB of a block, and what to try. `zN:` is level N of zstd with
//! single parameters changed: a strategy, and `window`, `chain`, `hash`, `search`, `match`, `target`. Files are cut
//! into blocks as the writer does, the ends of files are packed into fragments in the order of the tree. What is tried
//! takes turns, block by block of time, and CPU time is what counts on a machine that has other things to do.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::{
    error::Error,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use bootway_squashfs::{BlockSize, Compressor};
use zstd_safe::{CCtx, CParameter, Strategy};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Blocks of a turn: what else the machine does in so short a time falls on all that is tried.
const TURN: usize = 64;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [tree, stride, threads, block, names @ ..] = &args[..] else {
        return Err("give TREE STRIDE THREADS KIB WHAT…".into());
    };
    let block_size = BlockSize::new(block.parse::<u64>()? << 10)?;
    let blocks = blocks(Path::new(tree), stride.parse()?, block_size.get() as usize)?;
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    println!("{} blocks of {block_size}, {bytes} bytes", blocks.len());
    let mut tries =
        names.iter().map(|name| Try::new(name, block_size, threads.parse()?)).collect::<Result<Vec<_>>>()?;
    for turn in blocks.chunks(TURN) {
        for it in &mut tries {
            it.take(turn)?;
        }
    }
    for (name, it) in names.iter().zip(&tries) {
        let (cpu, wall) = (it.cpu.as_secs_f64(), it.wall.as_secs_f64());
        let (size, cpu_of, size_of) =
            (it.size, cpu / tries[0].cpu.as_secs_f64(), share(it.size, tries[0].size));
        println!(
            "{block_size:>6} {name:<48} {size:>10} {size_of:>7.4} {cpu:>8.3} CPU {cpu_of:>6.3} {wall:>8.3} s"
        );
    }
    Ok(())
}

/// Every `stride`th block of the tree, cut as the writer cuts.
fn blocks(tree: &Path, stride: usize, block_size: usize) -> Result<Vec<Vec<u8>>> {
    let (mut blocks, mut fragment, mut seen) = (Vec::new(), Vec::new(), 0_usize);
    let mut keep = |block: &[u8]| {
        seen += 1;
        if seen % stride == 0 {
            blocks.push(block.to_vec());
        }
    };
    let mut open = vec![tree.to_path_buf()];
    while let Some(path) = open.pop() {
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_dir() {
            let mut names = fs_err::read_dir(&path)?.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
            names.sort_by(|a, b| b.cmp(a));
            open.extend(names);
        }
        if !kind.is_file() {
            continue;
        }
        let content = fs_err::read(&path)?;
        let whole = content.chunks_exact(block_size);
        let end = whole.remainder();
        if content.len() > block_size {
            content.chunks(block_size).for_each(&mut keep);
            continue;
        }
        whole.for_each(&mut keep);
        if fragment.len() + end.len() > block_size {
            keep(&std::mem::take(&mut fragment));
        }
        fragment.extend(end);
    }
    if !fragment.is_empty() {
        keep(&fragment);
    }
    Ok(blocks)
}

/// Something that is tried, and what came of it.
struct Try {
    packers: Vec<Pack>,
    size: usize,
    cpu: Duration,
    wall: Duration,
}

impl Try {
    fn new(name: &str, block_size: BlockSize, threads: usize) -> Result<Self> {
        let what = What::parse(name)?;
        let packers = (0..threads).map(|_| packer(&what, block_size)).collect::<Result<_>>()?;
        Ok(Self { packers, size: 0, cpu: Duration::ZERO, wall: Duration::ZERO })
    }

    /// Packs the blocks, each thread those that it gets to.
    fn take(&mut self, blocks: &[Vec<u8>]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        let work = |pack: &mut Pack| -> Result<(usize, Duration)> {
            let (mut size, before) = (0, thread_cpu());
            while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                size += pack(block)?;
            }
            Ok((size, thread_cpu().saturating_sub(before)))
        };
        let done: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = self.packers.iter_mut().map(|pack| scope.spawn(|| work(pack))).collect();
            running.into_iter().map(|it| it.join().map_err(|_| "a thread panicked")).collect()
        });
        for one in done {
            let (size, cpu) = one??;
            self.size += size;
            self.cpu += cpu;
        }
        self.wall += started.elapsed();
        Ok(())
    }
}

enum What {
    /// As the library does it.
    Ours(Compressor),
    /// A level of zstd, and what to change.
    Zstd(Vec<CParameter>),
}

impl What {
    fn parse(text: &str) -> Result<Self> {
        let Some((level, changes)) = text.split_once(':') else { return Ok(Self::Ours(text.parse()?)) };
        let level = level.strip_prefix('z').ok_or("only zstd has parameters")?;
        let mut parameters = vec![CParameter::CompressionLevel(level.parse()?)];
        for change in changes.split(',').filter(|it| !it.is_empty()) {
            parameters.push(match change.split_once('=') {
                None => CParameter::Strategy(strategy(change)?),
                Some(("window", value)) => CParameter::WindowLog(value.parse()?),
                Some(("chain", value)) => CParameter::ChainLog(value.parse()?),
                Some(("hash", value)) => CParameter::HashLog(value.parse()?),
                Some(("search", value)) => CParameter::SearchLog(value.parse()?),
                Some(("match", value)) => CParameter::MinMatch(value.parse()?),
                Some(("target", value)) => CParameter::TargetLength(value.parse()?),
                Some(_) => return Err(format!("there is no parameter `{change}`").into()),
            });
        }
        Ok(Self::Zstd(parameters))
    }
}

fn strategy(name: &str) -> Result<Strategy> {
    Ok(match name {
        "fast" => Strategy::ZSTD_fast,
        "dfast" => Strategy::ZSTD_dfast,
        "greedy" => Strategy::ZSTD_greedy,
        "lazy" => Strategy::ZSTD_lazy,
        "lazy2" => Strategy::ZSTD_lazy2,
        "btlazy2" => Strategy::ZSTD_btlazy2,
        "btopt" => Strategy::ZSTD_btopt,
        "btultra" => Strategy::ZSTD_btultra,
        "btultra2" => Strategy::ZSTD_btultra2,
        _ => return Err(format!("there is no strategy `{name}`").into()),
    })
}

type Pack = Box<dyn FnMut(&[u8]) -> Result<usize> + Send>;

fn packer(what: &What, block_size: BlockSize) -> Result<Pack> {
    let mut out = Vec::new();
    Ok(match what {
        What::Ours(compressor) => {
            let mut packer = compressor.packer(block_size)?;
            Box::new(move |block| Ok(if packer.pack(block, &mut out)? { out.len() } else { block.len() }))
        }
        What::Zstd(parameters) => {
            let mut context = CCtx::create();
            for parameter in parameters {
                context.set_parameter(*parameter).map_err(zstd_safe::get_error_name)?;
            }
            Box::new(move |block| {
                out.clear();
                out.reserve(zstd_safe::compress_bound(block.len()));
                let size = context.compress2(&mut out, block).map_err(zstd_safe::get_error_name)?;
                Ok(size.min(block.len()))
            })
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
fn share(of: usize, all: usize) -> f64 {
    of as f64 / all as f64
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
