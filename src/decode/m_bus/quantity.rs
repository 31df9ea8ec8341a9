//! What a value is: the tables of value information fields (EN 13757-3:2018, Tables 10, 12, 13 and 14).

/// The VIF (without its extension bit) whose unit follows as text.
pub const PLAIN_TEXT: u8 = 0x7C;

/// Writes the quantities down once: the variant, its name in profiles, its unit.
macro_rules! quantities {
    ($($(#[$doc:meta])* $variant:ident $name:literal $unit:expr,)*) => {
        /// What a value measures or tells. Names are those of the standard, units UCUM's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Quantity {
            $($(#[$doc])* $variant,)*
        }

        impl Quantity {
            pub const ALL: &[Quantity] = &[$(Quantity::$variant,)*];

            /// The name that profiles use.
            pub const fn name(self) -> &'static str {
                match self { $(Quantity::$variant => $name,)* }
            }

            /// The unit that the scale leads to; `None` for what has none.
            pub const fn unit(self) -> Option<&'static str> {
                match self { $(Quantity::$variant => $unit,)* }
            }
        }
    };
}

quantities! {
    Energy "energy" Some("kW.h"),
    Volume "volume" Some("m3"),
    Mass "mass" Some("kg"),
    OnTime "on_time" Some("s"),
    OperatingTime "operating_time" Some("s"),
    Power "power" Some("W"),
    VolumeFlow "volume_flow" Some("m3/h"),
    MassFlow "mass_flow" Some("kg/h"),
    FlowTemperature "flow_temperature" Some("Cel"),
    ReturnTemperature "return_temperature" Some("Cel"),
    TemperatureDifference "temperature_difference" Some("K{difference}"),
    ExternalTemperature "external_temperature" Some("Cel"),
    Pressure "pressure" Some("bar"),
    Date "date" None,
    DateTime "date_time" None,
    /// Units of a heat cost allocator.
    HeatCostUnits "heat_cost_units" None,
    AveragingDuration "averaging_duration" Some("s"),
    ActualityDuration "actuality_duration" Some("s"),
    FabricationNumber "fabrication_number" None,
    Identification "identification" None,
    BusAddress "bus_address" None,
    /// The unit is in words: [`Record::unit_text`](super::Record::unit_text).
    PlainText "plain_text" None,
    Any "any" None,
    /// The VIF is the maker's: [`Record::vif`](super::Record::vif) tells which.
    ManufacturerSpecific "manufacturer_specific" None,
    /// All that follows the last record is the maker's.
    ManufacturerData "manufacturer_data" None,
    /// The standard gives the VIF no meaning.
    Reserved "reserved" None,

    ReactiveEnergy "reactive_energy" Some("kvar.h"),
    ApparentEnergy "apparent_energy" Some("kV.A.h"),
    ReactivePower "reactive_power" Some("var"),
    ApparentPower "apparent_power" Some("V.A"),
    RelativeHumidity "relative_humidity" Some("%"),
    /// Between two voltages.
    VoltagePhase "voltage_phase" Some("deg"),
    /// Between a voltage and its current.
    CurrentPhase "current_phase" Some("deg"),
    Frequency "frequency" Some("Hz"),
    RatingFactor "rating_factor" None,
    ThermalOutputRatingFactor "thermal_output_rating_factor" Some("W"),
    ThermalCouplingRatingFactor "thermal_coupling_rating_factor" None,
    ThermalCouplingRatingFactorRoom "thermal_coupling_rating_factor_room" None,
    ThermalCouplingRatingFactorHeater "thermal_coupling_rating_factor_heater" None,
    LowTemperatureRatingFactor "low_temperature_rating_factor" None,
    DisplayScalingFactor "display_scaling_factor" None,
    TemperatureLimit "temperature_limit" Some("Cel"),
    CumulativeMaximumPower "cumulative_maximum_power" Some("W"),

    /// In the local currency.
    Credit "credit" None,
    /// In the local currency.
    Debit "debit" None,
    /// Earlier issues call it unique message identification, too.
    AccessNumber "access_number" None,
    DeviceType "device_type" None,
    Manufacturer "manufacturer" None,
    ParameterSet "parameter_set" None,
    ModelVersion "model_version" None,
    HardwareVersion "hardware_version" None,
    /// Of the legally relevant part.
    FirmwareVersion "firmware_version" None,
    /// Of the other parts.
    SoftwareVersion "software_version" None,
    CustomerLocation "customer_location" None,
    Customer "customer" None,
    AccessCodeUser "access_code_user" None,
    AccessCodeOperator "access_code_operator" None,
    AccessCodeSystemOperator "access_code_system_operator" None,
    AccessCodeDeveloper "access_code_developer" None,
    Password "password" None,
    ErrorFlags "error_flags" None,
    ErrorMask "error_mask" None,
    SecurityKey "security_key" None,
    DigitalOutput "digital_output" None,
    DigitalInput "digital_input" None,
    BaudRate "baud_rate" None,
    /// In bit times.
    ResponseDelay "response_delay" None,
    Retries "retries" None,
    RemoteControl "remote_control" None,
    FirstStorage "first_storage" None,
    LastStorage "last_storage" None,
    StorageBlockSize "storage_block_size" None,
    TariffDescriptor "tariff_descriptor" None,
    StorageInterval "storage_interval" Some("s"),
    StorageIntervalMonths "storage_interval_months" Some("mo"),
    OperatorData "operator_data" None,
    /// Of the minute.
    TimePointSecond "time_point_second" Some("s"),
    DurationSinceReadout "duration_since_readout" Some("s"),
    TariffStart "tariff_start" None,
    TariffDuration "tariff_duration" Some("s"),
    TariffPeriod "tariff_period" Some("s"),
    TariffPeriodMonths "tariff_period_months" Some("mo"),
    Dimensionless "dimensionless" None,
    WirelessContainer "wireless_container" None,
    TransmissionPeriod "transmission_period" Some("s"),
    Voltage "voltage" Some("V"),
    Current "current" Some("A"),
    ResetCounter "reset_counter" None,
    CumulationCounter "cumulation_counter" None,
    ControlSignal "control_signal" None,
    /// Monday is 1.
    DayOfWeek "day_of_week" None,
    WeekNumber "week_number" None,
    DayChange "day_change" None,
    ParameterActivation "parameter_activation" None,
    SupplierInformation "supplier_information" None,
    DurationSinceCumulation "duration_since_cumulation" Some("s"),
    DurationSinceCumulationMonths "duration_since_cumulation_months" Some("mo"),
    BatteryOperatingTime "battery_operating_time" Some("s"),
    BatteryOperatingTimeMonths "battery_operating_time_months" Some("mo"),
    BatteryChange "battery_change" None,
    ReceptionLevel "reception_level" Some("dB[mW]"),
    DaylightSaving "daylight_saving" None,
    ListeningWindow "listening_window" None,
    RemainingBatteryLife "remaining_battery_life" Some("s"),
    RemainingBatteryLifeMonths "remaining_battery_life_months" Some("mo"),
    StopCounter "stop_counter" None,
    ManufacturerContainer "manufacturer_container" None,
    SelectedApplication "selected_application" None,
}

/// What a value of a quantity is, as a profile's field sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number that may have a fraction, in this unit.
    Measured(Option<&'static str>),
    /// A whole number: a counter, an identity, flags.
    Whole,
    Moment,
}

impl Quantity {
    /// The quantity that a profile calls so.
    pub fn from_name(name: &str) -> Option<Quantity> {
        Quantity::ALL.iter().copied().find(|quantity| quantity.name() == name)
    }

    /// The quantity of a value information block, as the maker's manual writes it down.
    pub fn of_vif(vif: &[u8]) -> Option<Quantity> {
        let (&first, mut extensions) = vif.split_first()?;
        Some(meaning(first, &mut extensions).quantity)
    }

    /// Of a value without qualifiers.
    pub fn shape(self) -> Shape {
        use Quantity::*;
        match (self, self.unit()) {
            (_, Some(unit)) => Shape::Measured(Some(unit)),
            (Date | DateTime | TariffStart | DayChange | BatteryChange, None) => Shape::Moment,
            (HeatCostUnits | PlainText | Dimensionless | Credit | Debit, None) => Shape::Measured(None),
            (RatingFactor | ThermalCouplingRatingFactor | ThermalCouplingRatingFactorRoom, None) => {
                Shape::Measured(None)
            }
            (ThermalCouplingRatingFactorHeater | LowTemperatureRatingFactor | DisplayScalingFactor, None) => {
                Shape::Measured(None)
            }
            (_, None) => Shape::Whole,
        }
    }
}

/// How integers of a quantity are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Type B, the default of the standard.
    Signed,
    /// Types C and D: counters, identities, flags.
    Unsigned,
    /// A calendar time, its type by its length: F, G, I or J.
    Moment,
}

