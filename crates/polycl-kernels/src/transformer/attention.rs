//! softmax(q kᵀ · scale + position) v, head by head, without a matrix of all scores: some queries at
//! a time meet all keys.

use super::math::exp;
use super::panels::{Panels, Rows, multiply_panels};
use crate::conv::gemm::ROWS;
use crate::parallel::{Out, filled, for_each};
use crate::scratch;
use crate::shape::Shape;
use crate::simd::{lanes, load, load_some, store, store_some};

/// How channels are shared out: head h has channels h · dim .. (h + 1) · dim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    pub count: usize,
    /// Channels of a head.
    pub dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

impl Heads {
    /// Heads over `channels` channels, scores divided by √dim.
    pub fn new(count: usize, channels: usize) -> Self {
        assert!(count > 0 && channels.is_multiple_of(count), "{channels} channels, {count} heads");
        Self { count, dim: channels / count, scale: 1.0 / ((channels / count) as f32).sqrt() }
    }

    pub fn channels(self) -> usize {
        self.count * self.dim
    }
}

/// What is added to the scores for the places of query and key in their window.
#[derive(Debug, Clone, Copy)]
pub enum Position<'a> {
    None,
    /// [heads, tokens, tokens]
    Table(&'a [f32]),
    /// Decomposed relative positions (MViTv2, Li et al. 2022): the product of the query with a row of
    /// each table, [2 side − 1, dim], chosen by (query − key + side − 1) along y and along x.
    Relative {
        y: &'a [f32],
        x: &'a [f32],
    },
}

/// Square windows that cover a map from its first pixel on; tokens of the last ones may lie beyond it.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    pub side: usize,
    /// Query, key and value (3 · channels) of a token beyond the map.
    pub outside: &'a [f32],
    pub position: Position<'a>,
}

/// Queries [B, N, C], keys and values [B, M, C], or of one batch that all share (B = 1) → [B, N, C].
pub fn attention(q: &[f32], k: &[f32], v: &[f32], queries: usize, keys: usize, heads: Heads) -> Vec<f32> {
    let c = heads.channels();
    assert!(queries > 0 && keys > 0 && k.len() == v.len());
    assert!(q.len().is_multiple_of(queries * c) && k.len().is_multiple_of(keys * c));
    let (batch_q, batch_k) = (q.len() / (queries * c), k.len() / (keys * c));
    let batch = batch_q.max(batch_k);
    assert!((batch_q == batch || batch_q == 1) && (batch_k == batch || batch_k == 1));
    let sizes = Sizes { queries, keys, dim: heads.dim };
    let none = Places { position: Position::None, side: 0, packed: None };
    // SAFETY: every head writes its channels of all queries.
    unsafe {
        filled(batch * queries * c, |out| {
            for_each(batch * heads.count, |i| {
                let (b, first) = (i / heads.count, i % heads.count * heads.dim);
                let row = |values, b: usize, count: usize, i: usize| {
                    part(values, (b * count + i) * c + first, heads.dim)
                };
                let (bq, bk) = (b % batch_q, b % batch_k);
                attend(
                    sizes,
                    heads.scale,
                    none,
                    |i| row(q, bq, queries, i),
                    |i| row(k, bk, keys, i),
                    |i| row(v, bk, keys, i),
                    |i| Some(out.at((b * queries + i) * c + first, heads.dim)),
                );
            });
        })
    }
}

fn part(values: &[f32], first: usize, len: usize) -> &[f32] {
    &values[first..][..len]
}

