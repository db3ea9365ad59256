//! Kernel payloads in every compression: the first byte says which, the rest is what is unpacked.
#![no_main]

mod seeds;

use bootway_chromeos::kernel::{Arch, BootKernel, specimen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(payloads), |bytes: &[u8]| {
    let Some((&first, payload)) = bytes.split_first() else { return };
    let kernel = BootKernel {
        arch: Arch::X8664,
        image: payload.to_vec(),
        note: None,
        payload: 0..payload.len(),
        compression: specimen::ALL[usize::from(first) % specimen::ALL.len()],
    };
    if let Ok(unpacked) = kernel.decompress() {
        assert!(unpacked.len() <= 8 << 20);
    }
});

fn payloads() -> Vec<(String, Vec<u8>)> {
    let kernels = [specimen::vmlinux(&specimen::archive(&[("init", b"x")]), true), b"small".to_vec()];
    let all = specimen::ALL.into_iter().zip(0_u8..);
    all.flat_map(|(compression, first)| {
        kernels.iter().enumerate().map(move |(n, kernel)| {
            let bytes = [&[first], &*specimen::payload(compression, kernel)].concat();
            (format!("{compression}-{n}"), bytes)
        })
    })
    .collect()
}
