//! Flake attributes to verified artifacts, contracts of flakes, and closures of store paths.
//!
//! Everything goes over Nix's structured interfaces, of every version from 2.8 on and of Lix: JSON ([`shapes`]), the
//! log in `internal-json`, and exit codes of `nix-store`, which tell failures apart where those of `nix build` do not.
//!
//! - [`Flake`] evaluates: attribute to value, attribute to derivation.
//! - [`nix_build`] is the step: evaluate, realise, find the artifact in the output, and keep it from being collected.
//! - [`keep_build`] keeps earlier builds, too; [`Closures`] says what that takes, and [`collect`] lets the store collect.
//!
//! ```
//! use bootway_exec::{Reply, Sandbox, ScriptedRunner, Tool};
//! use bootway_nix::Flake;
//! use bootway_plan::NixConfig;
//!
//! let runner = ScriptedRunner::default().on(Tool::Nix, Reply::ok(r#"["default","low-latency"]"#));
//! let sandbox = Sandbox::new(&runner);
//! let (cx, config) = (sandbox.cx(), NixConfig::default());
//! let profiles = Flake::new(&cx, &config, None).attr_names("profiles")?;
//! assert_eq!(profiles, ["default", "low-latency"]);
//! # Ok::<(), bootway_nix::EvalError>(())
//! ```
#![forbid(unsafe_code)]

mod build;
mod call;
mod check;
pub mod closure;
mod eval;
mod gcroot;
mod log;
mod new_store;
mod outputs;
mod realise;
pub mod shapes;
mod space;
mod target;
#[cfg(test)]
mod testing;
mod untracked;
mod version;

pub use build::{BuildError, Evaluated, build_commands, evaluate, is_kept, nix_build, nix_build_of};
pub use call::{CallError, Nix};
pub use check::{CheckError, check_commands, nix_check};
pub use closure::{ClosureError, closure, closure_commands};
pub use eval::{EvalError, Flake};
pub use gcroot::{KeptBuild, built_in, is_kept_build, keep_build, keep_build_command, kept_builds};
pub use outputs::OutputError;
pub use realise::{Cause, Failed, NotBuilt};
pub use space::{Closures, Collected, SpaceError, collect, collect_command};
pub use target::{ProfilesError, profiles, run_command};
pub use untracked::UntrackedFiles;
pub use version::{Family, InvalidVersion, Version};
