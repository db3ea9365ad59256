use super::*;
use crate::{Content, NodeKind};
use std::time::Instant;

#[test]
fn real() {
    let Ok(path) = std::env::var("EXT_TRY") else { return };
    let offset: u64 = std::env::var("EXT_AT").unwrap_or("0".into()).parse().unwrap();
    let reader = ExtReader::open(path.as_str().into(), offset, u64::MAX).unwrap();
    eprintln!("{:#?}", reader.facts());
    for _ in 0..3 {
        let began = Instant::now();
        let (tree, left) = reader.tree(&Cancel::default()).unwrap();
        eprintln!("{} nodes in {:?}, {:?}", tree.nodes.len(), began.elapsed(), left);
    }
    let (tree, _) = reader.tree(&Cancel::default()).unwrap();
    let began = Instant::now();
    let mut n = 0;
    let mut slices_n = 0;
    for (path, node) in &tree.nodes {
        if tree.nodes.len() < 100 {
            eprintln!(
                "{path} {:o} {} {} {:?}",
                node.mode,
                node.uid,
                node.gid,
                match &node.kind {
                    NodeKind::File(c) => c.size().to_string(),
                    k => format!("{k:?}"),
                }
            );
        }
        if let NodeKind::File(content @ Content::Slices { slices, .. }) = &node.kind {
            slices_n += slices.len();
            n += std::io::copy(&mut content.open().unwrap(), &mut std::io::sink()).unwrap();
        }
    }
    eprintln!("{n} bytes in {slices_n} slices, {:?}", began.elapsed());
}
