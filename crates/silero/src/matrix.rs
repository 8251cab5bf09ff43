//! Products of matrices, in the order in which a processor is quick at them.

/// A matrix of weights with an offset for each row. Rows lie in blocks of `LANES`, so that as many
/// are computed side by side.
pub(crate) struct Matrix<const LANES: usize> {
    blocks: Vec<[f32; LANES]>,
    offsets: Vec<f32>,
    n_columns: usize,
}

impl<const LANES: usize> Matrix<LANES> {
    /// From weights row by row; `LANES` divides the number of rows.
    pub(crate) fn new(rows: &[f32], offsets: Vec<f32>) -> Self {
        let n_columns = rows.len() / offsets.len();
        debug_assert_eq!(offsets.len() % LANES, 0);
        let mut blocks = Vec::with_capacity(rows.len() / LANES);
        for first in (0..offsets.len()).step_by(LANES) {
            for column in 0..n_columns {
                blocks.push(std::array::from_fn(|lane| {
                    rows[(first + lane) * n_columns + column]
                }));
            }
        }
        Self {
            blocks,
            offsets,
            n_columns,
        }
    }

    /// The products with `T` vectors at once: `input[column][t]` to `output[row][t]`.
    pub(crate) fn times<const T: usize>(&self, input: &[[f32; T]], output: &mut [[f32; T]]) {
        debug_assert_eq!(input.len(), self.n_columns);
        let blocks = self.blocks.chunks_exact(self.n_columns);
        let rows = output.chunks_exact_mut(LANES);
        for ((block, rows), offsets) in blocks.zip(rows).zip(self.offsets.chunks_exact(LANES)) {
            let mut sums = [[0.0; LANES]; T];
            for (weights, values) in block.iter().zip(input) {
                for (sums, value) in sums.iter_mut().zip(values) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += weight * value;
                    }
                }
            }
            for (lane, (row, offset)) in rows.iter_mut().zip(offsets).enumerate() {
                *row = std::array::from_fn(|t| sums[t][lane] + offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_times_columns_plus_offset() {
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let matrix = Matrix::<2>::new(&rows, vec![0.0, 10.0, 20.0, 30.0]);
        let mut output = [[0.0; 2]; 4];
        matrix.times(&[[1.0, 0.5], [10.0, 0.0]], &mut output);
        let expected = [[21.0, 0.5], [53.0, 11.5], [85.0, 22.5], [117.0, 33.5]];
        assert_eq!(output, expected);
    }
}
