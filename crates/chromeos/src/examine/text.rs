//! The report as text.

use std::fmt;

use super::ChromeosReport;

impl fmt::Display for ChromeosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
        for finding in &self.findings {
            let sign = finding.judgement.as_str().chars().next().unwrap_or(' ');
            writeln!(f, "{sign} {:<width$}  {}", finding.name, finding.answer)?;
            writeln!(f, "  {:<width$}  {}", "", finding.evidence)?;
        }
        Ok(())
    }
}
