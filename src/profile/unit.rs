//! Units of measure, so that a profile may say what the manual says, and what the fields in them are called.
//!
//! Names are those of UCUM (Unified Code for Units of Measure, version 2.2, <https://ucum.org>), case-sensitive. UCUM
//! has no unit of its own for three things that meters and modems send, so these names are ours, formed like UCUM's:
//! `dB[mW]` after its `dB[W]`, `var` (UCUM would write `V.A`, which could not be told from apparent power), and a
//! remark in braces where UCUM's unit alone does not say which quantity is meant: `K{difference}` is not a point on
//! the temperature scale and never gets 273.15 added, `%{LEL}` is no plain percentage.

use Quantity::*;

/// What a unit measures. Units of one quantity convert into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quantity {
    Acceleration,
    Acidity,
    ActivityConcentration,
    Angle,
    AngularSpeed,
    ApparentEnergy,
    ApparentPower,
    Conductivity,
    Current,
    DataSize,
    DoseRate,
    ElectricCharge,
    Energy,
    ExplosiveLimit,
    Force,
    Fraction,
    Frequency,
    Illuminance,
    Irradiance,
    Length,
    LevelRatio,
    MagneticFluxDensity,
    Mass,
    MassConcentration,
    MassFlow,
    Power,
    Pressure,
    ReactiveEnergy,
    ReactivePower,
    Resistance,
    SignalLevel,
    SoundLevel,
    Speed,
    Temperature,
    TemperatureDifference,
    Time,
    Turbidity,
    Voltage,
    Volume,
    VolumeFlow,
}

impl Quantity {
    const fn name(self) -> &'static str {
        match self {
            Acceleration => "acceleration",
            Acidity => "acidity",
            ActivityConcentration => "activity concentration",
            Angle => "angle",
            AngularSpeed => "angular speed",
            ApparentEnergy => "apparent energy",
            ApparentPower => "apparent power",
            Conductivity => "conductivity",
            Current => "current",
            DataSize => "data size",
            DoseRate => "dose rate",
            ElectricCharge => "electric charge",
            Energy => "energy",
            ExplosiveLimit => "part of the lower explosive limit",
            Force => "force",
            Fraction => "fraction",
            Frequency => "frequency",
            Illuminance => "illuminance",
            Irradiance => "irradiance",
            Length => "length",
            LevelRatio => "level ratio",
            MagneticFluxDensity => "magnetic flux density",
            Mass => "mass",
            MassConcentration => "mass concentration",
            MassFlow => "mass flow",
            Power => "power",
            Pressure => "pressure",
            ReactiveEnergy => "reactive energy",
            ReactivePower => "reactive power",
            Resistance => "resistance",
            SignalLevel => "signal level",
            SoundLevel => "sound level",
            Speed => "speed",
            Temperature => "temperature",
            TemperatureDifference => "temperature difference",
            Time => "time",
            Turbidity => "turbidity",
            Voltage => "voltage",
            Volume => "volume",
            VolumeFlow => "volume flow",
        }
    }
}

/// How a number in one unit becomes a number in another: `(number × multiply + add) ÷ divide`, exactly.
///
/// `add` is 0 but for units whose zero points differ, such as `[degF]` and `Cel`. The three have no common divisor,
/// and `multiply` and `divide` are above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    pub multiply: i64,
    pub add: i64,
    pub divide: i64,
}

impl Conversion {
    /// A number that stays what it is.
    pub const NONE: Conversion = times(1);

    /// `first`, then this conversion backwards; `None` if its numbers do not fit.
    fn undo_after(self, first: Conversion) -> Option<Conversion> {
        let wide = i128::from;
        let multiply = wide(first.multiply) * wide(self.divide);
        let add = wide(first.add) * wide(self.divide) - wide(self.add) * wide(first.divide);
        let divide = wide(first.divide) * wide(self.multiply);
        let common = greatest_common_divisor(greatest_common_divisor(multiply, add.abs()), divide);
        let narrow = |number: i128| i64::try_from(number / common).ok();
        Some(Conversion { multiply: narrow(multiply)?, add: narrow(add)?, divide: narrow(divide)? })
    }
}

fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

struct Unit {
    name: &'static str,
    quantity: Quantity,
    /// To the quantity's base unit: the one whose conversion is 1.
    to_base: Conversion,
    /// How names of fields in this unit end; empty: any way.
    suffix: &'static str,
}

const fn unit(quantity: Quantity, name: &'static str, to_base: Conversion, suffix: &'static str) -> Unit {
    Unit { name, quantity, to_base, suffix }
}

const fn times(multiply: i64) -> Conversion {
    ratio(multiply, 1)
}

const fn ratio(multiply: i64, divide: i64) -> Conversion {
    Conversion { multiply, add: 0, divide }
}

/// In order of their quantity. A suffix is the unit's symbol in lower case; a slash is an underscore, but for volume
/// flows, which the trade writes `m3h`.
const UNITS: &[Unit] = &[
    unit(Acceleration, "m/s2", times(1), "_m_s2"),
    unit(Acceleration, "[g]", ratio(980_665, 100_000), "_g"),
    unit(Acceleration, "m[g]", ratio(980_665, 100_000_000), "_mg"),
    unit(Acidity, "[pH]", times(1), "ph"),
    unit(ActivityConcentration, "Bq/m3", times(1), "_bq_m3"),
    unit(ActivityConcentration, "pCi/L", times(37), "_pci_l"),
    unit(Angle, "deg", times(1), "_deg"),
    unit(AngularSpeed, "deg/s", times(1), "_deg_s"),
    unit(ApparentEnergy, "V.A.h", ratio(1, 1_000), "_vah"),
    unit(ApparentEnergy, "kV.A.h", times(1), "_kvah"),
    unit(ApparentEnergy, "MV.A.h", times(1_000), "_mvah"),
    unit(ApparentPower, "V.A", times(1), "_va"),
    unit(ApparentPower, "kV.A", times(1_000), "_kva"),
    unit(ApparentPower, "MV.A", times(1_000_000), "_mva"),
    unit(Conductivity, "uS/cm", times(1), "_us_cm"),
    unit(Conductivity, "mS/cm", times(1_000), "_ms_cm"),
    unit(Conductivity, "S/m", times(10_000), "_s_m"),
    unit(Current, "uA", ratio(1, 1_000_000), "_ua"),
    unit(Current, "mA", ratio(1, 1_000), "_ma"),
    unit(Current, "A", times(1), "_a"),
    unit(Current, "kA", times(1_000), "_ka"),
    unit(DataSize, "bit", ratio(1, 8), "_bits"),
    unit(DataSize, "By", times(1), "_bytes"),
    unit(DataSize, "kBy", times(1_000), "_kbytes"),
    unit(DataSize, "MBy", times(1_000_000), "_mbytes"),
    unit(DoseRate, "nSv/h", ratio(1, 1_000), "_nsv_h"),
    unit(DoseRate, "uSv/h", times(1), "_usv_h"),
    unit(DoseRate, "mSv/h", times(1_000), "_msv_h"),
    unit(ElectricCharge, "mA.h", ratio(1, 1_000), "_mah"),
    unit(ElectricCharge, "A.h", times(1), "_ah"),
    unit(Energy, "J", ratio(1, 3_600_000), "_j"),
    unit(Energy, "kJ", ratio(1, 3_600), "_kj"),
    unit(Energy, "MJ", ratio(10, 36), "_mj"),
    unit(Energy, "GJ", ratio(10_000, 36), "_gj"),
    unit(Energy, "W.h", ratio(1, 1_000), "_wh"),
    unit(Energy, "kW.h", times(1), "_kwh"),
    unit(Energy, "MW.h", times(1_000), "_mwh"),
    unit(Energy, "GW.h", times(1_000_000), "_gwh"),
    // The calorie of heat meters, 4.1868 J: EN 1434 and the meters' makers count with it.
    unit(Energy, "Mcal_IT", ratio(1_163, 1_000), "_mcal"),
    unit(Energy, "Gcal_IT", times(1_163), "_gcal"),
    unit(ExplosiveLimit, "%{LEL}", times(1), "_percent_lel"),
    unit(Force, "N", times(1), "_n"),
    unit(Force, "kN", times(1_000), "_kn"),
    unit(Fraction, "1", times(1), ""),
    unit(Fraction, "%", ratio(1, 100), "_percent"),
    unit(Fraction, "[ppth]", ratio(1, 1_000), "_ppth"),
    unit(Fraction, "[ppm]", ratio(1, 1_000_000), "_ppm"),
    unit(Fraction, "[ppb]", ratio(1, 1_000_000_000), "_ppb"),
    unit(Frequency, "mHz", ratio(1, 1_000), "_mhz"),
    unit(Frequency, "Hz", times(1), "_hz"),
    unit(Frequency, "kHz", times(1_000), "_khz"),
    unit(Illuminance, "lx", times(1), "_lx"),
    unit(Illuminance, "klx", times(1_000), "_klx"),
    unit(Irradiance, "W/m2", times(1), "_w_m2"),
    unit(Irradiance, "kW/m2", times(1_000), "_kw_m2"),
    unit(Length, "um", ratio(1, 1_000_000), "_um"),
    unit(Length, "mm", ratio(1, 1_000), "_mm"),
    unit(Length, "cm", ratio(1, 100), "_cm"),
    unit(Length, "dm", ratio(1, 10), "_dm"),
    unit(Length, "m", times(1), "_m"),
    unit(Length, "km", times(1_000), "_km"),
    unit(Length, "[in_i]", ratio(254, 10_000), "_in"),
    unit(Length, "[ft_i]", ratio(3_048, 10_000), "_ft"),
    unit(LevelRatio, "dB", times(1), "_db"),
    unit(MagneticFluxDensity, "nT", ratio(1, 1_000), "_nt"),
    unit(MagneticFluxDensity, "uT", times(1), "_ut"),
    unit(MagneticFluxDensity, "mT", times(1_000), "_mt"),
    unit(MagneticFluxDensity, "T", times(1_000_000), "_t"),
    // `G` is the gauss; UCUM's `[G]` is the constant of gravitation.
    unit(MagneticFluxDensity, "mG", ratio(1, 10), "_mg"),
    unit(MagneticFluxDensity, "G", times(100), "_g"),
    unit(Mass, "mg", ratio(1, 1_000_000), "_mg"),
    unit(Mass, "g", ratio(1, 1_000), "_g"),
    unit(Mass, "kg", times(1), "_kg"),
    unit(Mass, "t", times(1_000), "_t"),
    unit(MassConcentration, "ng/m3", ratio(1, 1_000), "_ng_m3"),
    unit(MassConcentration, "ug/m3", times(1), "_ug_m3"),
    unit(MassConcentration, "mg/m3", times(1_000), "_mg_m3"),
    unit(MassConcentration, "g/m3", times(1_000_000), "_g_m3"),
    unit(MassConcentration, "kg/m3", times(1_000_000_000), "_kg_m3"),
    unit(MassConcentration, "ug/L", times(1_000), "_ug_l"),
    unit(MassConcentration, "mg/L", times(1_000_000), "_mg_l"),
    unit(MassConcentration, "g/L", times(1_000_000_000), "_g_l"),
    unit(MassFlow, "kg/h", times(1), "_kgh"),
    unit(MassFlow, "t/h", times(1_000), "_th"),
    unit(Power, "mW", ratio(1, 1_000), "_mw"),
    unit(Power, "W", times(1), "_w"),
    unit(Power, "kW", times(1_000), "_kw"),
    unit(Power, "MW", times(1_000_000), "_mw"),
    unit(Pressure, "Pa", ratio(1, 1_000), "_pa"),
    unit(Pressure, "hPa", ratio(1, 10), "_hpa"),
    unit(Pressure, "kPa", times(1), "_kpa"),
    unit(Pressure, "MPa", times(1_000), "_mpa"),
    unit(Pressure, "mbar", ratio(1, 10), "_mbar"),
    unit(Pressure, "bar", times(100), "_bar"),
    unit(Pressure, "m[H2O]", ratio(980_665, 100_000), "_mh2o"),
    unit(Pressure, "mm[Hg]", ratio(133_322, 1_000_000), "_mmhg"),
    unit(Pressure, "kgf/cm2", ratio(980_665, 10_000), "_kgf_cm2"),
    // 0.45359237 kg × 9.80665 m/s² on (25.4 mm)².
    unit(Pressure, "[psi]", ratio(44_482_216_152_605, 6_451_600_000_000), "_psi"),
    unit(ReactiveEnergy, "var.h", ratio(1, 1_000), "_varh"),
    unit(ReactiveEnergy, "kvar.h", times(1), "_kvarh"),
    unit(ReactiveEnergy, "Mvar.h", times(1_000), "_mvarh"),
    unit(ReactivePower, "var", times(1), "_var"),
    unit(ReactivePower, "kvar", times(1_000), "_kvar"),
    unit(ReactivePower, "Mvar", times(1_000_000), "_mvar"),
    unit(Resistance, "mOhm", ratio(1, 1_000), "_mohm"),
    unit(Resistance, "Ohm", times(1), "_ohm"),
    unit(Resistance, "kOhm", times(1_000), "_kohm"),
    unit(Resistance, "MOhm", times(1_000_000), "_mohm"),
    unit(SignalLevel, "dB[mW]", times(1), "_dbm"),
    unit(SoundLevel, "dB[SPL]", times(1), "_db"),
    unit(Speed, "mm/d", ratio(1, 86_400_000), "_mm_d"),
    unit(Speed, "mm/h", ratio(1, 3_600_000), "_mm_h"),
    unit(Speed, "mm/min", ratio(1, 60_000), "_mm_min"),
    unit(Speed, "mm/s", ratio(1, 1_000), "_mm_s"),
    unit(Speed, "cm/s", ratio(1, 100), "_cm_s"),
    unit(Speed, "m/s", times(1), "_m_s"),
    unit(Speed, "km/h", ratio(1_000, 3_600), "_km_h"),
    unit(Speed, "[kn_i]", ratio(1_852, 3_600), "_kn"),
    unit(Speed, "[mi_i]/h", ratio(1_609_344, 3_600_000), "_mph"),
    unit(Temperature, "Cel", times(1), "_c"),
    unit(Temperature, "K", Conversion { multiply: 100, add: -27_315, divide: 100 }, "_k"),
    unit(Temperature, "[degF]", Conversion { multiply: 5, add: -160, divide: 9 }, "_f"),
    unit(TemperatureDifference, "K{difference}", times(1), "_k"),
    unit(TemperatureDifference, "[degF]{difference}", ratio(5, 9), "_f"),
    unit(Time, "us", ratio(1, 1_000_000), "_us"),
    unit(Time, "ms", ratio(1, 1_000), "_ms"),
    unit(Time, "s", times(1), "_s"),
    unit(Time, "min", times(60), "_min"),
    unit(Time, "h", times(3_600), "_h"),
    unit(Time, "d", times(86_400), "_d"),
    unit(Time, "wk", times(604_800), "_wk"),
    // UCUM's month and year are the mean Julian ones: a year of 365.25 days, and its twelfth.
    unit(Time, "mo", times(2_629_800), "_mo"),
    unit(Time, "a", times(31_557_600), "_years"),
    unit(Turbidity, "[NTU]", times(1), "_ntu"),
    unit(Turbidity, "[FNU]", times(1), "_fnu"),
    unit(Voltage, "uV", ratio(1, 1_000_000), "_uv"),
    unit(Voltage, "mV", ratio(1, 1_000), "_mv"),
    unit(Voltage, "V", times(1), "_v"),
    unit(Voltage, "kV", times(1_000), "_kv"),
    unit(Volume, "mL", ratio(1, 1_000_000), "_ml"),
    unit(Volume, "L", ratio(1, 1_000), "_l"),
    unit(Volume, "dm3", ratio(1, 1_000), "_dm3"),
    unit(Volume, "m3", times(1), "_m3"),
    unit(Volume, "[foz_us]", ratio(3_785_411_784, 128_000_000_000_000), "_floz"),
    unit(Volume, "[gal_us]", ratio(3_785_411_784, 1_000_000_000_000), "_gal"),
    unit(Volume, "[cft_i]", ratio(28_316_846_592, 1_000_000_000_000), "_ft3"),
    unit(VolumeFlow, "mL/min", ratio(60, 1_000_000), "_mlmin"),
    unit(VolumeFlow, "L/h", ratio(1, 1_000), "_lh"),
    unit(VolumeFlow, "L/min", ratio(60, 1_000), "_lmin"),
    unit(VolumeFlow, "L/s", ratio(3_600, 1_000), "_ls"),
    unit(VolumeFlow, "m3/d", ratio(1, 24), "_m3d"),
    unit(VolumeFlow, "m3/h", times(1), "_m3h"),
    unit(VolumeFlow, "m3/min", times(60), "_m3min"),
    unit(VolumeFlow, "m3/s", times(3_600), "_m3s"),
    unit(VolumeFlow, "[gal_us]/min", ratio(227_124_707_040, 1_000_000_000_000), "_gpm"),
];

