//! The report as text.

use std::fmt;

use super::ChromeosReport;

impl fmt::Display for ChromeosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let sign = finding.judgement.as_str().chars().next().unwrap_or(' ');
            writeln!(f, "{sign} {}: {}", finding.name, finding.answer)?;
            writeln!(f, "    {}", finding.evidence)?;
        }
        Ok(())
    }
}
