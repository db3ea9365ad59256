//! ISO 9660 images: names of each kind, boot catalogues, and the partition tables of hybrid ones.
#![no_main]

mod image;
mod seeds;

use std::process::Command;

use bootway_plan::ArtifactKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(images), |bytes: &[u8]| image::examine(ArtifactKind::Iso, bytes));

/// What xorriso makes, as small as it does.
#[expect(clippy::disallowed_methods, reason = "the images are somebody else's")]
fn images() -> Vec<(String, Vec<u8>)> {
    let tree = image::file().with_extension("tree");
    let deep = tree.join("a/b/c/d/e/f/g/h/i");
    std::fs::create_dir_all(&deep).expect("a directory can be made");
    for (path, text) in
        [(tree.join("boot.img"), "code"), (tree.join("A long name.txt"), "long"), (deep.join("x"), "")]
    {
        std::fs::write(path, text).expect("a file can be written");
    }
    let _ = std::os::unix::fs::symlink("a/../boot.img", tree.join("link"));
    let code = image::file().with_extension("code");
    std::fs::write(&code, [0x90; 432]).expect("a file can be written");
    let bios = "-b boot.img -c boot.cat -no-emul-boot -boot-load-size 4";
    let kinds = [
        ("plain", String::new()),
        ("rock-ridge", "-R".to_owned()),
        ("joliet", "-J".to_owned()),
        ("bios", format!("-R {bios}")),
        ("both", format!("-R {bios} -eltorito-alt-boot -e boot.img -no-emul-boot")),
        (
            "hybrid",
            format!(
                "-R -isohybrid-mbr {code} {bios} -eltorito-alt-boot -e boot.img -no-emul-boot -isohybrid-gpt-basdat"
            ),
        ),
    ];
    let made = kinds.map(|(name, options)| {
        let path = image::file().with_extension(name);
        let status = Command::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-no-pad", "-V", "FUZZ", "-o", path.as_str()])
            .args(options.split_whitespace())
            .arg(&tree)
            .env("SOURCE_DATE_EPOCH", "1")
            .status()
            .expect("install it with `apt-get install xorriso`");
        assert!(status.success(), "xorriso: {status}");
        let bytes = std::fs::read(&path).expect("it was just written");
        let _ = std::fs::remove_file(&path);
        (name.to_owned(), bytes)
    });
    let _ = (std::fs::remove_dir_all(&tree), std::fs::remove_file(&code));
    made.into()
}
