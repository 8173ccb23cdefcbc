//! Refuses what a study cannot be, whatever the data.

use std::fmt;

use anyhow::{bail, ensure};
use polycl_base::{Error, Kind, Subject};
use toml::Table;

use super::Config;

impl Config {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.organs.is_empty(),
            "organs: expected at least one organ to segment, found an empty list"
        );
        ensure!(!self.methods.is_empty(), "methods: expected at least one method, found an empty list");
        ensure!(
            !self.budgets.is_empty(),
            "budgets: expected at least one budget of patients or of slices, found an empty list"
        );
        ensure!(!self.seeds.is_empty(), "seeds: expected at least one seed, found an empty list");
        ensure!(
            self.folds.is_some() || !self.tests.is_empty(),
            "expected test patients, found neither [[test]] nor `folds`"
        );
        ensure!(self.folds.is_none_or(|folds| folds >= 2), "folds: expected at least 2");
        ensure!(self.images_per_step > 0, "images_per_step: expected at least 1, found 0");
        twice("methods", &self.methods)?;
        twice("seeds", &self.seeds)?;
        twice("budgets", &self.budgets)?;
        twice("test", &self.tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>())?;
        if let Some(budget) =
            self.refinement.iter().flat_map(|r| &r.budgets).find(|b| !self.budgets.contains(b))
        {
            bail!("refinement.budgets: expected budgets of the study, found {budget}");
        }
        let named = self.refinement.iter().flat_map(|refinement| &refinement.methods);
        let named = named.chain(self.labels.values().flat_map(|labels| &labels.methods)).chain(&self.primary);
        if let Some(unknown) = named.into_iter().find(|name| !self.methods.contains(name)) {
            bail!("expected one of the methods of the study, found '{unknown}'");
        }
        if let Some(unused) = self.own.keys().find(|name| !self.methods.contains(name)) {
            bail!("[method.{unused}]: expected one of the methods of the study");
        }
        self.check_slices()
    }

    /// True where some method trains itself within ranges.
    fn self_trains(&self) -> bool {
        let says = |table: &Table| table.get("self_train").and_then(toml::Value::as_bool) == Some(true);
        says(&self.finetuning) || self.own.values().any(|own| says(&own.finetuning))
    }

    /// Refuses budgets in slices that lack what they need, and what does not go with them.
    fn check_slices(&self) -> anyhow::Result<()> {
        let refused = |setting: &str, expected: &str, found: String, hint: &str| {
            Err(Error::new(Subject::Setting(setting.into()), Kind::Request, expected, found)
                .hint(hint)
                .into())
        };
        let draws = self.draw.is_some() || self.own.values().any(|own| own.draw.is_some());
        if draws && self.slices.is_empty() {
            let hint =
                "name budgets in drawn slices, such as slices = [5, 10]; one in patients takes whole masks";
            return refused("draw", "budgets in slices to draw", "no budget in slices".to_owned(), hint);
        }
        if self.slices.contains(&0) {
            let hint = "name budgets of at least one drawn slice";
            return refused("slices", "numbers of drawn slices from 1", "0".to_owned(), hint);
        }
        if !self.labels.is_empty() && self.self_trains() {
            let hint = "compare other masks and self-training in two studies";
            return refused("self_train", "self-training without [labels]", "[labels]".to_owned(), hint);
        }
        match self.labels.keys().next() {
            Some(labels) if !self.slices.is_empty() => {
                let hint = "compare other masks at budgets of patients, in a study without slices";
                refused("slices", "budgets in slices without [labels]", format!("[labels.{labels}]"), hint)
            }
            _ => Ok(()),
        }
    }
}

fn twice<T: PartialEq + fmt::Debug>(what: &str, list: &[T]) -> anyhow::Result<()> {
    let again = list.iter().enumerate().find(|(at, item)| list[..*at].contains(item));
    again.map_or(Ok(()), |(_, item)| bail!("{what}: expected every entry once, found {item:?} twice"))
}
