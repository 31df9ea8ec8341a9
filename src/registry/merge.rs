//! Takes the rows of one list of devices into another, which stays as it is otherwise: the order of its columns and rows,
//! its comments, its delimiter, its line ends.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use csv::StringRecord;
use serde::Serialize;

use super::cell;
use super::lines::Lines;
use super::load::DEVICE;
use crate::problem::Problem;

/// What a merge makes of a file.
#[derive(Debug)]
pub struct Merged {
    /// The file as it is to be.
    pub content: String,
    pub changes: Changes,
}

/// How the file differs from the one before.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Columns that the file did not have.
    pub columns: Vec<String>,
    /// Devices that it did not have.
    pub added: Vec<String>,
    pub changed: Vec<Changed>,
    /// Devices of which the rows say nothing new.
    pub unchanged: usize,
}

/// A device whose cells are others now.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub device: String,
    pub cells: Vec<ChangedCell>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ChangedCell {
    pub column: String,
    pub was: String,
    pub is: String,
}

/// Columns that `citywire devices export` adds to those of the registry: they are no tags.
pub const EXPORTED: [&str; 4] = ["first_heard", "last_heard", "messages", "refused_messages"];

/// Takes the rows of `added` into `present`. A device that is there keeps what an empty cell says nothing of, and columns
/// that only one of the two has; both have to be sound by themselves ([`super::Registry::parse`]), and the caller has to
/// check what comes of it.
///
/// # Errors
/// When one of them is no CSV in UTF-8.
pub fn merge(file: &Path, present: &[u8], rows: &Path, added: &[u8]) -> Result<Merged, Vec<Problem>> {
    let text = |file, content| cell::utf8(file, content).map_err(|problem| vec![problem]);
    let present = Table::read(file, text(file, present)?)?;
    let added = Table::read(rows, text(rows, added)?)?;
    Ok(Merging::new(present, &added).run(&added))
}

/// A file with the places of its rows.
struct Table<'s> {
    source: &'s str,
    delimiter: u8,
    columns: Vec<String>,
    /// Where the line of the columns is.
    header: Range<usize>,
    rows: Vec<(Range<usize>, StringRecord)>,
}

impl<'s> Table<'s> {
    fn read(file: &Path, source: &'s str) -> Result<Table<'s>, Vec<Problem>> {
        let mut lines = Lines::new(source);
        let delimiter = lines.delimiter() as u8;
        let mut table = Table { source, delimiter, columns: Vec::new(), header: 0..0, rows: Vec::new() };
        let mut cells = StringRecord::new();
        let failed = |error| vec![Problem::in_file(file, format!("this is not CSV: {error}"))];
        while let Some(span) = lines.read(&mut cells).map_err(failed)? {
            if table.columns.is_empty() {
                (table.columns, table.header) = (cells.iter().map(str::to_owned).collect(), span);
            } else if cells.iter().any(|cell| !cell.is_empty()) {
                table.rows.push((span, cells.clone()));
            }
        }
        Ok(table)
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|known| known == name)
    }
}

struct Merging<'s> {
    present: Table<'s>,
    /// For each column of the added rows, which one of the file's it is; none for those that are not taken.
    columns: Vec<Option<usize>>,
    changes: Changes,
    /// The new text of rows, by their number.
    rewritten: HashMap<usize, String>,
    appended: Vec<String>,
}

