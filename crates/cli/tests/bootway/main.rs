//! The program as a user meets it: real runs, real exit codes, real files.

mod demo;
mod errors;
mod kill;
mod project;
mod same_bytes;
