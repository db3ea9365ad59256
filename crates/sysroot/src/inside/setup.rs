//! What is to be done in a root, and how it went, as they are written to files.

use std::collections::BTreeMap;

use bootway_plan::{TreePath, step::Edit};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// A root, and what is to be done in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setup {
    /// A directory that has `0`, `1`, …, links to the trees that lie over each other, the highest first; `upper`, where
    /// changes go; and `work`, which overlayfs wants beside that.
    pub dir: Utf8PathBuf,
    /// How many trees there are; none if they are copied together in `copy` of `dir`.
    pub trees: usize,
    /// An empty directory to mount it on.
    pub root: Utf8PathBuf,
    /// Which directory of it becomes `/`.
    #[serde(default, skip_serializing_if = "TreePath::is_root")]
    pub view: TreePath,
    /// What else is seen.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Whether there is a network.
    #[serde(default)]
    pub network: bool,
    /// Whether it is done without a user namespace, by root.
    #[serde(default)]
    pub plain: bool,
    /// Whether a person is at the other end, who is told what goes wrong; and nobody else reads this file.
    #[serde(default)]
    pub aloud: bool,
    /// What is done.
    pub job: Job,
    /// Where the [`Verdict`] is written.
    pub verdict: Utf8PathBuf,
}

/// Something that is seen in a root besides its own files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mount {
    /// A file or directory of the machine; if it is `outer`, of the root that `view` is a part of.
    pub from: Utf8PathBuf,
    /// Whether it is a part of the root.
    #[serde(default)]
    pub outer: bool,
    /// Where in the view.
    pub to: TreePath,
    /// Whether it may be written to.
    #[serde(default)]
    pub writable: bool,
}

/// What is done in a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// A program.
    Run {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Where it runs.
        cwd: String,
        /// All of its environment.
        env: BTreeMap<String, String>,
    },
    /// Changes to files.
    Edit {
        /// In order.
        edits: Vec<Edit>,
    },
    /// Nothing: whether the root can be made up.
    Nothing,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The program ended, or the edits are made.
    Ended {
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
        /// The signal that ended it.
        #[serde(default)]
        signal: Option<i32>,
        /// Programs that it left running, which have been ended.
        #[serde(default)]
        left: Vec<String>,
    },
    /// It was not done.
    Failed {
        /// What of it.
        trouble: Trouble,
        /// What was tried, and on what.
        what: String,
        /// Why it failed, in the words of the system.
        why: String,
    },
}

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// A user namespace.
    User,
    /// Another namespace.
    Namespace,
    /// The layers of the root.
    Overlay,
    /// Something else that is mounted.
    Mount,
    /// The program is not in the root.
    Missing,
    /// The program could not be started.
    Start,
    /// A change to a file.
    Edit,
}
