//! What serde cannot see in a target.

use super::{EnvSpec, Name, Place, Profile, Profiles, Target, TargetTemplate, Targets, Variant};
use crate::{
    ArtifactKind,
    nearest::unknown,
    node::{Node, Span},
    problem::Collector,
    step::Runs,
};

/// Something that is wrong in a target, and under which keys.
pub(super) struct Complaint {
    pub(super) at: Vec<String>,
    pub(super) message: String,
}

/// Adds everything that is wrong with `targets`, which are written in `table`.
pub(crate) fn check(targets: &Targets, table: Option<&Node>, problems: &mut Collector<'_>) {
    for (name, target) in targets.iter() {
        let mut complaints = by_itself(target);
        if let Profiles::Listed(profiles) = &target.profiles {
            complaints.extend(against_profiles(target, profiles));
        }
        for complaint in complaints {
            let span = table.map_or(0..0, |table| place(table, name.as_str(), &complaint.at));
            problems.add(&span, complaint.message);
        }
    }
}

/// Where the innermost of `keys` that exists is written.
fn place(table: &Node, target: &str, keys: &[String]) -> Span {
    let mut node = table;
    let mut span = table.span.clone();
    for key in std::iter::once(target).chain(keys.iter().map(String::as_str)) {
        let Some((at, value)) = node.entries().iter().find(|(it, _)| it.text == key) else { break };
        node = value;
        // A table's own span is its head, which may be far from it; an empty one would point nowhere.
        let is_table = !value.entries().is_empty();
        span = if is_table { at.span.clone() } else { value.span.clone() };
    }
    span
}

fn complain(at: &[&str], message: impl Into<String>) -> Complaint {
    Complaint { at: at.iter().map(|it| (*it).to_owned()).collect(), message: message.into() }
}

/// What is wrong with the target whatever its profiles are.
fn by_itself(target: &Target) -> Vec<Complaint> {
    let mut found = Vec::new();
    let known: Vec<&str> = target.variants.keys().map(Name::as_str).collect();
    if known.is_empty() {
        found.push(complain(&["variants"], "a target needs a variant: add `variants.NAME = { … }`"));
    }
    if let Some(name) = target.default_variant.as_ref().filter(|it| !known.contains(&it.as_str())) {
        found.push(complain(&["default-variant"], unknown("variant", name.as_str(), &known)));
    }
    found.extend(misplaced(&["attribute"], &target.attribute, &[Place::Attribute, Place::Path]));
    for (name, spec) in target.env.iter() {
        found.extend(env(name, spec));
    }
    for (name, variant) in target.variants.iter() {
        found.extend(of_variant(name.as_str(), variant, &known));
    }
    found
}

fn of_variant(name: &str, variant: &Variant, known: &[&str]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let at = |key| ["variants", name, key];
    if let Some(attribute) = &variant.attribute {
        found.extend(misplaced(&at("attribute"), attribute, &[Place::Attribute, Place::Path]));
    }
    for other in &variant.instead {
        if other == name {
            found.push(complain(&at("instead"), format!("`{name}` cannot be named instead of itself")));
        } else if !known.contains(&other.as_str()) {
            found.push(complain(&at("instead"), unknown("variant", other.as_str(), known)));
        }
    }
    let Some(container) = &variant.container else { return found };
    if variant.kind != Some(ArtifactKind::Container) {
        let message = "`container` is about a variant with `kind = \"container\"`: add that";
        found.push(complain(&at("container"), message));
    }
    let inside = |key| ["variants", name, "container", key];
    if let Some(image) = &container.image {
        found.extend(misplaced(&inside("image"), image, &[Place::Path]));
    }
    for (_, value) in container.env.iter() {
        found.extend(misplaced(&inside("env"), value, &[Place::Path]));
    }
    for port in container.ports.iter().filter(|port| !is_port(port)) {
        let message = format!("`{port}` is not a port: write `HOST:CONTAINER` or `PORT`, `8080:80`");
        found.push(complain(&inside("ports"), message));
    }
    for dir in container.tmpfs.iter().filter(|dir| !dir.starts_with('/')) {
        let message = format!("`{dir}` is not a directory of the container: begin it with `/`");
        found.push(complain(&inside("tmpfs"), message));
    }
    if let Some(reason) = container.runs.as_ref().and_then(Runs::impossible) {
        found.push(complain(&inside("runs"), reason));
    }
    if container.healthcheck.as_ref().is_some_and(|it| it.test.is_empty()) {
        found.push(complain(&inside("healthcheck"), "`test` is empty: begin it with the program"));
    }
    if let Some(word) = container.healthcheck.iter().flat_map(|it| &it.test).find(|it| is_operator(it)) {
        let message = format!("`{word}` is for a shell, and there is none: `test = [\"sh\", \"-c\", \"…\"]`");
        found.push(complain(&inside("healthcheck"), message));
    }
    found
}

