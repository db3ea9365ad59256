//! Flake attributes to verified artifacts, contracts of flakes, and closures of store paths.
#![forbid(unsafe_code)]

mod build;
mod check;
mod closure;
#[cfg(test)]
mod testing;

pub use build::{BuildError, build_commands, nix_build};
pub use check::{CheckError, check_commands, nix_check};
pub use closure::{ClosureError, closure, closure_commands};

#[cfg(test)]
mod tests {
    use crate::testing::{TestNix, derivation, packages};

    #[test]
    fn a_store_of_its_own_builds_a_flake_without_nixpkgs() {
        let nix = TestNix::new();
        let flake = nix.flake("demo", &packages(&[("hello", &derivation("hello", "echo hi > $out"))]));
        nix.git(&flake);
        let printed = nix.ok("nix", &["build", "--no-link", "--json", &format!("{flake}#hello")]);
        assert!(printed.contains(nix.store().as_str()), "{printed}");
    }
}