/// How a record's number becomes one in the quantity's unit: (number + offset) × multiply ÷ divide. Exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub multiply: i64,
    pub divide: i64,
    /// An additive correction in thousandths of the number's own unit; nearly always 0.
    pub add_thousandths: i64,
}

impl Scale {
    pub const ONE: Scale = Scale { multiply: 1, divide: 1, add_thousandths: 0 };

    /// Rounded once, so that 12345 with a divisor of 1000 is the float that `12.345` is.
    pub fn of_integer(self, number: i64) -> f64 {
        let exact = || {
            let corrected = i128::from(number).checked_mul(1_000)?.checked_add(i128::from(self.add_thousandths))?;
            let (corrected, thousand) =
                if self.add_thousandths == 0 { (i128::from(number), 1) } else { (corrected, 1_000) };
            let numerator = corrected.checked_mul(i128::from(self.multiply))?;
            let denominator = i128::from(self.divide) * thousand;
            Some(numerator as f64 / denominator as f64)
        };
        exact().unwrap_or_else(|| self.of_float(number as f64))
    }

    pub fn of_float(self, number: f64) -> f64 {
        (number + self.add_thousandths as f64 / 1_000.0) * self.multiply as f64 / self.divide as f64
    }
}

/// A scale while it is put together: multiply ÷ divide × 10^exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    multiply: i64,
    divide: i64,
    pub exponent: i32,
    pub add_thousandths: i64,
}