impl<'s> Merging<'s> {
    fn new(present: Table<'s>, added: &Table<'_>) -> Merging<'s> {
        let mut changes = Changes::default();
        let columns = added
            .columns
            .iter()
            .map(|name| match present.column(name) {
                Some(known) => Some(known),
                None if EXPORTED.contains(&name.as_str()) => None,
                None => {
                    changes.columns.push(name.clone());
                    Some(present.columns.len() + changes.columns.len() - 1)
                }
            })
            .collect();
        Merging { present, columns, changes, rewritten: HashMap::new(), appended: Vec::new() }
    }

    fn run(mut self, added: &Table<'_>) -> Merged {
        let device_of = |table: &Table<'_>, row: usize| {
            let column = table.column(DEVICE)?;
            Some(table.rows[row].1.get(column)?.to_owned())
        };
        let known: HashMap<String, usize> =
            (0..self.present.rows.len()).filter_map(|row| Some((device_of(&self.present, row)?, row))).collect();
        for row in 0..added.rows.len() {
            let Some(device) = device_of(added, row) else { continue };
            match known.get(&device) {
                Some(&number) => self.change(number, device, &added.rows[row].1),
                None => self.append(device, &added.rows[row].1),
            }
        }
        Merged { content: self.content(), changes: self.changes }
    }

    fn width(&self) -> usize {
        self.present.columns.len() + self.changes.columns.len()
    }

    fn change(&mut self, number: usize, device: String, cells: &StringRecord) {
        let mut row: Vec<String> = self.present.rows[number].1.iter().map(str::to_owned).collect();
        row.resize(self.width(), String::new());
        let mut changed = Vec::new();
        for (cell, column) in cells.iter().zip(&self.columns) {
            let Some(column) = *column else { continue };
            if cell.is_empty() || row[column] == cell {
                continue;
            }
            let name = match column.checked_sub(self.present.columns.len()) {
                Some(new) => &self.changes.columns[new],
                None => &self.present.columns[column],
            };
            let was = std::mem::replace(&mut row[column], cell.to_owned());
            changed.push(ChangedCell { column: name.clone(), was, is: cell.to_owned() });
        }
        if changed.is_empty() {
            self.changes.unchanged += 1;
            return;
        }
        self.rewritten.insert(number, self.line(&row));
        self.changes.changed.push(Changed { device, cells: changed });
    }

    fn append(&mut self, device: String, cells: &StringRecord) {
        let mut row = vec![String::new(); self.width()];
        for (cell, column) in cells.iter().zip(&self.columns) {
            if let Some(column) = *column {
                row[column] = cell.to_owned();
            }
        }
        self.appended.push(self.line(&row));
        self.changes.added.push(device);
    }

    /// Cells as a line of the file, without its end.
    fn line(&self, cells: &[String]) -> String {
        let mut writer = csv::WriterBuilder::new().delimiter(self.present.delimiter).from_writer(Vec::new());
        // Neither fails in memory.
        let _ = writer.write_record(cells);
        let mut line = String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default();
        line.truncate(line.trim_end_matches('\n').len());
        // Else it would be a comment.
        match line.strip_prefix('#') {
            Some(_) => format!("\"{}\"{}", &cells[0], &line[cells[0].len()..]),
            None => line,
        }
    }

    fn content(&self) -> String {
        let Table { source, header, rows, delimiter, .. } = &self.present;
        let line_end = if source.contains("\r\n") { "\r\n" } else { "\n" };
        // Further columns are at the end: a row that is otherwise as it was only needs their delimiters.
        let further = char::from(*delimiter).to_string().repeat(self.changes.columns.len());
        let mut content =
            String::with_capacity(source.len() + self.appended.iter().map(|row| row.len() + 2).sum::<usize>());
        content.push_str(&source[..header.end]);
        match self.present.columns.is_empty() {
            true => {
                content.push_str(&source[header.end..]);
                content.push_str(&self.line(&self.changes.columns));
            }
            false => {
                let names = self.changes.columns.iter().map(|name| self.line(std::slice::from_ref(name)));
                names.for_each(|name| {
                    content.push(char::from(*delimiter));
                    content.push_str(&name);
                });
            }
        }
        let mut end = if self.present.columns.is_empty() { source.len() } else { header.end };
        for (number, (span, _)) in rows.iter().enumerate() {
            content.push_str(&source[end..span.start]);
            match self.rewritten.get(&number) {
                Some(line) => content.push_str(line),
                None => {
                    content.push_str(&source[span.clone()]);
                    content.push_str(&further);
                }
            }
            end = span.end;
        }
        content.push_str(&source[end..]);
        for line in &self.appended {
            if !content.is_empty() && !content.ends_with('\n') {
                content.push_str(line_end);
            }
            content.push_str(line);
        }
        if !content.ends_with('\n') {
            content.push_str(line_end);
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(present: &str, added: &str) -> Merged {
        let merged =
            merge(Path::new("devices.csv"), present.as_bytes(), Path::new("new.csv"), added.as_bytes()).unwrap();
        let again = merge(Path::new("d"), merged.content.as_bytes(), Path::new("n"), added.as_bytes()).unwrap();
        assert_eq!(again.content, merged.content, "the second time, nothing is new");
        assert_eq!((again.changes.added.len(), again.changes.changed.len(), again.changes.columns.len()), (0, 0, 0));
        merged
    }

    #[test]
    fn rows_are_added_and_changed_and_everything_else_is_as_it_was() {
        let present = "# of the harbour\r\npilot;device ;site\r\na; W-1 ;\"quay; 7\"\r\n\r\n# the second\r\nb;W-2;\r\n;;\r\nc;W-3;x";
        let Merged { content, changes } =
            merged(present, "device,site,profile\nW-2,mole,cjt188\nW-4,,cjt188\nW-3,x,\n");
        assert_eq!(
            content,
            "# of the harbour\r\npilot;device ;site;profile\r\na; W-1 ;\"quay; 7\";\r\n\r\n# the second\r\n\
             b;W-2;mole;cjt188\r\n;;\r\nc;W-3;x;\r\n;W-4;;cjt188\r\n"
        );
        let cell = |column: &str, is: &str| ChangedCell { column: column.into(), was: String::new(), is: is.into() };
        let changed = Changed { device: "W-2".into(), cells: vec![cell("site", "mole"), cell("profile", "cjt188")] };
        assert_eq!(
            changes,
            Changes {
                columns: vec!["profile".into()],
                added: vec!["W-4".into()],
                changed: vec![changed],
                unchanged: 1
            }
        );
    }

    #[test]
    fn cells_are_quoted_where_they_have_to_be() {
        let present = "device,site\nW-1,x\n";
        let content = merged(present, "site\tdevice\na, b\tW-1\n\"c \"\"d\"\"\"\t#2\n").content;
        assert_eq!(content, "device,site\nW-1,\"a, b\"\n\"#2\",\"c \"\"d\"\"\"\n");
    }

    #[test]
    fn an_empty_cell_says_nothing_and_what_was_exported_is_no_tag() {
        let present = "device,pilot\nW-1,a\n";
        let Merged { content, changes } =
            merged(present, "device,pilot,last_heard,messages\nW-1,,2026-01-01T00:00:00Z,7\n");
        assert_eq!((content.as_str(), changes.unchanged), (present, 1));
    }

    #[test]
    fn an_empty_file_becomes_what_is_added() {
        assert_eq!(merged("", "device,pilot\nW-1,a\n").content, "device,pilot\nW-1,a\n");
        assert_eq!(merged("# ours\n", "device,pilot\nW-1,a\n").content, "# ours\ndevice,pilot\nW-1,a\n");
    }
}
