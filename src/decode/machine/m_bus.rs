//! The step that walks M-Bus data records.

use std::fmt::Write as _;
use std::ops::Range;

use jiff::Span;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cursor::Cursor;
use super::{Failed, Hex, MBusData, Machine, Observer, Site, Structure};
use crate::decode::Reason;
use crate::decode::m_bus::{
    Change, Data, Direction, HEADER_BYTES, Profile, Record, RecordFault, Scale, Spacing, characters, records,
};
use crate::decode::program::*;
use crate::time::Timestamp;

impl<'a, O: Observer> Machine<'a, O> {
    /// Gives each record to the first line that fits it. Compact profiles come last: each of their values begins a
    /// reading, behind the one that all other records belong to.
    pub(super) fn m_bus(&mut self, walk: &'a MBus, cursor: &mut Cursor, line: u32) -> Result<(), Failed> {
        let length = self.length(walk.length.as_ref().unwrap_or(&Length::Rest), cursor, line)?;
        let range = self.take(cursor, Place::Next, length, line, |_| "the M-Bus records")?;
        let bytes = self.payload.get(range.clone()).unwrap_or_default();
        let mut series = false;
        let mut end = range.start;
        for record in records(bytes) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let reason = match error.fault {
                        RecordFault::Truncated { .. } => Reason::TooShort,
                        _ => Reason::Value,
                    };
                    return Err(
                        self.error(reason, line, Some(range.start + error.offset), || error.fault.to_string())
                    );
                }
            };
            let (start, data) = (range.start + record.bytes.start, shifted(&record.data_bytes, range.start));
            self.spend(1, line, start)?;
            self.m_bus_filler(end..start, line);
            end = range.start + record.bytes.end;
            self.remember_place(walk, &record, record.storage);
            let Some(kind) = self.line_for(walk, &record, cursor) else {
                if !walk.skip_others {
                    return Err(self.error(Reason::UnknownTag, line, Some(start), || no_line(&record)));
                }
                self.observer.m_bus_record(&record, start..end, None, line);
                continue;
            };
            self.observer.m_bus_record(&record, start..data.start, Some(kind.target.line), line);
            match kind.form {
                MBusForm::Series(_) => {
                    series = true;
                    let header = data.start..data.end.min(data.start + HEADER_BYTES);
                    self.observer.structure(Structure::SeriesHeader, header, kind.target.line);
                }
                _ => self.m_bus_value(walk, kind, &record, data, cursor)?,
            }
        }
        self.m_bus_filler(end..range.end, line);
        if series {
            self.m_bus_series(walk, bytes, range.start, cursor)?;
        }
        Ok(())
    }

    /// The line that takes a record: the first of its kind that is there and whose form its data has.
    fn line_for(&self, walk: &'a MBus, record: &Record<'_>, cursor: &Cursor) -> Option<&'a MBusLine> {
        walk.lines.iter().find(|line| {
            line.is_of(record)
                && line.form.holds(record)
                && line.guard.as_ref().is_none_or(|guard| self.holds(guard, cursor))
        })
    }

    /// What one record gives.
    fn m_bus_value(
        &mut self,
        walk: &MBus,
        line: &'a MBusLine,
        record: &Record<'a>,
        range: Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        let target = &line.target;
        match &record.data {
            Data::None => {
                self.m_bus_data(target, range, "no data", None);
                return self.none(target, "the record names a value without giving it");
            }
            Data::Invalid(invalid) => {
                self.m_bus_data(target, range, "M-Bus data", None);
                return self.none(target, invalid.reason());
            }
            Data::Date(date) => return self.m_bus_moment(walk, target, date.at(0, 0, 0, 0), false, range),
            Data::DateTime { local, summer_time } => {
                return self.m_bus_moment(walk, target, *local, *summer_time, range);
            }
            data if line.form == MBusForm::Text => {
                self.m_bus_site(target, || text_read(data, range.len()), &range, Scale::ONE);
                return self.text(target, &range, |text| write_text(data, text));
            }
            Data::Integer(raw) => {
                self.m_bus_site(target, || integer_read(*raw, range.len()), &range, record.scale);
                return self.m_bus_number(line, *raw, record.scale, &range, cursor);
            }
            Data::Digits { value, .. } => {
                self.m_bus_site(target, || decimal_read(range.len()), &range, record.scale);
                return self.m_bus_number(line, *value, record.scale, &range, cursor);
            }
            Data::Float(raw) => {
                let read = || Read::Float { bytes: 4, order: ByteOrder::Little };
                self.m_bus_site(target, read, &range, record.scale);
                if record.scale == Scale::ONE {
                    return self.float(target, *raw, &range, cursor);
                }
                self.observer.raw(*raw);
                return self.number(target, &target.convert, record.scale.of_float(*raw), &range, cursor);
            }
            // Forms that only a line for text takes, and series.
            Data::Time(_) | Data::Text(_) | Data::Binary(_) | Data::Profile(_) => {}
        }
        Ok(())
    }

    fn m_bus_number(
        &mut self,
        line: &'a MBusLine,
        raw: i64,
        scale: Scale,
        range: &Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        let target = &line.target;
        if line.form == MBusForm::Whole {
            return self.value(target, raw, range, cursor);
        }
        self.observer.raw_integer(raw);
        if target.absent.contains(raw) {
            self.absent(target, raw);
            return Ok(());
        }
        match (&target.convert, scaled(&target.convert, scale)) {
            (Convert::Plain | Convert::Linear(_), Some(linear)) => self.linear(target, linear, raw, range),
            _ => self.number(target, &target.convert, scale.of_integer(raw), range, cursor),
        }
    }

    fn m_bus_moment(
        &mut self,
        walk: &MBus,
        target: &'a Target,
        local: DateTime,
        summer_time: bool,
        range: Range<usize>,
    ) -> Result<(), Failed> {
        let zone = self.context.zone.unwrap_or(&walk.zone);
        match range.len() {
            2 | 4 => self.m_bus_site(target, || moment_read(range.len(), zone), &range, Scale::ONE),
            _ => self.m_bus_data(target, range.clone(), "date and time", None),
        }
        match moment(local, summer_time, zone) {
            Some(time) => {
                self.time(target, time);
                Ok(())
            }
            None => Err(self.beyond_time(target, f64::from(local.year()), &range)),
        }
    }

    /// The readings of the compact profiles. Each profile's base, its time and its value, is in other records.
    fn m_bus_series(&mut self, walk: &'a MBus, bytes: &'a [u8], start: usize, cursor: &Cursor) -> Result<(), Failed> {
        for record in records(bytes).filter_map(Result::ok) {
            let Data::Profile(profile) = record.data else { continue };
            self.remember_place(walk, &record, record.storage);
            let Some((line, how)) = self.line_for(walk, &record, cursor).and_then(|line| match line.form {
                MBusForm::Series(how) => Some((line, how)),
                _ => None,
            }) else {
                continue;
            };
            let range = shifted(&record.data_bytes, start);
            let zone = self.context.zone.unwrap_or(&walk.zone).clone();
            // Its base is looked for among all records, which have four bytes or so.
            self.spend(bytes.len() / 4, line.target.line, range.start)?;
            let base = Base::of(&record, bytes);
            let what = match profile.change {
                Change::Absolute => "value of a compact profile",
                _ => "change in a compact profile",
            };
            let numbers = range.start + HEADER_BYTES..range.end;
            for ((index, value), start) in
                (1u32..).zip(profile.values(base.value)).zip(numbers.step_by(profile.element_bytes().max(1)))
            {
                let bytes = start..start + profile.element_bytes();
                let linear = scaled(&line.target.convert, record.scale);
                let (Some(value), Some(time)) = (value, base.moved(index, &profile, &zone)) else {
                    self.m_bus_data(&line.target, bytes, what, linear);
                    self.observer.no_value("the value or its time is not known");
                    continue;
                };
                self.spend(1, line.target.line, range.start)?;
                self.new_record(how, cursor, line.target.line)?;
                self.remember_place(walk, &record, record.storage.saturating_add(u64::from(index)));
                self.m_bus_data(&line.target, bytes, what, linear);
                if O::WATCHES {
                    self.observer.time(self.record(), time);
                }
                self.readings.set_time(time);
                self.m_bus_number(line, value, record.scale, &range, cursor)?;
            }
        }
        Ok(())
    }

    fn m_bus_filler(&mut self, bytes: Range<usize>, line: u32) {
        if !bytes.is_empty() {
            self.observer.structure(Structure::Filler, bytes, line);
        }
    }

    /// The variables that a line's name or expression may mention.
    fn remember_place(&mut self, walk: &MBus, record: &Record<'_>, storage: u64) {
        self.remember(walk.storage, storage as f64);
        self.remember(walk.tariff, f64::from(record.tariff));
        self.remember(walk.subunit, f64::from(record.subunit));
    }

    fn m_bus_site(&mut self, target: &'a Target, read: impl FnOnce() -> Read, range: &Range<usize>, scale: Scale) {
        if !O::WATCHES {
            return;
        }
        let (record, field) = (self.record(), self.field_number(target).ok().flatten());
        self.observer.site(Site {
            target,
            read: &read(),
            bits: None,
            bytes: range.clone(),
            stream: None,
            field,
            record,
            linear: scaled(&target.convert, scale),
            parts: &[],
        });
    }

    fn m_bus_data(&mut self, target: &'a Target, bytes: Range<usize>, what: &'static str, linear: Option<Linear>) {
        if O::WATCHES {
            let field = self.field_number(target).ok().flatten();
            self.observer.m_bus_data(MBusData { target, field, bytes, what, linear });
        }
    }
}

