//! From archives of any kind to one tree, whatever the archives say.

mod ar;
pub(crate) mod decode;
mod fault;
mod layout;
mod limits;
mod route;
mod select;
mod steps;
mod tarball;
#[cfg(test)]
pub(crate) mod tests;
mod unpack;

pub use fault::{ArchiveError, Fault};
pub(crate) use fault::{Stop, class_of_io};
pub(crate) use route::Route;
pub use select::InvalidPattern;
pub(crate) use select::Selection;
pub(crate) use unpack::{Archive, Unpacker};
