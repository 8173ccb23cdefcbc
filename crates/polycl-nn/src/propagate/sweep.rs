//! One way through a scan, slice by slice.

use std::collections::VecDeque;

use polycl_base::Result;

use super::answer::{Answer, Answers, Asked, Pass, TRACES};
use super::object::Object;
use super::request::Direction;
use super::session::Session;
use super::shape::Shape;
use crate::sam::Slice;

/// The end of a sweep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    Whole,
    Stopped,
    /// The kept answers turned out not to be enough to go on from.
    Untraced,
}

/// Goes once over the slices, and looks in each for all objects that have been shown before.
pub struct Sweep<'s, 'a> {
    session: &'s mut Session<'a>,
    pass: Pass,
    pursuits: Vec<Pursuit<'a>>,
    /// Kept answers are taken, which ends at the first slice that has none.
    trusted: bool,
    /// For each of the last slices with kept answers, true if the sweep can go on from it.
    sound: VecDeque<bool>,
}

/// An object on a sweep.
struct Pursuit<'a> {
    number: usize,
    object: &'a Object,
    /// Slices without the object since it was seen last; none before it was shown.
    missing: Option<usize>,
    /// The next slice in which it is shown, and its outline there.
    ahead: Option<(usize, Shape)>,
}

impl<'s, 'a> Sweep<'s, 'a> {
    /// `trusted` tells whether kept answers may be taken at all.
    pub fn new(session: &'s mut Session<'a>, pass: Pass, trusted: bool) -> Self {
        let objects = session.request.objects.iter().enumerate();
        let pursuits = objects.map(|(number, object)| Pursuit { number, object, missing: None, ahead: None });
        Self { pursuits: pursuits.collect(), session, pass, trusted, sound: VecDeque::new() }
    }

    /// # Errors
    /// What the tracker and the journal say.
    pub fn run(mut self) -> Result<Swept> {
        self.session.tracker.begin(self.pursuits.len(), self.pass);
        let slices = self.slices();
        let before = if self.pass == Pass::Down { slices.len() } else { 0 };
        for (i, &k) in slices.iter().enumerate() {
            self.session.watch.step(before + i, 2 * slices.len());
            if self.session.watch.stop() {
                return Ok(Swept::Stopped);
            }
            if !self.visit(k)? {
                return Ok(Swept::Untraced);
            }
        }
        Ok(Swept::Whole)
    }

    fn slices(&self) -> Vec<usize> {
        let range = self.session.request.range.clone();
        if self.pass == Pass::Down { range.rev().collect() } else { range.collect() }
    }

    /// Shows and seeks in one slice; gives false where what was kept is not enough to go on from.
    fn visit(&mut self, k: usize) -> Result<bool> {
        let sought = self.sought(k);
        if sought.is_empty() && !self.pursuits.iter().any(|pursuit| pursuit.object.is_shown(k)) {
            return Ok(true);
        }
        let scene = self.session.scene;
        let plane = scene.plane(k);
        let slice = scene.slice(k, &plane);
        self.show(&slice)?;
        if sought.is_empty() {
            return Ok(true);
        }
        let answers = match self.kept(k, &sought) {
            Some(kept) => self.check(kept),
            None if self.trusted && self.sound.contains(&false) => return Ok(false),
            None => self.seek(&slice, &sought)?,
        };
        self.take(k, &sought, answers);
        Ok(true)
    }

    /// Numbers of the objects that are to be found in a slice.
    fn sought(&self, k: usize) -> Vec<usize> {
        let wanted = |pursuit: &&Pursuit<'_>| {
            let patience = self.session.tracker.patience();
            !pursuit.object.is_shown(k) && pursuit.goes_on(patience) && self.goes(pursuit.is_between())
        };
        self.pursuits.iter().filter(wanted).map(|pursuit| pursuit.number).collect()
    }

    /// True if slices are to be filled this way; those between shown ones are whatever the direction.
    fn goes(&self, between: bool) -> bool {
        match self.session.request.direction {
            Direction::Both => true,
            Direction::Up => between || self.pass == Pass::Up,
            Direction::Down => between || self.pass == Pass::Down,
        }
    }

    /// Tells the tracker of the objects that are shown in a slice.
    fn show(&mut self, slice: &Slice<'_>) -> Result<()> {
        let (session, k) = (&mut *self.session, slice.number);
        for pursuit in self.pursuits.iter_mut().filter(|pursuit| pursuit.object.is_shown(k)) {
            let object = pursuit.object;
            let shape = session.outline(object, k);
            session.tracker.show(slice, session.scene.lattice, (pursuit.number, object.window), &shape)?;
            let [below, above] = object.around(k);
            let next = if self.pass == Pass::Down { below } else { above };
            pursuit.missing = Some(0);
            pursuit.ahead = next.map(|next| (next, session.outline(object, next)));
        }
        Ok(())
    }

    /// Answers of an earlier run, where they may be taken and are those that are sought.
    fn kept(&self, k: usize, sought: &[usize]) -> Option<Answers> {
        if !self.trusted {
            return None;
        }
        let kept = self.session.journal.get_traced(self.pass, k)?;
        let is_there = |&number: &usize| kept.contains_key(&self.pursuits[number].object.label);
        (kept.len() == sought.len() && sought.iter().all(is_there)).then_some(kept)
    }

    /// Notes whether one can go on from kept answers.
    fn check(&mut self, kept: Answers) -> Answers {
        self.sound.push_back(kept.values().all(|answer| self.session.tracker.can_go_on(answer)));
        if self.sound.len() == TRACES {
            self.sound.pop_front();
        }
        kept
    }

    /// Finds objects in a slice, and keeps the answers.
    fn seek(&mut self, slice: &Slice<'_>, sought: &[usize]) -> Result<Answers> {
        self.trusted = false;
        let (session, k) = (&mut *self.session, slice.number);
        let asked: Vec<Asked<'_>> = sought.iter().map(|&number| self.pursuits[number].asked(k)).collect();
        let found = session.tracker.follow(slice, session.scene.lattice, &asked)?;
        let labels = sought.iter().map(|&number| self.pursuits[number].object.label);
        let mut answers: Answers = labels.zip(found).collect();
        session.journal.put(self.pass, k, &mut answers)?;
        Ok(answers)
    }

    /// Goes on from the answers about a slice.
    fn take(&mut self, k: usize, sought: &[usize], answers: Answers) {
        let lattice = self.session.scene.lattice;
        let mut labels = Vec::with_capacity(sought.len());
        for &number in sought {
            let pursuit = &mut self.pursuits[number];
            let answer = &answers[&pursuit.object.label];
            self.session.tracker.remember(lattice, number, k, answer);
            pursuit.hear(answer);
            labels.push(pursuit.object.label);
        }
        self.session.tell(k, labels, answers);
    }
}

impl Pursuit<'_> {
    /// The object has been shown, and will be again.
    fn is_between(&self) -> bool {
        self.ahead.is_some()
    }

    /// Between shown slices it must be somewhere; else it is looked for as long as one has patience.
    fn goes_on(&self, patience: usize) -> bool {
        self.missing.is_some_and(|missing| missing < patience || self.is_between())
    }

    fn asked(&self, k: usize) -> Asked<'_> {
        let ahead = self.ahead.as_ref().map(|(next, shape)| (next.abs_diff(k) + 1, shape));
        Asked { object: self.number, window: self.object.window, ahead }
    }

    fn hear(&mut self, answer: &Answer) {
        let before = self.missing.unwrap_or(0);
        self.missing = Some(if answer.is_there() { 0 } else { before + 1 });
    }
}
