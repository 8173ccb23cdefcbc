//! One request of a client at work: outlines, boxes and clicks on its object, the way back, and the answer.

use std::sync::Arc;
use std::time::Instant;

use polycl_image::Plane;

use super::Door;
use super::session::{Block, News, Object, Session, Undo};
use crate::change;
use crate::desk::Desk;
use crate::document::{Act, Author, Document};
use crate::edit::{Edit, Pixels};
use crate::locked::locked;
use crate::marks::Mark;
use crate::refusal::{Answer, Refusal};
use crate::scan::{Focus, Scan, Sheet};
use crate::step::What;
use crate::work::{self, Prompt};

pub struct Turn<'a> {
    pub door: &'a Door,
    pub desk: &'a Arc<Desk>,
    pub session: &'a mut Session,
    pub scan: Arc<Scan>,
    pub author: Author,
    /// When the answer must be on its way.
    pub until: Instant,
}

/// If an interaction adds to the object, and if the object is followed from it.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub adds: bool,
    pub follows: bool,
}

impl Turn<'_> {
    /// Ends what goes on, and remembers the way back.
    ///
    /// # Errors
    /// `no_network`
    fn begin(&mut self) -> Answer<()> {
        self.desk.needed_follower()?;
        self.halt();
        let steps = self.scan.with(|sheet| sheet.document.undo.len());
        self.session.undo = Some(Undo { steps, object: self.session.object.clone() });
        Ok(())
    }

    /// Does what is asked with the object, in planes of one kind.
    fn object(&mut self, plane: Plane, k: usize) -> Answer<&mut Object> {
        let label = self.label()?;
        *locked(&self.scan.focus) = Focus { label: Some(label), plane, k };
        let object = self.session.object.get_or_insert_with(|| Object::new(label));
        object.plane = plane;
        Ok(object)
    }

    /// Takes a filled outline in one plane as drawn by hand, or takes it away from the object. One that lies mostly on what a
    /// machine proposed there takes its place.
    ///
    /// # Errors
    /// `no_plane`, and as [`Self::follow`] and [`Edit::step`].
    pub fn lasso(&mut self, block: &Block, inside: &[bool], how: How) -> Answer<()> {
        let plane = self.session.plane_of(block)?;
        self.begin()?;
        self.draw(plane, block, inside, how)
    }

    /// Sets or clears pixels of the object.
    fn draw(&mut self, plane: Plane, block: &Block, inside: &[bool], how: How) -> Answer<()> {
        let runs = self.session.runs(plane, block, inside);
        let Some(&k) = runs.keys().next() else { return Ok(()) };
        let label = self.object(plane, k)?.label;
        let touched: Vec<usize> = runs.keys().copied().collect();
        let what = if how.adds { What::Stroke } else { What::Clear };
        let emptied = self.scan.with(|sheet| {
            let pixels = |(k, runs): (usize, Vec<[u32; 2]>)| match how.adds {
                true => {
                    Pixels { k, clear: around_outline(&sheet.document, (plane, k), label, &runs), set: runs }
                }
                false => Pixels { k, set: Vec::new(), clear: runs },
            };
            let planes = runs.into_iter().map(pixels).collect();
            // Pixels of other labels stay: a person may have drawn them.
            self.store(sheet, &Edit { plane, label, what, over: false, planes })?;
            let document = &sheet.document;
            let view = document.view(plane);
            let holds = |k: usize| view.cut(&document.mask, k).any(|own| own == label);
            Answer::Ok(touched.iter().copied().filter(|&k| !holds(k)).collect::<Vec<usize>>())
        })?;
        let is_left = emptied.len() < touched.len();
        let object = self.object(plane, k)?;
        object.emptied.retain(|(own, k)| *own != plane || !touched.contains(k));
        object.emptied.extend(emptied.into_iter().map(|k| (plane, k)));
        if how.adds {
            object.limits = None;
        }
        if how.follows && is_left { self.follow(plane) } else { Ok(()) }
    }

    /// Stores an edit, if it changes anything.
    fn store(&self, sheet: &mut Sheet, edit: &Edit) -> Answer<()> {
        if let (Some(step), _) = edit.step(&sheet.document)? {
            change::store(self.desk, &self.scan, sheet, &self.author, None, Act::Step(step))?;
        }
        Ok(())
    }

    /// Asks the network for what is in a box: in its plane, or in the middle one of a box in space, from which the
    /// object is followed to both ends. A box that takes away clears the object in it.
    ///
    /// # Errors
    /// As [`Self::follow`] and [`work::prompt`].
    pub fn bounds(&mut self, block: &Block, how: How) -> Answer<()> {
        self.begin()?;
        let flat = self.session.plane_of(block).ok();
        let plane = flat.unwrap_or_default();
        if !how.adds {
            let voxels = block.iter().map(|[from, to]| to - from).product();
            return self.draw(plane, block, &vec![true; voxels], how);
        }
        let ([from, to], area) = self.session.area(plane, block);
        let k = from.midpoint(to);
        let object = self.object(plane, k)?;
        object.limits = flat.is_none().then_some((plane, [from, to]));
        object.emptied.retain(|(own, at)| *own != plane || !(from..=to).contains(at));
        self.prompt(plane, k, area)?;
        if how.follows { self.follow(plane) } else { Ok(()) }
    }

    /// Corrects the object in the plane of a click: the box around it is grown to the click, or cut short of it, and the
    /// network is asked for what is in that box, for it has learnt boxes. Where the object is in other planes alone, the box of
    /// the nearest one is grown. Where nothing is left beside the click, the plane is emptied.
    ///
    /// # Errors
    /// `nothing_to_correct`, and as [`Self::follow`] and [`work::prompt`].
    pub fn point(&mut self, voxel: [usize; 3], how: How) -> Answer<()> {
        let nothing =
            |text: &str| Refusal::conflict("nothing_to_correct", text).hint("draw a lasso or a box first");
        let object = self
            .session
            .object
            .as_ref()
            .ok_or_else(|| nothing("Points correct an object, and there is none yet."))?;
        let (label, plane) = (object.label, object.plane);
        let view = self.session.view(plane);
        let width = view.size()[0];
        let (k, at) = view.pixel(self.session.place(voxel));
        let (nearest, own) = self
            .scan
            .with(|sheet| {
                let document = &sheet.document;
                let pixels = |k: usize| -> Vec<[usize; 2]> {
                    let cut = view.cut(&document.mask, k).enumerate().filter(|(_, own)| *own == label);
                    cut.map(|(pixel, _)| [pixel % width, pixel / width]).collect()
                };
                let mut planes: Vec<usize> = (0..view.count()).collect();
                planes.sort_by_key(|other| other.abs_diff(k));
                planes.into_iter().map(|k| (k, pixels(k))).find(|(_, own)| !own.is_empty())
            })
            .ok_or_else(|| nothing("Points correct an object, and nothing is left of it."))?;
        if !how.adds && nearest != k {
            return Ok(());
        }
        self.begin()?;
        self.object(plane, k)?.emptied.retain(|own| *own != (plane, k));
        let area = if how.adds { around(own.into_iter().chain([at])) } else { around(beside(&own, at)) };
        match area {
            Some(area) => self.prompt(plane, k, area)?,
            None => self.empty(plane, k)?,
        }
        if how.follows { self.follow(plane) } else { Ok(()) }
    }

    /// Takes all of the object out of a plane, which is an end of it from now on.
    fn empty(&mut self, plane: Plane, k: usize) -> Answer<()> {
        let label = self.label()?;
        let pixels = self.session.view(plane).pixels() as u32;
        let planes = vec![Pixels { k, set: Vec::new(), clear: vec![[0, pixels]] }];
        let edit = Edit { plane, label, what: What::Clear, over: false, planes };
        self.scan.with(|sheet| self.store(sheet, &edit))?;
        self.object(plane, k)?.emptied.push((plane, k));
        Ok(())
    }

    /// Asks the network for what is in a box of a plane.
    fn prompt(&mut self, plane: Plane, k: usize, area: [usize; 4]) -> Answer<()> {
        let (tab, label) = (self.author.tab.clone(), self.label()?);
        let asked = Prompt { tab, label, plane, k, area: Some(area), points: Vec::new(), over: false };
        work::prompt(self.desk, &self.scan, &self.author, &asked).map(drop)
    }

    /// Undoes the last interaction with all that came of it; false where there is none, or something else was done since.
    ///
    /// # Errors
    /// What storing says.
    pub fn go_back(&mut self) -> Answer<bool> {
        self.halt();
        let Some(undo) = self.session.undo.take() else { return Ok(false) };
        let undone = self.scan.with(|sheet| {
            let since = sheet.document.undo.get(undo.steps..).unwrap_or_default();
            let [_, followed @ ..] = since else { return Ok(false) };
            if !followed.iter().all(|step| step.what == What::Propagate) {
                return Ok(false);
            }
            for _ in 0..since.len() {
                change::store(self.desk, &self.scan, sheet, &self.author, None, Act::Undo)?;
            }
            Answer::Ok(true)
        })?;
        if undone {
            // Its label stays: it is what the client goes on with.
            let label = self.session.object.as_ref().map(|object| object.label);
            self.session.object = undo.object.or(label.map(Object::new));
        }
        Ok(undone)
    }

    /// Remembers the way back from what follows.
    pub fn can_go_back(&mut self) {
        let steps = self.scan.with(|sheet| sheet.document.undo.len());
        self.session.undo = Some(Undo { steps, object: self.session.object.clone() });
    }

    /// What is new to the client.
    pub fn news(&mut self) -> Option<News> {
        let label = self.session.object.as_ref()?.label;
        let now = self.session.in_array(self.own(label));
        let news = self.session.news(now);
        self.tell();
        news
    }
}

