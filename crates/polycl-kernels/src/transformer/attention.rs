//! softmax(q kᵀ · scale + position) v, head by head, without a matrix of all scores: some queries at
//! a time meet some keys at a time.

use std::ops::Range;

use super::math::exp;
use super::panels::{Panels, Rows, multiply_panels};
use crate::conv::gemm::ROWS;
use crate::parallel::{Out, filled, for_each};
use crate::scratch;
use crate::shape::Shape;
use crate::simd::{lanes, load, load_some, store, store_some};

/// The channels of each head: head h has channels h · dim .. (h + 1) · dim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    pub count: usize,
    /// Channels of a head.
    pub dim: usize,
    /// Factor of the scores.
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

/// Addition to the scores for the places of query and key in their window.
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
    /// Queries of a map of half the sides, [N, H / 2, W / 2, C], which stand in for those of the pixels;
    /// positions are not for them.
    pub pooled: Option<&'a [f32]>,
}

/// Queries [B, N, C], keys [B, M, C] and values [B, M, V], or of one batch that all share (B = 1) →
/// [B, N, V]. Heads share out V as they do C.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], queries: usize, keys: usize, heads: Heads) -> Vec<f32> {
    let c = heads.channels();
    assert!(queries > 0 && keys > 0 && q.len().is_multiple_of(queries * c));
    assert!(k.len().is_multiple_of(keys * c));
    let (batch_q, batch_k) = (q.len() / (queries * c), k.len() / (keys * c));
    let batch = batch_q.max(batch_k);
    assert!((batch_q == batch || batch_q == 1) && (batch_k == batch || batch_k == 1));
    assert!(v.len().is_multiple_of(batch_k * keys * heads.count));
    let value_dim = v.len() / (batch_k * keys * heads.count);
    let c_v = heads.count * value_dim;
    let tiles = Tiles::new(Sizes { keys, dim: heads.dim, values: value_dim }, TILE);
    let (one, blocks) = (heads.count * tiles.len(), queries.div_ceil(LARGE_BLOCK));
    // As many batches at a time as are worth their memory.
    let together = if batch_k == 1 { batch } else { (PACKED / one).clamp(1, batch) };
    // SAFETY: every head writes its channels of all queries.
    unsafe {
        filled(batch * queries * c_v, |out| {
            for batches in (0..batch).step_by(together).map(|b| b..(b + together).min(batch)) {
                let own = if batch_k == 1 { 1 } else { batches.len() };
                scratch::with(own * one, |packed| {
                    let of = |b: usize, head: usize| (b * heads.count + head) * tiles.len();
                    for_each(own * heads.count * tiles.count(), |i| {
                        let (b, tile) = (i / (heads.count * tiles.count()), i % tiles.count());
                        let (head, bk) = (i / tiles.count() % heads.count, (batches.start + b) % batch_k);
                        let key = |i| part(k, (bk * keys + i) * c + head * heads.dim, heads.dim);
                        let value = |i| part(v, (bk * keys + i) * c_v + head * value_dim, value_dim);
                        let to = packed.part(of(b, head)..of(b, head) + tiles.len());
                        tiles.pack(tile, heads.scale, key, value, to);
                    });
                    for_each(batches.len() * heads.count * blocks, |i| {
                        let (b, first) = (i / (heads.count * blocks), i % blocks * LARGE_BLOCK);
                        let (head, b_q) = (i / blocks % heads.count, (batches.start + b) % batch_q);
                        let row = (batches.start + b) * queries;
                        attend(
                            Packed { tiles, at: packed.at(of(b % own, head), tiles.len()) },
                            first..(first + LARGE_BLOCK).min(queries),
                            Places::NONE,
                            |i| part(q, (b_q * queries + i) * c + head * heads.dim, heads.dim),
                            |i| Some(out.at((row + i) * c_v + head * value_dim, value_dim)),
                        );
                    });
                });
            }
        })
    }
}

fn part(values: &[f32], first: usize, len: usize) -> &[f32] {
    &values[first..][..len]
}

