//! The lines that wait for the database's answer, and what it has said about the first of them.

use std::ops::Range;

use crate::point::{Point, line_protocol};
use crate::sink::{Pending, Receipt, Rejected};

/// Points as line protocol, in the order they came.
///
/// Answers come from the front: the points before `settled` have theirs, so a batch whose writing was interrupted
/// goes on where it stopped.
#[derive(Debug, Default)]
pub(super) struct Batch {
    lines: Vec<u8>,
    points: Vec<Mark>,
    settled: usize,
    receipt: Receipt,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    sequence: u64,
    /// Where the point's line ends in `lines`.
    end: usize,
}

impl Batch {
    /// Adds a point. One that line protocol cannot carry is rejected at once.
    pub fn push(&mut self, sequence: u64, point: &Point<'_>) {
        // A panic over the point before this one, caught around its message, may have left half a line.
        self.lines.truncate(self.start(self.points.len()));
        match line_protocol::encode(point, &mut self.lines) {
            Ok(()) => self.points.push(Mark { sequence, end: self.lines.len() }),
            Err(error) => self.receipt.rejected.push(Rejected {
                sequence,
                point: line_protocol::shown(point),
                message: error.to_string(),
            }),
        }
    }

    pub fn pending(&self) -> Pending {
        Pending { points: self.points.len() - self.settled, bytes: self.lines.len() - self.start(self.settled) }
    }

    /// The next points to write: as many as fit into `bytes_max`, and at least one; `None` when all are settled.
    pub fn next(&self, bytes_max: usize) -> Option<Range<usize>> {
        if self.settled == self.points.len() {
            return None;
        }
        let start = self.start(self.settled);
        let fitting = self.points[self.settled..].partition_point(|point| point.end - start <= bytes_max);
        Some(self.settled..self.settled + fitting.max(1))
    }

    /// How many points have their answer.
    pub fn settled(&self) -> usize {
        self.settled
    }

    /// From the first point without an answer to `end`.
    pub fn unsettled_to(&self, end: usize) -> Range<usize> {
        self.settled..end
    }

    pub fn lines(&self, points: &Range<usize>) -> &[u8] {
        &self.lines[self.start(points.start)..self.start(points.end)]
    }

    /// The database has all points before `end`.
    pub fn written_to(&mut self, end: usize) {
        self.receipt.written_points += end - self.settled;
        self.settled = end;
    }

    /// The database will never take the first point without an answer.
    pub fn reject_first(&mut self, message: String) {
        let point = self.settled..self.settled + 1;
        let line = String::from_utf8_lossy(self.lines(&point)).trim_end().to_string();
        self.receipt.rejected.push(Rejected { sequence: self.points[self.settled].sequence, point: line, message });
        self.settled += 1;
    }

    /// Empties the batch, all of whose points have an answer.
    pub fn finish(&mut self) -> Receipt {
        self.lines.clear();
        self.points.clear();
        self.settled = 0;
        std::mem::take(&mut self.receipt)
    }

    /// Where the line of point `index` begins.
    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.points[before].end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::FieldValue;
    use crate::time::Timestamp;

    fn batch(points: u64) -> Batch {
        let mut batch = Batch::default();
        for sequence in 1..=points {
            push(&mut batch, sequence, FieldValue::Integer(7));
        }
        batch
    }

    fn push(batch: &mut Batch, sequence: u64, value: FieldValue<'_>) {
        let time = Timestamp::from_nanos(i64::try_from(sequence).expect("small"));
        batch.push(sequence, &Point { measurement: "m", tags: &[], fields: &[("f", value)], time });
    }

    const LINE_BYTES: usize = "m f=7i 1\n".len();

    #[test]
    fn points_go_out_in_pieces_that_fit_and_never_in_less_than_one() {
        let mut batch = batch(5);
        assert_eq!(batch.pending(), Pending { points: 5, bytes: 5 * LINE_BYTES });
        assert_eq!(batch.next(2 * LINE_BYTES), Some(0..2));
        assert_eq!(batch.lines(&(0..2)), b"m f=7i 1\nm f=7i 2\n");
        batch.written_to(2);
        assert_eq!(batch.next(1), Some(2..3));
        assert_eq!(batch.next(usize::MAX), Some(2..5));
        assert_eq!(batch.pending(), Pending { points: 3, bytes: 3 * LINE_BYTES });
    }

    #[test]
    fn a_receipt_tells_the_written_from_the_rejected_and_empties_the_batch() {
        let mut batch = batch(3);
        push(&mut batch, 4, FieldValue::Float(f64::NAN));
        batch.written_to(1);
        batch.reject_first("wrong type".into());
        batch.written_to(3);
        assert_eq!(batch.next(usize::MAX), None);
        let receipt = batch.finish();
        assert_eq!(receipt.written_points, 2);
        assert_eq!(receipt.rejected.iter().map(|rejected| rejected.sequence).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(receipt.rejected[1].point, "m f=7i 2");
        assert_eq!(receipt.rejected[1].message, "wrong type");
        assert_eq!(batch.pending(), Pending::default());
        assert_eq!(batch.finish().written_points, 0);
    }
}
