//! One module for each subcommand.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod enter;
pub(crate) mod fetch;
pub(crate) mod gc;
pub(crate) mod generate;
pub(crate) mod inside;
pub(crate) mod inspect;
pub(crate) mod overrides;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod report_timings;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod up;
pub(crate) mod vm;
