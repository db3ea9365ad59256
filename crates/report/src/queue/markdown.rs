//! The queue, for people.

use std::fmt::Write as _;

use super::{Evidence, Task, TaskState};
use crate::markdown::{cell, code};

/// Tasks that are done are shown up to this, the newest; the file has them all.
const DONE: usize = 20;

pub(super) fn text(tasks: &[Task]) -> String {
    let newest = tasks.iter().flat_map(|it| &it.evidence).map(|it| it.at.as_str()).max();
    let mut md = "# Task queue\n\n".to_owned();
    match newest {
        Some(at) => md += &format!("_Last updated: {at}_\n"),
        None => md += "_No run has said anything yet._\n",
    }
    let of = |state| tasks.iter().filter(move |it| it.state == state).collect::<Vec<_>>();
    section(&mut md, "Active Tasks", &of(TaskState::Active));
    section(&mut md, "Backlog", &of(TaskState::Backlog));
    let mut done = of(TaskState::Done);
    // Those of one run stay in the order of the file.
    done.sort_by_key(|it| std::cmp::Reverse(it.evidence.last().map(|it| it.at.clone())));
    done.truncate(DONE);
    section(&mut md, "Recently Completed", &done);
    md
}

fn section(md: &mut String, title: &str, tasks: &[&Task]) {
    let _ = write!(md, "\n## {title}\n\n");
    if tasks.is_empty() {
        md.push_str("None.\n");
    }
    for (n, task) in tasks.iter().enumerate() {
        let _ = writeln!(md, "{}. **{}** ({})", n + 1, cell(&task.title), code(task.id.as_str()));
        if !task.needs.is_empty() {
            let needs: Vec<String> = task.needs.iter().map(|it| code(it)).collect();
            let _ = writeln!(md, "   - needs {}", needs.join(", "));
        }
        if let Some(note) = &task.note {
            let _ = writeln!(md, "   - {}", cell(note));
        }
        for evidence in &task.evidence {
            let _ = writeln!(md, "   - {}", said(evidence));
        }
    }
}

fn said(evidence: &Evidence) -> String {
    let failing: Vec<String> = evidence.failing.iter().map(|it| code(it)).collect();
    let failing = if failing.is_empty() { String::new() } else { format!(": {}", failing.join(", ")) };
    let Evidence { at, verdict, run, record, .. } = evidence;
    format!(
        "{at}: {}{failing}, run [{}](<{}>)",
        verdict.as_str(),
        cell(run),
        record.replace(['<', '>', '\n'], "")
    )
}