/// What a machine has put around an outline that lies mostly on it: such an outline is the object's in that plane, and not
/// one more part of it. What a person drew there stays.
fn around_outline(
    document: &Document,
    (plane, k): (Plane, usize),
    label: u16,
    outline: &[[u32; 2]],
) -> Vec<[u32; 2]> {
    let marks = document.marks(label);
    let is_drawn = match plane {
        Plane::Axial => marks.slices.get(k).is_some_and(|mark| matches!(mark, Mark::Drawn | Mark::Edited)),
        Plane::Coronal | Plane::Sagittal => marks.by_hand(plane).contains(&k),
    };
    let view = document.view(plane);
    let mut own: Vec<bool> = view.cut(&document.mask, k).map(|own| own == label).collect();
    let inside = || outline.iter().flat_map(|[start, length]| *start as usize..(start + length) as usize);
    let [area, covered] = [inside().count(), inside().filter(|&pixel| own[pixel]).count()];
    if is_drawn || 2 * covered <= area {
        return Vec::new();
    }
    inside().for_each(|pixel| own[pixel] = false);
    let left: Vec<u32> = (0..).zip(own).filter(|(_, own)| *own).map(|(pixel, _)| pixel).collect();
    left.chunk_by(|one, next| one + 1 == *next).map(|run| [run[0], run.len() as u32]).collect()
}

