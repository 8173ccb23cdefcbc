//! The innermost kernel of every convolution: a few rows times a panel of columns.

use pulp::Simd;

use crate::simd::{fma, lanes, load, store, width};

/// Rows of a product are padded to multiples of this.
pub const ROWS: usize = 8;

/// Values in a panel of columns: one or two vectors.
pub fn panel_width(columns: usize) -> usize {
    if columns <= width() { width() } else { 2 * width() }
}

/// A vector register for each of R rows and V vectors of columns.
pub type Tile<S, const R: usize, const V: usize> = [[<S as Simd>::f32s; V]; R];

/// tile[r][·] += Σ_k rows[r][k · row_step] · columns[k · column_step + ·], k in 0..depth.
///
/// # Safety
/// For every k, `rows[r]` can be read at `k · row_step`, and `columns` for V vectors at
/// `k · column_step`.
#[inline(always)]
pub unsafe fn accumulate<S: Simd, const R: usize, const V: usize>(
    simd: S,
    tile: &mut Tile<S, R, V>,
    depth: usize,
    rows: &[*const f32; R],
    row_step: usize,
    columns: *const f32,
    column_step: usize,
) {
    for k in 0..depth {
        // SAFETY: the caller's.
        unsafe {
            let columns = columns.add(k * column_step);
            let mut column = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                column[v] = load(simd, columns.add(v * lanes::<S>()));
            }
            for r in 0..R {
                let value = simd.splat_f32s(*rows[r].add(k * row_step));
                for v in 0..V {
                    tile[r][v] = fma(simd, value, column[v], tile[r][v]);
                }
            }
        }
    }
}

/// Two matrices and where their product goes. Element (r, k) of the left one is at
/// `left + r · left_row + k · left_step`; row k of the right one at `right + k · right_step`; row r
/// of the product at `product + r · product_row`.
#[derive(Clone, Copy)]
pub struct Product {
    pub depth: usize,
    pub left: *const f32,
    pub left_row: usize,
    pub left_step: usize,
    pub right: *const f32,
    pub right_step: usize,
    pub product: *mut f32,
    pub product_row: usize,
    /// Add the product to the values there, instead of replacing them.
    pub add: bool,
}

/// One panel of V vectors of the product of `rows` (a multiple of [`ROWS`]) rows.
///
/// # Safety
/// Every element that [`Product`] names can be read, every row of the product written for V
/// vectors, and read if it is added to.
#[inline(always)]
pub unsafe fn multiply<S: Simd>(simd: S, rows: usize, vectors: usize, p: Product) {
    // A tile, the vectors of one row of the panel and a broadcast value must fit the registers.
    let few_registers = S::REGISTER_COUNT < 32;
    for r in (0..rows).step_by(ROWS) {
        // SAFETY: the caller's; rows r..r + ROWS belong to the matrices.
        unsafe {
            let p =
                Product { left: p.left.add(r * p.left_row), product: p.product.add(r * p.product_row), ..p };
            match (vectors, few_registers) {
                (1, _) => rows_of::<S, ROWS, 1>(simd, p),
                (_, false) => rows_of::<S, ROWS, 2>(simd, p),
                (_, true) => {
                    rows_of::<S, 4, 2>(simd, p);
                    let (left, product) = (p.left.add(4 * p.left_row), p.product.add(4 * p.product_row));
                    rows_of::<S, 4, 2>(simd, Product { left, product, ..p });
                }
            }
        }
    }
}

/// # Safety
/// As [`multiply`], for R rows.
#[inline(always)]
unsafe fn rows_of<S: Simd, const R: usize, const V: usize>(simd: S, p: Product) {
    // SAFETY: the caller's.
    unsafe {
        let mut tile: Tile<S, R, V> = [[simd.splat_f32s(0.0); V]; R];
        if p.add {
            for r in 0..R {
                for v in 0..V {
                    tile[r][v] = load(simd, p.product.add(r * p.product_row + v * lanes::<S>()));
                }
            }
        }
        let mut rows = [p.left; R];
        for r in 0..R {
            rows[r] = p.left.add(r * p.left_row);
        }
        accumulate(simd, &mut tile, p.depth, &rows, p.left_step, p.right, p.right_step);
        for r in 0..R {
            for v in 0..V {
                store(simd, p.product.add(r * p.product_row + v * lanes::<S>()), tile[r][v]);
            }
        }
    }
}