impl MBusForm {
    /// Whether a record's data has this form. What a meter has no value for fits any.
    fn holds(self, record: &Record<'_>) -> bool {
        match record.data {
            Data::Profile(_) => matches!(self, MBusForm::Series(_)),
            _ if matches!(self, MBusForm::Series(_)) => false,
            Data::None | Data::Invalid(_) => true,
            Data::Integer(_) | Data::Digits { .. } => match self {
                MBusForm::Measured => true,
                MBusForm::Whole | MBusForm::Text => record.scale == Scale::ONE,
                MBusForm::Moment | MBusForm::Series(_) => false,
            },
            Data::Float(_) => self == MBusForm::Measured,
            Data::Date(_) | Data::DateTime { .. } => self == MBusForm::Moment,
            Data::Time(_) | Data::Text(_) | Data::Binary(_) => self == MBusForm::Text,
        }
    }
}

/// What a compact profile starts from.
struct Base {
    value: Option<i64>,
    time: Option<(DateTime, bool)>,
}

impl Base {
    /// Looks among all records of the message: the value has the profile's quantity and scale, and the time its
    /// storage number (EN 13757-3:2018, F.2).
    fn of(profile: &Record<'_>, bytes: &[u8]) -> Base {
        let mut base = Base { value: None, time: None };
        for record in records(bytes).filter_map(Result::ok).filter(|record| record.storage == profile.storage) {
            let of_profile = (record.quantity, record.tariff, record.subunit, record.function, record.scale)
                == (profile.quantity, profile.tariff, profile.subunit, profile.function, profile.scale);
            match record.data {
                Data::Integer(value) | Data::Digits { value, .. }
                    if of_profile && qualifiers_agree(&record, profile) =>
                {
                    base.value.get_or_insert(value);
                }
                Data::Date(date) if record.qualifiers.is_empty() => {
                    base.time.get_or_insert((date.at(0, 0, 0, 0), false));
                }
                Data::DateTime { local, summer_time } if record.qualifiers.is_empty() => {
                    base.time.get_or_insert((local, summer_time));
                }
                _ => {}
            }
        }
        base
    }

