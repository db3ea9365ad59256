//! `bootway report`: the report of a run, from its log alone.

use bootway_plan::{Class, Failure, StepId, exit_code};
use bootway_report::{Pictures, read_log, to_html, to_json, to_junit, to_markdown};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};

use super::report_timings::Timings;
use crate::open::PlanArgs;

/// Make the report of a run again, from its log alone
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Report {
    #[command(subcommand)]
    about: Option<About>,
    #[command(flatten)]
    plan: PlanArgs,
    /// The run: the name of a directory below `runs`, or the path of a log; the last one unless said
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// In which form
    #[arg(long, value_name = "FORM", default_value = "md")]
    format: Form,
    /// Everything that this step printed, instead of a report
    #[arg(long, value_name = "STEP", requires = "log")]
    step: Option<StepId>,
    /// With `--step`
    #[arg(long, requires = "step")]
    log: bool,
}

#[derive(Debug, Subcommand)]
enum About {
    Timings(Timings),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// One self-contained page
    Html,
    /// For notes
    Md,
    /// For programs
    Json,
    /// For CI
    Junit,
}

impl Report {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        if let Some(About::Timings(timings)) = &self.about {
            return timings.run();
        }
        let log = self.log_path()?;
        if let Some(step) = &self.step {
            return print_log(&log, step);
        }
        let report = read_log(&log)?;
        let text = match self.format {
            Form::Html => {
                let run_dir = log.parent().unwrap_or(&log);
                to_html(&report, &Pictures::read(&report, run_dir))
            }
            Form::Md => to_markdown(&report),
            Form::Json => to_json(&report),
            Form::Junit => to_junit(&report),
        };
        crate::print(&text);
        Ok(exit_code::DONE)
    }

    fn log_path(&self) -> Result<Utf8PathBuf, Failure> {
        if let Some(run) = self.run.as_ref().filter(|run| run.contains('/')) {
            return Ok(Utf8PathBuf::from(run));
        }
        let loaded = self.plan.load()?;
        let runs = self.plan.work(&loaded).runs();
        let log = runs.join(self.run.as_deref().unwrap_or("latest")).join("events.jsonl");
        if log.exists() {
            return Ok(log);
        }
        let failure = Failure::new(Class::Environment, format!("there is no run at `{log}`"));
        Err(failure.hint(format!("`ls {runs}` shows the runs there are; `bootway build` makes one")))
    }
}

fn print_log(log: &Utf8PathBuf, step: &StepId) -> Result<u8, Failure> {
    let failed =
        |error: String| Failure::new(Class::Environment, error).because(format!("cannot read `{log}`"));
    let text = fs_err::read_to_string(log).map_err(|error| failed(error.to_string()))?;
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<bootway_plan::Event>(line) else { break };
        if event.step.as_ref() == Some(step)
            && let bootway_plan::EventKind::Line { text, .. } = event.kind
        {
            crate::print(&format!("{text}\n"));
        }
    }
    Ok(exit_code::DONE)
}
