//! Reads the registry's file: CSV as spreadsheets write it, every mistake with its line.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use csv::StringRecord;

use super::cell::{self, Mistake};
use super::index::{ALIAS, Identity, Index};
use super::lines::Lines;
use super::{Alias, Registry, Row, TextId};
use crate::config::{self, tag_name};
use crate::problem::{Problem, nearest};
use crate::time::parse_zone;

/// How many tags a point may get from the registry.
const TAG_COLUMNS_MAX: usize = 16;

/// A first line with more columns is of another file; each would be compared with all others.
const COLUMNS_COMPARED_MAX: usize = 256;

/// How many characters a tag's value may have.
const TAG_CHARS_MAX: usize = 256;

/// How many mistakes are shown of one file; a wrong column gives one a line.
const PROBLEMS_MAX: usize = 50;

/// The registry may be so large: its places in the file are numbers of 32 bits.
const FILE_BYTES_MAX: usize = 1 << 30;

/// How many further identities a device may have.
const ALIASES_MAX: usize = 16;

const HEADER_HELP: &str = "the first line names the columns, as in device,profile,pilot,district";

pub(super) const DEVICE: &str = "device";
const ALIASES: &str = "aliases";
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
        registry.location_fields = config.location_fields;
        Ok(registry)
    }

    /// Reads a registry from the content of its file. Devices that it does not list are accepted.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, content: &[u8], profiles: Option<&[&str]>) -> Result<Registry, Vec<Problem>> {
        let source = cell::utf8(file, content).map_err(|problem| vec![problem])?;
        let mut loader = Loader::new(file, source, profiles);
        loader.load();
        if loader.problems.is_empty() { Ok(loader.registry) } else { Err(loader.problems) }
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
    Aliases,
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
    device_column: usize,
    /// Latitude and longitude, if the file has both.
    place_columns: Option<[usize; 2]>,
    registry: Registry,
    text_ids: HashMap<String, TextId>,
    /// The column of the devices' time zones.
    zone_column: Option<usize>,
    /// Where the line of each row begins.
    row_starts: Vec<u32>,
    problems: Vec<Problem>,
    unshown_problems: usize,
}

const ONE_DEVICE_HELP: &str = "an identity is of one device: remove one of the two";

