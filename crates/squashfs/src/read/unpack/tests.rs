use super::*;

fn unpacked(id: u16, packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut out = Vec::new();
    Unpacker::new(id).unwrap().unpack(packed, &mut out, limit).map(|()| out)
}

#[test]
fn lzo_copies_what_is_out_already() {
    // Four literals; three bytes from four back; the end.
    let packed = [17 + 4, b'a', b'b', b'c', b'd', 0b0100_1100, 0, 0x11, 0, 0];
    assert_eq!(unpacked(3, &packed, 100).unwrap(), b"abcdabc");
    assert_eq!(unpacked(3, &packed, 7).unwrap(), b"abcdabc");
    assert_eq!(unpacked(3, &packed, 6), Err(UnpackError::TooLarge { limit: 6 }));
    // Five back, where there are four.
    let packed = [17 + 4, b'a', b'b', b'c', b'd', 0b0101_0000, 0, 0x11, 0, 0];
    assert_eq!(unpacked(3, &packed, 100), Err(UnpackError::Damaged { compressor: "lzo" }));
}

#[test]
fn a_block_has_no_more_bytes_than_its_place_allows() {
    let zeros = vec![0; 1 << 20];
    let gzip = {
        let mut out = vec![0; 1 << 20];
        let level = libdeflater::CompressionLvl::best();
        let len = libdeflater::Compressor::new(level).zlib_compress(&zeros, &mut out).unwrap();
        out.truncate(len);
        out
    };
    let mut zstd = vec![0; 1 << 20];
    let len = zstd_safe::compress(&mut zstd[..], &zeros, 3).unwrap();
    zstd.truncate(len);
    for (id, packed) in [(1, &gzip), (6, &zstd)] {
        assert_eq!(unpacked(id, packed, 1 << 20).unwrap(), zeros);
        assert_eq!(unpacked(id, packed, 8192), Err(UnpackError::TooLarge { limit: 8192 }));
        let compressor = compressor_name(id).unwrap();
        assert_eq!(
            unpacked(id, &packed[..packed.len() / 2], 1 << 20),
            Err(UnpackError::Damaged { compressor })
        );
    }
}

#[test]
fn noise_is_an_error_for_every_compressor() {
    let mut state = 1_u32;
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..60)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for id in 1..=6 {
            if let Ok(out) = unpacked(id, &noise, 8192) {
                assert!(out.len() <= 8192);
            }
        }
    }
}

#[test]
fn there_are_six_compressors() {
    let names: Vec<_> = (0..9).map(compressor_name).collect();
    let six = ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"].map(Some);
    assert_eq!(names[1..7], six);
    assert_eq!((names[0], names[7], names[8]), (None, None, None));
}