    /// The time of the value so many spacings from here; `None` when there is no time to start from, or the spacing
    /// is none that a time can be computed with.
    fn moved(&self, steps: u32, profile: &Profile<'_>, zone: &TimeZone) -> Option<Timestamp> {
        let (local, summer_time) = self.time?;
        let steps = i64::from(steps) * if profile.direction == Direction::Older { -1 } else { 1 };
        let by_calendar = |span: Span| moment(local.checked_add(span).ok()?, summer_time, zone);
        match profile.spacing {
            Spacing::Seconds(seconds) => {
                let base = moment(local, summer_time, zone)?.as_seconds();
                Some(Timestamp::from_seconds(base.checked_add(steps.checked_mul(i64::from(seconds))?)?))
            }
            Spacing::Days(days) => by_calendar(Span::new().try_days(steps * i64::from(days)).ok()?),
            Spacing::Months(months) => by_calendar(Span::new().try_months(steps * i64::from(months)).ok()?),
            Spacing::HalfMonth | Spacing::Reserved => None,
        }
    }
}

/// Whether the two say the same of their values, but for one being a series.
fn qualifiers_agree(record: &Record<'_>, profile: &Record<'_>) -> bool {
    let of_profile = profile.qualifiers.as_slice().iter().filter(|qualifier| !qualifier.is_profile());
    record.qualifiers.as_slice().iter().eq(of_profile)
}