impl Factor {
    pub const ONE: Factor = Factor::ten_to(0);

    pub const fn ten_to(exponent: i32) -> Factor {
        Factor { multiply: 1, divide: 1, exponent, add_thousandths: 0 }
    }

    pub const fn times(multiply: i64) -> Factor {
        Factor { multiply, ..Factor::ONE }
    }

    const fn ratio(multiply: i64, divide: i64, exponent: i32) -> Factor {
        Factor { multiply, divide, exponent, add_thousandths: 0 }
    }

    /// In lowest terms; `None` when the numbers become too large.
    pub fn scale(self) -> Option<Scale> {
        let power = 10i64.checked_pow(self.exponent.unsigned_abs())?;
        let (up, down) = if self.exponent < 0 { (1, power) } else { (power, 1) };
        // Shortened crosswise first, so that nothing overflows that need not.
        let (multiply, down) = lowest_terms(self.multiply, down);
        let (up, divide) = lowest_terms(up, self.divide);
        Some(Scale {
            multiply: multiply.checked_mul(up)?,
            divide: divide.checked_mul(down)?,
            add_thousandths: self.add_thousandths,
        })
    }
}

fn lowest_terms(a: i64, b: i64) -> (i64, i64) {
    let (mut common, mut rest) = (a, b);
    while rest != 0 {
        (common, rest) = (rest, common % rest);
    }
    (a / common.max(1), b / common.max(1))
}

