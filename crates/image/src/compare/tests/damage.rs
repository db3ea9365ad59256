//! Damaged copies: whatever is damaged, nothing panics, and nothing that differs is said to be the same.

use super::*;

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn damage_is_never_the_same_and_never_panics() {
    let two = Two::new();
    let dir = two.path("a");
    fs::write(dir.join("x.c"), "int main(void) { return 0; }\n").unwrap();
    run(&dir, "gcc", &["-g", "-c", "x.c"]);
    run(&dir, "ar", &["qc", "x.a", "x.o", "x.c"]);
    run(&dir, "gzip", &["-k", "x.o"]);
    run(&dir, "xz", &["-k", "x.a"]);
    run(&dir, "mke2fs", &["-q", "-F", "x.ext4", "1M"]);
    run(&dir, "mksquashfs", &["x.c", "x.o", "x.squashfs", "-quiet", "-no-progress"]);
    let mut chance = Chance(7);
    for name in ["x.o", "x.a", "x.o.gz", "x.a.xz", "x.ext4", "x.squashfs"] {
        let whole = fs::read(dir.join(name)).unwrap();
        let copy = two.path("b").join(name);
        for round in 0..60 {
            let mut bytes = whole.clone();
            if round % 6 == 5 {
                bytes.truncate(chance.below(whole.len()));
            } else {
                // The beginning is where most of it is said.
                let limit = if round % 2 == 0 { whole.len().min(4096) } else { whole.len() };
                let at = chance.below(limit);
                bytes[at] ^= 1 << chance.below(8);
            }
            fs::write(&copy, &bytes).unwrap();
            let found = compare(&dir.join(name), &copy, &Cancel::default()).unwrap();
            assert!(!found.is_same(), "{name}, round {round}");
        }
    }
}
