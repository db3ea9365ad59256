//! Flake attributes to verified artifacts, contracts of flakes, and closures of store paths.
#![forbid(unsafe_code)]

mod build;
mod check;
mod closure;

pub use build::{BuildError, build_commands, nix_build};
pub use check::{CheckError, check_commands, nix_check};
pub use closure::{ClosureError, closure, closure_commands};
