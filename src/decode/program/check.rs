//! Checksums: which algorithm, over which bytes, and what a wrong one means.

use super::ByteOrder;

/// A checksum over bytes `from` to `to`, both included, negative ones counted from the frame's end.
#[derive(Clone, Debug)]
pub struct Check {
    pub from: i32,
    pub to: i32,
    /// Where the checksum stands.
    pub at: i32,
    pub order: ByteOrder,
    pub algorithm: Algorithm,
    /// A wrong checksum sets this field instead of refusing the payload.
    pub mark: Option<u16>,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Algorithm {
    /// Sum of the bytes, modulo 256.
    Sum8,
    /// What makes the sum of all, itself included, zero modulo 256.
    Sum8Negated,
    /// Sum of the bytes, modulo 65536.
    Sum16,
    /// Exclusive or of the bytes.
    Xor8,
    Crc(Box<Crc>),
}

impl Algorithm {
    /// The algorithm that profiles call by this name.
    pub fn named(name: &str) -> Option<Algorithm> {
        let sums = [Algorithm::Sum8, Algorithm::Sum8Negated, Algorithm::Sum16, Algorithm::Xor8];
        let crc = || {
            let (name, parameters) = NAMED_CRCS.iter().find(|(known, _)| *known == name)?;
            Some(Algorithm::Crc(Box::new(Crc::new(name, *parameters))))
        };
        sums.into_iter().find(|sum| sum.name() == name).or_else(crc)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Algorithm::Sum8 => "sum8",
            Algorithm::Sum8Negated => "sum8_negated",
            Algorithm::Sum16 => "sum16",
            Algorithm::Xor8 => "xor8",
            Algorithm::Crc(crc) => crc.name,
        }
    }

    /// How many bytes the checksum takes.
    pub fn bytes(&self) -> u8 {
        match self {
            Algorithm::Sum8 | Algorithm::Sum8Negated | Algorithm::Xor8 => 1,
            Algorithm::Sum16 => 2,
            Algorithm::Crc(crc) => crc.parameters.bits.div_ceil(8),
        }
    }

    pub fn compute(&self, bytes: &[u8]) -> u32 {
        let sum8 = || bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        match self {
            Algorithm::Sum8 => u32::from(sum8()),
            Algorithm::Sum8Negated => u32::from(sum8().wrapping_neg()),
            Algorithm::Sum16 => u32::from(bytes.iter().fold(0u16, |sum, &byte| sum.wrapping_add(u16::from(byte)))),
            Algorithm::Xor8 => u32::from(bytes.iter().fold(0u8, |sum, &byte| sum ^ byte)),
            Algorithm::Crc(crc) => crc.compute(bytes),
        }
    }
}

/// What tells one CRC from another, in the terms of the CRC catalogue (reveng.sourceforge.io/crc-catalogue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrcParameters {
    /// Width: 8 to 32.
    pub bits: u8,
    pub polynomial: u32,
    pub initial: u32,
    /// Bytes are taken with their least significant bit first, and so is the result.
    pub reflected: bool,
    pub final_xor: u32,
}

/// The CRCs that makers' manuals call by a name.
pub const NAMED_CRCS: &[(&str, CrcParameters)] = &[
    ("crc8", CrcParameters { bits: 8, polynomial: 0x07, initial: 0, reflected: false, final_xor: 0 }),
    ("crc8_maxim", CrcParameters { bits: 8, polynomial: 0x31, initial: 0, reflected: true, final_xor: 0 }),
    ("crc16_modbus", CrcParameters { bits: 16, polynomial: 0x8005, initial: 0xFFFF, reflected: true, final_xor: 0 }),
    ("crc16_arc", CrcParameters { bits: 16, polynomial: 0x8005, initial: 0, reflected: true, final_xor: 0 }),
    ("crc16_ccitt", CrcParameters { bits: 16, polynomial: 0x1021, initial: 0xFFFF, reflected: false, final_xor: 0 }),
    ("crc16_xmodem", CrcParameters { bits: 16, polynomial: 0x1021, initial: 0, reflected: false, final_xor: 0 }),
    ("crc16_kermit", CrcParameters { bits: 16, polynomial: 0x1021, initial: 0, reflected: true, final_xor: 0 }),
    (
        "crc16_x25",
        CrcParameters { bits: 16, polynomial: 0x1021, initial: 0xFFFF, reflected: true, final_xor: 0xFFFF },
    ),
    (
        "crc16_en13757",
        CrcParameters { bits: 16, polynomial: 0x3D65, initial: 0, reflected: false, final_xor: 0xFFFF },
    ),
    (
        "crc32",
        CrcParameters {
            bits: 32,
            polynomial: 0x04C1_1DB7,
            initial: 0xFFFF_FFFF,
            reflected: true,
            final_xor: 0xFFFF_FFFF,
        },
    ),
];

/// A CRC with what each byte does to it, made when the profile is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Crc {
    pub name: &'static str,
    pub parameters: CrcParameters,
    table: [u32; 256],
}

impl Crc {
    pub fn new(name: &'static str, parameters: CrcParameters) -> Crc {
        let mut table = [0; 256];
        for (byte, entry) in (0u32..).zip(table.iter_mut()) {
            *entry = match parameters.reflected {
                true => {
                    let polynomial = parameters.polynomial.reverse_bits() >> (32 - parameters.bits);
                    (0..8).fold(byte, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 })
                }
                false => {
                    // Computed at the top of 32 bits, whatever the width.
                    let polynomial = parameters.polynomial << (32 - parameters.bits);
                    let step = |crc: u32| if crc >> 31 == 1 { (crc << 1) ^ polynomial } else { crc << 1 };
                    (0..8).fold(byte << 24, |crc, _| step(crc))
                }
            };
        }
        Crc { name, parameters, table }
    }

    fn compute(&self, bytes: &[u8]) -> u32 {
        let CrcParameters { bits, initial, reflected, final_xor, .. } = self.parameters;
        let crc = match reflected {
            true => {
                let initial = initial.reverse_bits() >> (32 - bits);
                bytes.iter().fold(initial, |crc, &byte| (crc >> 8) ^ self.entry(crc as u8 ^ byte))
            }
            false => {
                let shift = 32 - bits;
                let step = |crc: u32, &byte: &u8| (crc << 8) ^ self.entry((crc >> 24) as u8 ^ byte);
                bytes.iter().fold(initial << shift, step) >> shift
            }
        };
        crc ^ final_xor
    }

    fn entry(&self, byte: u8) -> u32 {
        self.table[usize::from(byte)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Algorithm {
        Algorithm::named(name).unwrap()
    }

    /// Check values of the CRC catalogue: the CRC of "123456789".
    #[test]
    fn checksums_agree_with_their_published_check_values() {
        let f =
            |algorithm: Algorithm, expected| assert_eq!(algorithm.compute(b"123456789"), expected, "{algorithm:?}");
        f(Algorithm::Sum8, 0xDD);
        f(Algorithm::Sum8Negated, 0x23);
        f(Algorithm::Sum16, 0x01DD);
        f(Algorithm::Xor8, 0x31);
        f(named("crc8"), 0xF4);
        f(named("crc8_maxim"), 0xA1);
        f(named("crc16_modbus"), 0x4B37);
        f(named("crc16_arc"), 0xBB3D);
        f(named("crc16_ccitt"), 0x29B1);
        f(named("crc16_xmodem"), 0x31C3);
        f(named("crc16_kermit"), 0x2189);
        f(named("crc16_x25"), 0x906E);
        f(named("crc16_en13757"), 0xC2B7);
        f(named("crc32"), 0xCBF4_3926);
    }
}
