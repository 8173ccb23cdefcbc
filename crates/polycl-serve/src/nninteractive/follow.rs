//! Propagations for clients that wait for a minute and no longer: what is found by then is told, and the rest goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use polycl_image::Plane;

use super::session::Going;
use super::turn::Turn;
use crate::document::Document;
use crate::locked::locked;
use crate::refusal::Answer;
use crate::waited::rests;
use crate::work::{self, Propagate};

/// The time that a network has to end a slice that it has begun.
const GRACE: Duration = Duration::from_secs(8);

impl Turn<'_> {
    /// Follows the object from the planes of a kind that a person drew.
    ///
    /// # Errors
    /// As [`work::propagate`], but for an object of which nothing is drawn.
    pub fn follow(&mut self, plane: Plane) -> Answer<()> {
        let label = self.label()?;
        let range = self.scan.with(|sheet| self.range(&sheet.document, plane, label));
        let asked =
            Propagate { tab: self.author.tab.clone(), labels: [label].into(), plane: Some(plane), range };
        match work::propagate(self.desk, &self.scan, &self.author, &asked) {
            Ok(_) => {}
            Err(refusal) if refusal.code == "nothing_drawn" => return Ok(()),
            Err(refusal) => return Err(refusal),
        }
        self.session.going = Some(Going { asked, is_stopped: false });
        self.catch_up()
    }

    /// Waits for a propagation that goes on. Where it takes too long it is stopped, which puts what is found into the
    /// document, and goes on from there.
    ///
    /// # Errors
    /// What the propagation said; it is over then.
    pub fn catch_up(&mut self) -> Answer<()> {
        let caught = self.wait_for_end();
        if caught.is_err() {
            self.session.going = None;
        }
        caught
    }

    fn wait_for_end(&mut self) -> Answer<()> {
        let Self { desk, scan, author, until, .. } = self;
        while let Some(going) = &mut self.session.going {
            if !rests(scan, *until)? {
                work::stop(scan);
                going.is_stopped = true;
                if !rests(scan, *until + GRACE)? {
                    return Ok(());
                }
            } else if !going.is_stopped {
                self.session.going = None;
                return Ok(());
            }
            match work::propagate(desk, scan, author, &going.asked) {
                Ok(_) => going.is_stopped = false,
                // Undone in the workbench meanwhile.
                Err(refusal) if refusal.code == "nothing_drawn" => self.session.going = None,
                Err(refusal) => return Err(refusal),
            }
            if Instant::now() >= *until {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends a propagation that goes on: something else is asked for. One of another object goes on later.
    pub fn halt(&mut self) {
        let Some(Going { asked, .. }) = self.session.going.take() else { return };
        let is_at_work = locked(&self.scan.job).is_some();
        work::stop(&self.scan);
        // One that does not end or has failed refuses the next.
        let _ = rests(&self.scan, self.until + GRACE);
        let label = self.session.object.as_ref().map(|object| object.label);
        if is_at_work && label.is_none_or(|label| !asked.labels.contains(&label)) {
            self.session.later.push(asked);
        }
    }

    /// Lets a propagation of an object before go on, where none is at work.
    pub fn resume(&mut self) {
        if self.session.going.is_some() {
            return;
        }
        if let Some(asked) = self.session.later.pop()
            && work::propagate(self.desk, &self.scan, &self.author, &asked).is_ok()
        {
            self.session.going = Some(Going { asked, is_stopped: false });
        }
    }

    /// The planes to follow the object through: all, but for those beyond planes that a person has emptied and beyond a box.
    fn range(&self, document: &Document, plane: Plane, label: u16) -> Option<[usize; 2]> {
        let object = self.session.object.as_ref()?;
        let mut ends = [0, document.view(plane).count() - 1];
        if let Some((_, [from, to])) = object.limits.filter(|(own, _)| *own == plane) {
            ends = [from, to];
        }
        let drawn: BTreeSet<usize> = document.marks(label).by_hand(plane);
        let (first, last) = (*drawn.first()?, *drawn.last()?);
        for &(_, k) in object.emptied.iter().filter(|(own, _)| *own == plane) {
            if k < first {
                ends[0] = ends[0].max(k + 1);
            } else if k > last {
                ends[1] = ends[1].min(k - 1);
            }
        }
        let whole = [0, document.view(plane).count() - 1];
        (ends != whole).then_some(ends)
    }
}
