//! Streams by the usual programs, to their exact end.

use super::*;
use crate::kernel::specimen::{ALL, compress};

fn text() -> Vec<u8> {
    (0..60_000_u32).flat_map(|n| format!("{} ", n.wrapping_mul(2_654_435_761)).into_bytes()).collect()
}

#[test]
fn what_follows_a_stream_is_not_taken() {
    let text = text();
    for compression in ALL {
        let stored = compress(compression, &text);
        // Where a legacy stream ends is only said by a length of zero.
        let tail: &[u8] = if compression == Compression::Lz4Legacy { &[0; 9] } else { b"\xffsomething" };
        let with_tail = [&*stored, tail].concat();
        for expected in [None, Some(text.len()), Some(3)] {
            let unpacked = unpack(compression, &with_tail, 1 << 20, expected).unwrap();
            assert_eq!(unpacked.consumed, stored.len(), "{compression}");
            assert!(unpacked.bytes == text, "{compression}");
        }
    }
}

#[test]
fn a_stream_may_fill_the_limit_to_the_last_byte() {
    let text = text();
    for compression in ALL {
        let stored = compress(compression, &text);
        assert!(unpack(compression, &stored, text.len(), None).is_ok(), "{compression}");
        let error = unpack(compression, &stored, text.len() - 1, Some(text.len())).unwrap_err();
        assert_eq!(error, StreamError::TooLarge { limit: text.len() - 1 }, "{compression}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let text = &text()[..3000];
    for compression in ALL {
        let stored = compress(compression, text);
        for length in 1..stored.len() {
            let result = unpack(compression, &stored[..length], 1 << 20, None);
            match result {
                Err(error) => {
                    assert!(
                        matches!(error, StreamError::Truncated { .. } | StreamError::Damaged { .. }),
                        "{error}"
                    );
                }
                // No length and no checksum: before the first block, it is an empty stream.
                Ok(unpacked) => {
                    assert!(
                        compression == Compression::Lz4Legacy && unpacked.bytes.is_empty(),
                        "{compression} {length}"
                    );
                }
            }
        }
    }
}

#[test]
fn legacy_streams_have_blocks_and_may_be_concatenated() {
    let large = text().repeat(20);
    let stored = compress(Compression::Lz4Legacy, &large);
    let twice = stored.repeat(2);
    let unpacked = unpack(Compression::Lz4Legacy, &twice, 64 << 20, None).unwrap();
    assert_eq!((unpacked.consumed, unpacked.bytes.len()), (twice.len(), 2 * large.len()));
    let hostile = [&stored[..4], &[0xff; 40]].concat();
    let error = unpack(Compression::Lz4Legacy, &hostile, 1 << 20, None).unwrap_err();
    insta::assert_snapshot!(error, @"damaged at byte 4 of 44: a block of 4294967295 bytes: at most 8421520 are possible");
}

#[test]
fn huge_dictionaries_are_refused_before_they_are_allocated() {
    let mut lzma = compress(Compression::Lzma, &text());
    lzma[1..5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert!(matches!(unpack(Compression::Lzma, &lzma, 1 << 20, None), Err(StreamError::Damaged { .. })));
    // A frame without its size, and with a window of 1 TiB.
    let zstd = [&b"\x28\xb5\x2f\xfd\x00\xf8"[..], &[0; 40]].concat();
    assert!(matches!(unpack(Compression::Zstd, &zstd, 1 << 20, None), Err(StreamError::Damaged { .. })));
}