/// Attention within each window of a map whose pixels hold query, key and value one after the other,
/// [N, H, W, 3 C] → [N, H, W, C].
pub fn window_attention(qkv: &[f32], shape: Shape, heads: Heads, windows: Windows<'_>) -> Vec<f32> {
    let (c, side) = (heads.channels(), windows.side);
    assert!(shape.c == 3 * c && qkv.len() == shape.len() && side > 0 && windows.outside.len() == 3 * c);
    let (tiling, tokens) = (Tiling::new(shape, side), side * side);
    let sizes = Sizes { queries: tokens, keys: tokens, dim: heads.dim };
    windows.check(heads, tokens);
    // Small windows take all their heads in one task.
    let together = if tokens < 1024 { heads.count } else { 1 };
    let relative = Panels::new(2 * side - 1, heads.dim);
    scratch::with(2 * relative.len(), |packed| {
        windows.pack(relative, packed);
        let one_head = |window: usize, head: usize, out: Out<'_>| {
            let token = |i: usize, kind: usize| {
                let channel = kind * c + head * heads.dim;
                match tiling.pixel(window, i) {
                    Some(pixel) => part(qkv, pixel * 3 * c + channel, heads.dim),
                    None => part(windows.outside, channel, heads.dim),
                }
            };
            let places = Places {
                position: windows.position.of_head(head, tokens),
                side,
                packed: Some((relative, packed)),
            };
            let to = |i| tiling.pixel(window, i).map(|pixel| out.at(pixel * c + head * heads.dim, heads.dim));
            // SAFETY: the places of a head's channels in a window's pixels are its own.
            unsafe {
                attend(sizes, heads.scale, places, |i| token(i, 0), |i| token(i, 1), |i| token(i, 2), to);
            }
        };
        // SAFETY: every window writes its tokens within the map, every head its channels.
        unsafe {
            filled(qkv.len() / 3, |out| {
                for_each(tiling.count() * heads.count / together, |task| {
                    for i in task * together..(task + 1) * together {
                        one_head(i / heads.count, i % heads.count, out);
                    }
                });
            })
        }
    })
}

/// Where windows lie in a map.
#[derive(Clone, Copy)]
struct Tiling {
    shape: Shape,
    side: usize,
    rows: usize,
    columns: usize,
}

impl Tiling {
    fn new(shape: Shape, side: usize) -> Self {
        Self { shape, side, rows: shape.h.div_ceil(side), columns: shape.w.div_ceil(side) }
    }

    fn count(self) -> usize {
        self.shape.n * self.rows * self.columns
    }

    /// The pixel of token `i` of a window, unless it is beyond the map.
    fn pixel(self, window: usize, i: usize) -> Option<usize> {
        let (n, row, column) =
            (window / (self.rows * self.columns), window / self.columns % self.rows, window % self.columns);
        let (y, x) = (row * self.side + i / self.side, column * self.side + i % self.side);
        (y < self.shape.h && x < self.shape.w).then_some((n * self.shape.h + y) * self.shape.w + x)
    }
}

impl Position<'_> {
    /// What concerns one head.
    fn of_head(self, head: usize, tokens: usize) -> Self {
        match self {
            Self::Table(table) => Self::Table(part(table, head * tokens * tokens, tokens * tokens)),
            position => position,
        }
    }
}

impl Windows<'_> {
    /// Puts the tables of relative positions into panels, y before x; reversed, so that keys, not
    /// queries, run forward.
    fn pack(&self, panels: Panels, to: Out<'_>) {
        let Position::Relative { y, x } = self.position else { return };
        for (table, first) in [y, x].into_iter().zip([0, panels.len()]) {
            let to = to.part(first..first + panels.len());
            let row = |i: usize| part(table, (panels.columns - 1 - i) * panels.depth, panels.depth);
            // SAFETY: this thread alone has the memory yet.
            (0..panels.count()).for_each(|i| unsafe { panels.pack_rows(i, row, 1.0, to) });
        }
    }

    fn check(&self, heads: Heads, tokens: usize) {
        match self.position {
            Position::None => {}
            Position::Table(table) => assert_eq!(table.len(), heads.count * tokens * tokens),
            Position::Relative { y, x } => {
                assert!(y.len() == x.len() && y.len() == (2 * self.side - 1) * heads.dim);
            }
        }
    }
}

/// Of one head.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    dim: usize,
}

