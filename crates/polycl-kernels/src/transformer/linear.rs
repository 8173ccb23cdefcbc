use super::activation::Activation;
use super::panels::{Panels, Rows, multiply_panels};
use crate::conv::gemm::ROWS;
use crate::parallel::{Out, filled, for_each};
use crate::scratch;
use crate::simd::{lanes, load_some, store_some};

/// A matrix [outputs, inputs], as PyTorch has it, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub outputs: usize,
    pub inputs: usize,
    pub activation: Activation,
}

/// Rows that share what they read of the weights.
const BLOCK: usize = 64;
/// Panels of columns that are one task's.
const PANELS: usize = 8;

/// activation(x Wᵀ + b + residual): [rows, inputs] → [rows, outputs]. A residual of fewer rows begins
/// anew where it ends.
pub fn linear(x: &[f32], layer: Linear<'_>, residual: Option<&[f32]>) -> Vec<f32> {
    let Linear { weight, bias, outputs, inputs, .. } = layer;
    assert!(inputs > 0 && outputs > 0 && x.len().is_multiple_of(inputs), "{} values", x.len());
    assert!(weight.len() == outputs * inputs && bias.is_none_or(|bias| bias.len() == outputs));
    let rows = x.len() / inputs;
    let residual = residual.map(|values| Residual::new(values, rows, outputs));
    let panels = Panels::new(outputs, inputs);
    let (blocks, groups) = (rows.div_ceil(BLOCK), panels.count().div_ceil(PANELS));
    scratch::with(panels.len(), |packed| {
        for_each(panels.count(), |i| {
            // SAFETY: one task for each panel.
            unsafe { panels.pack_rows(i, |row| &weight[row * inputs..][..inputs], 1.0, packed) };
        });
        // SAFETY: the tasks write all columns of all rows.
        unsafe {
            filled(rows * outputs, |out| {
                for_each(blocks * groups, |task| {
                    block(x, layer, residual, panels, packed, [task / groups, task % groups], out);
                });
            })
        }
    })
}

/// Rows that are added to the product; row r is row r modulo `rows`.
#[derive(Clone, Copy)]
struct Residual<'a> {
    values: &'a [f32],
    rows: usize,
}

impl<'a> Residual<'a> {
    fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        let own = values.len() / columns;
        assert!(values.len().is_multiple_of(columns) && (rows == 0 || own > 0 && rows.is_multiple_of(own)));
        Self { values, rows: own }
    }
}

/// One block of rows times one group of panels.
///
/// # Safety
/// `packed` holds the panels; no other task writes this block and group.
unsafe fn block(
    x: &[f32],
    layer: Linear<'_>,
    residual: Option<Residual<'_>>,
    panels: Panels,
    packed: Out<'_>,
    [block, group]: [usize; 2],
    out: Out<'_>,
) {
    let Linear { inputs, outputs, .. } = layer;
    let x = &x[block * BLOCK * inputs..];
    let rows = (x.len() / inputs).min(BLOCK);
    let (first, wanted) = (group * PANELS, PANELS.min(panels.count() - group * PANELS));
    let (column, padded) = (first * panels.width, wanted * panels.width);
    let columns = padded.min(outputs - column);
    let whole = rows.next_multiple_of(ROWS);
    // Rows are multiplied some at a time: what is missing of the last few is made up.
    let copy = if whole == rows { 0 } else { whole * inputs };
    scratch::with(copy + whole * padded, |room| {
        let left = if copy == 0 { x.as_ptr() } else { padded_rows(&x[..rows * inputs], copy, room) };
        let first_panel = packed.at(first * inputs * panels.width, wanted * inputs * panels.width);
        let product = room.at(copy, whole * padded);
        let rows_of = Rows {
            count: whole,
            left,
            left_row: inputs,
            panels: first_panel,
            shape: panels,
            wanted,
            product,
            product_row: padded,
            add: false,
        };
        let finish = Finish {
            bias: layer.bias.map(|bias| bias[column..][..columns].as_ptr()),
            residual: residual.map(|r| (r.values[column..].as_ptr(), r.rows)),
            first: block * BLOCK,
            rows,
            columns,
            row: outputs,
            to: out.at(block * BLOCK * outputs + column, (rows - 1) * outputs + columns),
            activation: layer.activation,
        };
        // SAFETY: the left side has `whole` rows, the product room for them.
        unsafe { multiply_and_finish(rows_of, finish) };
    });
}

/// The rows, and zeros up to `len` values.
fn padded_rows(x: &[f32], len: usize, room: Out<'_>) -> *const f32 {
    let place = room.at(0, len);
    // SAFETY: there is room for `len` values.
    unsafe {
        place.copy_from_nonoverlapping(x.as_ptr(), x.len());
        place.add(x.len()).write_bytes(0, len - x.len());
    }
    place
}

/// The end of a product: its first `rows` rows and `columns` columns go `to` rows that are `row`
/// values apart, as those of the residual are, whose first is added to row 0 of all.
#[derive(Clone, Copy)]
struct Finish {
    bias: Option<*const f32>,
    residual: Option<(*const f32, usize)>,
    /// The number of the first row.
    first: usize,
    rows: usize,
    columns: usize,
    row: usize,
    to: *mut f32,
    activation: Activation,
}

vectorised! {
    /// # Safety
    /// As [`multiply_panels`]; `finish` names bias, residual and target of at least as many rows and
    /// columns as it has.
    unsafe fn multiply_and_finish<S>(simd, rows: Rows, finish: Finish) {
        multiply_panels(simd, rows);
        for r in 0..finish.rows {
            let own = |(first, rows): (*const f32, usize)| first.wrapping_add((finish.first + r) % rows * finish.row);
            let residual = finish.residual.map(own);
            for c in (0..finish.columns).step_by(lanes::<S>()) {
                let count = finish.columns - c;
                let mut y = load_some(simd, rows.product.add(r * rows.product_row + c), count);
                if let Some(bias) = finish.bias {
                    y = simd.add_f32s(y, load_some(simd, bias.add(c), count));
                }
                if let Some(residual) = residual {
                    y = simd.add_f32s(y, load_some(simd, residual.add(c), count));
                }
                let y = finish.activation.of(simd, y);
                store_some(simd, finish.to.add(r * finish.row + c), y, count);
            }
        }
    }
}
