//! tar archives: an input is the layer of a container image, with pax headers, long names, sparse files and whiteouts.
#![no_main]

mod image;
mod seeds;
mod ustar;

use bootway_plan::ArtifactKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(archives), |bytes: &[u8]| {
    // What follows the first byte is as it is, or with checksums that are right.
    let Some((mode, layer)) = bytes.split_first() else { return };
    let mut layer = layer.to_vec();
    if mode & 1 == 0 {
        repair_all(&mut layer);
    }
    let id = bootway_plan::Digest::of(&layer);
    let config = format!(r#"{{"architecture":"amd64","os":"linux","config":{{"Entrypoint":["/bin/it"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{id}"]}}}}"#);
    let manifest = br#"[{"Config":"config.json","RepoTags":["it:latest"],"Layers":["layer.tar"]}]"#;
    let members = [("manifest.json", &manifest[..]), ("config.json", config.as_bytes()), ("layer.tar", &layer)];
    let mut archive: Vec<u8> = members.iter().flat_map(|(name, data)| ustar::member(name, b'0', "", data)).collect();
    archive.extend(ustar::END);
    image::examine(ArtifactKind::Container, &archive);
    // The outermost archive, too.
    image::examine(ArtifactKind::Tar, &layer);
});

/// Makes the checksums of all headers those of what is there.
fn repair_all(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + 512) {
        ustar::repair(header);
        let digits = header[124..135].iter().take_while(|digit| digit.is_ascii_digit());
        let size = digits.fold(0_usize, |size, digit| size.saturating_mul(8) + usize::from(digit & 7));
        at = at.saturating_add(512).saturating_add(size.min(1 << 30).next_multiple_of(512));
    }
}

/// Every kind of member, and what pax and GNU say about the next one.
fn archives() -> Vec<(String, Vec<u8>)> {
    let file = |name: &str| ustar::member(name, b'0', "", b"text\n");
    let long = format!("{}/it", "long".repeat(60));
    let pax = |text: &str| {
        let len = (1..).find(|len: &usize| len.to_string().len() + 1 + text.len() + 1 == *len).unwrap_or(9);
        ustar::member("PaxHeaders/it", b'x', "", format!("{len} {text}\n").as_bytes())
    };
    let seeds = [
        ("files", [file("bin/it"), file("etc/x"), ustar::member("empty", b'0', "", b"")].concat()),
        (
            "directories",
            [ustar::member("a/", b'5', "", b""), file("a/b"), ustar::member("a/", b'5', "", b"")].concat(),
        ),
        (
            "links",
            [file("a"), ustar::member("b", b'1', "a", b""), ustar::member("c", b'2', "../a", b"")].concat(),
        ),
        (
            "devices",
            [
                ustar::member("c", b'3', "", b""),
                ustar::member("b", b'4', "", b""),
                ustar::member("p", b'6', "", b""),
            ]
            .concat(),
        ),
        ("whiteouts", [file("a/x"), file("a/.wh.x"), file("a/.wh..wh..opq"), file("b/.wh.y")].concat()),
        ("pax-path", [pax(&format!("path={long}")), file("it")].concat()),
        ("pax-size", [pax("size=5"), file("it")].concat()),
        ("pax-xattr", [pax("SCHILY.xattr.user.x=y"), file("it")].concat()),
        ("pax-global", [ustar::member("g", b'g', "", b"11 path=xy\n"), file("it")].concat()),
        ("pax-sparse", [pax("GNU.sparse.major=1"), file("it")].concat()),
        ("gnu-long", [ustar::member("././@LongLink", b'L', "", long.as_bytes()), file("it")].concat()),
        (
            "gnu-link",
            [ustar::member("././@LongLink", b'K', "", long.as_bytes()), ustar::member("b", b'2', "x", b"")]
                .concat(),
        ),
        ("outside", [file("../x"), file("/y"), file("a/../../z")].concat()),
    ];
    let with = |mode: u8, bytes: &[u8]| [&[mode][..], bytes, &ustar::END].concat();
    seeds.iter().map(|(name, bytes)| ((*name).to_owned(), with(0, bytes))).collect()
}