/// Positions of one head; the tables of relative ones in panels, y before x.
#[derive(Clone, Copy)]
struct Places<'a> {
    position: Position<'a>,
    side: usize,
    packed: Option<(Panels, Out<'a>)>,
}

/// Queries that meet all keys together.
const BLOCK: usize = 32;

/// One head. The result of query i is written where `to(i)` says.
///
/// # Safety
/// Where `to` says, there is room for the head's channels, and no other thread writes there.
unsafe fn attend<'v>(
    Sizes { queries, keys, dim }: Sizes,
    scale: f32,
    places: Places<'_>,
    query: impl Fn(usize) -> &'v [f32],
    key: impl Fn(usize) -> &'v [f32] + Copy,
    value: impl Fn(usize) -> &'v [f32],
    to: impl Fn(usize) -> Option<*mut f32>,
) {
    let (by_key, by_value) = (Panels::new(keys, dim), Panels::new(dim, keys));
    let (scores, outputs) = (BLOCK * by_key.padded(), BLOCK * by_value.padded());
    let relative = places.packed.map_or(0, |(panels, _)| BLOCK * panels.padded());
    let sizes = [by_key.len(), by_value.len(), BLOCK * dim, scores, outputs, 2 * relative];
    scratch::with(sizes.iter().sum(), |room| {
        let mut next = 0;
        let [k, v, q, scores, outputs, relative] = sizes.map(|size| {
            next += size;
            room.part(next - size..next)
        });
        // SAFETY: the memory is this thread's.
        unsafe {
            (0..by_key.count()).for_each(|i| by_key.pack_rows(i, key, scale, k));
            (0..keys).for_each(|i| by_value.pack_columns(i, value(i), v));
        }
        for first in (0..queries).step_by(BLOCK) {
            let count = BLOCK.min(queries - first);
            let whole = count.next_multiple_of(ROWS);
            for i in 0..whole {
                let row = query((first + i).min(queries - 1));
                // SAFETY: room for a block of queries; a row has `dim` values.
                unsafe { q.at(i * dim, dim).copy_from_nonoverlapping(row.as_ptr(), dim) };
            }
            let block = Block {
                first,
                count,
                whole,
                keys: by_key,
                values: by_value,
                k: k.at(0, k.len()),
                v: v.at(0, v.len()),
                q: q.at(0, q.len()),
                scores: scores.at(0, scores.len()),
                outputs: outputs.at(0, outputs.len()),
                position: At::new(places, relative),
            };
            // SAFETY: all matrices have been packed, and have room for a block.
            unsafe { block_of_queries(block) };
            for i in 0..count {
                if let Some(to) = to(first + i) {
                    let from = outputs.at(i * by_value.padded(), dim);
                    // SAFETY: the caller's, and the products are there.
                    unsafe { to.copy_from_nonoverlapping(from, dim) };
                }
            }
        }
    });
}

/// A block of queries, and the matrices it meets.
#[derive(Clone, Copy)]
struct Block {
    /// Number of the first query.
    first: usize,
    count: usize,
    /// `count` as products are made.
    whole: usize,
    keys: Panels,
    values: Panels,
    k: *const f32,
    v: *const f32,
    q: *const f32,
    scores: *mut f32,
    outputs: *mut f32,
    position: At,
}

/// [`Places`] without lifetimes.
#[derive(Clone, Copy)]
enum At {
    None,
    Table(*const f32),
    Relative { side: usize, panels: Panels, tables: *const f32, products: *mut f32 },
}

impl At {
    fn new(places: Places<'_>, room: Out<'_>) -> Self {
        match (places.position, places.packed) {
            (Position::Table(table), _) => Self::Table(table.as_ptr()),
            (Position::Relative { .. }, Some((panels, packed))) => Self::Relative {
                side: places.side,
                panels,
                tables: packed.at(0, 2 * panels.len()),
                products: room.at(0, 2 * BLOCK * panels.padded()),
            },
            _ => Self::None,
        }
    }
}

