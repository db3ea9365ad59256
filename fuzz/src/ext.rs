//! ext2, ext3 and ext4: everything that is in one, and the contents of its files.
#![no_main]

mod seeds;

use bootway_exec::Cancel;
use bootway_image::ExtReader;
use camino::Utf8PathBuf;
use libfuzzer_sys::fuzz_target;

/// More is time, and not another path through the code.
const READ_MAX: u64 = 1 << 20;

fuzz_target!(init: seeds::write(systems), |bytes: &[u8]| {
    let path = file();
    std::fs::write(&path, bytes).expect("the file is small");
    let Ok(reader) = ExtReader::open(&path, 0, bytes.len() as u64) else { return };
    let Ok((tree, _)) = reader.tree(&Cancel::default()) else { return };
    for path in tree.nodes.keys().take(50) {
        let _ = (reader.read(path, READ_MAX), reader.list(path));
    }
});

fn file() -> Utf8PathBuf {
    let name = format!("bootway-fuzz-ext-{}", std::process::id());
    Utf8PathBuf::from_path_buf(std::env::temp_dir().join(name)).expect("a directory in UTF-8")
}

/// What `mke2fs` makes, as small as it does.
fn systems() -> Vec<(String, Vec<u8>)> {
    let tree = file().with_extension("tree");
    let deep = tree.join("dir/deeper");
    std::fs::create_dir_all(&deep).expect("a directory can be made");
    std::fs::write(tree.join("file"), [7; 3000]).expect("a file can be written");
    std::fs::write(deep.join("empty"), "").expect("a file can be written");
    for (target, name) in [("dir/deeper", "link"), ("/nowhere/at/all", "dangling")] {
        let _ = std::os::unix::fs::symlink(target, tree.join(name));
    }
    let kinds = [
        ("ext2", "ext2", "none"),
        ("ext4", "ext4", "^has_journal"),
        ("inline", "ext4", "^has_journal,inline_data"),
        ("64bit", "ext4", "^has_journal,64bit,metadata_csum"),
    ];
    let made = kinds.into_iter().map(|(name, kind, features)| {
        let image = file().with_extension(name);
        let status = std::process::Command::new("mke2fs")
            .args([
                "-q",
                "-F",
                "-b",
                "1024",
                "-N",
                "32",
                "-I",
                "256",
                "-t",
                kind,
                "-O",
                &format!("{features},^resize_inode"),
                "-d",
                tree.as_str(),
            ])
            .args([image.as_str(), "128k"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "mke2fs: apt install e2fsprogs");
        let bytes = std::fs::read(&image).expect("it was made");
        let _ = std::fs::remove_file(image);
        (name.to_owned(), bytes)
    });
    let all = made.collect();
    let _ = std::fs::remove_dir_all(tree);
    all
}