/// Whether citywire knows the unit.
pub fn is_known(unit: &str) -> bool {
    find(unit).is_some()
}

/// What the unit measures, in words; `None` for a unit that citywire does not know.
pub fn quantity(unit: &str) -> Option<&'static str> {
    find(unit).map(|unit| unit.quantity.name())
}

/// How the name of a field in this unit ends (`_v`, `_m3`, `_percent`); `None` when it may end in any way, and for a
/// unit that citywire does not know.
pub fn suffix(unit: &str) -> Option<&'static str> {
    find(unit).map(|unit| unit.suffix).filter(|suffix| !suffix.is_empty())
}

/// How a number in `from` becomes a number in `to`; `None` when they measure different things or are not known.
pub fn conversion(from: &str, to: &str) -> Option<Conversion> {
    let (from, to) = (find(from)?, find(to)?);
    if from.quantity != to.quantity {
        return None;
    }
    to.to_base.undo_after(from.to_base)
}

/// The unit of this name, `None` for one that citywire does not know.
pub fn named(name: &str) -> Option<&'static str> {
    find(name).map(|unit| unit.name)
}

/// The unit that stands behind a number in text, where numbers in `expected` are awaited. UCUM's names are understood, and
/// what people write ([`meant_by`]). What a remark in braces tells, no text says: where a `K{difference}` is awaited, `K`
/// and `°C` are meant so, and `%` as `%{LEL}`.
pub fn in_text(written: &str, expected: &str) -> Option<&'static str> {
    if let Some(unit) = find(expected).filter(|unit| unit.name == written) {
        return Some(unit.name);
    }
    let found = named(written).or_else(|| meant_by(written))?;
    let expected = find(expected)?;
    Some(match (expected.quantity, found) {
        (TemperatureDifference, "K" | "Cel") => "K{difference}",
        (TemperatureDifference, "[degF]") => "[degF]{difference}",
        (ExplosiveLimit, "%") => "%{LEL}",
        _ => found,
    })
}