vectorised! {
    /// # Safety
    /// The matrices of the block are packed as its [`Panels`] say, and there is room for a block of
    /// scores, of outputs and of products with tables.
    unsafe fn block_of_queries<S>(simd, block: Block) {
        let (dim, padded) = (block.keys.depth, block.keys.padded());
        let times = |panels: *const f32, shape: Panels, product: *mut f32| Rows {
            count: block.whole, left: block.q, left_row: dim, panels, shape,
            wanted: shape.count(), product, product_row: shape.padded(),
        };
        multiply_panels(simd, times(block.k, block.keys, block.scores));
        if let At::Relative { panels, tables, products, .. } = block.position {
            multiply_panels(simd, times(tables, panels, products));
            multiply_panels(simd, times(tables.add(panels.len()), panels, products.add(BLOCK * panels.padded())));
        }
        for i in 0..block.whole {
            let row = block.scores.add(i * padded);
            if i < block.count {
                add_position(simd, block.position, block.keys.columns, block.first + i, i, row);
            }
            softmax(simd, row, block.keys.columns, padded);
        }
        multiply_panels(simd, Rows {
            count: block.whole, left: block.scores, left_row: padded, panels: block.v, shape: block.values,
            wanted: block.values.count(), product: block.outputs, product_row: block.values.padded(),
        });
    }
}

/// # Safety
/// `row` holds the scores of query `query`, which is row `i` of the products with the tables.
#[inline(always)]
unsafe fn add_position<S: pulp::Simd>(simd: S, at: At, keys: usize, query: usize, i: usize, row: *mut f32) {
    // SAFETY: the caller's; all partial vectors stay within the keys.
    unsafe {
        match at {
            At::None => {}
            At::Table(table) => add(simd, keys, row, table.add(query * keys), 0.0),
            At::Relative { side, panels, products, .. } => {
                // Places of the first key; those of the others follow.
                let (y, x) = (side - 1 - query / side, side - 1 - query % side);
                let by_y = products.add(i * panels.padded() + y);
                let by_x = products.add((BLOCK + i) * panels.padded() + x);
                for key_y in 0..side {
                    add(simd, side, row.add(key_y * side), by_x, *by_y.add(key_y));
                }
            }
        }
    }
}

/// to += from + more
///
/// # Safety
/// `count` values can be read at both places, and written at `to`.
#[inline(always)]
unsafe fn add<S: pulp::Simd>(simd: S, count: usize, to: *mut f32, from: *const f32, more: f32) {
    let more = simd.splat_f32s(more);
    for c in (0..count).step_by(lanes::<S>()) {
        // SAFETY: the caller's.
        unsafe {
            let sum = simd.add_f32s(load_some(simd, from.add(c), count - c), more);
            store_some(simd, to.add(c), simd.add_f32s(load_some(simd, to.add(c), count - c), sum), count - c);
        }
    }
}

/// Makes weights of scores; those beyond `keys` become next to nothing (1e-38), and are not used.
///
/// # Safety
/// `row` has room for `padded` values, a multiple of a vector.
#[inline(always)]
unsafe fn softmax<S: pulp::Simd>(simd: S, row: *mut f32, keys: usize, padded: usize) {
    // SAFETY: the caller's.
    unsafe {
        for c in keys..padded {
            row.add(c).write(f32::MIN);
        }
        let mut largest = simd.splat_f32s(f32::MIN);
        for c in (0..padded).step_by(lanes::<S>()) {
            largest = simd.max_f32s(largest, load(simd, row.add(c)));
        }
        let largest = simd.splat_f32s(simd.reduce_max_f32s(largest));
        let mut sum = simd.splat_f32s(0.0);
        for c in (0..padded).step_by(lanes::<S>()) {
            let e = exp(simd, simd.sub_f32s(load(simd, row.add(c)), largest));
            store(simd, row.add(c), e);
            sum = simd.add_f32s(sum, e);
        }
        let share = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
        for c in (0..padded).step_by(lanes::<S>()) {
            store(simd, row.add(c), simd.mul_f32s(load(simd, row.add(c)), share));
        }
    }
}
