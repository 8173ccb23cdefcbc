//! "What was found": the findings in sentences.

use super::Writer;
use crate::figures::report::Report;
use crate::study::findings::{Contrast, Findings, sentence};
use crate::study::plan::Finish;

impl Writer<'_> {
    /// The comparison that was settled on beforehand, in sentences, then the rest in a few.
    pub(super) fn found(&self, report: &mut Report) {
        let Findings { against_scratch, against_others, against_hand, refined, .. } = self.findings;
        report.heading("What was found");
        let incomplete = (0..self.plan.arms.len()).filter(|&arm| !self.plan.complete(arm));
        for arm in incomplete {
            let title = &self.plan.arms[arm].title;
            report.paragraph(&format!("{title} is left out of everything: some of its trainings failed."));
        }
        let primary = self.plan.primary();
        let name = primary.map(|arm| self.plan.arms[arm].method.name.as_str());
        if let (Some(settled), Some(name)) = (self.settled, name)
            && settled != name
        {
            report.paragraph(&format!(
                "When this study began its primary method was {settled}; {name} was chosen later, and what is said of it was \
                 not settled on beforehand."
            ));
        }
        let settled = |contrast: &&Contrast| {
            Some(contrast.cell.arm) == primary && contrast.cell.finish == Finish::Plain
        };
        for contrast in against_scratch.iter().filter(settled) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        let lists = [
            (against_scratch, format!("comparisons with {}", self.reference())),
            (against_others, "comparisons of the primary method with other pre-trainings".to_owned()),
            (against_hand, "comparisons of other masks with those drawn by hand".to_owned()),
            (refined, "comparisons of refined masks with unrefined ones".to_owned()),
        ];
        for (number, (contrasts, what)) in lists.into_iter().enumerate() {
            let said = |contrast: &Contrast| number == 0 && settled(&contrast);
            for contrast in contrasts.iter().filter(|contrast| contrast.separates() && !said(contrast)) {
                report.paragraph(&sentence(self.plan, contrast));
            }
            self.summed_up(report, contrasts, &what);
        }
    }

    fn summed_up(&self, report: &mut Report, contrasts: &[Contrast], what: &str) {
        if contrasts.is_empty() {
            return;
        }
        let count = |wanted: &dyn Fn(&Contrast) -> bool| contrasts.iter().filter(|c| wanted(c)).count();
        let ahead = count(&|c| c.separates() && c.found.difference > 0.0);
        let behind = count(&|c| c.separates() && c.found.difference < 0.0);
        report.paragraph(&format!(
            "Of all {} {what}, {ahead} are ahead, {behind} are behind, and {} are not separated by the evidence.",
            contrasts.len(),
            contrasts.len() - ahead - behind,
        ));
    }
}
