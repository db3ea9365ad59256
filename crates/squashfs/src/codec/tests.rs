use std::{io::Read, sync::LazyLock};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const ALL: [Compressor; 9] = [
    Compressor::Gzip { level: 1 },
    Compressor::Gzip { level: 6 },
    Compressor::Gzip { level: 12 },
    Compressor::Zstd { level: 3 },
    Compressor::Zstd { level: 15 },
    Compressor::Xz { level: 6, bcj: None },
    Compressor::Xz { level: 6, bcj: Some(Bcj::X86) },
    Compressor::Lz4 { high: false },
    Compressor::Lz4 { high: true },
];

fn size(bytes: u64) -> BlockSize {
    BlockSize::new(bytes).unwrap()
}

fn pack(compressor: Compressor, block_size: BlockSize, raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"what was there before".to_vec();
    compressor.packer(block_size).unwrap().pack(raw, &mut out).unwrap().then_some(out)
}

/// What the libraries make of it, told how much there may be.
fn unpack(compressor: Compressor, packed: &[u8], size: usize) -> Vec<u8> {
    let mut raw = vec![0; size];
    let found = match compressor {
        Compressor::Gzip { .. } => {
            libdeflater::Decompressor::new().zlib_decompress(packed, &mut raw).unwrap()
        }
        Compressor::Zstd { .. } => zstd_safe::decompress(&mut raw[..], packed).unwrap(),
        Compressor::Xz { .. } => {
            raw.clear();
            liblzma::read::XzDecoder::new(packed).read_to_end(&mut raw).unwrap()
        }
        Compressor::Lz4 { .. } => {
            ::lz4::block::decompress_to_buffer(packed, Some(size.try_into().unwrap()), &mut raw).unwrap()
        }
    };
    assert_eq!(found, size);
    raw
}

/// Bytes without any order, the same ones each time.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Something like a program: our own, from its beginning.
fn code(len: usize) -> Vec<u8> {
    static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut head = Vec::new();
        let program = fs_err::File::open(std::env::current_exe().unwrap()).unwrap();
        program.take(1 << 20).read_to_end(&mut head).unwrap();
        head
    });
    PROGRAM.iter().copied().cycle().take(len).collect()
}

fn text(len: usize) -> Vec<u8> {
    include_bytes!("tests.rs").iter().copied().cycle().take(len).collect()
}

#[test]
fn what_is_packed_comes_out_again() {
    for compressor in ALL {
        for block_size in [4 << 10, 8 << 10, 128 << 10, 256 << 10, 1 << 20].map(size) {
            let full = block_size.get() as usize;
            for raw in [code(full), text(full), code(full / 2 + 1), text(8 << 10), vec![0; full]] {
                let raw = &raw[..raw.len().min(full.max(8 << 10))];
                let packed = pack(compressor, block_size, raw).unwrap();
                assert!(packed.len() < raw.len());
                assert!(
                    unpack(compressor, &packed, raw.len()) == raw,
                    "{compressor} {block_size} {}",
                    raw.len()
                );
            }
        }
    }
}

#[test]
fn what_does_not_get_smaller_is_stored_as_it_is() {
    for compressor in ALL {
        for len in [1, 2, 3, 100, 8192, 128 << 10] {
            assert_eq!(pack(compressor, BlockSize::COMMON, &noise(len)), None, "{compressor} {len}");
        }
        assert_eq!(pack(compressor, BlockSize::COMMON, b"\0"), None, "{compressor}");
        let last = pack(compressor, BlockSize::COMMON, &[0; 200]).unwrap();
        assert!(last.len() < 200);
    }
}

