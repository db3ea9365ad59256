//! Makes an image of a directory, and says where the time went: `create DIRECTORY IMAGE [zstd-15|gzip-6|…] [BLOCK] [CACHE]`.

#![expect(clippy::print_stdout, reason = "an example says what it did")]

use std::{error::Error, path::Path};

use bootway_squashfs::{BlockSize, Cache, Compressor, Options, Rules, Tree, Writer};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, image, rest @ ..] = args.as_slice() else {
        return Err("write `create DIRECTORY IMAGE [COMPRESSOR-LEVEL] [BLOCK-SIZE] [CACHE]`".into());
    };
    let mut options = Options::default();
    if let Some(compressor) = rest.first() {
        let (name, level) = compressor.split_once('-').unwrap_or((compressor, ""));
        let level = if level.is_empty() { None } else { Some(level.parse()?) };
        options.compressor = Compressor::parse(name, level)?;
    }
    if let Some(size) = rest.get(1) {
        options.block_size = BlockSize::new(size.parse()?)?;
    }
    let cache = rest.get(2).map(|path| Cache::open(Path::new(path))).transpose()?;
    let begun = std::time::Instant::now();
    let tree = Tree::scan(Path::new(directory), &Rules::default(), &mut Tree::unwatched())?;
    let walk = begun.elapsed();
    let mut writer = Writer::new(options);
    if let Some(cache) = &cache {
        writer = writer.cache(cache);
    }
    let summary = writer.write(&tree, Path::new(image))?;
    println!("walk {walk:?}, {summary:#?}");
    Ok(())
}
