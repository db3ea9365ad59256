//! `bootway write --list`: what could be written to, and what it is used for.

use bootway_plan::{Class, Failure, exit_code};

use super::host::{Disk, Host, Use};

/// `--list`.
pub(super) fn list(host: &Host, json: bool) -> Result<u8, Failure> {
    let disks = host.disks().map_err(|error| Failure::new(Class::Environment, error.to_string()))?;
    let disks: Vec<Disk> = disks.into_iter().filter(|disk| disk.removable).collect();
    if json {
        let all: Vec<serde_json::Value> = disks.iter().map(to_json).collect();
        crate::print(&(serde_json::to_string_pretty(&all).expect("plain data") + "\n"));
    } else {
        crate::print(&describe(&disks));
    }
    Ok(exit_code::DONE)
}

fn to_json(disk: &Disk) -> serde_json::Value {
    serde_json::json!({
        "device": format!("/dev/{}", disk.name),
        "size": disk.size.get(),
        "sector-size": disk.sector,
        "model": disk.model,
        "transport": disk.transport,
        "read-only": disk.read_only,
        "partitions": disk.partitions,
        "system": disk.uses.iter().any(Use::is_system),
        "uses": disk.uses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// One line for each disk, and one for each use.
fn describe(disks: &[Disk]) -> String {
    if disks.is_empty() {
        return "there is no disk that can be taken out: put one in\n".to_owned();
    }
    let width = disks.iter().map(|disk| disk.name.len()).max().unwrap_or(0);
    let line = |disk: &Disk| {
        let partitions = match disk.partitions.len() {
            0 => "no partitions".to_owned(),
            1 => "1 partition".to_owned(),
            n => format!("{n} partitions"),
        };
        let mut text = format!(
            "/dev/{:width$}  {:>9}  {:4}  {}, {partitions}",
            disk.name,
            disk.size.human(),
            disk.transport,
            if disk.model.is_empty() { "?" } else { &disk.model }
        );
        if disk.read_only {
            text += ", read-only";
        }
        text.push('\n');
        for it in &disk.uses {
            let system = if it.is_system() { ": the system that is running" } else { "" };
            text += &format!("     {:width$}  {it}{system}\n", "");
        }
        text
    };
    disks.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