#[test]
fn what_was_packed_before_does_not_matter() {
    let levels = (1..=12).map(|level| Compressor::Gzip { level });
    let levels = levels.chain((1..=22).map(|level| Compressor::Zstd { level })).chain(ALL);
    for compressor in levels {
        for block_size in [16 << 10, 128 << 10, 512 << 10].map(size) {
            let full = block_size.get() as usize;
            let mut used = compressor.packer(block_size).unwrap();
            for raw in
                [code(full), noise(full), text(full / 3), text(8192), code(8192), code(full), text(full)]
            {
                let mut out = Vec::new();
                let packed = used.pack(&raw, &mut out).unwrap().then_some(out);
                assert!(
                    packed == pack(compressor, block_size, &raw),
                    "{compressor} {block_size} {}",
                    raw.len()
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_come_out_again(raw in prop::collection::vec(0_u8..8, 1..20_000)) {
        for compressor in ALL {
            if let Some(packed) = pack(compressor, BlockSize::COMMON, &raw) {
                prop_assert!(packed.len() < raw.len());
                prop_assert_eq!(unpack(compressor, &packed, raw.len()), raw.clone());
            }
        }
    }
}

/// RFC 8878, 3.1.1.1: the content is the window of a single segment, which bit 5 tells; else it is a field.
fn window(frame: &[u8]) -> u64 {
    if frame[4] & 0b10_0000 != 0 {
        return zstd_safe::get_frame_content_size(frame).unwrap().unwrap();
    }
    let base = 1_u64 << (10 + (frame[5] >> 3));
    base + base / 8 * u64::from(frame[5] & 7)
}

#[test]
fn zstd_frames_fit_the_memory_of_the_kernel() {
    for level in [1, 3, 9, 15, 19, 22] {
        for block_size in [4 << 10, 128 << 10, 256 << 10, 1 << 20].map(size) {
            for len in [200, 8192, block_size.get() as usize] {
                let frame = pack(Compressor::Zstd { level }, block_size, &text(len)).unwrap();
                assert!(
                    window(&frame) <= block_size.get().max(METADATA).into(),
                    "level {level}, {len} bytes"
                );
                assert_eq!(frame[4] & 0b100, 0, "a checksum");
                assert_eq!(zstd_safe::get_frame_content_size(&frame).unwrap(), Some(len as u64));
            }
        }
    }
}

#[test]
fn a_filter_helps_where_there_is_code() {
    // Calls of a few functions from everywhere: relative, each differs; absolute, they are the same.
    let mut raw = Vec::new();
    for call in 0..50_000_u32 {
        let target = (call * 7 % 13 + 1) << 12;
        raw.extend([0x48, 0x89, 0xe5, 0xe8]);
        raw.extend(target.wrapping_sub(raw.len() as u32 + 4).to_le_bytes());
    }
    let of = |bcj| pack(Compressor::Xz { level: 6, bcj }, BlockSize::MAX, &raw).unwrap().len();
    assert!(of(Some(Bcj::X86)) < of(None) / 2);
    let raw = code(128 << 10);
    for bcj in Bcj::ALL {
        let compressor = Compressor::Xz { level: 6, bcj: Some(bcj) };
        assert!(unpack(compressor, &pack(compressor, BlockSize::MAX, &raw).unwrap(), raw.len()) == raw);
    }
}

#[test]
fn the_options_are_those_that_unsquashfs_knows() {
    let of = |compressor: Compressor| {
        let record = compressor.options(BlockSize::COMMON).map_or_else(
            || " none".to_owned(),
            |record| record.iter().map(|byte| format!(" {byte:02x}")).collect(),
        );
        format!("{} {compressor}:{record}\n", compressor.id())
    };
    let more = [Compressor::Gzip { level: 9 }, Compressor::Xz { level: 6, bcj: Some(Bcj::RiscV) }];
    assert_snapshot!(ALL.into_iter().chain(more).map(of).collect::<String>(), @"
    1 gzip-1: 01 00 00 00 0f 00 00 00
    1 gzip-6: 06 00 00 00 0f 00 00 00
    1 gzip-12: none
    6 zstd-3: 03 00 00 00
    6 zstd-15: none
    4 xz-6: none
    4 xz-6+x86: 00 00 02 00 01 00 00 00
    5 lz4: 01 00 00 00 00 00 00 00
    5 lz4hc: 01 00 00 00 01 00 00 00
    1 gzip-9: none
    4 xz-6+riscv: 00 00 02 00 80 00 00 00
    ");
}

#[test]
fn a_recipe_tells_all_that_the_bytes_depend_on() {
    let of = |compressor: Compressor| format!("{}\n", compressor.recipe(BlockSize::COMMON));
    assert_snapshot!(Compressor::Zstd { level: 15 }.recipe(BlockSize::MAX), @"zstd-15 1MiB: libzstd 1.5.7 level 15 ZSTD_btlazy2 searchLog 4 targetLength 16 chainLog 19 hashLog 18");
    assert_snapshot!(ALL.into_iter().map(of).collect::<String>(), @"
    gzip-1 128KiB: libdeflate 1.26.1 level 1
    gzip-6 128KiB: libdeflate 1.26.1 level 6
    gzip-12 128KiB: libdeflate 1.26.1 level 12
    zstd-3 128KiB: libzstd 1.5.7 level 3 as it is
    zstd-15 128KiB: libzstd 1.5.7 level 15 ZSTD_btultra searchLog 3 targetLength 20
    xz-6 128KiB: liblzma 0.4.9 preset 6 dictionary 131072 plain
    xz-6+x86 128KiB: liblzma 0.4.9 preset 6 dictionary 131072 plain or x86
    lz4 128KiB: liblz4 11000 fast
    lz4hc 128KiB: liblz4 11000 high 12
    ");
}

#[test]
fn a_recipe_names_the_libraries_that_are_linked() {
    let lock = include_str!("../../../../Cargo.lock");
    for (name, version) in [("libdeflate-sys", gzip::VERSION), ("liblzma", xz::VERSION)] {
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "`{name}` is no longer {version}: set `VERSION`");
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for compressor in ALL {
        assert_eq!(compressor.to_string().parse(), Ok(compressor));
        assert_eq!(Compressor::parse(compressor.name(), None).unwrap().id(), compressor.id());
    }
    for bcj in Bcj::ALL {
        assert_eq!(bcj.to_string().parse(), Ok(bcj));
    }
}

#[test]
fn bad_names_and_levels_are_told_with_what_there_is() {
    let wrong = |text: &str| format!("{}\n", text.parse::<Compressor>().unwrap_err());
    let texts = [
        "lzo",
        "zstd-23",
        "zstd-0",
        "gzip-13",
        "xz-10",
        "zstd-fast",
        "zstd-15+x86",
        "xz-6+mips",
        "lz4-9",
        "",
    ];
    assert_snapshot!(texts.map(wrong).concat(), @"
    there is no compressor `lzo`: write one of `gzip`, `zstd`, `xz`, `lz4`, with a level such as `zstd-15` if you like
    zstd has no level `23`: take one from 1 to 22
    zstd has no level `0`: take one from 1 to 22
    gzip has no level `13`: take one from 1 to 12
    xz has no level `10`: take one from 0 to 9
    there is no compressor `zstd-fast`: write one of `gzip`, `zstd`, `xz`, `lz4`, with a level such as `zstd-15` if you like
    there is no compressor `zstd-15+x86`: write one of `gzip`, `zstd`, `xz`, `lz4`, with a level such as `zstd-15` if you like
    xz has no filter `mips`: write one of `x86`, `powerpc`, `ia64`, `arm`, `armthumb`, `sparc`, `arm64`, `riscv`
    lz4 has no level `9`: it has none at all; its slow and smaller way is `lz4hc`
    there is no compressor ``: write one of `gzip`, `zstd`, `xz`, `lz4`, with a level such as `zstd-15` if you like
    ");
    assert_snapshot!(Compressor::parse("zstd", Some(-5)).unwrap_err(), @"zstd has no level `-5`: take one from 1 to 22");
    let by_hand = Compressor::Gzip { level: 99 }.packer(BlockSize::COMMON).err().unwrap();
    assert_snapshot!(by_hand, @"gzip has no level `99`: take one from 1 to 12");
}
