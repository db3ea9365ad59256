//! Which root each step runs in, and which steps have been there before it.

use std::collections::BTreeMap;

use crate::{
    Action, Name, OutputRef, Source, TreePath,
    nearest::unknown,
    node::Span,
    problem::Collector,
    spec::{HOST, Inside, NamespaceSpec, PhaseSpec, Spec},
};

/// The name of the output that holds what a step has changed in its root.
pub(crate) const LAYER: &str = "layer";

/// The roots of a plan while its steps are looked at in order.
pub(super) struct Roots<'a> {
    spec: &'a Spec,
    /// What steps have made of each root, by the namespace that it begins with.
    layers: BTreeMap<&'a str, Vec<Source>>,
}

impl<'a> Roots<'a> {
    pub(super) fn new(spec: &'a Spec, problems: &mut Collector<'_>) -> Self {
        check_namespaces(spec, problems);
        check_order(spec, problems);
        Self { spec, layers: BTreeMap::new() }
    }

    /// The root that a step of `phase` runs in; a step that changes it is remembered.
    pub(super) fn enter(
        &mut self,
        phase: &PhaseSpec,
        step: &Name,
        action: &Action,
        span: &Span,
        problems: &mut Collector<'_>,
    ) -> Option<Inside> {
        if let Action::Rootfs(rootfs) = action {
            let known: Vec<&str> = self.spec.namespaces.keys().map(Name::as_str).collect();
            if !known.contains(&rootfs.namespace.as_str()) {
                problems.add(span, unknown("namespace", rootfs.namespace.as_str(), &known));
                return None;
            }
            return self.inside(&rootfs.namespace);
        }
        let namespace = phase.namespace.as_ref().filter(|name| **name != *HOST);
        let Some(namespace) = namespace else {
            if matches!(action, Action::Package(_) | Action::Edit(_)) {
                let message = format!(
                    "`{}` changes the root of a namespace, and phase `{}` has none: give the phase a `namespace`",
                    action.kind(),
                    phase.name
                );
                problems.add(span, message);
            }
            return None;
        };
        if !action.runs_inside() {
            return None;
        }
        if let Action::Command(command) = action
            && let Some(what) = command.not_in_a_root()
        {
            let message =
                format!("{what}, and in the root of namespace `{namespace}` there is no such thing");
            problems.add(span, message);
        }
        let inside = self.inside(namespace)?;
        let of = OutputRef { step: step.clone(), output: Some(Name::fixed(LAYER)) };
        let begins = self.begins(namespace)?.0;
        self.layers.entry(begins).or_default().push(Source::Output { of, inside: None });
        Some(inside)
    }

    fn inside(&self, namespace: &Name) -> Option<Inside> {
        let spec = self.spec.namespaces.get(namespace.as_str())?.1;
        let (begins, view) = self.begins(namespace)?;
        let base = self.spec.namespaces.get(begins)?.1.rootfs.clone()?;
        Some(Inside {
            namespace: namespace.clone(),
            base,
            layers: self.layers.get(begins).cloned().unwrap_or_default(),
            view,
            binds: spec.binds.clone(),
            network: spec.network,
        })
    }

    /// The namespace whose `rootfs` the root of `namespace` is a part of, and which part.
    fn begins(&self, namespace: &Name) -> Option<(&'a str, TreePath)> {
        let (mut name, mut spec) = self.spec.namespaces.get(namespace.as_str())?;
        let mut view = TreePath::root();
        for _ in 0..=self.spec.namespaces.iter().count() {
            let Some(outer) = &spec.inside else { return Some((name.as_str(), view)) };
            view = spec.path.below(&view);
            (name, spec) = self.spec.namespaces.get(outer.as_str())?;
        }
        None
    }
}

fn check_namespaces(spec: &Spec, problems: &mut Collector<'_>) {
    let known: Vec<&str> = spec.namespaces.keys().map(Name::as_str).collect();
    for (at, (name, namespace)) in spec.namespaces.iter().enumerate() {
        let span = spec.place_of_namespace(name);
        if *name == *HOST {
            problems.add(&span, "`host` is where no namespace is: give this one another name");
        }
        match (&namespace.rootfs, &namespace.inside) {
            (Some(_), Some(_)) | (None, None) => {
                let message = format!("namespace `{name}` needs exactly one of `rootfs` and `inside`");
                problems.add(&span, message);
            }
            (None, Some(outer)) if !known.contains(&outer.as_str()) => {
                problems.add(
                    &span,
                    format!("namespace `{name}`: {}", unknown("namespace", outer.as_str(), &known)),
                );
            }
            (None, Some(outer)) if !known[..at].contains(&outer.as_str()) => {
                let message = format!(
                    "namespace `{name}` is inside `{outer}`, which comes later: write it behind that"
                );
                problems.add(&span, message);
            }
            (None, Some(_)) if namespace.path.is_root() => {
                let message = format!(
                    "namespace `{name}` is the same root as the one it is inside: give it a `path`, or use the other"
                );
                problems.add(&span, message);
            }
            _ => (),
        }
        check_binds(name, namespace, &span, problems);
        for from in namespace.enter_from.iter().flatten() {
            if *from != *HOST && !known.contains(&from.as_str()) {
                let message = format!("namespace `{name}`: {}", unknown("namespace", from.as_str(), &known));
                problems.add(&span, message);
            }
        }
    }
}

fn check_binds(name: &Name, namespace: &NamespaceSpec, span: &Span, problems: &mut Collector<'_>) {
    for bind in &namespace.binds {
        if bind.from.is_some() == bind.outer.is_some() {
            problems
                .add(span, format!("a bind of namespace `{name}` needs exactly one of `from` and `outer`"));
        }
        if bind.outer.is_some() && namespace.inside.is_none() {
            let message =
                format!("`outer` is about the root around namespace `{name}`, and it has no `inside`");
            problems.add(span, message);
        }
        if bind.to.is_root() {
            problems.add(
                span,
                format!("a bind of namespace `{name}` hides the whole root: give it another `to`"),
            );
        }
    }
}

/// Phases go from the machine into a root and from there into another, and never back.
fn check_order(spec: &Spec, problems: &mut Collector<'_>) {
    let known: Vec<&str> = spec.namespaces.keys().map(Name::as_str).chain([HOST]).collect();
    let mut at: Option<&Name> = None;
    for phase in &spec.phases {
        let Some(to) = &phase.namespace else { continue };
        if !known.contains(&to.as_str()) {
            problems.add(
                &phase.span,
                format!("phase `{}`: {}", phase.name, unknown("namespace", to.as_str(), &known)),
            );
            continue;
        }
        let from = at.map_or(HOST, Name::as_str);
        let may = from == to.as_str()
            || spec.namespaces.get(to.as_str()).is_some_and(|(_, namespace)| match &namespace.enter_from {
                Some(from_these) => from_these.iter().any(|it| *it == *from),
                None => from == HOST || position(&known, from) < position(&known, to.as_str()),
            });
        if !may {
            let message = format!(
                "cannot enter `{to}` from `{from}`: phases go forward, from `host` into a namespace and from there into the \
                 ones that have it in `enter-from`; a phase without `namespace` may come at any time"
            );
            problems.add(&phase.span, format!("phase `{}`: {message}", phase.name));
        }
        at = Some(to);
    }
}

fn position(known: &[&str], name: &str) -> Option<usize> {
    known.iter().position(|it| *it == name)
}
