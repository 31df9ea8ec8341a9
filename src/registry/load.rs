//! Reads the registry's file: CSV as spreadsheets write it, every mistake with its line.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use csv::StringRecord;

use super::{Coordinates, Index, Registry, Row, TextId};
use crate::config::{self, tag_name};
use crate::envelope::check_device;
use crate::problem::{Problem, nearest};
use crate::time::parse_zone;

/// How many tags a point may get from the registry.
const TAG_COLUMNS_MAX: usize = 16;

/// How many characters a tag's value may have.
const TAG_CHARS_MAX: usize = 256;

/// How many mistakes are shown of one file; a wrong column gives one a line.
const PROBLEMS_MAX: usize = 50;

/// The registry may be so large: its places in the file are numbers of 32 bits.
const FILE_BYTES_MAX: usize = 1 << 30;

const HEADER_HELP: &str = "the first line names the columns, as in device,profile,pilot,district";

const DEVICE: &str = "device";
const PROFILE: &str = "profile";
const TIME_ZONE: &str = "time_zone";
const LATITUDE: &str = "latitude";
const LONGITUDE: &str = "longitude";

impl Registry {
    /// Reads the registry that the configuration names; without one, every device is accepted. `profiles` are the ids
    /// of the profiles in force; without them, nobody knows whether a device's profile exists.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn load(config: &config::Registry, profiles: Option<&[&str]>) -> Result<Registry, Vec<Problem>> {
        let Some(file) = &config.file else { return Ok(Registry::accepting_all()) };
        let bytes = std::fs::read(file)
            .map_err(|error| vec![Problem::in_file(file, format!("the registry cannot be read: {error}"))])?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(vec![Problem::in_file(file, "the registry is larger than 1 GiB")]);
        }
        let mut registry = Registry::parse(file, &bytes, profiles)?;
        registry.unknown = config.unknown;
        Ok(registry)
    }

    /// Reads a registry from the content of its file. Devices that it does not list are accepted.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, content: &[u8], profiles: Option<&[&str]>) -> Result<Registry, Vec<Problem>> {
        let source = utf8(file, content).map_err(|problem| vec![*problem])?;
        let mut loader = Loader::new(file, source, profiles);
        loader.load();
        if loader.problems.is_empty() { Ok(loader.registry) } else { Err(loader.problems) }
    }
}

/// The text of the file, without the byte order mark that spreadsheets put in front.
fn utf8<'s>(file: &Path, content: &'s [u8]) -> Result<&'s str, Box<Problem>> {
    match std::str::from_utf8(content) {
        Ok(source) => Ok(source.strip_prefix('\u{feff}').unwrap_or(source)),
        Err(error) => {
            let line = content[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let problem = Problem::in_file(file, format!("line {line} is not UTF-8"));
            Err(Box::new(problem.help("save the spreadsheet as \"CSV UTF-8\"")))
        }
    }
}

/// One row of cells, and where it stands in the file.
struct Line<'r> {
    cells: &'r StringRecord,
    span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Device,
    Profile,
    Latitude,
    Longitude,
    Tag,
}

struct Loader<'s, 'p> {
    file: &'s Path,
    source: &'s str,
    delimiter: char,
    /// Sorted.
    profiles: Option<Vec<&'p str>>,
    columns: Vec<Column>,
    registry: Registry,
    text_ids: HashMap<String, TextId>,
    /// The column of the devices' time zones.
    zone_column: Option<usize>,
    /// Where the line of each row begins.
    row_starts: Vec<u32>,
    problems: Vec<Problem>,
    unshown_problems: usize,
}

