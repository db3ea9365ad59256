//! The parts of making a disk that are arithmetic: the partition table, and laying out an ESP.

use std::hint::black_box;

use bootway_exec::{Input, Sandbox, SystemRunner};
use bootway_image::{Gpt, GptEntry, Guid, disk_layout, read_gpt};
use bootway_plan::{ArtifactKind, Bytes, Digest, step};
use criterion::{Criterion, criterion_group, criterion_main};

fn table() -> Gpt {
    let entry = |number: u32| GptEntry {
        number,
        kind: Guid::new(1),
        guid: Guid::new(number.into()),
        first: u64::from(number) * 2048,
        last: u64::from(number) * 2048 + 2047,
        attributes: 0,
        label: format!("partition {number}"),
    };
    Gpt { guid: Guid::new(2), sector_size: 512, sectors: 1 << 20, entries: (1..=128).map(entry).collect() }
}

fn gpt(criterion: &mut Criterion) {
    let table = table();
    criterion.bench_function("encode a full partition table", |bencher| {
        bencher.iter(|| black_box(&table).encode());
    });
    let (mut disk, tail) = table.encode();
    disk.resize((512 << 20) - tail.len(), 0);
    disk.extend(tail);
    criterion.bench_function("read a full partition table", |bencher| {
        bencher.iter(|| read_gpt(&mut std::io::Cursor::new(black_box(&disk))));
    });
}

fn esp(criterion: &mut Criterion) {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let dir = sandbox.root().join("esp");
    for n in 0..500 {
        let path = dir.join(format!("EFI/directory {}/file with a long name {n}", n % 10));
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("the sandbox is writable");
        fs_err::write(path, vec![0; n * 100]).expect("the sandbox is writable");
    }
    let input = Input {
        path: dir,
        kind: ArtifactKind::Tree,
        digest: Digest::of(b""),
        size: Bytes::new(0),
        made: false,
    };
    sandbox.inputs.insert("./esp".parse().expect("it is a path"), input);
    let step: step::Disk = serde_json::from_str(
        r#"{ "partition": [{ "label": "EFI", "type": "esp", "fs": "fat32", "content": "./esp" }] }"#,
    )
    .expect("it is a step");
    criterion.bench_function("lay out an ESP of 500 files", |bencher| {
        bencher.iter(|| disk_layout(&sandbox.cx(), &step).expect("it can be laid out"));
    });
}

criterion_group!(benches, gpt, esp);
criterion_main!(benches);
