//! How to try a step again.

use bootway_plan::{RunInfo, StepId};

/// The line that runs one step of a run again, ready to paste into a shell.
///
/// ```
/// # use bootway_plan::{Digest, Name, RunInfo};
/// # let mut run = RunInfo { format: 1, plan: Name::fixed("demo"), plan_digest: Digest::of(b""), plan_file: None,
/// #     command: None, arguments: vec![], started: 0, version: "0.1.0".into(), host: String::new(), tools: vec![], steps: vec![] };
/// run.plan_file = Some("my plans/demo.plan.toml".to_owned());
/// assert_eq!(
///     bootway_report::rerun_line(&run, &Name::fixed("disk")),
///     "bootway build 'my plans/demo.plan.toml' --step disk",
/// );
/// ```
pub fn rerun_line(run: &RunInfo, step: &StepId) -> String {
    let words = run.plan_file.iter().chain(&run.arguments).map(|word| format!(" {}", quoted(word)));
    let command = run.command.as_deref().unwrap_or("build");
    format!("bootway {command}{} --step {step}", words.collect::<String>())
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
