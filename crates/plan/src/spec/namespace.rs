//! `[namespace.NAME]`: the roots that phases run in.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Name, Ordered, Source, TreePath};

/// Namespaces by name, in the order of the plan.
pub type Namespaces = Ordered<Name, NamespaceSpec>;

/// A root file system that steps run in, `[namespace.NAME]`: exactly one of `rootfs` and `inside`.
///
/// Its files are never changed: each step's changes are a layer over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NamespaceSpec {
    /// The tree that its root begins as: a step that makes one, a directory, or `host` for the programs of this machine
    /// (`/usr` and what belongs to it, for reading only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Base>,
    /// The namespace in whose root this one's is a directory, `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Name>,
    /// Where in the root of `inside`.
    #[serde(default, skip_serializing_if = "TreePath::is_root")]
    #[schemars(with = "String")]
    pub path: TreePath,
    /// What else is seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<Bind>,
    /// Namespaces after whose phases this one may come; `host` and every namespace before it unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enter_from: Option<Vec<Name>>,
    /// Whether its programs reach the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
    /// Environment of its programs, over that of the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Something that is seen in a root besides its own files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bind {
    /// A file or directory of this machine, or an output of a step: for reading only. Exactly one of this and `outer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
    /// A directory in the root of `inside`, which stays a part of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub outer: Option<TreePath>,
    /// Where it is seen.
    #[schemars(with = "String")]
    pub to: TreePath,
}

/// What a root begins as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Base {
    /// The programs of this machine.
    Host,
    /// A tree.
    Tree(Source),
}

impl TryFrom<String> for Base {
    type Error = crate::InvalidReference;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "host" { Ok(Self::Host) } else { text.parse().map(Self::Tree) }
    }
}

impl From<Base> for String {
    fn from(base: Base) -> Self {
        match base {
            Base::Host => "host".to_owned(),
            Base::Tree(source) => source.to_string(),
        }
    }
}

/// The name of where no namespace is.
pub const HOST: &str = "host";

/// The root that a step runs in, and everything in it, as the plan has worked it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inside {
    /// Which namespace.
    pub namespace: Name,
    /// What the root begins as.
    pub base: Base,
    /// What steps before have made of it, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Source>,
    /// Which directory of that is the root of the step.
    #[serde(default, skip_serializing_if = "TreePath::is_root")]
    pub view: TreePath,
    /// What else is seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<Bind>,
    /// Whether its programs reach the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
}

impl Inside {
    /// Everything that is read to make up the root.
    pub fn sources(&self) -> Vec<&Source> {
        let base = if let Base::Tree(source) = &self.base { Some(source) } else { None };
        base.into_iter()
            .chain(&self.layers)
            .chain(self.binds.iter().filter_map(|bind| bind.from.as_ref()))
            .collect()
    }
}

/// The directories of a machine that `host` shows, for reading only, those that are there.
pub fn host_directories() -> impl Iterator<Item = Utf8PathBuf> {
    ["usr", "bin", "sbin", "lib", "lib32", "lib64", "etc/alternatives", "etc/ld.so.cache", "etc/ssl"]
        .into_iter()
        .map(|name| Utf8PathBuf::from(format!("/{name}")))
}
