//! Times: counted from an epoch, spelled in bytes, or packed into bits.

use super::number::Kind;
use super::{Compiler, Span};
use crate::decode::program::*;
use crate::profile::class::FieldType;
use crate::profile::spec::*;
use crate::time::Timestamp;

impl<'a> Compiler<'a> {
    pub(super) fn calendar(&mut self, item: &ItemSpec, invalid: Invalid, span: Span) -> Option<Calendar> {
        let mut layouts = Vec::new();
        for layout in &item.layout.0 {
            match layout.split_whitespace().map(calendar_part).collect::<Option<Vec<_>>>() {
                Some(parts) if !parts.is_empty() => layouts.push(parts),
                _ => {
                    self.problem(self.word(span, layout), format!("`{layout}` is no layout of a calendar time")).help_last(
                        "a word for each byte: CC century, YY year, MM month, DD day, hh, mm, ss, or -- for others",
                    );
                    return None;
                }
            }
        }
        let length = layouts.first().map(Vec::len);
        if length.is_none() || layouts.iter().any(|layout| Some(layout.len()) != length) {
            self.problem(span, "a calendar time needs a `layout`; of several, all are of the same length");
            return None;
        }
        let coding = match item.coding {
            None | Some(Coding::Bcd) => CalendarCoding::Bcd,
            Some(Coding::Binary) => CalendarCoding::Binary,
            Some(Coding::Ascii) => CalendarCoding::Ascii,
            Some(Coding::Hex | Coding::Nibbles) => {
                self.problem(span, "the parts of a calendar time are `bcd`, `binary` or `ascii`");
                return None;
            }
        };
        Some(Calendar { layouts, coding, zone: self.zone.clone(), invalid })
    }

    /// A time in the bits of an integer, by the profile's own `time_bits`.
    pub(super) fn time_bits(
        &mut self,
        bits: &TimeBitsSpec,
        integer: Integer,
        invalid: Invalid,
        span: Span,
    ) -> Option<PackedTime> {
        let given = [
            (PackedPart::Year, Some(&bits.year)),
            (PackedPart::Month, Some(&bits.month)),
            (PackedPart::Day, Some(&bits.day)),
            (PackedPart::Hour, bits.hour.as_ref()),
            (PackedPart::Minute, bits.minute.as_ref()),
            (PackedPart::Second, bits.second.as_ref()),
            (PackedPart::Invalid, bits.invalid.as_ref()),
        ];
        let mut parts = Vec::new();
        for (part, runs) in given.into_iter().filter_map(|(part, runs)| Some((part, runs?))) {
            let runs: Option<Vec<Bits>> = runs
                .split(',')
                .map(|run| self.bits(run.trim(), integer.bytes, Sign::Unsigned, span.clone()))
                .collect();
            parts.push((part, runs?));
        }
        let year_base = bits.year_base.unwrap_or(2000);
        Some(PackedTime { integer, parts, year_base, zone: self.zone.clone(), invalid })
    }

    pub(super) fn epoch(
        &mut self,
        item: &ItemSpec,
        time: TimeSpec,
        kind: Option<Kind>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        if !kind.is_none_or(Kind::is_number) {
            self.problem(span, "only a number counts a time")
                .help_last("use an integer type, or type = \"calendar\"");
            return None;
        }
        let epoch = match &item.epoch {
            None => Timestamp::from_nanos(0),
            Some(text) => match parse_moment(text) {
                Some(epoch) => epoch,
                None => {
                    self.problem(self.word(span, text), format!("`{text}` is no moment"))
                        .help_last("write it as in \"2018-09-10T00:00:00+08:00\"");
                    return None;
                }
            },
        };
        let seconds = |seconds: i64| seconds * 1_000_000_000;
        let unit_nanos = match time {
            TimeSpec::Unix => seconds(1),
            TimeSpec::UnixMs => 1_000_000,
            TimeSpec::UnixMin => seconds(60),
            TimeSpec::UnixH => seconds(3_600),
            TimeSpec::UnixD => seconds(86_400),
        };
        Some((Convert::Epoch { epoch, unit_nanos }, FieldType::Time))
    }
}

/// A moment in RFC 3339.
pub fn parse_moment(text: &str) -> Option<Timestamp> {
    let moment = text.parse::<jiff::Timestamp>().ok()?;
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

fn calendar_part(word: &str) -> Option<CalendarPart> {
    Some(match word {
        "CC" => CalendarPart::Century,
        "YY" => CalendarPart::Year,
        "MM" => CalendarPart::Month,
        "DD" => CalendarPart::Day,
        "hh" => CalendarPart::Hour,
        "mm" => CalendarPart::Minute,
        "ss" => CalendarPart::Second,
        "--" => CalendarPart::Ignored,
        _ => return None,
    })
}
