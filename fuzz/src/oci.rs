//! Container images: everything that is JSON in an OCI layout and in what `docker save` writes, with digests that are
//! right, so that what is behind them is reached.
//!
//! An input is pieces with a line `--` between them. Of a layout these are `index.json` and blobs, of the other
//! `manifest.json` and what it names. In a piece, `@N` stands for the digest of the Nth one, and `#N` for its size.
#![no_main]

mod image;
mod seeds;
mod ustar;

use bootway_plan::{ArtifactKind, Digest};
use libfuzzer_sys::fuzz_target;

const MOST: usize = 9;
const BETWEEN: &[u8] = b"\n--\n";

fuzz_target!(init: seeds::write(images), |bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut archive = Vec::new();
    let pieces = filled_in(bytes);
    if kind & 1 == 0 {
        archive.extend(ustar::member("oci-layout", b'0', "", br#"{"imageLayoutVersion":"1.0.0"}"#));
    }
    for (number, piece) in pieces.iter().enumerate() {
        let name = match (kind & 1, number) {
            (0, 0) => "index.json".to_owned(),
            (0, _) => format!("blobs/sha256/{}", Digest::of(piece)),
            (_, 0) => "manifest.json".to_owned(),
            (_, _) => number.to_string(),
        };
        archive.extend(ustar::member(&name, b'0', "", piece));
    }
    archive.extend(ustar::END);
    image::examine(ArtifactKind::Container, &archive);
});

/// The pieces, with what stands for digests and sizes replaced: the last one first, because others name it.
fn filled_in(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some(at) =
        rest.windows(BETWEEN.len()).position(|it| it == BETWEEN).filter(|_| pieces.len() < MOST)
    {
        pieces.push(rest[..at].to_vec());
        rest = &rest[at + BETWEEN.len()..];
    }
    pieces.push(rest.to_vec());
    for number in (0..pieces.len()).rev() {
        let mut out = Vec::new();
        let mut bytes = pieces[number].iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let other = match (byte, bytes.peek()) {
                (b'@' | b'#', Some(digit @ b'1'..=b'9')) => pieces.get(usize::from(digit - b'0')),
                _ => None,
            };
            match other {
                Some(other) if byte == b'@' => out.extend(Digest::of(other).to_string().bytes()),
                Some(other) => out.extend(other.len().to_string().bytes()),
                None => {
                    out.push(byte);
                    continue;
                }
            }
            bytes.next();
        }
        pieces[number] = out;
    }
    pieces
}

fn images() -> Vec<(String, Vec<u8>)> {
    const OCI: &str = "application/vnd.oci.image";
    let layer = [ustar::member("bin/it", b'0', "", b"\x7fELF"), ustar::END.to_vec()].concat();
    let health = r#""Healthcheck":{"Test":["CMD","/bin/it"],"Interval":30000000000,"Retries":3}"#;
    let config = format!(
        r#"{{"created":"2025-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{{"User":"1:1","Entrypoint":["/bin/it"],"Cmd":["x"],"Env":["A=b"],"ExposedPorts":{{"80/tcp":{{}}}},"Volumes":{{"/v":{{}}}},"Labels":{{"a":"b"}},"WorkingDir":"/","StopSignal":"SIGINT",{health}}},"rootfs":{{"type":"layers","diff_ids":["sha256:@3"]}},"history":[{{"created_by":"x"}},{{"empty_layer":true}}]}}"#
    );
    let descriptor =
        |kind: &str, n: u32| format!(r#"{{"mediaType":"{OCI}.{kind}","digest":"sha256:@{n}","size":#{n}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}.manifest.v1+json","config":{}}},"layers":[{}}}]}}"#,
        descriptor("config.v1+json", 2),
        descriptor("layer.v1.tar", 3)
    );
    let named = r#","platform":{"architecture":"amd64","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"it:1"}}"#;
    let index = |kind: &str| format!(r#"{{"schemaVersion":2,"manifests":[{}{named}]}}"#, descriptor(kind, 1));
    let docker = r#"[{"Config":"2","RepoTags":["it:latest"],"Layers":["3"]}]"#;
    let joined = |kind: u8, pieces: &[&[u8]]| [&[kind][..], &pieces.join(BETWEEN)].concat();
    let layout =
        joined(0, &[index("manifest.v1+json").as_bytes(), manifest.as_bytes(), config.as_bytes(), &layer]);
    let nested = index("index.v1+json");
    let nested =
        joined(0, &[nested.as_bytes(), nested.replace("@1", "@2").replace("#1", "#2").as_bytes(), b"{}"]);
    let saved = joined(1, &[docker.as_bytes(), b"", config.as_bytes(), &layer]);
    vec![("layout".to_owned(), layout), ("nested".to_owned(), nested), ("saved".to_owned(), saved)]
}