impl<'s, 'p> Loader<'s, 'p> {
    fn new(file: &'s Path, source: &'s str, profiles: Option<&[&'p str]>) -> Loader<'s, 'p> {
        let mut profiles = profiles.map(<[_]>::to_vec);
        if let Some(profiles) = &mut profiles {
            profiles.sort_unstable();
        }
        Loader {
            file,
            source,
            delimiter: ',',
            profiles,
            columns: Vec::new(),
            device_column: 0,
            place_columns: None,
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
        self.registry.alias_texts.shrink_to_fit();
        self.registry.aliases.shrink_to_fit();
        self.registry.places.shrink_to_fit();
        self.registry.tag_values.shrink_to_fit();
    }

    fn read_lines(&mut self) {
        let mut lines = Lines::new(self.source);
        self.delimiter = lines.delimiter();
        let mut cells = StringRecord::new();
        loop {
            let begin = lines.end();
            let span = match lines.read(&mut cells) {
                Ok(Some(span)) => span,
                Ok(None) => return,
                Err(error) => return self.report(begin..begin, format!("this is not CSV: {error}"), None),
            };
            let line = Line { cells: &cells, span: self.trimmed(span) };
            if !self.columns.is_empty() {
                self.read_row(&line);
            } else if !self.read_header(&line) {
                return;
            }
        }
    }

    /// Says whether the columns make sense, so that rows can be read.
    fn read_header(&mut self, line: &Line<'_>) -> bool {
        if line.cells.len() > COLUMNS_COMPARED_MAX {
            let message = format!("the first line has {} columns: this is no registry", line.cells.len());
            self.report(line.span.start..line.span.start, message, Some(HEADER_HELP.into()));
            return false;
        }
        for (index, name) in line.cells.iter().enumerate() {
            if line.cells.iter().take(index).any(|earlier| earlier == name) {
                self.report_cell(line, index, format!("there are two columns `{name}`"), None);
            }
            let column = match name {
                DEVICE => Column::Device,
                ALIASES => Column::Aliases,
                PROFILE => Column::Profile,
                LATITUDE => Column::Latitude,
                LONGITUDE => Column::Longitude,
                _ => self.read_tag_column(line, index, name),
            };
            self.columns.push(column);
        }
        let place_of = |column| self.columns.iter().position(|known| *known == column);
        let (device, latitude, longitude) =
            (place_of(Column::Device), place_of(Column::Latitude), place_of(Column::Longitude));
        self.device_column = device.unwrap_or_default();
        self.place_columns = latitude.zip(longitude).map(|(latitude, longitude)| [latitude, longitude]);
        if device.is_none() {
            self.report(line.span.clone(), "there is no column `device`".into(), Some(HEADER_HELP.into()));
        }
        if latitude.is_some() != longitude.is_some() {
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
        if let Some(meant) = nearest(name, [DEVICE, ALIASES, PROFILE, LATITUDE, LONGITUDE]) {
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
        self.begin_row(line);
        for index in 0..self.columns.len() {
            let cell = &line.cells[index];
            match self.columns[index] {
                Column::Device | Column::Latitude | Column::Longitude => {}
                Column::Aliases => self.read_aliases(line, index, cell),
                Column::Profile => {
                    let profile = self.read_profile(line, index, cell);
                    self.registry.rows.last_mut().expect("BUG: the row was begun").profile = profile;
                }
                Column::Tag => {
                    let value = self.read_tag(line, index, cell);
                    if self.zone_column == Some(index) {
                        self.read_zone(line, index, cell, value);
                    }
                    self.registry.tag_values.push(value);
                }
            }
        }
        if let Some(columns) = self.place_columns {
            let place = self.read_place(line, columns).unwrap_or([f64::NAN; 2]);
            self.registry.places.push(place);
        }
    }

    /// Adds the row with its device, which further identities may stand in front of.
    fn begin_row(&mut self, line: &Line<'_>) {
        let (index, row) = (self.device_column, self.registry.rows.len());
        let device = &line.cells[index];
        self.registry.devices.push_str(device);
        let device_end = u32::try_from(self.registry.devices.len()).unwrap_or(u32::MAX);
        self.registry.rows.push(Row { device_end, profile: TextId::default() });
        self.row_starts.push(u32::try_from(line.span.start).unwrap_or(u32::MAX));
        if let Err(mistake) = cell::check_identity(device, DEVICE) {
            self.report_mistake(line, index, mistake);
        } else if let Err(earlier) = self.index(device, row as Identity) {
            self.report_listed(line, index, device, earlier);
        }
    }

    fn read_aliases(&mut self, line: &Line<'_>, index: usize, cell: &str) {
        let row = self.registry.rows.len() - 1;
        let first = self.registry.aliases.len();
        for alias in cell::identities(cell) {
            if let Err(mistake) = cell::check_identity(alias, "alias") {
                self.report_mistake(line, index, mistake);
                continue;
            }
            let number = self.registry.aliases.len();
            self.registry.alias_texts.push_str(alias);
            let end = u32::try_from(self.registry.alias_texts.len()).unwrap_or(u32::MAX);
            self.registry.aliases.push(Alias { end, row: row as u32 });
            let Err(earlier) = self.index(alias, ALIAS + number as Identity) else { continue };
            // Not a second time: it stays out of the list, and is told unless the device says the same of itself twice.
            self.registry.aliases.pop();
            self.registry.alias_texts.truncate(self.registry.alias_texts.len() - alias.len());
            if self.registry.row_of(earlier) != row {
                self.report_listed(line, index, alias, earlier);
            }
        }
        if self.registry.aliases.len() - first > ALIASES_MAX {
            self.report_cell(line, index, format!("a device has at most {ALIASES_MAX} aliases"), None);
        }
    }

    /// Adds an identity, which is in the registry already, to the index.
    fn index(&mut self, text: &str, identity: Identity) -> Result<(), Identity> {
        // Taken out, because the texts that it looks at are in the registry too.
        let mut index = std::mem::replace(&mut self.registry.index, Index::with_room_for(0));
        let inserted = index.insert(text, identity, |identity| self.registry.identity(identity));
        self.registry.index = index;
        inserted
    }

    fn report_listed(&mut self, line: &Line<'_>, index: usize, identity: &str, earlier: Identity) {
        if self.problems.len() >= PROBLEMS_MAX {
            // Looking for the line takes as long as the file is.
            self.unshown_problems += 1;
            return;
        }
        let row = self.registry.row_of(earlier);
        let start = self.row_starts[row] as usize;
        let earlier_line = self.source[..start].bytes().filter(|&byte| byte == b'\n').count() + 1;
        let is_alias = earlier >= ALIAS;
        let (message, help) = match (is_alias, index == self.device_column) {
            (false, true) => (
                format!("the device `{identity}` is listed already, in line {earlier_line}"),
                "remove one of the two lines",
            ),
            (false, false) => {
                (format!("the alias `{identity}` is a device itself, in line {earlier_line}"), ONE_DEVICE_HELP)
            }
            (true, _) => {
                let other = self.registry.device(row);
                (
                    format!("`{identity}` is an alias of the device `{other}` already, in line {earlier_line}"),
                    ONE_DEVICE_HELP,
                )
            }
        };
        self.report_cell(line, index, message, Some(help.into()));
    }

    fn read_place(&mut self, line: &Line<'_>, columns: [usize; 2]) -> Option<[f64; 2]> {
        let [latitude, longitude] = columns.map(|index| &line.cells[index]);
        match (latitude.is_empty(), longitude.is_empty()) {
            (true, true) => return None,
            (false, false) => {}
            _ => self.report(line.span.clone(), "the place has only one of latitude and longitude".into(), None),
        }
        if cell::are_swapped(latitude, longitude) {
            let message = format!("`{latitude}` is no latitude: latitude and longitude are the wrong way round");
            self.report_cell(
                line,
                columns[0],
                message,
                Some("exchange the two, or the names of their columns".into()),
            );
            return None;
        }
        let limits = [cell::LATITUDE_MAX, cell::LONGITUDE_MAX];
        let mut place = [f64::NAN; 2];
        for ((index, limit), degrees) in columns.into_iter().zip(limits).zip(&mut place) {
            match cell::parse_degrees(&line.cells[index], limit) {
                Ok(read) => *degrees = read,
                Err(_) if line.cells[index].is_empty() => {}
                Err(mistake) => self.report_mistake(line, index, mistake),
            }
        }
        if let Err(mistake) = cell::check_place(place[0], place[1]) {
            self.report_mistake(line, columns[0], mistake);
        }
        Some(place)
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
                let shown = cell::shown(cell);
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

    fn report_mistake(&mut self, line: &Line<'_>, index: usize, mistake: Mistake) {
        self.report_cell(line, index, mistake.message, mistake.help);
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