/// Attention within each window of a map whose pixels hold query, key and value one after the other,
/// [N, H, W, 3 C] → [N, H, W, C], or of the queries' own map where they were pooled.
pub fn window_attention(qkv: &[f32], shape: Shape, heads: Heads, windows: Windows<'_>) -> Vec<f32> {
    let (c, side) = (heads.channels(), windows.side);
    assert!(shape.c == 3 * c && qkv.len() == shape.len() && side > 0 && windows.outside.len() == 3 * c);
    let (tiling, tokens) = (Tiling::new(shape, side), side * side);
    // Queries lie in windows of their own, as many as those of the keys.
    let (asking, asked) = match windows.pooled {
        Some(pooled) => {
            let halves = Shape { h: shape.h / 2, w: shape.w / 2, c, ..shape };
            assert!(
                [shape.h, shape.w, side].iter().all(|n| n.is_multiple_of(2)) && pooled.len() == halves.len()
            );
            (Tiling::new(halves, side / 2), pooled)
        }
        None => (tiling, qkv),
    };
    windows.check(heads, tokens);
    // Tiles of whole rows of a window.
    let sizes = Sizes { keys: tokens, dim: heads.dim, values: heads.dim };
    let tiles = Tiles::new(sizes, side * (TILE / side).max(1));
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
            let query = |i: usize| match asking.pixel(window, i) {
                Some(pixel) => part(asked, pixel * asking.shape.c + head * heads.dim, heads.dim),
                None => part(windows.outside, head * heads.dim, heads.dim),
            };
            let places = Places {
                position: windows.position.of_head(head, tokens),
                side,
                packed: Some((relative, packed)),
            };
            let to = |i| asking.pixel(window, i).map(|pixel| out.at(pixel * c + head * heads.dim, heads.dim));
            scratch::with(tiles.len(), |room| {
                let count = asking.side * asking.side;
                // SAFETY: the memory is this thread's, and the places of a head's channels in a
                // window's pixels are its own.
                unsafe {
                    for tile in 0..tiles.count() {
                        tiles.pack(tile, heads.scale, |i| token(i, 1), |i| token(i, 2), room);
                    }
                    let packed = Packed { tiles, at: room.at(0, tiles.len()) };
                    for first in (0..count).step_by(BLOCK) {
                        attend(packed, first..(first + BLOCK).min(count), places, query, to);
                    }
                }
            });
        };
        // SAFETY: every window writes its tokens within the map, every head its channels.
        unsafe {
            filled(asking.shape.len() / asking.shape.c * c, |out| {
                for_each(tiling.count() * heads.count / together, |task| {
                    for i in task * together..(task + 1) * together {
                        one_head(i / heads.count, i % heads.count, out);
                    }
                });
            })
        }
    })
}

/// The windows of a map.
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
    /// The part of one head.
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
        assert!(self.pooled.is_none() || matches!(self.position, Position::None));
        match self.position {
            Position::None => {}
            Position::Table(table) => assert_eq!(table.len(), heads.count * tokens * tokens),
            Position::Relative { y, x } => {
                assert!(y.len() == x.len() && y.len() == (2 * self.side - 1) * heads.dim);
            }
        }
    }
}

/// Keys of one head, their channels and those of their values.
#[derive(Clone, Copy)]
struct Sizes {
    keys: usize,
    dim: usize,
    values: usize,
}

/// Keys and values of one head in tiles that fit a cache: the panels of a tile's keys, then those of its
/// values.
#[derive(Clone, Copy)]
struct Tiles {
    sizes: Sizes,
    /// Keys of a tile.
    tile: usize,
}

impl Tiles {
    fn new(sizes: Sizes, tile: usize) -> Self {
        Self { sizes, tile: tile.min(sizes.keys) }
    }

    fn count(self) -> usize {
        self.sizes.keys.div_ceil(self.tile)
    }

    fn keys(self, tile: usize) -> Range<usize> {
        tile * self.tile..((tile + 1) * self.tile).min(self.sizes.keys)
    }

    /// Keys and values of `keys` keys.
    fn panels(self, keys: usize) -> (Panels, Panels) {
        (Panels::new(keys, self.sizes.dim), Panels::new(self.sizes.values, keys))
    }

    /// Values from one tile to the next.
    fn step(self) -> usize {
        let (keys, values) = self.panels(self.tile);
        keys.len() + values.len()
    }

    fn len(self) -> usize {
        self.count() * self.step()
    }

    /// # Safety
    /// `to` has room for all tiles, and no other thread uses this one.
    unsafe fn pack<'v>(
        self,
        tile: usize,
        scale: f32,
        key: impl Fn(usize) -> &'v [f32],
        value: impl Fn(usize) -> &'v [f32],
        to: Out<'_>,
    ) {
        let range = self.keys(tile);
        let (keys, values) = self.panels(range.len());
        let first = tile * self.step();
        let (k, v) = (first..first + keys.len(), first + keys.len()..first + keys.len() + values.len());
        // SAFETY: the caller's.
        unsafe {
            let k = to.part(k);
            (0..keys.count()).for_each(|i| keys.pack_rows(i, |i| key(range.start + i), scale, k));
            let v = to.part(v);
            range.clone().for_each(|i| values.pack_columns(i - range.start, value(i), v));
        }
    }
}