/// What a VIF says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub quantity: Quantity,
    pub coding: Coding,
    pub factor: Factor,
}

const fn signed(quantity: Quantity, factor: Factor) -> Meaning {
    Meaning { quantity, coding: Coding::Signed, factor }
}

const fn unsigned(quantity: Quantity) -> Meaning {
    Meaning { quantity, coding: Coding::Unsigned, factor: Factor::ONE }
}

const fn moment(quantity: Quantity) -> Meaning {
    Meaning { quantity, coding: Coding::Moment, factor: Factor::ONE }
}

/// The two low bits of many time codes: seconds, minutes, hours, days.
pub const fn seconds_per(unit: u8) -> i64 {
    [1, 60, 3_600, 86_400][(unit & 0b11) as usize]
}

/// A time in seconds.
const fn time(quantity: Quantity, unit: u8) -> Meaning {
    signed(quantity, Factor::times(seconds_per(unit)))
}

/// A time in months or years, which are no number of seconds.
const fn months(quantity: Quantity, years: bool) -> Meaning {
    signed(quantity, Factor::times(if years { 12 } else { 1 }))
}

/// What the VIF means. Where it leads to another table, the first of its extensions is taken off.
pub fn meaning(vif: u8, extensions: &mut &[u8]) -> Meaning {
    let mut next = || {
        let (&first, rest) = extensions.split_first()?;
        *extensions = rest;
        Some(first & 0x7F)
    };
    let found = match vif {
        0xFB => next().map(first_extension),
        0xFD => {
            next().and_then(|code| if code == 0x7D { next().map(second_level) } else { Some(second_extension(code)) })
        }
        // Reserved for a third table.
        0xEF => next().and(None),
        _ => Some(primary(vif & 0x7F)),
    };
    found.unwrap_or(unsigned(Quantity::Reserved))
}

/// Table 10.
fn primary(code: u8) -> Meaning {
    use Quantity::*;
    let (nnn, nn) = (i32::from(code & 0b111), i32::from(code & 0b11));
    match code {
        0x00..=0x07 => signed(Energy, Factor::ten_to(nnn - 6)),
        // 1 kWh is 3.6 MJ.
        0x08..=0x0F => signed(Energy, Factor::ratio(1, 36, nnn - 5)),
        0x10..=0x17 => signed(Volume, Factor::ten_to(nnn - 6)),
        0x18..=0x1F => signed(Mass, Factor::ten_to(nnn - 3)),
        0x20..=0x23 => time(OnTime, code),
        0x24..=0x27 => time(OperatingTime, code),
        0x28..=0x2F => signed(Power, Factor::ten_to(nnn - 3)),
        // 1 W is 3600 J/h.
        0x30..=0x37 => signed(Power, Factor::ratio(1, 36, nnn - 2)),
        0x38..=0x3F => signed(VolumeFlow, Factor::ten_to(nnn - 6)),
        // Per minute and per second.
        0x40..=0x47 => signed(VolumeFlow, Factor::ratio(60, 1, nnn - 7)),
        0x48..=0x4F => signed(VolumeFlow, Factor::ratio(3_600, 1, nnn - 9)),
        0x50..=0x57 => signed(MassFlow, Factor::ten_to(nnn - 3)),
        0x58..=0x5B => signed(FlowTemperature, Factor::ten_to(nn - 3)),
        0x5C..=0x5F => signed(ReturnTemperature, Factor::ten_to(nn - 3)),
        0x60..=0x63 => signed(TemperatureDifference, Factor::ten_to(nn - 3)),
        0x64..=0x67 => signed(ExternalTemperature, Factor::ten_to(nn - 3)),
        0x68..=0x6B => signed(Pressure, Factor::ten_to(nn - 3)),
        0x6C => moment(Date),
        0x6D => moment(DateTime),
        0x6E => signed(HeatCostUnits, Factor::ONE),
        0x70..=0x73 => time(AveragingDuration, code),
        0x74..=0x77 => time(ActualityDuration, code),
        0x78 => unsigned(FabricationNumber),
        0x79 => unsigned(Identification),
        0x7A => unsigned(BusAddress),
        PLAIN_TEXT => signed(PlainText, Factor::ONE),
        0x7E => unsigned(Any),
        0x7F => unsigned(ManufacturerSpecific),
        _ => unsigned(Reserved),
    }
}