impl<'s, 'p> Loader<'s, 'p> {
    fn new(file: &'s Path, source: &'s str, profiles: Option<&[&'p str]>) -> Loader<'s, 'p> {
        // Spreadsheets of countries with a decimal comma separate cells by semicolons.
        let header = source.lines().next().unwrap_or_default();
        let mut profiles = profiles.map(<[_]>::to_vec);
        if let Some(profiles) = &mut profiles {
            profiles.sort_unstable();
        }
        let delimiter = [';', '\t'].into_iter().find(|&delimiter| header.contains(delimiter)).unwrap_or(',');
        Loader {
            file,
            source,
            delimiter,
            profiles,
            columns: Vec::new(),
            registry: Registry::accepting_all(),
            text_ids: HashMap::new(),
            zone_column: None,
            row_starts: Vec::new(),
            problems: Vec::new(),
            unshown_problems: 0,
        }
    }

    fn load(&mut self) {
        self.read_lines();
        if self.columns.is_empty() && self.problems.is_empty() {
            let problem = Problem::in_file(self.file, "the registry is empty");
            self.problems.push(problem.help(HEADER_HELP));
        }
        if self.unshown_problems > 0 {
            let message = format!("{} further mistakes of this file are not shown", self.unshown_problems);
            self.problems.push(Problem::in_file(self.file, message));
        }
        self.registry.devices.shrink_to_fit();
        self.registry.tag_values.shrink_to_fit();
    }

    fn read_lines(&mut self) {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter as u8)
            .trim(csv::Trim::All)
            // A line with too few or too many cells gets our message, with its place.
            .flexible(true)
            .has_headers(false)
            .from_reader(self.source.as_bytes());
        let mut cells = StringRecord::new();
        let mut end = 0;
        loop {
            let begin = end;
            match reader.read_record(&mut cells) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.report(begin..begin, format!("this is not CSV: {error}"), None),
            }
            end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX).min(self.source.len());
            let line = Line { cells: &cells, span: self.trimmed(begin..end) };
            if !self.columns.is_empty() {
                self.read_row(&line);
            } else if !self.read_header(&line) {
                return;
            }
        }
    }

    /// Says whether the columns make sense, so that rows can be read.
    fn read_header(&mut self, line: &Line<'_>) -> bool {
        for (index, name) in line.cells.iter().enumerate() {
            if line.cells.iter().take(index).any(|earlier| earlier == name) {
                self.report_cell(line, index, format!("there are two columns `{name}`"), None);
            }
            let column = match name {
                DEVICE => Column::Device,
                PROFILE => Column::Profile,
                LATITUDE => Column::Latitude,
                LONGITUDE => Column::Longitude,
                _ => self.read_tag_column(line, index, name),
            };
            self.columns.push(column);
        }
        let has = |column| self.columns.contains(&column);
        let (has_device, is_half_a_place) = (has(Column::Device), has(Column::Latitude) != has(Column::Longitude));
        if !has_device {
            self.report(line.span.clone(), "there is no column `device`".into(), Some(HEADER_HELP.into()));
        }
        if is_half_a_place {
            self.report(line.span.clone(), "`latitude` and `longitude` need each other".into(), None);
        }
        if self.registry.tag_names.len() > TAG_COLUMNS_MAX {
            self.report(line.span.clone(), format!("there are more than {TAG_COLUMNS_MAX} columns of tags"), None);
        }
        let rows_max = self.source.bytes().filter(|&byte| byte == b'\n').count() + 1;
        self.registry.index = Index::with_room_for(rows_max);
        self.problems.is_empty()
    }

    fn read_tag_column(&mut self, line: &Line<'_>, index: usize, name: &str) -> Column {
        if let Some(meant) = nearest(name, [DEVICE, PROFILE, LATITUDE, LONGITUDE]) {
            let help = format!("name it `{meant}`, or, if it is a tag, something else");
            self.report_cell(line, index, format!("the column `{name}` resembles `{meant}`"), Some(help));
        } else if let Err(why) = tag_name(name) {
            self.report_cell(line, index, why, None);
        }
        if name == TIME_ZONE {
            self.zone_column = Some(index);
            self.registry.zone_tag = Some(self.registry.tag_names.len());
        }
        self.registry.tag_names.push(name.to_owned());
        Column::Tag
    }

    fn read_row(&mut self, line: &Line<'_>) {
        if line.cells.iter().all(str::is_empty) {
            return;
        }
        if line.cells.len() != self.columns.len() {
            let (cells, columns) = (line.cells.len(), self.columns.len());
            let help = format!("a `{}` within a cell needs quotes around the cell", self.delimiter);
            let message = format!("the line has {cells} cells, and there are {columns} columns");
            return self.report(line.span.clone(), message, Some(help));
        }
        let (mut profile, mut latitude, mut longitude) = (TextId::default(), None, None);
        for index in 0..self.columns.len() {
            let cell = &line.cells[index];
            match self.columns[index] {
                Column::Device => self.read_device(line, index, cell),
                Column::Profile => profile = self.read_profile(line, index, cell),
                Column::Latitude => latitude = self.read_degrees(line, index, cell, 90.0),
                Column::Longitude => longitude = self.read_degrees(line, index, cell, 180.0),
                Column::Tag => {
                    let value = self.read_tag(line, index, cell);
                    if self.zone_column == Some(index) {
                        self.read_zone(line, index, cell, value);
                    }
                    self.registry.tag_values.push(value);
                }
            }
        }
        if self.columns.contains(&Column::Latitude) {
            let is_given = |column| {
                self.columns.iter().position(|known| *known == column).map(|index| !line.cells[index].is_empty())
            };
            if is_given(Column::Latitude) != is_given(Column::Longitude) {
                self.report(line.span.clone(), "the place has only one of latitude and longitude".into(), None);
            }
            let coordinates = latitude.zip(longitude);
            let coordinates = coordinates.map(|(latitude, longitude)| Coordinates { latitude, longitude });
            self.registry.coordinates.push(coordinates);
        }
        let device_end = u32::try_from(self.registry.devices.len()).unwrap_or(u32::MAX);
        self.registry.rows.push(Row { device_end, profile });
        self.row_starts.push(u32::try_from(line.span.start).unwrap_or(u32::MAX));
    }

    /// Adds the device's identity to the index; its row is added when the rest of the line is read.
    fn read_device(&mut self, line: &Line<'_>, index: usize, cell: &str) {
        if let Err(why) = check_device(cell) {
            let shown: String = cell.chars().take(60).flat_map(char::escape_debug).collect();
            self.report_cell(line, index, format!("`{shown}` cannot be a device: {why}"), None);
        } else if let Some(earlier) = self.index_device(cell) {
            let start = self.row_starts[earlier] as usize;
            let earlier_line = self.source[..start].bytes().filter(|&byte| byte == b'\n').count() + 1;
            let message = format!("the device `{cell}` is listed already, in line {earlier_line}");
            self.report_cell(line, index, message, Some("remove one of the two lines".into()));
        }
        self.registry.devices.push_str(cell);
    }

    /// The row that has this device already, if there is one.
    fn index_device(&mut self, device: &str) -> Option<usize> {
        let row = u32::try_from(self.registry.rows.len()).ok()?;
        // Taken out, because the rows that it looks at are in the registry too.
        let mut index = std::mem::replace(&mut self.registry.index, Index::with_room_for(0));
        let earlier = index.insert(device, row, |row| self.registry.device(row)).err();
        self.registry.index = index;
        earlier
    }

    fn read_profile(&mut self, line: &Line<'_>, index: usize, cell: &str) -> TextId {
        let unknown = self.profiles.as_ref().filter(|known| !cell.is_empty() && known.binary_search(&cell).is_err());
        if let Some(profiles) = unknown {
            let help = match nearest(cell, profiles.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("the profiles are {}", profiles.join(", ")),
            };
            self.report_cell(line, index, format!("there is no profile `{cell}`"), Some(help));
        }
        self.text_id(cell)
    }

    fn read_degrees(&mut self, line: &Line<'_>, index: usize, cell: &str, degrees_max: f64) -> Option<f64> {
        if cell.is_empty() {
            return None;
        }
        let degrees = cell.parse::<f64>().ok().filter(|degrees| degrees.abs() <= degrees_max);
        if degrees.is_none() {
            let message = format!("`{cell}` is no number of degrees from -{degrees_max} to {degrees_max}");
            let help = cell.contains(',').then(|| "write a decimal point, not a comma".into());
            self.report_cell(line, index, message, help);
        }
        degrees
    }

    fn read_tag(&mut self, line: &Line<'_>, index: usize, cell: &str) -> TextId {
        if cell.chars().nth(TAG_CHARS_MAX).is_some() || cell.chars().any(char::is_control) {
            let message = format!("a tag has at most {TAG_CHARS_MAX} characters, and no line break or other control");
            self.report_cell(line, index, message, None);
        }
        self.text_id(cell)
    }

    /// A time zone is a tag that has to be one.
    fn read_zone(&mut self, line: &Line<'_>, index: usize, cell: &str, value: TextId) {
        if cell.is_empty() || self.registry.zones.contains_key(&value) {
            return;
        }
        match parse_zone(cell) {
            Some(zone) => {
                self.registry.zones.insert(value, zone);
            }
            None => {
                let shown: String = cell.chars().take(60).flat_map(char::escape_debug).collect();
                let help = "write an offset such as +08:00, or a name such as Europe/Berlin".to_owned();
                self.report_cell(line, index, format!("`{shown}` is no time zone"), Some(help));
            }
        }
    }

    fn text_id(&mut self, text: &str) -> TextId {
        if text.is_empty() {
            return TextId::default();
        }
        if let Some(&id) = self.text_ids.get(text) {
            return id;
        }
        self.registry.texts.0.push(text.to_owned());
        let id = TextId(u32::try_from(self.registry.texts.0.len()).unwrap_or_default());
        self.text_ids.insert(text.to_owned(), id);
        id
    }

    fn report_cell(&mut self, line: &Line<'_>, index: usize, message: String, help: Option<String>) {
        let text = &self.source[line.span.clone()];
        let mut start = line.span.start;
        let mut span = line.span.clone();
        // With quotes, cells do not stand where the delimiters are: the whole line is shown.
        if !text.contains('"') {
            for (number, cell) in text.split(self.delimiter).enumerate() {
                if number == index {
                    span = self.trimmed(start..start + cell.len());
                }
                start += cell.len() + self.delimiter.len_utf8();
            }
        }
        self.report(span, message, help);
    }

    fn report(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { help, ..Problem::at(self.file, self.source, span, message) });
        } else {
            self.unshown_problems += 1;
        }
    }

    /// A part of the file without white space at its ends.
    fn trimmed(&self, span: Range<usize>) -> Range<usize> {
        let text = &self.source[span.clone()];
        let start = span.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }
}
