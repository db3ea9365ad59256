//! Writes what libFuzzer begins with into the directory that the environment names; always the same bytes.

/// `seeds` have a name each, which only has to be another for each.
pub fn write(seeds: impl FnOnce() -> Vec<(String, Vec<u8>)>) {
    let Some(dir) = std::env::var_os("BOOTWAY_FUZZ_SEEDS") else { return };
    let dir = std::path::Path::new(&dir);
    std::fs::create_dir_all(dir).expect("no directory for seeds");
    for (name, bytes) in seeds() {
        std::fs::write(dir.join(name), bytes).expect("a seed cannot be written");
    }
}
