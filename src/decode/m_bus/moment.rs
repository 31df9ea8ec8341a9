//! Calendar times: types F, G, I and J of EN 13757-3:2018, Annex A. All are the meter's local time.

use jiff::civil::{Date, DateTime, Time};

use super::value::{Data, Invalid};

/// The moment in the data of a calendar time, whose type its length tells; `None` for other lengths.
pub fn read<'a>(bytes: &[u8]) -> Option<Data<'a>> {
    Some(match *bytes {
        [day_year, month_year] => type_g(day_year, month_year),
        [second, minute, hour] => type_j(second, minute, hour),
        [minute, hour, day_year, month_year] => type_f(minute, hour, day_year, month_year),
        [second, minute, hour, day_year, month_year, _week] => type_i(second, minute, hour, day_year, month_year),
        _ => return None,
    })
}

/// Date (CP16).
fn type_g<'a>(day_year: u8, month_year: u8) -> Data<'a> {
    date(day_year, month_year, 0).map_or(Data::Invalid(Invalid::Moment), Data::Date)
}

/// Date and time to the minute (CP32). Bit 7 of the first byte says that the time is invalid.
fn type_f<'a>(minute: u8, hour: u8, day_year: u8, month_year: u8) -> Data<'a> {
    if minute & 0x80 != 0 {
        return Data::Invalid(Invalid::Marked);
    }
    let summer_time = hour & 0x80 != 0;
    let hundreds = (hour >> 5) & 0b11;
    date_time(date(day_year, month_year, hundreds), time(hour & 0x1F, minute & 0x3F, 0), summer_time)
}

/// Date and time to the second (CP48). Bit 7 of the second byte says that the time is invalid.
fn type_i<'a>(second: u8, minute: u8, hour: u8, day_year: u8, month_year: u8) -> Data<'a> {
    if minute & 0x80 != 0 {
        return Data::Invalid(Invalid::Marked);
    }
    let summer_time = second & 0x40 != 0;
    date_time(date(day_year, month_year, 0), time(hour & 0x1F, minute & 0x3F, second & 0x3F), summer_time)
}

/// Time of day (CP24).
fn type_j<'a>(second: u8, minute: u8, hour: u8) -> Data<'a> {
    time(hour & 0x1F, minute & 0x3F, second & 0x3F).map_or(Data::Invalid(Invalid::Moment), Data::Time)
}

fn date_time<'a>(date: Option<Date>, time: Option<Time>, summer_time: bool) -> Data<'a> {
    match (date, time) {
        (Some(date), Some(time)) => Data::DateTime { local: DateTime::from_parts(date, time), summer_time },
        _ => Data::Invalid(Invalid::Moment),
    }
}

/// The year has seven bits, in the two bytes' upper parts. Without the hundreds of type F, 81 to 99 belong to the
/// last century. Days, months and years that stand for "every" (0, 0 and 127) are no date.
fn date(day_year: u8, month_year: u8, hundreds: u8) -> Option<Date> {
    let year = i16::from(((month_year & 0xF0) >> 1) | (day_year >> 5));
    let century = match hundreds {
        0 if year <= 80 => 2000,
        hundreds => 1900 + 100 * i16::from(hundreds),
    };
    // Looked at before, since jiff's errors allocate, and a meter without a date sends a wrong one all the time.
    let (month, day) = ((month_year & 0x0F) as i8, (day_year & 0x1F) as i8);
    if year > 99 || !(1..=12).contains(&month) {
        return None;
    }
    let first = Date::new(century + year, month, 1).ok()?;
    if (1..=first.days_in_month()).contains(&day) { Date::new(century + year, month, day).ok() } else { None }
}

fn time(hour: u8, minute: u8, second: u8) -> Option<Time> {
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Time::new(hour as i8, minute as i8, second as i8, 0).ok()
}
