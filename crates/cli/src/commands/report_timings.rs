//! `bootway report timings`: whether something takes longer than it used to.

use bootway_plan::{Class, Failure, exit_code};
use bootway_report::{History, Series};
use clap::Args;
use serde_json::json;

use crate::{open::PlanArgs, style};

/// Compare the newest times of steps, phases and guests with those of earlier runs
///
/// From the plan's ledger. Slower is what takes more than 1.5 times as long as the median of the good runs before, and
/// more than 0.5 s longer; there must be five of those, and the newest twenty count. Compared is what really ran, on the
/// same host and with the same accelerator. The exit code is 6 if something is slower.
#[derive(Debug, Args)]
pub(crate) struct Timings {
    #[command(flatten)]
    plan: PlanArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Timings {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let loaded = self.plan.load()?;
        let ledger = self.plan.work(&loaded).ledger();
        let text = fs_err::read_to_string(&ledger).map_err(|error| {
            let failure = Failure::new(Class::Environment, error.to_string());
            failure.because("there is no ledger to compare with").hint("`bootway build` writes one")
        })?;
        let history = History::parse(&text);
        let series = history.series();
        if self.json {
            let value = json!({ "ledger": ledger, "unreadable": history.unreadable, "timings": series });
            crate::print(&(serde_json::to_string_pretty(&value).expect("plain data") + "\n"));
        } else {
            crate::print(&table(&series));
            if history.unreadable > 0 {
                style::say(&format!("{} lines of `{ledger}` cannot be read", history.unreadable));
            }
        }
        let is_slower = series.iter().any(|it| it.slower);
        Ok(if is_slower { exit_code::CHECK } else { exit_code::DONE })
    }
}

/// A line for each time, and what is slower at the end.
fn table(series: &[Series]) -> String {
    if series.is_empty() {
        return "nothing has run yet\n".to_owned();
    }
    let width = series.iter().map(|it| it.what.chars().count()).max().unwrap_or_default();
    let second = |ms: u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
    let line = |it: &Series| {
        let usual = it.usual_ms.map_or_else(String::new, |usual| {
            format!("  usual {:>11}  of {} good runs", second(usual), it.runs)
        });
        let sign = if it.slower { "  slower" } else { "" };
        format!("{:<width$}  {:>11}{usual}{sign}\n", it.what, second(it.last_ms))
    };
    let slower = series.iter().filter(|it| it.slower).count();
    let sum = match slower {
        0 => "nothing is slower than usual\n".to_owned(),
        n => format!("{n} of {} slower than usual\n", series.len()),
    };
    series.iter().map(line).collect::<String>() + &sum
}
