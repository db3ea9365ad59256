//! A build plan with every key that the original writes, whether it says something or not.

use serde_json::{Value, json};

use super::text_of;

/// The build plan of `phases`, which have what they say.
pub(super) fn whole(mut phases: Vec<Value>, format: u32) -> Value {
    for phase in &mut phases {
        if format == 1 {
            let environment = match text_of(phase, "namespace") {
                "host" => "host",
                "bq2" => "bq2-rootfs",
                _ => "alpine-seed",
            };
            phase["environment"] = json!(environment);
            phase["workspace"] = json!("/workspace");
            phase.as_object_mut().map(|it| it.remove("namespace"));
        }
        for step in phase.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(step) = step.as_object_mut() else { continue };
            for (key, value) in keys(format) {
                step.entry(key).or_insert(value);
            }
        }
    }
    json!({ "format_version": format, "phases": phases })
}

/// The keys that every step has, and what they are if nothing is said.
fn keys(format: u32) -> impl Iterator<Item = (&'static str, Value)> {
    let both = [
        ("workdir", Value::Null),
        ("configure_flags", json!([])),
        ("patches", json!([])),
        ("install_prefix", Value::Null),
        ("destdir", Value::Null),
        ("env", json!({})),
    ];
    let newer = [
        ("build_dir", Value::Null),
        ("clean_build", json!(false)),
        ("sources", json!([])),
        ("extract_sources", json!([])),
        ("packages", json!([])),
        ("content", Value::Null),
        ("sources_directory", Value::Null),
    ];
    both.into_iter().chain(newer.into_iter().filter(move |_| format > 1))
}
