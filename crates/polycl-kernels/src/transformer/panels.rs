//! Products of matrices whose right side is stored in panels of columns.

use crate::conv::gemm::{Product, multiply, panel_width};
use crate::parallel::Out;
use crate::simd::width;

/// Columns of a right side in panels: [panel][depth][panel width], zero beyond the last column.
#[derive(Debug, Clone, Copy)]
pub struct Panels {
    pub columns: usize,
    pub depth: usize,
    /// Columns in a panel.
    pub width: usize,
}

impl Panels {
    pub fn new(columns: usize, depth: usize) -> Self {
        Self { columns, depth, width: panel_width(columns) }
    }

    pub fn count(self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// Columns with those that fill the last panel.
    pub fn padded(self) -> usize {
        self.count() * self.width
    }

    /// Values of all panels.
    pub fn len(self) -> usize {
        self.padded() * self.depth
    }

    /// Writes panel `i` of the transpose of a matrix whose row r is what `row` copies to a place.
    /// Rows of weights are such, and keys.
    ///
    /// # Safety
    /// No other thread uses this panel.
    pub unsafe fn pack_rows<'r>(self, i: usize, row: impl Fn(usize) -> &'r [f32], scale: f32, to: Out<'_>) {
        let panel = to.at(i * self.depth * self.width, self.depth * self.width);
        let columns = i * self.width..(i * self.width + self.width).min(self.columns);
        let rows: Vec<&[f32]> = columns.map(|c| &row(c)[..self.depth]).collect();
        for k in 0..self.depth {
            // SAFETY: places within the panel, one after the other.
            unsafe {
                let place = panel.add(k * self.width);
                for (column, row) in rows.iter().enumerate() {
                    place.add(column).write(scale * row[k]);
                }
                place.add(rows.len()).write_bytes(0, self.width - rows.len());
            }
        }
    }

    /// Writes row k of the right side, `values`, into all panels.
    ///
    /// # Safety
    /// No other thread uses this row of the panels.
    pub unsafe fn pack_columns(self, k: usize, values: &[f32], to: Out<'_>) {
        debug_assert_eq!(values.len(), self.columns);
        for (i, part) in values.chunks(self.width).enumerate() {
            let place = to.at((i * self.depth + k) * self.width, self.width);
            // SAFETY: a row of a panel belongs to this k.
            unsafe {
                place.copy_from_nonoverlapping(part.as_ptr(), part.len());
                place.add(part.len()).write_bytes(0, self.width - part.len());
            }
        }
    }
}

/// Some rows times some panels.
#[derive(Clone, Copy)]
pub struct Rows {
    /// A multiple of [`crate::conv::gemm::ROWS`].
    pub count: usize,
    pub left: *const f32,
    /// Distance between rows of the left side.
    pub left_row: usize,
    /// The first panel.
    pub panels: *const f32,
    pub shape: Panels,
    /// Number of panels.
    pub wanted: usize,
    pub product: *mut f32,
    pub product_row: usize,
    /// Add the product to the values there.
    pub add: bool,
}

/// # Safety
/// Rows of the left side can be read for the panels' depth, the panels can be read, and every row of
/// the product can be written for all wanted panels, and read
/// if it is added to.
#[inline(always)]
pub unsafe fn multiply_panels<S: pulp::Simd>(simd: S, rows: Rows) {
    let Panels { depth, width: panel, .. } = rows.shape;
    for i in 0..rows.wanted {
        // SAFETY: the caller's.
        unsafe {
            let product = Product {
                depth,
                left: rows.left,
                left_row: rows.left_row,
                left_step: 1,
                right: rows.panels.add(i * depth * panel),
                right_step: panel,
                product: rows.product.add(i * panel),
                product_row: rows.product_row,
                add: rows.add,
            };
            multiply(simd, rows.count, panel / width(), product);
        }
    }
}