/// The box around pixels: first and last column and row.
fn around(pixels: impl Iterator<Item = [usize; 2]>) -> Option<[usize; 4]> {
    pixels
        .map(|[x, y]| [x, y, x, y])
        .reduce(|[x0, y0, x1, y1], [x, y, u, v]| [x0.min(x), y0.min(y), x1.max(u), y1.max(v)])
}

/// The pixels on the side of a row or column through a point on which most of them are.
fn beside(own: &[[usize; 2]], [x, y]: [usize; 2]) -> std::vec::IntoIter<[usize; 2]> {
    let mut sides: [Vec<[usize; 2]>; 4] = Default::default();
    for &[u, v] in own {
        let on = [u < x, u > x, v < y, v > y];
        sides.iter_mut().zip(on).filter(|(_, on)| *on).for_each(|(side, _)| side.push([u, v]));
    }
    sides.into_iter().max_by_key(Vec::len).unwrap_or_default().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Marks;

    #[test]
    fn an_outline_takes_the_place_of_a_proposal_that_it_lies_on() {
        let mut document = Document::new([6, 2, 1], [1.0; 3], Vec::new(), String::new());
        document.mask[..5].fill(1);
        let clears =
            |document: &Document, outline| around_outline(document, (Plane::Axial, 0), 1, &[outline]);
        assert_eq!(clears(&document, [1, 2]), [[0, 1], [3, 2]]);
        // Half of it or more lies beside the proposal: a part that lacks.
        assert_eq!(clears(&document, [4, 2]), [[0_u32; 2]; 0]);
        let marks = Marks { slices: vec![Mark::Edited], ..Marks::new(1) };
        document.facts.marks.insert(1, marks);
        assert_eq!(clears(&document, [1, 2]), [[0_u32; 2]; 0]);
    }

    #[test]
    fn clicks_grow_a_box_or_cut_it_short() {
        let own: Vec<[usize; 2]> = (2..8).flat_map(|x| (3..5).map(move |y| [x, y])).collect();
        assert_eq!(around(own.iter().copied().chain([[9, 1]])), Some([2, 1, 9, 4]));
        // Most of it lies left of the click.
        assert_eq!(around(beside(&own, [6, 4])), Some([2, 3, 5, 4]));
        assert_eq!(around(beside(&own, [3, 3])), Some([4, 3, 7, 4]));
        assert_eq!(around(beside(&[[5, 5]], [5, 5])), None);
    }
}