/// The unit that a manual's spelling stands for (`kWh`, `°C`, `dBm`, `m³`), for the help behind an unknown one.
pub fn meant_by(spelling: &str) -> Option<&'static str> {
    let plain = spelling
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '^' | '(' | ')' | '[' | ']' | '·'))
        .map(|c| match c {
            '²' => '2',
            '³' => '3',
            'µ' | 'μ' => 'u',
            _ => c,
        });
    let bare = |unit: &&str| unit.chars().filter(|c| !matches!(c, '.' | '[' | ']')).eq(plain.clone());
    let spelled = SPELLINGS.iter().find(|(_, others)| others.split(' ').any(|other| other.chars().eq(plain.clone())));
    spelled.map(|(unit, _)| *unit).or_else(|| names().find(bare))
}

/// What manuals write that UCUM writes otherwise, where more than dots and brackets differ.
const SPELLINGS: &[(&str, &str)] = &[
    ("%", "percent %RH %rH %rh %rF RH RH% ％"),
    ("%{LEL}", "%LEL LEL LEL%"),
    ("Cel", "C °C ºC ℃ degC celsius Celsius degreesC"),
    ("K", "kelvin Kelvin °K"),
    ("[degF]", "F °F ºF ℉ degF fahrenheit Fahrenheit degreesF"),
    ("V", "v volt volts Volt VDC VAC Vdc Vac"),
    ("mV", "mv millivolt millivolts"),
    ("A", "amp amps ampere Amp"),
    ("mA", "ma milliampere"),
    ("W", "watt watts Watt"),
    ("dB[mW]", "dBm dbm DBM"),
    ("dB[SPL]", "dBA dbA dBSPL"),
    ("deg", "° degree degrees"),
    ("deg/s", "°/s dps"),
    ("lx", "lux Lux"),
    ("L", "l litre liter litres liters"),
    ("mL", "ml"),
    ("L/h", "l/h lph LPH"),
    ("L/min", "l/min lpm LPM"),
    ("L/s", "l/s"),
    ("m3", "cbm ㎥"),
    ("m3/h", "m3h cbm/h"),
    ("[gal_us]", "gal gallon gallons"),
    ("[gal_us]/min", "gpm GPM gal/min"),
    ("[cft_i]", "ft3 cf CF"),
    ("[ft_i]", "ft feet foot"),
    ("[in_i]", "in inch inches"),
    ("m", "metre meter metres meters"),
    ("m/s", "mps"),
    ("km/h", "kmh kph"),
    ("[kn_i]", "kn knot knots kt"),
    ("[mi_i]/h", "mph"),
    ("m/s2", "m/s/s"),
    ("m[H2O]", "mH2O mWS mwc"),
    ("kgf/cm2", "kg/cm2"),
    ("mm[Hg]", "mmHg Torr torr"),
    ("kPa", "kpa Kpa KPa KPA"),
    ("hPa", "hpa HPA"),
    ("MPa", "Mpa MPA"),
    ("[ppm]", "PPM"),
    ("[psi]", "PSI"),
    ("kW.h", "KWh kwh KWH"),
    ("kvar.h", "kVArh kVarh"),
    ("kvar", "kVAr kVar"),
    ("var", "VAr Var VAR"),
    ("Gcal_IT", "Gcal"),
    ("Mcal_IT", "Mcal"),
    ("[NTU]", "ntu"),
    ("[pH]", "ph PH"),
    ("Ohm", "ohm Ω ohms"),
    ("kOhm", "kΩ kohm"),
    ("G", "gauss Gauss Gs"),
    ("uT", "microtesla"),
    ("s", "sec second seconds"),
    ("ms", "msec millisecond milliseconds"),
    ("min", "minute minutes"),
    ("h", "hour hours hr hrs"),
    ("d", "day days"),
    ("wk", "week weeks"),
    ("mo", "month months"),
    ("a", "year years"),
    ("By", "B byte bytes"),
    ("kg", "KG kilogram"),
    ("mm/h", "mm/hr"),
    ("1", "none unitless"),
];

