//! The shared language of bootway: what was asked, what will happen, what happened.
//!
//! - [`Spec`] is `plan.toml` as it is written; [`resolve()`] turns it into a [`Plan`], or says everything that is
//!   wrong with it at once.
//! - A [`Step`] carries an [`Action`]: one struct of parameters for each kind of step.
//! - An [`Event`] is one fact about a run; a [`Failure`] is an error as data.
//! - A [`Manifest`] describes a tree of files: what a file system will hold, independent of who owns the bytes.
//!
//! Pure data: nothing here touches a file, a process, the clock or the environment.
//!
//! ```
//! use bootway_plan::{Spec, Vars, resolve};
//!
//! let spec = Spec::from_toml(r#"
//!     format = 1
//!     name = "hello"
//!     epoch = 1735689600
//!
//!     [[phase]]
//!     name = "build"
//!
//!       [[phase.step]]
//!       name = "root"
//!       tree = { from = ["./root"] }
//!
//!       [[phase.step]]
//!       name = "disk"
//!       disk = { partition = [{ label = "ROOT", type = "linux-data", size = "fit", fs = "ext4", content = "root" }] }
//! "#, &Vars::default())?;
//! let plan = resolve(&spec)?;
//! let order: Vec<_> = plan.steps().map(|step| step.id.as_str()).collect();
//! assert_eq!(order, ["root", "disk"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod artifact;
mod bq2;
mod diff;
mod digest;
mod event;
mod failure;
mod id;
mod manifest;
mod nearest;
mod node;
mod ordered;
mod overrides;
mod plan;
mod problem;
mod reference;
mod resolve;
mod schema;
mod select;
mod spec;
pub mod step;
mod target;
mod units;
mod vars;

pub use artifact::{Artifact, ArtifactKind};
pub use bq2::{ExportProblems, Exported, ImportProblems, export_bq2, import_bq2};
pub use diff::{Change, PlanDiff};
pub use digest::{Digest, Digester, InvalidDigest};
pub use event::{
    DiskMap, Event, EventKind, Finding, GuestImage, GuestInfo, Judgement, Kept, KeptKind, PartitionMap,
    RunInfo, Slower, StepInfo, Stream, Timing, Unit, Verdict,
};
pub use failure::{Class, Explain, Failure, ProgramEnd, exit_code};
pub use id::{InvalidName, Name, OutputName, StepId};
pub use manifest::{Entry, EntryKind, InvalidManifest, Manifest, TreePath};
pub use nearest::nearest;
pub use ordered::Ordered;
pub use overrides::{OverrideProblems, Overrides};
pub use plan::{Phase, Plan, Step};
pub use problem::{Place, Problem, Problems};
pub use reference::{InvalidReference, OutputRef, Source};
pub use resolve::resolve;
pub use schema::json_schema;
pub use select::{SelectError, Selection};
pub use spec::{
    Base, Bind, Budgets, DefaultPhase, Generate, HOST, Inside, NamespaceSpec, Namespaces, Need, NixConfig,
    PhaseSpec, Requires, Skips, Spec, StepCommon, StepSpec, Tier, Tiers, Untracked, When, host_directories,
};
pub use step::Action;
pub use target::{
    Argv, Cell, ChooseError, Container, EnvSpec, Facts, Grid, GridError, Healthcheck, InvalidProfile,
    InvalidProfileList, InvalidTargetTemplate, Needs, Place as TargetPlace, Platform, Profile, Profiles,
    System, Target, TargetTemplate, Targets, Unavailable, Variant,
};
pub use units::{Bytes, Millis, ParseBytesError, ParseMillisError};
pub use vars::{Var, VarSpec, VarType, VarValue, Vars};