/// The moment that a meter's clock shows. In the hour that autumn has twice, its mark of summer time decides.
fn moment(local: DateTime, summer_time: bool, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let offset = ambiguous.offset();
    let moment = match offset {
        AmbiguousOffset::Fold { .. } if !summer_time => ambiguous.later(),
        _ => ambiguous.compatible(),
    };
    i64::try_from(moment.ok()?.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// A record's scale and a field's conversion in one, so that a number is rounded once; `None` where more than a factor
/// is between the two.
fn scaled(convert: &Convert, scale: Scale) -> Option<Linear> {
    let own = match convert {
        Convert::Plain => Linear::NOTHING,
        Convert::Linear(linear) | Convert::Number(_, linear) => *linear,
        _ => return None,
    };
    // ((raw + t/1000) × m/d × M + A) / D, over the common denominator 1000 d D when there is a correction t.
    let thousand = if scale.add_thousandths == 0 { 1 } else { 1_000 };
    let product = scale.multiply.checked_mul(own.multiply)?;
    let correction = scale.add_thousandths.checked_mul(product)?;
    let offset = own.add.checked_mul(scale.divide)?.checked_mul(thousand)?;
    Some(Linear {
        multiply: product.checked_mul(thousand)?,
        add: correction.checked_add(offset)?,
        divide: own.divide.checked_mul(scale.divide)?.checked_mul(thousand)?,
        integer: own.integer,
    })
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

// How data would be written, for those who watch: the encoder, and explanations.

/// Type B, or type C where the number is one that type B does not have.
fn integer_read(raw: i64, bytes: usize) -> Read {
    let bits = 8 * bytes.min(8) as u32;
    let fits = bits == 64 || raw < 1 << bits.saturating_sub(1);
    let sign = if fits { Sign::TwosComplement } else { Sign::Unsigned };
    let integer = Integer { bytes: bytes.min(8) as u8, sign, order: ByteOrder::Little };
    Read::Integer { integer, bits: None }
}

fn decimal_read(bytes: usize) -> Read {
    let length = Length::Fixed(bytes as u32);
    Read::Bcd { length, order: ByteOrder::Little, signed: false, invalid: Invalid::Absent }
}

/// Types F and G, of four bytes and of two; those of other lengths are not written.
fn moment_read(bytes: usize, zone: &TimeZone) -> Read {
    Read::PackedTime(Box::new(PackedTime::m_bus(bytes == 4, zone.clone(), Invalid::Absent)))
}

fn text_read(data: &Data<'_>, bytes: usize) -> Read {
    let coding = match data {
        Data::Integer(raw) => return integer_read(*raw, bytes),
        Data::Digits { .. } => TextCoding::Digits { order: ByteOrder::Little, swapped: false },
        Data::Text(_) => TextCoding::ReversedLatin1,
        _ => TextCoding::Hex { order: ByteOrder::Big, swapped: false },
    };
    Read::Text(Box::new(Text {
        length: Length::Fixed(bytes as u32),
        until: None,
        coding,
        invalid: Invalid::Refuse,
        keep: None,
        strip: Box::default(),
    }))
}

fn write_text(data: &Data<'_>, text: &mut String) {
    let _ = match data {
        Data::Text(sent) => {
            text.extend(characters(sent));
            Ok(())
        }
        Data::Digits { value, digits } => write!(text, "{value:0width$}", width = usize::from(*digits)),
        Data::Integer(value) => write!(text, "{value}"),
        Data::Time(time) => write!(text, "{time}"),
        Data::Binary(bytes) => bytes.iter().try_for_each(|byte| write!(text, "{byte:02X}")),
        _ => Ok(()),
    };
}

/// Never on the way of a good message, so it may allocate.
#[cold]
fn no_line(record: &Record<'_>) -> String {
    let mut text = format!("the profile has no line for the record \"{}", record.quantity.name());
    for qualifier in record.qualifiers.as_slice() {
        let _ = write!(text, " {}", qualifier.name());
    }
    let _ = write!(
        text,
        "\", {}, storage {}, tariff {}, subunit {}, VIF {}",
        record.function.name(),
        record.storage,
        record.tariff,
        record.subunit,
        Hex(record.vif)
    );
    text + "; describe it, or set otherwise = \"skip\""
}