/// All units, in order of what they measure.
pub fn names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|unit| unit.name)
}

fn find(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The conversion as (multiply, divide) of units that share their zero point.
    fn factor(from: &str, to: &str) -> Option<(i64, i64)> {
        let conversion = conversion(from, to)?;
        (conversion.add == 0).then_some((conversion.multiply, conversion.divide))
    }

    #[test]
    fn units_of_one_quantity_convert_exactly() {
        let f = |from, to, expected| assert_eq!(factor(from, to), expected, "{from} to {to}");
        f("mV", "V", Some((1, 1_000)));
        f("kW", "W", Some((1_000, 1)));
        f("cm", "mm", Some((10, 1)));
        f("V", "V", Some((1, 1)));
        f("J", "kW.h", Some((1, 3_600_000)));
        f("GJ", "kW.h", Some((2_500, 9)));
        f("Gcal_IT", "MJ", Some((20_934, 5)));
        f("MPa", "bar", Some((10, 1)));
        f("[psi]", "Pa", Some((8_896_443_230_521, 1_290_320_000)));
        f("m[H2O]", "kPa", Some((196_133, 20_000)));
        f("L/s", "m3/h", Some((18, 5)));
        f("m3/s", "L/min", Some((60_000, 1)));
        f("[gal_us]", "L", Some((473_176_473, 125_000_000)));
        f("[gal_us]", "[foz_us]", Some((128, 1)));
        f("[cft_i]", "m3", Some((55_306_341, 1_953_125_000)));
        f("km/h", "m/s", Some((5, 18)));
        f("[kn_i]", "km/h", Some((463, 250)));
        f("mm/h", "mm/min", Some((1, 60)));
        f("mg/L", "ug/m3", Some((1_000_000, 1)));
        f("%", "[ppm]", Some((10_000, 1)));
        f("%", "1", Some((1, 100)));
        f("m[g]", "m/s2", Some((196_133, 20_000_000)));
        f("mG", "uT", Some((1, 10)));
        f("mS/cm", "S/m", Some((1, 10)));
        f("mo", "d", Some((487, 16)));
        f("a", "mo", Some((12, 1)));
    }

    #[test]
    fn units_of_different_quantities_do_not_convert() {
        let f = |from, to| assert_eq!(conversion(from, to), None, "{from} to {to}");
        f("V", "A");
        f("volt", "V");
        f("v", "V");
        f("var", "W");
        f("V.A", "var");
        f("dB", "dB[mW]");
        f("%{LEL}", "%");
        f("", "1");
    }

    #[test]
    fn temperatures_convert_by_their_zero_points_too_and_their_differences_do_not() {
        let f = |from, to, multiply, add, divide| {
            assert_eq!(conversion(from, to), Some(Conversion { multiply, add, divide }), "{from} to {to}");
        };
        f("K", "Cel", 20, -5_463, 20);
        f("Cel", "K", 20, 5_463, 20);
        f("[degF]", "Cel", 5, -160, 9);
        f("Cel", "[degF]", 9, 160, 5);
        f("[degF]", "K", 100, 45_967, 180);
        f("Cel", "Cel", 1, 0, 1);
        f("[degF]{difference}", "K{difference}", 5, 0, 9);
        assert_eq!(conversion("Cel", "K{difference}"), None, "a point on the scale is no difference");
    }

    #[test]
    fn every_two_units_of_a_quantity_convert_there_and_back() {
        let mut pairs = 0;
        for from in UNITS {
            for to in UNITS.iter().filter(|to| to.quantity == from.quantity) {
                let what = format!("{} to {}", from.name, to.name);
                let there = conversion(from.name, to.name).unwrap_or_else(|| panic!("{what}"));
                let back = conversion(to.name, from.name).unwrap_or_else(|| panic!("{what}, back"));
                assert!(there.multiply > 0 && there.divide > 0, "{what}");
                let wide = i128::from;
                assert_eq!(
                    wide(there.multiply) * wide(back.multiply),
                    wide(there.divide) * wide(back.divide),
                    "{what}"
                );
                assert_eq!(wide(there.add) * wide(back.multiply), -wide(back.add) * wide(there.divide), "{what}");
                pairs += 1;
            }
        }
        assert!(pairs > UNITS.len());
    }

    #[test]
    fn the_table_is_in_order_of_quantity_has_each_unit_once_and_each_quantity_a_base() {
        assert!(UNITS.is_sorted_by_key(|unit| unit.quantity));
        assert!(
            UNITS.is_sorted_by_key(|unit| format!("{:?}", unit.quantity)),
            "quantities are in order of their names"
        );
        let names: BTreeSet<&str> = names().collect();
        assert_eq!(names.len(), UNITS.len());
        let quantities: BTreeSet<&str> = UNITS.iter().map(|unit| unit.quantity.name()).collect();
        let bases = UNITS.iter().filter(|unit| unit.to_base == Conversion::NONE);
        let with_base: BTreeSet<&str> = bases.map(|unit| unit.quantity.name()).collect();
        assert_eq!(with_base, quantities);
    }

    #[test]
    fn a_unit_names_its_quantity_and_the_end_of_its_fields_names() {
        let f = |unit, expected, end| assert_eq!((quantity(unit), suffix(unit)), (expected, end), "{unit}");
        f("V", Some("voltage"), Some("_v"));
        f("[degF]", Some("temperature"), Some("_f"));
        f("%", Some("fraction"), Some("_percent"));
        f("dB[mW]", Some("signal level"), Some("_dbm"));
        f("ug/m3", Some("mass concentration"), Some("_ug_m3"));
        f("m3/h", Some("volume flow"), Some("_m3h"));
        f("1", Some("fraction"), None);
        f("furlong", None, None);
        for unit in UNITS {
            let end = unit.suffix;
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(end.chars().all(fits), "{}: {end}", unit.name);
        }
    }

    #[test]
    fn a_unit_in_text_is_understood_by_what_is_expected_there() {
        let f = |written, expected, found| assert_eq!(in_text(written, expected), found, "{written} for {expected}");
        f("kW.h", "kW.h", Some("kW.h"));
        f("kWh", "kW.h", Some("kW.h"));
        f("W.h", "kW.h", Some("W.h"));
        f("° C", "Cel", Some("Cel"));
        f("°F", "Cel", Some("[degF]"));
        f("%RH", "%", Some("%"));
        f("K", "K{difference}", Some("K{difference}"));
        f("℃", "K{difference}", Some("K{difference}"));
        f("°F", "K{difference}", Some("[degF]{difference}"));
        f("%", "%{LEL}", Some("%{LEL}"));
        f("pcs", "1", None);
        f("", "V", None);
    }

    #[test]
    fn what_manuals_write_is_understood() {
        let f = |spelling, expected| assert_eq!(meant_by(spelling), expected, "{spelling}");
        f("kWh", Some("kW.h"));
        f("kVA", Some("kV.A"));
        f("°C", Some("Cel"));
        f("m³/h", Some("m3/h"));
        f("m^3", Some("m3"));
        f("µg/m³", Some("ug/m3"));
        f("ppm", Some("[ppm]"));
        f("dBm", Some("dB[mW]"));
        f("dB(A)", Some("dB[SPL]"));
        f("mv", Some("mV"));
        f("Nm³", None);
        f("", None);
        for (unit, spellings) in SPELLINGS {
            assert!(is_known(unit), "{unit}");
            for spelling in spellings.split(' ') {
                assert!(!is_known(spelling), "{spelling} is a unit of its own");
                assert_eq!(meant_by(spelling), Some(*unit), "{spelling}");
            }
        }
    }
}
