//! Scaling of one plane: the mean of the area when it shrinks, linear interpolation when it grows.

use super::source::Sample;

/// Scales `src` (`src_size` samples, rows `src_stride` apart) into `dst`, whose rows have no gap.
///
/// `step` interleaved channels are scaled apart: 1 for a plane, 2 for chroma pairs; sizes count
/// groups of `step`. Nothing is written if a size is zero.
pub(crate) fn scale_plane<T: Sample>(
    src: &[T],
    src_stride: usize,
    src_size: (usize, usize),
    dst: &mut [T],
    dst_stride: usize,
    dst_size: (usize, usize),
    step: usize,
) {
    if src_size.0 == 0 || src_size.1 == 0 || dst_size.0 == 0 || dst_size.1 == 0 {
        return;
    }
    let columns = weights(src_size.0, dst_size.0);
    let rows = weights(src_size.1, dst_size.1);
    // Rows first, so that each source row is walked once per row it contributes to.
    let mut sums = vec![0.0_f32; src_size.0 * step];
    for (row, dst) in rows.iter().zip(dst.chunks_mut(dst_stride)) {
        sums.fill(0.0);
        for &(y, weight) in row {
            for (sum, &sample) in sums.iter_mut().zip(&src[y * src_stride..]) {
                let value: u32 = sample.into();
                *sum += value as f32 * weight;
            }
        }
        for (column, group) in columns.iter().zip(dst.chunks_exact_mut(step)) {
            for (channel, sample) in group.iter_mut().enumerate() {
                let value = column
                    .iter()
                    .map(|&(x, weight)| sums[x * step + channel] * weight);
                *sample = T::from_f32(value.sum());
            }
        }
    }
}

/// For each of `to` places: which of `from` samples it takes, and how much of each; sums are 1.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let ratio = from as f64 / to as f64;
    (0..to)
        .map(|place| {
            if to >= from {
                let centre = ((place as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
                let lower = centre as usize;
                let upper = (lower + 1).min(from - 1);
                let share = (centre - lower as f64) as f32;
                return vec![(lower, 1.0 - share), (upper, share)];
            }
            let (begin, end) = (place as f64 * ratio, (place + 1) as f64 * ratio);
            let last = (end.ceil() as usize).min(from);
            (begin as usize..last)
                .map(|sample| {
                    let part = end.min((sample + 1) as f64) - begin.max(sample as f64);
                    (sample, (part / ratio) as f32)
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(src: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let mut dst = vec![0; to.0 * to.1];
        scale_plane(src, from.0, from, &mut dst, to.0, to, 1);
        dst
    }

    #[test]
    fn shrinking_takes_the_mean_of_the_area() {
        assert_eq!(scaled(&[10, 20, 30, 40], (4, 1), (2, 1)), [15, 35]);
        assert_eq!(scaled(&[0, 30, 60], (3, 1), (2, 1)), [10, 50]);
        assert_eq!(scaled(&[10, 20, 30, 40], (2, 2), (1, 1)), [25]);
    }

    #[test]
    fn growing_interpolates_and_keeps_the_edges() {
        assert_eq!(scaled(&[0, 100], (2, 1), (4, 1)), [0, 25, 75, 100]);
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let src = [1, 250, 3, 44, 5, 66];
        assert_eq!(scaled(&src, (3, 2), (3, 2)), src);
    }

    #[test]
    fn pairs_are_scaled_apart() {
        let mut dst = [0; 2];
        scale_plane(&[10_u8, 100, 20, 200], 4, (2, 1), &mut dst, 2, (1, 1), 2);
        assert_eq!(dst, [15, 150]);
    }
}
