//! What `bootway up` needs besides its arguments: a menu, and what is started in the end.

mod help;
pub(crate) mod menu;
pub(crate) mod start;
mod words;

pub(crate) use help::targets;
pub(crate) use words::separate;
