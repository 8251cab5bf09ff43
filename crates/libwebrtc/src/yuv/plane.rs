//! Borrowed planes: rows of samples with a stride, checked once so that rows can be taken freely.

/// A plane to read.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a, T> {
    data: &'a [T],
    stride: usize,
    row_len: usize,
    rows: usize,
    flip: bool,
}

impl<'a, T> Plane<'a, T> {
    /// `None` unless `data` holds `rows` rows of `row_len` samples, each `stride` after the last.
    pub(crate) fn new(
        data: &'a [T],
        stride: u32,
        row_len: usize,
        rows: usize,
        flip: bool,
    ) -> Option<Self> {
        let stride = fits(data.len(), stride, row_len, rows)?;
        Some(Self {
            data,
            stride,
            row_len,
            rows,
            flip,
        })
    }

    /// Row `y`, counted from the bottom if the plane is flipped.
    pub(crate) fn row(&self, y: usize) -> &'a [T] {
        let y = if self.flip { self.rows - 1 - y } else { y };
        &self.data[y * self.stride..][..self.row_len]
    }

    pub(crate) fn row_len(&self) -> usize {
        self.row_len
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// A plane to write.
pub(crate) struct PlaneMut<'a, T> {
    data: &'a mut [T],
    stride: usize,
    row_len: usize,
}

impl<'a, T> PlaneMut<'a, T> {
    /// As [`Plane::new`].
    pub(crate) fn new(data: &'a mut [T], stride: u32, row_len: usize, rows: usize) -> Option<Self> {
        let stride = fits(data.len(), stride, row_len, rows)?;
        Some(Self {
            data,
            stride,
            row_len,
        })
    }

    pub(crate) fn row(&mut self, y: usize) -> &mut [T] {
        &mut self.data[y * self.stride..][..self.row_len]
    }
}

/// The stride, if rows neither overlap nor leave the data.
fn fits(len: usize, stride: u32, row_len: usize, rows: usize) -> Option<usize> {
    let stride = stride as usize;
    let end = stride
        .checked_mul(rows.checked_sub(1)?)?
        .checked_add(row_len)?;
    (stride >= row_len && end <= len).then_some(stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_may_end_before_its_stride() {
        let data = [1, 2, 9, 3, 4];
        let plane = Plane::new(&data, 3, 2, 2, false).expect("two rows of two fit");
        assert_eq!((plane.row(0), plane.row(1)), (&[1, 2][..], &[3, 4][..]));
    }

    #[test]
    fn a_flipped_plane_is_read_from_the_bottom() {
        let plane = Plane::new(&[1, 2, 3], 1, 1, 3, true).expect("three rows of one fit");
        assert_eq!([0, 1, 2].map(|y| plane.row(y)[0]), [3, 2, 1]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (stride, row_len, rows) in [
            (2, 3, 1),
            (3, 3, 2),
            (0, 1, 1),
            (1, 1, 0),
            (u32::MAX, 1, usize::MAX),
        ] {
            assert!(Plane::new(&[0_u8; 5], stride, row_len, rows, false).is_none());
        }
    }
}
