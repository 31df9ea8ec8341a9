//! The lines of the registry's file: CSV as spreadsheets write it, with comments.

use std::ops::Range;

use csv::StringRecord;

/// A line that begins with it is skipped.
const COMMENT: u8 = b'#';

/// Rows of cells, each with its place in the file: without comments in front of it and without the end of its line.
pub(super) struct Lines<'s> {
    source: &'s str,
    reader: csv::Reader<&'s [u8]>,
    delimiter: char,
    end: usize,
}

impl<'s> Lines<'s> {
    pub fn new(source: &'s str) -> Lines<'s> {
        // Spreadsheets of countries with a decimal comma separate cells by semicolons.
        let is_header = |line: &&str| !line.trim().is_empty() && !is_comment(line);
        let header = source.lines().find(is_header).unwrap_or_default();
        let delimiter = [';', '\t'].into_iter().find(|&delimiter| header.contains(delimiter)).unwrap_or(',');
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .trim(csv::Trim::All)
            .comment(Some(COMMENT))
            // A line with too few or too many cells gets our message, with its place.
            .flexible(true)
            .has_headers(false)
            .from_reader(source.as_bytes());
        Lines { source, reader, delimiter, end: 0 }
    }

    pub fn delimiter(&self) -> char {
        self.delimiter
    }

    /// Where the last line ends that was read.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Reads the cells of the next line; gives its place, or nothing at the end of the file.
    pub fn read(&mut self, cells: &mut StringRecord) -> Result<Option<Range<usize>>, csv::Error> {
        let begin = self.end;
        if !self.reader.read_record(cells)? {
            return Ok(None);
        }
        self.end = usize::try_from(self.reader.position().byte()).unwrap_or(usize::MAX).min(self.source.len());
        Ok(Some(self.span(begin)))
    }

    fn span(&self, mut begin: usize) -> Range<usize> {
        loop {
            let text = &self.source[begin..self.end];
            let skipped = match text.bytes().next() {
                Some(b'\r' | b'\n') => Some(1),
                Some(COMMENT) => text.find('\n'),
                _ => None,
            };
            match skipped {
                Some(skipped) => begin += skipped,
                None => return begin..begin + text.trim_end_matches(['\r', '\n']).len(),
            }
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.as_bytes().first() == Some(&COMMENT)
}