/// Table 14, behind FB.
fn first_extension(code: u8) -> Meaning {
    use Quantity::*;
    let (nnn, nn, n) = (i32::from(code & 0b111), i32::from(code & 0b11), i32::from(code & 1));
    match code {
        0x00..=0x01 => signed(Energy, Factor::ten_to(n + 2)),
        0x02..=0x03 => signed(ReactiveEnergy, Factor::ten_to(n)),
        0x04..=0x05 => signed(ApparentEnergy, Factor::ten_to(n)),
        0x08..=0x09 => signed(Energy, Factor::ratio(1, 36, n + 3)),
        // Megacalories of the International Table: 1 cal is 4.1868 J.
        0x0C..=0x0F => signed(Energy, Factor::ratio(41_868, 36, nn - 4)),
        0x10..=0x11 => signed(Volume, Factor::ten_to(n + 2)),
        0x14..=0x17 => signed(ReactivePower, Factor::ten_to(nn)),
        0x18..=0x19 => signed(Mass, Factor::ten_to(n + 5)),
        0x1A..=0x1B => signed(RelativeHumidity, Factor::ten_to(n - 1)),
        // Cubic feet of 0.3048³ m³, and tenths of them.
        0x20 => signed(Volume, Factor::ratio(28_316_846_592, 1, -12)),
        0x21 => signed(Volume, Factor::ratio(28_316_846_592, 1, -13)),
        0x28..=0x29 => signed(Power, Factor::ten_to(n + 5)),
        0x2A => signed(VoltagePhase, Factor::ten_to(-1)),
        0x2B => signed(CurrentPhase, Factor::ten_to(-1)),
        0x2C..=0x2F => signed(Frequency, Factor::ten_to(nn - 3)),
        0x30..=0x31 => signed(Power, Factor::ratio(1, 36, n + 6)),
        0x34..=0x37 => signed(ApparentPower, Factor::ten_to(nn)),
        0x68 => signed(RatingFactor, Factor::ratio(1, 4_096, 0)),
        0x69 => signed(ThermalOutputRatingFactor, Factor::ONE),
        0x6A => signed(ThermalCouplingRatingFactor, Factor::ratio(1, 4_096, 0)),
        0x6B => signed(ThermalCouplingRatingFactorRoom, Factor::ratio(1, 4_096, 0)),
        0x6C => signed(ThermalCouplingRatingFactorHeater, Factor::ratio(1, 4_096, 0)),
        0x6D => signed(LowTemperatureRatingFactor, Factor::ratio(1, 4_096, 0)),
        0x6E => signed(DisplayScalingFactor, Factor::ratio(1, 4_096, 0)),
        0x74..=0x77 => signed(TemperatureLimit, Factor::ten_to(nn - 3)),
        0x78..=0x7F => signed(CumulativeMaximumPower, Factor::ten_to(nnn - 3)),
        _ => unsigned(Reserved),
    }
}

