//! Checksums and transforms as profiles write them.

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::profile::spec::*;

impl<'a> Compiler<'a> {
    pub(super) fn checks(&mut self, checks: &OneOrMany<CheckSpec>, span: Span) -> Vec<Check> {
        checks.0.iter().filter_map(|check| self.check(check, span.clone())).collect()
    }

    fn check(&mut self, check: &CheckSpec, span: Span) -> Option<Check> {
        let given: Vec<(&String, Algorithm)> = [
            (&check.sum8, "sum8"),
            (&check.sum8_negated, "sum8_negated"),
            (&check.sum16, "sum16"),
            (&check.xor8, "xor8"),
            (&check.crc8, "crc8"),
            (&check.crc8_maxim, "crc8_maxim"),
            (&check.crc16_modbus, "crc16_modbus"),
            (&check.crc16_arc, "crc16_arc"),
            (&check.crc16_ccitt, "crc16_ccitt"),
            (&check.crc16_xmodem, "crc16_xmodem"),
            (&check.crc16_kermit, "crc16_kermit"),
            (&check.crc16_x25, "crc16_x25"),
            (&check.crc16_en13757, "crc16_en13757"),
            (&check.crc32, "crc32"),
        ]
        .into_iter()
        .filter_map(|(range, name)| Some((range.as_ref()?, Algorithm::named(name)?)))
        .collect();
        let (range, algorithm) = match (given.as_slice(), &check.crc, &check.bytes) {
            ([(range, algorithm)], None, None) => (*range, algorithm.clone()),
            ([], Some(crc), Some(range)) => (range, self.crc(crc, span.clone())?),
            ([], Some(_), None) => {
                self.problem(span, "a check with `crc` needs `bytes`").help_last("as in bytes = \"0..-3\"");
                return None;
            }
            _ => {
                self.problem(span, "a check names exactly one algorithm")
                    .help_last("as in check = { sum8 = \"0..-3\", at = -2 }");
                return None;
            }
        };
        let (from, to) = self.byte_range(range, span.clone())?;
        let order = self.byte_order(check.byte_order, algorithm.bytes(), span.clone());
        let mark = match check.wrong {
            WrongSpec::Refuse => None,
            WrongSpec::Mark => match self.canonical_index("checksum_wrong") {
                Some(field) => Some(field),
                None => {
                    self.problem(span, "wrong = \"mark\" needs a field `checksum_wrong`, which classes.toml has not");
                    return None;
                }
            },
        };
        Some(Check { from, to, at: check.at, order, algorithm, mark, line: self.line(&span) })
    }

    fn crc(&mut self, crc: &CrcSpec, span: Span) -> Option<Algorithm> {
        let highest = u32::MAX.checked_shr(32 - u32::from(crc.bits.clamp(1, 32))).unwrap_or(u32::MAX);
        let fits = [crc.polynomial, crc.initial, crc.final_xor].into_iter().all(|number| number <= highest);
        if !(8..=32).contains(&crc.bits) || !fits {
            self.problem(span, format!("a CRC of {} bits with these parameters cannot be computed", crc.bits))
                .help_last("bits is 8 to 32; polynomial, initial and final_xor have no more bits than that");
            return None;
        }
        let CrcSpec { bits, polynomial, initial, reflected, final_xor } = *crc;
        let parameters = CrcParameters { bits, polynomial, initial, reflected, final_xor };
        Some(Algorithm::Crc(Box::new(Crc::new("crc", parameters))))
    }

    pub(super) fn transforms(&mut self, transforms: &OneOrMany<TransformSpec>, span: Span) -> Vec<Transform> {
        transforms.0.iter().filter_map(|transform| self.transform(transform, span.clone())).collect()
    }

    fn transform(&mut self, transform: &TransformSpec, span: Span) -> Option<Transform> {
        let change = match (transform.add, transform.subtract, &transform.xor) {
            (Some(number), None, None) => Change::Add(number),
            (None, Some(number), None) => Change::Add(number.wrapping_neg()),
            (None, None, Some(key)) => {
                let key = self.bytes(key, span.clone());
                if key.is_empty() {
                    self.problem(span, "`xor` needs at least one byte");
                    return None;
                }
                Change::Xor(key.into())
            }
            _ => {
                self.problem(span, "a transform has exactly one of `add`, `subtract` and `xor`");
                return None;
            }
        };
        let (from, to) = self.byte_range(&transform.bytes, span)?;
        Some(Transform { from, to, change, before_check: transform.before_check })
    }

    /// `"0..-3"`: the first and the last byte.
    fn byte_range(&mut self, range: &str, span: Span) -> Option<(i32, i32)> {
        let ends = range
            .split_once("..")
            .and_then(|(from, to)| Some((from.trim().parse::<i32>().ok()?, to.trim().parse::<i32>().ok()?)));
        if ends.is_none() {
            self.problem(self.word(span, range), format!("`{range}` is no range of bytes"))
                .help_last("write the first and the last byte, as in \"0..-3\"; negative ones count from the end");
        }
        ends
    }
}