/// A word that means something to a shell alone; as an argument of a program it is a mistake.
fn is_operator(word: &str) -> bool {
    ["||", "&&", "|", ";", "&", ">", "<"].contains(&word)
}

fn is_port(text: &str) -> bool {
    let text = text.strip_suffix("/tcp").or_else(|| text.strip_suffix("/udp")).unwrap_or(text);
    let number = |it: &str| it.parse::<u16>().is_ok_and(|port| port != 0);
    match text.rsplit_once(':') {
        None => number(text),
        Some((host, inside)) => {
            let host = host.rsplit_once(':').map_or(host, |(_, port)| port);
            number(inside) && number(host)
        }
    }
}

fn env(name: &str, spec: &EnvSpec) -> Vec<Complaint> {
    let mut found = Vec::new();
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!(
            "`{name}` cannot be an environment variable: use letters, digits and `_`, a letter first"
        );
        found.push(complain(&["env", name], message));
    }
    for flag in spec.flag.iter().chain(&spec.also) {
        if !flag.starts_with('-') || flag.len() < 2 || flag == "--" || flag.contains(['=', ' ']) {
            let message = format!("`{flag}` is not a flag: write `--{}`", flag.trim_matches(['-', '=', ' ']));
            found.push(complain(&["env", name], message));
        }
    }
    if spec.flag.is_none() && !spec.also.is_empty() {
        found.push(complain(&["env", name], "`also` is about other spellings of `flag`: add the `flag`"));
    }
    if spec.flag.is_none() && spec.default.is_none() {
        let message = format!("`{name}` is passed on anyway: give it a `flag` or a `default`, or remove it");
        found.push(complain(&["env", name], message));
    }
    if let Some(default) = &spec.default {
        found.extend(misplaced(&["env", name], default, &[Place::Path]));
    }
    found
}

fn misplaced(at: &[&str], template: &TargetTemplate, wrong: &[Place]) -> Option<Complaint> {
    let place = template.places().find(|place| wrong.contains(place))?;
    Some(complain(at, format!("`${{{}}}` is not known here", place.as_str())))
}

/// What is wrong with the target if these are its profiles.
pub(super) fn against_profiles(target: &Target, profiles: &[Profile]) -> Vec<Complaint> {
    let mut found = Vec::new();
    if profiles.is_empty() {
        return vec![complain(&["profiles"], "the list of profiles is empty: write at least one")];
    }
    for (n, profile) in profiles.iter().enumerate() {
        if profiles[..n].contains(profile) {
            found.push(complain(&["profiles"], format!("profile `{profile}` is in the list twice")));
        }
    }
    if let Some(profile) = target.default_profile.as_ref().filter(|it| !profiles.contains(it)) {
        found.push(complain(&["default-profile"], unknown("profile", profile.as_str(), profiles)));
    }
    for (name, variant) in target.variants.iter() {
        let at = |key| ["variants", name.as_str(), key];
        for profile in variant.profiles.iter().flatten().filter(|it| !profiles.contains(it)) {
            found.push(complain(&at("profiles"), unknown("profile", profile.as_str(), profiles)));
        }
        let count = variant.profiles.as_ref().map_or(profiles.len(), Vec::len);
        let (template, at): (_, &[&str]) = match &variant.attribute {
            Some(attribute) => (attribute, &at("attribute")),
            None => (&target.attribute, &["attribute"]),
        };
        if count == 0 {
            found
                .push(complain(&["variants", name.as_str(), "profiles"], "this variant is there for nobody"));
        } else if count > 1 && !template.places().any(|it| it == Place::Profile) {
            let message = format!(
                "all {count} profiles of variant `{name}` would be `{template}`: put `${{profile}}` into it, or say \
                 which of the `profiles` it is for"
            );
            found.push(complain(at, message));
        }
    }
    found
}
