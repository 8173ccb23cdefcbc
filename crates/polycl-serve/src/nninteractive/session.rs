//! What a client works on: an image in the order of its array, one object of it, and what the client has been told.

use std::collections::BTreeMap;

use glam::DAffine3;
use polycl_image::orient::Reorientation;
use polycl_image::{Plane, Space, Volume};

use super::upload::Upload;
use crate::refusal::{Answer, Refusal};
use crate::view::View;
use crate::work::Propagate;

/// First and last indices, half open, along the array's axes, first the one that runs fastest.
pub type Block = [[usize; 2]; 3];

pub struct Session {
    /// The id of its scan.
    pub scan: String,
    /// From the array's order to the canonical one.
    order: Reorientation,
    /// Of the array, first the axis that runs fastest; without direction.
    space: Space,
    /// The scan's canonical shape.
    canonical: Space,
    /// The mask that the client shows.
    pub shown: Vec<bool>,
    pub object: Option<Object>,
    pub undo: Option<Undo>,
    /// A propagation that the client has not been told the end of.
    pub going: Option<Going>,
    /// Propagations of objects before, which another one has stopped.
    pub later: Vec<Propagate>,
}

/// An object that the client works on.
#[derive(Clone)]
pub struct Object {
    pub label: u16,
    /// The plane that was worked in last.
    pub plane: Plane,
    /// Planes that were emptied: it is not followed beyond them.
    pub emptied: Vec<(Plane, usize)>,
    /// The planes that a box in space goes through: it is not followed beyond them.
    pub limits: Option<(Plane, [usize; 2])>,
}

/// The way back from the last interaction.
pub struct Undo {
    /// Steps of the document before it.
    pub steps: usize,
    pub object: Option<Object>,
}

pub struct Going {
    pub asked: Propagate,
    /// True once it was stopped to answer in time.
    pub is_stopped: bool,
}

/// A part of the array that changes.
pub struct News {
    pub block: Block,
    pub values: Vec<u8>,
}

impl Session {
    pub fn new(upload: &Upload, shape: [usize; 3]) -> Self {
        let space = Space::new(shape, DAffine3::IDENTITY);
        Self {
            scan: upload.scan.entry.id.clone(),
            order: upload.order,
            canonical: upload.scan.canonical.clone(),
            shown: vec![false; space.voxels()],
            space,
            object: None,
            undo: None,
            going: None,
            later: Vec::new(),
        }
    }

    pub fn shape(&self) -> [usize; 3] {
        self.space.shape
    }

    pub fn voxels(&self) -> usize {
        self.space.voxels()
    }

    pub fn view(&self, plane: Plane) -> View {
        View::new(plane, self.canonical.shape)
    }

    /// The canonical place of a voxel of the array.
    pub fn place(&self, voxel: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| {
            let at = voxel[self.order.axes[axis]];
            if self.order.flip[axis] { self.canonical.shape[axis] - 1 - at } else { at }
        })
    }

    /// A mask of the array from one of the scan, in which an object is true.
    pub fn in_array(&self, canonical: Vec<bool>) -> Vec<bool> {
        let volume = Volume { space: self.canonical.clone(), voxels: canonical };
        self.order.invert(&volume, &self.space).voxels
    }

    /// A mask of the scan from one of the array.
    pub fn in_scan(&self, array: Vec<bool>) -> Vec<bool> {
        self.order.apply(&Volume { space: self.space.clone(), voxels: array }).voxels
    }

    /// The planes that a block is one of, axial ones before others.
    ///
    /// # Errors
    /// `no_plane`
    pub fn plane_of(&self, block: &Block) -> Answer<Plane> {
        let is_thin = |plane: &Plane| {
            let [from, to] = block[self.order.axes[*plane as usize]];
            to - from == 1
        };
        let planes = [Plane::Axial, Plane::Coronal, Plane::Sagittal];
        planes.into_iter().find(is_thin).ok_or_else(|| {
            Refusal::senseless("no_plane", "An outline lies in one slice, and this one goes through several.")
        })
    }

    /// The planes of a kind that a block goes through, and its first and last columns and rows, ends included.
    pub fn area(&self, plane: Plane, block: &Block) -> ([usize; 2], [usize; 4]) {
        let view = self.view(plane);
        let [low, high] = [block.map(|[from, _]| from), block.map(|[_, to]| to - 1)];
        let [(k, [x, y]), (l, [u, v])] = [low, high].map(|voxel| view.pixel(self.place(voxel)));
        ([k.min(l), k.max(l)], [x.min(u), y.min(v), x.max(u), y.max(v)])
    }

    /// Runs of pixels by plane of a mask of a block of the array, as the workbench's edits have them.
    pub fn runs(&self, plane: Plane, block: &Block, inside: &[bool]) -> BTreeMap<usize, Vec<[u32; 2]>> {
        let view = self.view(plane);
        let width = view.size()[0];
        let sides = block.map(|[from, to]| to - from);
        let mut pixels: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in (0..inside.len()).filter(|&at| inside[at]) {
            let within = [at % sides[0], at / sides[0] % sides[1], at / sides[0] / sides[1]];
            let (k, [x, y]) = view.pixel(self.place([0, 1, 2].map(|axis| block[axis][0] + within[axis])));
            pixels.entry(k).or_default().push(x + width * y);
        }
        let runs = |mut own: Vec<usize>| {
            own.sort_unstable();
            let runs = own.chunk_by(|one, next| one + 1 == *next);
            runs.map(|run| [run[0] as u32, run.len() as u32]).collect()
        };
        pixels.into_iter().map(|(k, own)| (k, runs(own))).collect()
    }

    /// Begins another object. The one before stays as it is in the document.
    pub fn reset(&mut self) {
        self.object = None;
        self.undo = None;
        self.shown.fill(false);
    }

    /// What is new to the client, which shows it from now on.
    pub fn news(&mut self, now: Vec<bool>) -> Option<News> {
        let [nx, ny, _] = self.space.shape;
        let place = |at: usize| [at % nx, at / nx % ny, at / nx / ny];
        let mut block: Option<Block> = None;
        for at in (0..now.len()).filter(|&at| now[at] != self.shown[at]) {
            let place = place(at);
            let own = block.get_or_insert(place.map(|at| [at, at + 1]));
            for (ends, at) in own.iter_mut().zip(place) {
                *ends = [ends[0].min(at), ends[1].max(at + 1)];
            }
        }
        self.shown = now;
        let block = block?;
        let mut values = Vec::new();
        for z in block[2][0]..block[2][1] {
            for y in block[1][0]..block[1][1] {
                let row = nx * (y + ny * z);
                let own = &self.shown[row + block[0][0]..row + block[0][1]];
                values.extend(own.iter().map(|inside| u8::from(*inside)));
            }
        }
        Some(News { block, values })
    }
}
