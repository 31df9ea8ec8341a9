//! What a programmer would write for one device: the same checks and the same values for the next stage, in buffers
//! that are used again from message to message, and no profile.

use citywire::decode::Value;
use citywire::time::Timestamp;

/// One reading, as the next stage takes it.
#[derive(Default)]
pub struct Reading {
    pub time: Option<Timestamp>,
    pub values: Vec<(u16, Value)>,
    pub text: String,
}

pub type Decode = fn(&[u8], &mut Reading) -> Option<()>;

impl Reading {
    fn clear(&mut self) {
        self.time = None;
        self.values.clear();
        self.text.clear();
    }

    fn give(&mut self, field: u16, value: Value) {
        self.values.push((field, value));
    }

    /// A number, unless it is implausible.
    fn number(&mut self, field: u16, number: f64, low: f64, high: f64) {
        if (low..=high).contains(&number) {
            self.give(field, Value::Float(number));
        }
    }

    fn text(&mut self, field: u16, text: &str) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        self.give(field, Value::Text(start..self.text.len() as u32));
    }
}

pub fn three_fields(payload: &[u8], reading: &mut Reading) -> Option<()> {
    reading.clear();
    let &[b0, b1, v0, v1, v2, v3, leak] = payload else { return None };
    reading.number(0, f64::from(u16::from_be_bytes([b0, b1])) / 1000.0, 0.0, 60.0);
    reading.number(1, f64::from(u32::from_be_bytes([v0, v1, v2, v3])) / 1000.0, -1e9, 1e9);
    reading.give(2, Value::Bool(matches(leak)?));
    Some(())
}

fn matches(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A fixed layout with a checksum, a time, words and bits.
pub fn elevator(payload: &[u8], reading: &mut Reading) -> Option<()> {
    reading.clear();
    let (body, crc) = payload.split_last_chunk::<2>()?;
    let &[1, event, t0, t1, t2, t3, mode, bits, f0, f1, f2, f3, r0, r1, r2, r3, fault, temperature] = body else {
        return None;
    };
    if crc16_modbus(body) != u16::from_le_bytes(*crc) {
        return None;
    }
    reading.give(0, Value::Label(u32::from(event.checked_sub(1).filter(|event| *event < 3)?)));
    let seconds = u32::from_be_bytes([t0, t1, t2, t3]);
    reading.time = (seconds != 0).then(|| Timestamp::from_seconds(i64::from(seconds)));
    reading.give(1, Value::Label(3 + u32::from(mode.min(7))));
    reading.give(2, Value::Bool(bits & 1 != 0));
    let direction = bits >> 1 & 3;
    if direction == 3 {
        return None;
    }
    reading.give(3, Value::Label(11 + u32::from(direction)));
    reading.give(4, Value::Bool(bits & 8 != 0));
    reading.give(5, Value::Bool(bits & 16 != 0));
    reading.give(6, Value::Bool(bits & 32 != 0));
    let floor = [f0, f1, f2, f3];
    reading.text(7, std::str::from_utf8(&floor).ok()?.trim_matches(|c: char| c == '\0' || c.is_whitespace()));
    reading.give(8, Value::Integer(i64::from(u32::from_be_bytes([r0, r1, r2, r3]))));
    reading.give(9, Value::Label(14 + u32::from(fault.min(12))));
    reading.give(10, Value::Bool(fault != 0));
    reading.give(11, Value::Bool(fault == 11));
    if temperature != 0x80 {
        reading.number(12, f64::from(temperature as i8), -60.0, 150.0);
    }
    Some(())
}

fn crc16_modbus(bytes: &[u8]) -> u16 {
    static TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u16, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    bytes.iter().fold(0xFFFF, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

/// A length, then tags with lengths.
pub fn jiade(payload: &[u8], reading: &mut Reading) -> Option<()> {
    reading.clear();
    let (&[sequence, high, low], mut rest) = payload.split_first_chunk::<3>()?;
    if usize::from(u16::from_be_bytes([high, low])) != rest.len() {
        return None;
    }
    reading.give(0, Value::Integer(i64::from(sequence)));
    while !rest.is_empty() {
        let (&[tag, high, low], value) = rest.split_first_chunk::<3>()?;
        let (value, behind) = value.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        rest = behind;
        match tag {
            1 => {
                let mut digits = [0; 10];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(value.get(..5)?) {
                    pair[0] = b"0123456789ABCDEF"[usize::from(byte >> 4)];
                    pair[1] = b"0123456789ABCDEF"[usize::from(byte & 0x0F)];
                }
                reading.text(1, std::str::from_utf8(&digits).ok()?);
            }
            2 => reading.give(2, Value::Integer(i64::from(*value.first()?))),
            3 => jiade_state(*value.first()?, reading)?,
            4 => reading.give(8, Value::Integer(i64::from(*value.first()?))),
            5 => reading.number(9, f64::from(*value.first()?), 0.0, 100.0),
            _ => {}
        }
    }
    Some(())
}

/// One byte says what happened; the fields tell what is known after it.
fn jiade_state(state: u8, reading: &mut Reading) -> Option<()> {
    let event = match state {
        0x00 => 0,
        0x01 => 1,
        0x02 => 2,
        0x08 => 3,
        0x0D => 4,
        0x11 => 5,
        0x12 => 6,
        0x13 => 7,
        0x14 => 8,
        _ => return None,
    };
    reading.give(3, Value::Label(event));
    match state {
        0x01 => reading.give(4, Value::Bool(true)),
        0x00 | 0x11 => reading.give(4, Value::Bool(false)),
        _ => {}
    }
    match state {
        0x02 => reading.give(5, Value::Bool(true)),
        0x00 | 0x12 => reading.give(5, Value::Bool(false)),
        _ => {}
    }
    match state {
        0x13 => reading.give(6, Value::Bool(true)),
        0x00 | 0x14 => reading.give(6, Value::Bool(false)),
        _ => {}
    }
    reading.give(7, Value::Bool(state == 0x0D));
    Some(())
}
