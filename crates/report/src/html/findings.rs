//! What was found out about images, one table for each image.

use std::fmt::{self, Write as _};

use bootway_plan::{Finding, Judgement};

use super::rich;
use crate::{
    Report,
    text::{Escaped, one_line},
};

pub(super) fn write(page: &mut String, report: &Report) -> fmt::Result {
    let findings: Vec<&Finding> = report.steps.iter().flat_map(|step| &step.findings).collect();
    if findings.is_empty() {
        return Ok(());
    }
    let mut abouts: Vec<&str> = Vec::new();
    for finding in &findings {
        if !abouts.contains(&finding.about.as_str()) {
            abouts.push(&finding.about);
        }
    }
    page.push_str("<section aria-labelledby=\"findings\">\n<h2 id=\"findings\">Findings</h2>\n");
    for about in abouts {
        writeln!(page, "<h3>{}</h3>\n<div class=\"wide\">\n<table class=\"checks\">", Escaped(about))?;
        page.push_str("<thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Question</th>");
        page.push_str("<th scope=\"col\">Answer, and why</th></tr></thead>\n<tbody>\n");
        for finding in findings.iter().filter(|finding| finding.about == about) {
            writeln!(
                page,
                "<tr><td class=\"verdict {}\">{}</td><td>{}</td><td>{}<p class=\"detail\">{}</p></td></tr>",
                mood(finding.judgement),
                finding.judgement.as_str(),
                Escaped(&finding.name),
                Escaped(&one_line(&finding.answer)),
                rich(&one_line(&finding.evidence)),
            )?;
        }
        page.push_str("</tbody>\n</table>\n</div>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// The colour of a judgement; its word says the same.
const fn mood(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Good => "good",
        Judgement::Bad => "bad",
        Judgement::Doubtful | Judgement::Unknown => "warn",
        Judgement::Fact => "",
    }
}
