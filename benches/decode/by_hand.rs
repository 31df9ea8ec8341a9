//! What a programmer would write for one device: the same checks, the same values, no profile.
//!
//! Each gives its values in a type of its own, with text in buffers that live as long as the message, and folds them
//! into a number so that nothing is left out as unused.

use std::hint::black_box;

/// Fields of the benchmark's own device.
struct Three {
    battery_v: f64,
    volume_m3: f64,
    leak: bool,
}

pub fn three_fields(payload: &[u8]) -> u64 {
    fn decode(payload: &[u8]) -> Option<Three> {
        let &[b0, b1, v0, v1, v2, v3, leak] = payload else { return None };
        let battery_v = f64::from(u16::from_be_bytes([b0, b1])) / 1000.0;
        let volume_m3 = f64::from(u32::from_be_bytes([v0, v1, v2, v3])) / 1000.0;
        let leak = match leak {
            0 => false,
            1 => true,
            _ => return None,
        };
        let plausible = (0.0..=60.0).contains(&battery_v) && (0.0..=1e9).contains(&volume_m3);
        plausible.then_some(Three { battery_v, volume_m3, leak })
    }
    match black_box(decode(payload)) {
        Some(three) => three.battery_v.to_bits() ^ three.volume_m3.to_bits() ^ u64::from(three.leak),
        None => 0,
    }
}

struct Lamp {
    controller_address: [u8; 8],
    temperature_raw: i16,
    voltage_v: f64,
    current_raw: u16,
    power_raw: u16,
    energy_raw: u32,
    lamp_time_raw: u32,
    controller_time_raw: u32,
}

/// The upload of older firmware, with its CRC.
pub fn lamp63(payload: &[u8]) -> u64 {
    fn decode(payload: &[u8]) -> Option<Lamp> {
        let (body, crc) = payload.split_last_chunk::<2>()?;
        if crc16_modbus(body) != u16::from_le_bytes(*crc) {
            return None;
        }
        let &[
            0x63,
            a0,
            a1,
            a2,
            a3,
            0x10,
            0x30,
            0x01,
            10,
            t0,
            t1,
            v0,
            v1,
            c0,
            c1,
            p0,
            p1,
            e0,
            e1,
            e2,
            e3,
            l0,
            l1,
            l2,
            l3,
            r0,
            r1,
            r2,
            r3,
        ] = body
        else {
            return None;
        };
        let voltage_v = f64::from(u16::from_be_bytes([v0, v1])) / 10.0;
        if !(0.0..=500.0).contains(&voltage_v) {
            return None;
        }
        Some(Lamp {
            controller_address: hex([a0, a1, a2, a3]),
            temperature_raw: i16::from_be_bytes([t0, t1]),
            voltage_v,
            current_raw: u16::from_be_bytes([c0, c1]),
            power_raw: u16::from_be_bytes([p0, p1]),
            energy_raw: u32::from_be_bytes([e0, e1, e2, e3]),
            lamp_time_raw: u32::from_be_bytes([l0, l1, l2, l3]),
            controller_time_raw: u32::from_be_bytes([r0, r1, r2, r3]),
        })
    }
    match black_box(decode(payload)) {
        Some(lamp) => {
            u64::from_be_bytes(lamp.controller_address)
                ^ lamp.voltage_v.to_bits()
                ^ lamp.temperature_raw as u64
                ^ u64::from(lamp.current_raw)
                ^ u64::from(lamp.power_raw)
                ^ u64::from(lamp.energy_raw)
                ^ u64::from(lamp.lamp_time_raw)
                ^ u64::from(lamp.controller_time_raw)
        }
        None => 0,
    }
}

fn hex<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    const ALL: &[u8; 16] = b"0123456789ABCDEF";
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = ALL[usize::from(byte >> 4)];
        pair[1] = ALL[usize::from(byte & 0x0F)];
    }
    digits
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

#[derive(Default)]
struct Smoke {
    sequence: u8,
    mac: Option<[u8; 10]>,
    device_type: Option<u8>,
    event: Option<&'static str>,
    smoke_alarm: Option<bool>,
    battery_low: Option<bool>,
    tamper: Option<bool>,
    self_test: Option<bool>,
    signal: Option<u8>,
    battery_percent: Option<f64>,
}

/// A length, then tags with lengths.
pub fn jiade(payload: &[u8]) -> u64 {
    fn decode(payload: &[u8]) -> Option<Smoke> {
        let (&[sequence, high, low], mut rest) = payload.split_first_chunk::<3>()?;
        if usize::from(u16::from_be_bytes([high, low])) != rest.len() {
            return None;
        }
        let mut smoke = Smoke { sequence, ..Smoke::default() };
        while !rest.is_empty() {
            let (&[tag, high, low], value) = rest.split_first_chunk::<3>()?;
            let (value, behind) = value.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
            rest = behind;
            match (tag, value) {
                (1, &[a, b, c, d, e, ..]) => smoke.mac = Some(hex([a, b, c, d, e])),
                (2, &[kind, ..]) => smoke.device_type = Some(kind),
                (3, &[state, ..]) => {
                    smoke.event = Some(match state {
                        0x00 => "heartbeat",
                        0x01 => "smoke_alarm",
                        0x02 => "battery_low",
                        0x08 => "pairing",
                        0x0D => "self_test",
                        0x11 => "smoke_cleared",
                        0x12 => "battery_restored",
                        0x13 => "tamper",
                        0x14 => "tamper_cleared",
                        _ => return None,
                    });
                    smoke.smoke_alarm = match state {
                        0x01 => Some(true),
                        0x00 | 0x11 => Some(false),
                        _ => None,
                    };
                    smoke.battery_low = match state {
                        0x02 => Some(true),
                        0x00 | 0x12 => Some(false),
                        _ => None,
                    };
                    smoke.tamper = match state {
                        0x13 => Some(true),
                        0x00 | 0x14 => Some(false),
                        _ => None,
                    };
                    smoke.self_test = Some(state == 0x0D);
                }
                (4, &[signal, ..]) => smoke.signal = Some(signal),
                (5, &[percent, ..]) => smoke.battery_percent = Some(f64::from(percent)).filter(|p| *p <= 100.0),
                (1..=5, _) => return None,
                _ => {}
            }
        }
        Some(smoke)
    }
    let Some(smoke) = black_box(decode(payload)) else { return 0 };
    let truth = |value: Option<bool>| u64::from(value.unwrap_or_default());
    u64::from(smoke.sequence)
        ^ smoke.mac.map_or(0, |mac| u64::from(mac[9]))
        ^ u64::from(smoke.device_type.unwrap_or_default())
        ^ smoke.event.map_or(0, |event| event.len() as u64)
        ^ truth(smoke.smoke_alarm)
        ^ truth(smoke.battery_low)
        ^ truth(smoke.tamper)
        ^ truth(smoke.self_test)
        ^ u64::from(smoke.signal.unwrap_or_default())
        ^ smoke.battery_percent.unwrap_or_default().to_bits()
}
