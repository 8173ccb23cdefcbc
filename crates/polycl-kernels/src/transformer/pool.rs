use std::ops::Range;

use rayon::prelude::*;

use crate::shape::Shape;

/// The largest of every 2×2 pixels, for some channels of a map with even sides: [N, H, W, C] →
/// [N, H / 2, W / 2, channels].
pub fn max_pool(x: &[f32], shape: Shape, channels: Range<usize>) -> Vec<f32> {
    assert!(x.len() == shape.len() && !shape.is_empty() && !channels.is_empty() && channels.end <= shape.c);
    assert!(shape.h.is_multiple_of(2) && shape.w.is_multiple_of(2), "{shape:?}");
    let mut pooled = vec![0.0; x.len() / shape.c / 4 * channels.len()];
    let rows = x.par_chunks_exact(2 * shape.row());
    pooled.par_chunks_exact_mut(shape.w / 2 * channels.len()).zip(rows).for_each(|(to, rows)| {
        let (upper, lower) = rows.split_at(shape.row());
        for (i, to) in to.chunks_exact_mut(channels.len()).enumerate() {
            let [left, right] = [0, 1].map(|dx| (2 * i + dx) * shape.c + channels.start);
            let corners = [&upper[left..], &upper[right..], &lower[left..], &lower[right..]];
            let [a, b, c, d] = corners.map(|corner| &corner[..to.len()]);
            for (k, to) in to.iter_mut().enumerate() {
                *to = a[k].max(b[k]).max(c[k].max(d[k]));
            }
        }
    });
    pooled
}