/// Table 12, behind FD.
fn second_extension(code: u8) -> Meaning {
    use Quantity::*;
    let (nnnn, nn) = (i32::from(code & 0x0F), i32::from(code & 0b11));
    match code {
        0x00..=0x03 => signed(Credit, Factor::ten_to(nn - 3)),
        0x04..=0x07 => signed(Debit, Factor::ten_to(nn - 3)),
        0x08 => unsigned(AccessNumber),
        0x09 => unsigned(DeviceType),
        0x0A => unsigned(Manufacturer),
        0x0B => unsigned(ParameterSet),
        0x0C => unsigned(ModelVersion),
        0x0D => unsigned(HardwareVersion),
        0x0E => unsigned(FirmwareVersion),
        0x0F => unsigned(SoftwareVersion),
        0x10 => unsigned(CustomerLocation),
        0x11 => unsigned(Customer),
        0x12 => unsigned(AccessCodeUser),
        0x13 => unsigned(AccessCodeOperator),
        0x14 => unsigned(AccessCodeSystemOperator),
        0x15 => unsigned(AccessCodeDeveloper),
        0x16 => unsigned(Password),
        0x17 => unsigned(ErrorFlags),
        0x18 => unsigned(ErrorMask),
        0x19 => unsigned(SecurityKey),
        0x1A => unsigned(DigitalOutput),
        0x1B => unsigned(DigitalInput),
        0x1C => unsigned(BaudRate),
        0x1D => unsigned(ResponseDelay),
        0x1E => unsigned(Retries),
        0x1F => unsigned(RemoteControl),
        0x20 => unsigned(FirstStorage),
        0x21 => unsigned(LastStorage),
        0x22 => unsigned(StorageBlockSize),
        0x23 => unsigned(TariffDescriptor),
        0x24..=0x27 => time(StorageInterval, code),
        0x28..=0x29 => months(StorageIntervalMonths, code == 0x29),
        0x2A => unsigned(OperatorData),
        0x2B => unsigned(TimePointSecond),
        0x2C..=0x2F => time(DurationSinceReadout, code),
        0x30 => moment(TariffStart),
        0x31..=0x33 => time(TariffDuration, code),
        0x34..=0x37 => time(TariffPeriod, code),
        0x38..=0x39 => months(TariffPeriodMonths, code == 0x39),
        0x3A => signed(Dimensionless, Factor::ONE),
        0x3B => unsigned(WirelessContainer),
        0x3C..=0x3F => time(TransmissionPeriod, code),
        0x40..=0x4F => signed(Voltage, Factor::ten_to(nnnn - 9)),
        0x50..=0x5F => signed(Current, Factor::ten_to(nnnn - 12)),
        0x60 => unsigned(ResetCounter),
        0x61 => unsigned(CumulationCounter),
        0x62 => unsigned(ControlSignal),
        0x63 => unsigned(DayOfWeek),
        0x64 => unsigned(WeekNumber),
        0x65 => moment(DayChange),
        0x66 => unsigned(ParameterActivation),
        0x67 => unsigned(SupplierInformation),
        // These two count in hours, days, months and years.
        0x68..=0x69 => time(DurationSinceCumulation, 2 + (code & 1)),
        0x6A..=0x6B => months(DurationSinceCumulationMonths, code == 0x6B),
        0x6C..=0x6D => time(BatteryOperatingTime, 2 + (code & 1)),
        0x6E..=0x6F => months(BatteryOperatingTimeMonths, code == 0x6F),
        0x70 => moment(BatteryChange),
        0x71 => signed(ReceptionLevel, Factor::ONE),
        0x72 => unsigned(DaylightSaving),
        0x73 => unsigned(ListeningWindow),
        // In days.
        0x74 => time(RemainingBatteryLife, 3),
        0x75 => unsigned(StopCounter),
        0x76 => unsigned(ManufacturerContainer),
        _ => unsigned(Reserved),
    }
}

/// Table 13, behind FD FD.
fn second_level(code: u8) -> Meaning {
    use Quantity::*;
    match code {
        0x00 => unsigned(SelectedApplication),
        0x02..=0x03 => months(RemainingBatteryLifeMonths, code == 0x03),
        _ => unsigned(Reserved),
    }
}
