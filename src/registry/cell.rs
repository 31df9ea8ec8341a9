//! What is wrong with a cell, or with the whole file, because of what spreadsheets do to both.

use std::path::Path;

use crate::envelope::check_device;
use crate::problem::Problem;

/// What is wrong with a cell, and what to do about it.
pub(super) struct Mistake {
    pub message: String,
    pub help: Option<String>,
}

impl Mistake {
    fn new(message: String, help: &str) -> Mistake {
        Mistake { message, help: Some(help.to_owned()) }
    }
}

/// Checks one identity of a device. `what` it would be: `device` or `alias`.
pub(super) fn check_identity(cell: &str, what: &str) -> Result<(), Mistake> {
    if let Err(why) = check_device(cell) {
        let article = if what.starts_with('a') { "an" } else { "a" };
        let message = format!("`{}` cannot be {article} {what}: {why}", shown(cell));
        return Err(Mistake { message, help: None });
    }
    if is_scientific(cell) {
        let message = format!("`{cell}` is a number that a spreadsheet has shortened; its last digits are lost");
        let help = "import the column as text, or format it as text before the numbers are entered; take them anew from \
            where they came from";
        return Err(Mistake::new(message, help));
    }
    if is_decimal(cell) {
        let message = format!("`{cell}` is an identity that some program has taken for a number");
        return Err(Mistake::new(message, "write it without its fraction, and make the column one of text"));
    }
    if cell.starts_with(['=', '\'']) {
        let message = format!("`{}` has a spreadsheet's mark for text in front", shown(cell));
        return Err(Mistake::new(message, "write the identity alone, in a column that is formatted as text"));
    }
    if let Some(invisible) = cell.chars().find(|&char| is_invisible(char)) {
        let message = format!("`{}` contains an invisible character, U+{:04X}", shown(cell), u32::from(invisible));
        return Err(Mistake::new(message, "type it anew: no device sends that"));
    }
    Ok(())
}

/// `8.6E+14`, as Excel shows and saves a number of more than eleven digits.
fn is_scientific(cell: &str) -> bool {
    let Some((mantissa, exponent)) = cell.split_once(['E', 'e']) else { return false };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix('+').unwrap_or_default();
    whole.len() == 1 && [whole, fraction, exponent].iter().all(|digits| is_digits(digits))
}

/// `860000000000001.0`, as programs write it that read a column with an empty cell as numbers.
fn is_decimal(cell: &str) -> bool {
    cell.strip_suffix(".0").is_some_and(|whole| whole.len() >= 8 && is_digits(whole))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Characters without a width, which come along with what is copied from web pages and documents.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The start of a cell, safe to show.
pub(super) fn shown(cell: &str) -> String {
    cell.chars().take(60).flat_map(char::escape_debug).collect()
}

/// The identities in a cell: separated by white space or semicolons, also of the full width that Chinese keyboards give.
pub(super) fn identities(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|char: char| matches!(char, ';' | '；') || char.is_whitespace())
        .filter(|identity| !identity.is_empty())
}

pub(super) const LATITUDE_MAX: f64 = 90.0;
pub(super) const LONGITUDE_MAX: f64 = 180.0;

/// A number of degrees within ± `degrees_max`.
pub(super) fn parse_degrees(cell: &str, degrees_max: f64) -> Result<f64, Mistake> {
    let degrees = cell.parse::<f64>().ok();
    if let Some(degrees) = degrees.filter(|degrees| degrees.abs() <= degrees_max) {
        return Ok(degrees);
    }
    let message = format!("`{}` is no number of degrees from -{degrees_max} to {degrees_max}", shown(cell));
    let help = match degrees {
        None if cell.contains(',') => Some("write a decimal point, not a comma".to_owned()),
        None if cell.contains(['°', '′', '\'']) => Some("write degrees with a fraction, as in 31.2304".to_owned()),
        _ => None,
    };
    Err(Mistake { message, help })
}

/// What is wrong with a place whose two numbers are degrees.
pub(super) fn check_place(latitude: f64, longitude: f64) -> Result<(), Mistake> {
    if (latitude, longitude) == (0.0, 0.0) {
        let message = "latitude 0, longitude 0 is in the Atlantic Ocean, where no city is".to_owned();
        return Err(Mistake::new(message, "leave both cells empty while the place is not known"));
    }
    Ok(())
}

/// Whether the cells make sense the other way round only: no latitude is that of Shanghai's longitude.
pub(super) fn are_swapped(latitude: &str, longitude: &str) -> bool {
    parse_degrees(latitude, LATITUDE_MAX).is_err()
        && parse_degrees(latitude, LONGITUDE_MAX).is_ok()
        && parse_degrees(longitude, LATITUDE_MAX).is_ok()
}

/// The text of the file, without the byte order mark that spreadsheets put in front.
pub(super) fn utf8<'s>(file: &Path, content: &'s [u8]) -> Result<&'s str, Problem> {
    const HELP: &str = "save the spreadsheet as \"CSV UTF-8\"";
    let other = match content {
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("this is a workbook, not CSV"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("this is UTF-16, not UTF-8"),
        _ => None,
    };
    if let Some(other) = other {
        return Err(Problem::in_file(file, other).help(HELP));
    }
    match std::str::from_utf8(content) {
        Ok(source) => Ok(source.strip_prefix('\u{feff}').unwrap_or(source)),
        Err(error) => {
            let line = content[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let help =
                format!("{HELP}; plain \"CSV\" is in the encoding of its Windows, as in GB18030 (GBK) in China");
            Err(Problem::in_file(file, format!("line {line} is not UTF-8")).help(help))
        }
    }
}