/// [`Tiles`] that have been packed.
#[derive(Clone, Copy)]
struct Packed {
    tiles: Tiles,
    at: *const f32,
}

/// Positions of one head; the tables of relative ones in panels, y before x.
#[derive(Clone, Copy)]
struct Places<'a> {
    position: Position<'a>,
    side: usize,
    packed: Option<(Panels, Out<'a>)>,
}

impl Places<'_> {
    const NONE: Self = Self { position: Position::None, side: 0, packed: None };
}

/// Keys that are met together, about.
const TILE: usize = 256;
/// Queries that meet a tile together: those of a window, and of many more keys.
const BLOCK: usize = 32;
const LARGE_BLOCK: usize = 128;
/// Values of keys and values that are packed at a time, about, if there are several batches.
const PACKED: usize = 1 << 23;

/// A block of queries of one head. The result of query i is written where `to(i)` says.
///
/// # Safety
/// All tiles have been packed. Where `to` says, there is room for the head's values, and no other thread
/// writes there.
unsafe fn attend<'v>(
    packed: Packed,
    queries: Range<usize>,
    places: Places<'_>,
    query: impl Fn(usize) -> &'v [f32],
    to: impl Fn(usize) -> Option<*mut f32>,
) {
    let Sizes { dim, values, .. } = packed.tiles.sizes;
    let (by_key, by_value) = packed.tiles.panels(packed.tiles.tile);
    let whole = queries.len().next_multiple_of(ROWS);
    let relative = places.packed.map_or(0, |(panels, _)| whole * panels.padded());
    let sizes = [whole * dim, whole * by_key.padded(), whole * by_value.padded(), whole, whole, 2 * relative];
    scratch::with(sizes.iter().sum(), |room| {
        let mut next = 0;
        let [q, scores, outputs, largest, sums, relative] = sizes.map(|size| {
            next += size;
            room.part(next - size..next)
        });
        for i in 0..whole {
            let row = query((queries.start + i).min(queries.end - 1));
            // SAFETY: room for a block of queries; a row has `dim` values.
            unsafe { q.at(i * dim, dim).copy_from_nonoverlapping(row.as_ptr(), dim) };
        }
        let block = Block {
            first: queries.start,
            count: queries.len(),
            whole,
            packed,
            q: q.at(0, q.len()),
            scores: scores.at(0, scores.len()),
            outputs: outputs.at(0, outputs.len()),
            largest: largest.at(0, whole),
            sums: sums.at(0, whole),
            position: At::new(places, relative),
        };
        // SAFETY: the caller's, and there is room for a block.
        unsafe { block_of_queries(block) };
        for i in 0..queries.len() {
            if let Some(to) = to(queries.start + i) {
                let from = outputs.at(i * by_value.padded(), values);
                // SAFETY: the caller's, and the products are there.
                unsafe { to.copy_from_nonoverlapping(from, values) };
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
    packed: Packed,
    q: *const f32,
    scores: *mut f32,
    outputs: *mut f32,
    /// Largest score of each query so far, and the sum of the exponentials beside it.
    largest: *mut f32,
    sums: *mut f32,
    position: At,
}

/// [`Places`] without lifetimes.
#[derive(Clone, Copy)]
enum At {
    None,
    Table(*const f32),
    Relative { side: usize, panels: Panels, tables: *const f32, products: *mut f32, block: usize },
}

impl At {
    fn new(places: Places<'_>, room: Out<'_>) -> Self {
        match (places.position, places.packed) {
            (Position::Table(table), _) => Self::Table(table.as_ptr()),
            (Position::Relative { .. }, Some((panels, packed))) => Self::Relative {
                side: places.side,
                panels,
                tables: packed.at(0, 2 * panels.len()),
                products: room.at(0, room.len()),
                block: room.len() / (2 * panels.padded()),
            },
            _ => Self::None,
        }
    }
}

vectorised! {
    /// Softmax as the tiles come, by Milakov and Gimelshein, "Online normalizer calculation for softmax"
    /// (2018).
    ///
    /// # Safety
    /// The matrices of the block are packed as its [`Tiles`] say, and there is room for a block of
    /// scores, of outputs and of products with tables.
    unsafe fn block_of_queries<S>(simd, block: Block) {
        let tiles = block.packed.tiles;
        let dim = tiles.sizes.dim;
        let (by_key, by_value) = tiles.panels(tiles.tile);
        let (score_row, output_row) = (by_key.padded(), by_value.padded());
        let times = |panels: *const f32, shape: Panels, product: *mut f32, product_row: usize| Rows {
            count: block.whole, left: block.q, left_row: dim, panels, shape,
            wanted: shape.count(), product, product_row, add: false,
        };
        if let At::Relative { panels, tables, products, .. } = block.position {
            multiply_panels(simd, times(tables, panels, products, panels.padded()));
            let second = products.add(block.whole * panels.padded());
            multiply_panels(simd, times(tables.add(panels.len()), panels, second, panels.padded()));
        }
        block.outputs.write_bytes(0, block.whole * output_row);
        for i in 0..block.whole {
            block.largest.add(i).write(f32::MIN);
            block.sums.add(i).write(0.0);
        }
        for tile in 0..tiles.count() {
            let (start, count) = (tile * tiles.tile, tiles.tile.min(tiles.sizes.keys - tile * tiles.tile));
            let (keys, values) = tiles.panels(count);
            let k = block.packed.at.add(tile * tiles.step());
            multiply_panels(simd, times(k, keys, block.scores, score_row));
            for i in 0..block.whole {
                let row = block.scores.add(i * score_row);
                if i < block.count {
                    add_position(simd, block.position, tiles.sizes.keys, [start, count], block.first + i, i, row);
                }
                let state = (block.largest.add(i), block.sums.add(i));
                let output = block.outputs.add(i * output_row);
                weigh(simd, row, count, keys.padded(), state, output, output_row);
            }
            multiply_panels(simd, Rows {
                count: block.whole, left: block.scores, left_row: score_row, panels: k.add(keys.len()),
                shape: values, wanted: values.count(), product: block.outputs, product_row: output_row, add: true,
            });
        }
        for i in 0..block.count {
            scale(simd, block.outputs.add(i * output_row), output_row, 1.0 / *block.sums.add(i));
        }
    }
}

/// # Safety
/// `row` holds the scores of query `query` with `count` keys from `start` on, which is row `i` of the
/// products with the tables; keys of relative positions come in whole rows of the window.
#[inline(always)]
unsafe fn add_position<S: pulp::Simd>(
    simd: S,
    at: At,
    keys: usize,
    [start, count]: [usize; 2],
    query: usize,
    i: usize,
    row: *mut f32,
) {
    // SAFETY: the caller's; all partial vectors stay within the keys.
    unsafe {
        match at {
            At::None => {}
            At::Table(table) => add(simd, count, row, table.add(query * keys + start), 0.0),
            At::Relative { side, panels, products, block, .. } => {
                // Places of the first key; those of the others follow.
                let (y, x) = (side - 1 - query / side, side - 1 - query % side);
                let by_y = products.add(i * panels.padded() + y);
                let by_x = products.add((block + i) * panels.padded() + x);
                for key_y in 0..count / side {
                    add(simd, side, row.add(key_y * side), by_x, *by_y.add(start / side + key_y));
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

/// Makes weights of a tile's scores, relative to the largest score so far, and those of the tiles before
/// relative to it, too; those beyond `keys` become next to nothing (1e-38).
///
/// # Safety
/// `row` has room for `padded` values, a multiple of a vector, and `output` for `len`, another one; the
/// state, which is the largest score and the sum of weights, can be read and written.
#[inline(always)]
unsafe fn weigh<S: pulp::Simd>(
    simd: S,
    row: *mut f32,
    keys: usize,
    padded: usize,
    (largest, sum): (*mut f32, *mut f32),
    output: *mut f32,
    len: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        for c in keys..padded {
            row.add(c).write(f32::MIN);
        }
        let before = *largest;
        let mut now = simd.splat_f32s(before);
        for c in (0..padded).step_by(lanes::<S>()) {
            now = simd.max_f32s(now, load(simd, row.add(c)));
        }
        let now = simd.reduce_max_f32s(now);
        *largest = now;
        let mut total = simd.splat_f32s(0.0);
        for c in (0..padded).step_by(lanes::<S>()) {
            let e = exp(simd, simd.sub_f32s(load(simd, row.add(c)), simd.splat_f32s(now)));
            store(simd, row.add(c), e);
            total = simd.add_f32s(total, e);
        }
        let total = simd.reduce_sum_f32s(total);
        if now == before {
            *sum += total;
        } else {
            let shrunk = simd.reduce_max_f32s(exp(simd, simd.splat_f32s(before - now)));
            *sum = *sum * shrunk + total;
            scale(simd, output, len, shrunk);
        }
    }
}

/// # Safety
/// `row` has `len` values, a multiple of a vector.
#[inline(always)]
unsafe fn scale<S: pulp::Simd>(simd: S, row: *mut f32, len: usize, factor: f32) {
    let factor = simd.splat_f32s(factor);
    for c in (0..len).step_by(lanes::<S>()) {
        // SAFETY: the caller's.
        unsafe { store(simd, row.add(c), simd.mul_f32s(load(simd, row.add(c)), factor)) };
    }
}
