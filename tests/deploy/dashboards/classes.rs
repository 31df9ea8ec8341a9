//! A dashboard for each of the classes that every pilot has.

use super::grafana::{Dashboard, Panel, Row};
use super::influxql as ask;
use super::{REPORTED, day, for_devices_of, period};

const TRUE: &str = "= true";
const FALSE: &str = "= false";
const PERIOD: &str = "${period:raw}";

/// How many devices say that this field of theirs is true; red from one on.
fn alarms(title: &'static str, class: &str, field: &str) -> Panel {
    warnings(title, class, field).from(1.0, "red")
}

fn warnings(title: &'static str, class: &str, field: &str) -> Panel {
    Panel::stat(title, 4).of(class, field).influx(ask::devices_where(class, field, TRUE), "devices")
}

fn reporting(title: &'static str, class: &str) -> Panel {
    Panel::stat(title, 4)
        .about("Devices that said something within the time that is shown.")
        .influx(ask::devices(class), "devices")
}

/// The lowest value and the mean of all devices.
fn least_and_mean(title: &'static str, width: u32, class: &str, field: &str) -> Panel {
    Panel::lines(title, width)
        .of(class, field)
        .influx(ask::of_all(class, field, "min"), "lowest")
        .influx(ask::of_all(class, field, "mean"), "mean")
}

fn weakest(title: &'static str, width: u32, class: &str, field: &str) -> Panel {
    Panel::table(title, width)
        .of(class, field)
        .about("The ten devices that said last the lowest value; a click leads to what the device said.")
        .influx(ask::lowest(class, field), "")
        .device_links(class)
}

fn reports(title: &'static str, width: u32, class: &str, about: &str, fields: &[&str]) -> Panel {
    Panel::table(title, width).about(about).influx(ask::reports_with(class, fields), "").device_links(class)
}

pub fn parking() -> Dashboard {
    const CLASS: &str = "parking";
    let occupancy = Row {
        title: "Occupancy",
        height: 8,
        panels: vec![
            Panel::stat("Occupied", 4)
                .about("The part of the spaces whose last report says occupied.")
                .unit("percentunit")
                .from(0.85, "orange")
                .from(0.95, "red")
                .influx(ask::share(CLASS, "occupied", TRUE), "occupied"),
            Panel::bar_gauge("Occupied by district", 8)
                .about("The same for each district of the registry; without a name: spaces that have none.")
                .unit("percentunit")
                .from(0.85, "orange")
                .from(0.95, "red")
                .influx(ask::share_by_district(CLASS, "occupied", TRUE), "$tag_district"),
            Panel::lines("Occupancy by district and hour", 12)
                .about("The part of each district's spaces that were occupied, by their last report in each period (above). Choose one in which every space reports.")
                .unit("percentunit")
                .influx(ask::share_by_district_over_time(CLASS, "occupied", TRUE, PERIOD), "$tag_district"),
        ],
    };
    let spaces = Row {
        title: "Spaces",
        height: 8,
        panels: vec![
            reporting("Spaces reporting", CLASS),
            Panel::stat("Free now", 4)
                .about("Spaces whose last report says free.")
                .influx(ask::devices_where(CLASS, "occupied", FALSE), "free"),
            Panel::lines("Occupied and free", 16)
                .about("Spaces that reported in each interval, by what they said.")
                .stacked()
                .interval_min(REPORTED)
                .influx(ask::devices_where_over_time(CLASS, "occupied", TRUE), "occupied")
                .influx(ask::devices_where_over_time(CLASS, "occupied", FALSE), "free"),
        ],
    };
    let sensors = Row {
        title: "Sensors",
        height: 8,
        panels: vec![
            warnings("Low batteries", CLASS, "battery_low").from(1.0, "orange"),
            least_and_mean("Battery voltage", 10, CLASS, "battery_v"),
            weakest("Weakest batteries", 10, CLASS, "battery_v"),
        ],
    };
    let mut variables = for_devices_of(CLASS);
    variables.push(period(&["1h", "15m", "6h", "1d"]));
    Dashboard {
        uid: "citywire-parking",
        title: "Parking",
        about: "How full the city's parking spaces are, by district and hour, and how their sensors are.",
        variables,
        from: "now-24h",
        rows: vec![occupancy, spaces, sensors],
    }
}

pub fn streetlight() -> Dashboard {
    const CLASS: &str = "streetlight";
    let lamps = Row {
        title: "Lamps",
        height: 7,
        panels: vec![
            Panel::stat("On now", 4).of(CLASS, "lamp_on").influx(ask::devices_where(CLASS, "lamp_on", TRUE), "on"),
            Panel::stat("Off now", 4)
                .about("Lamps whose last report says off.")
                .influx(ask::devices_where(CLASS, "lamp_on", FALSE), "off"),
            alarms("Failed", CLASS, "lamp_failure"),
            alarms("Drivers failed", CLASS, "driver_failure"),
            warnings("Bus faults", CLASS, "bus_fault").from(1.0, "orange"),
            alarms("Residual current", CLASS, "residual_current_alarm"),
            Panel::lines("On and failed", 12)
                .about("Lamps that reported in each interval: switched on, and on without giving light.")
                .interval_min(REPORTED)
                .influx(ask::devices_where_over_time(CLASS, "lamp_on", TRUE), "on")
                .influx(ask::devices_where_over_time(CLASS, "lamp_failure", TRUE), "failed"),
            Panel::lines("Brightness", 12)
                .of(CLASS, "dimming_percent")
                .influx(ask::of_all(CLASS, "dimming_percent", "mean"), "mean"),
        ],
    };
    let energy = Row {
        title: "Energy",
        height: 8,
        panels: vec![
            Panel::bars("Energy used by district", 12)
                .of(CLASS, "energy_kwh")
                .about("What the lamps' meters grew by in each period (above), of the lamps that have one.")
                .influx(ask::growth_by_district(CLASS, "energy_kwh", &period_of_days()), "$tag_district"),
            Panel::lines("Power", 12)
                .of(CLASS, "power_w")
                .about("Active power of all lamps that measure it and reported in the interval, together.")
                .interval_min(REPORTED)
                .influx(ask::sum_of_means(CLASS, "power_w"), "power"),
            least_and_mean("Supply voltage", 12, CLASS, "voltage_v"),
            Panel::table("Most energy used", 12)
                .of(CLASS, "energy_kwh")
                .about("The ten lamps whose meters grew most within the time that is shown.")
                .influx(ask::most_growth(CLASS, "energy_kwh"), "")
                .device_links(CLASS),
        ],
    };
    let about = "Reports of lamps that failed, or whose supply did; a click leads to what the lamp said.";
    let fields =
        ["lamp_failure", "driver_failure", "bus_fault", "overcurrent", "undervoltage", "residual_current_alarm"];
    let faults =
        Row { title: "Faults", height: 9, panels: vec![reports("Faults reported", 24, CLASS, about, &fields)] };
    let mut variables = for_devices_of(CLASS);
    variables.extend([period(&["1d", "1h", "6h", "7d"]), day()]);
    Dashboard {
        uid: "citywire-streetlight",
        title: "Street lights",
        about: "Which lamps are on, which have failed, and what they use.",
        variables,
        from: "now-7d",
        rows: vec![lamps, energy, faults],
    }
}

pub fn fire() -> Dashboard {
    const SMOKE: &str = "smoke_detector";
    const PANEL: &str = "fire_panel";
    let now = Row {
        title: "Now",
        height: 4,
        panels: vec![
            alarms("Smoke", SMOKE, "smoke_alarm"),
            alarms("Heat", SMOKE, "heat_alarm"),
            alarms("Fire panels", PANEL, "fire_alarm"),
            Panel::stat("Critical alarms open", 4)
                .about("Alarms of smoke detectors and fire panels that citywire has open, by class.")
                .from(1.0, "red")
                .prometheus(
                    "sum by (class) (citywire_alarm_open{class=~\"smoke_detector|fire_panel\", severity=\"critical\"})",
                    "{{class}}",
                ),
            warnings("Low batteries", SMOKE, "battery_low").from(1.0, "orange"),
            reporting("Detectors reporting", SMOKE),
        ],
    };
    let smoke = ["smoke_alarm", "heat_alarm", "interconnect_alarm"];
    let panels = ["fire_alarm", "manual_alarm"];
    let alarms = Row {
        title: "Alarms",
        height: 9,
        panels: vec![
            Panel::lines("Detectors in alarm", 8)
                .about("Detectors whose last report says smoke or heat.")
                .from(1.0, "red")
                .interval_min(REPORTED)
                .influx(ask::devices_where_over_time(SMOKE, "smoke_alarm", TRUE), "smoke")
                .influx(ask::devices_where_over_time(SMOKE, "heat_alarm", TRUE), "heat"),
            reports(
                "Smoke and heat reported",
                8,
                SMOKE,
                "Reports of detectors with an alarm, the latest first.",
                &smoke,
            ),
            reports(
                "Fire reported by panels",
                8,
                PANEL,
                "Reports of fire panels with a fire alarm, the latest first.",
                &panels,
            ),
        ],
    };
    let faults = ["sounder_fault", "obstructed", "maintenance_due", "tamper", "battery_low", "fault"];
    let state = Row {
        title: "State of the detectors",
        height: 8,
        panels: vec![
            reports(
                "Faults reported",
                12,
                SMOKE,
                "Detectors that need somebody to come, the latest report first.",
                &faults,
            ),
            least_and_mean("Battery charge", 6, SMOKE, "battery_percent"),
            weakest("Weakest batteries", 6, SMOKE, "battery_percent"),
            Panel::lines("Temperature", 12)
                .of(SMOKE, "temperature_c")
                .influx(ask::of_all(SMOKE, "temperature_c", "max"), "highest")
                .influx(ask::of_all(SMOKE, "temperature_c", "mean"), "mean"),
            Panel::lines("Tests", 12)
                .of(SMOKE, "self_test")
                .about("Detectors whose last report is of a test by button.")
                .interval_min(REPORTED)
                .influx(ask::devices_where_over_time(SMOKE, "self_test", TRUE), "tested"),
        ],
    };
    Dashboard {
        uid: "citywire-fire",
        title: "Smoke and fire",
        about: "Smoke, heat and fire alarms, and whether the detectors would notice the next one.",
        variables: for_devices_of(SMOKE),
        from: "now-24h",
        rows: vec![now, alarms, state],
    }
}

pub fn elevator() -> Dashboard {
    const CLASS: &str = "elevator";
    const NORMAL: &str = "= 'normal'";
    let out_of = |title, about, mode| {
        let query = ask::devices_where(CLASS, "service_mode", mode);
        Panel::stat(title, 4).about(about).from(1.0, "orange").influx(query, "elevators")
    };
    let now = Row {
        title: "Now",
        height: 4,
        panels: vec![
            Panel::stat("In service", 4)
                .about("The part of the elevators whose last report says normal operation.")
                .unit("percentunit")
                .influx(ask::share(CLASS, "service_mode", NORMAL), "in service"),
            alarms("Persons trapped", CLASS, "trapped"),
            out_of("Stopped", "Elevators whose last report says that they are out of service.", "= 'stopped'"),
            out_of("Inspection", "Elevators that somebody works on, by their last report.", "= 'inspection'"),
            warnings("Faults", CLASS, "fault").from(1.0, "orange"),
            reporting("Elevators reporting", CLASS),
        ],
    };
    let availability = Row {
        title: "Availability and use",
        height: 8,
        panels: vec![
            Panel::lines("In service", 12)
                .about("The part of the elevators in normal operation, of those that reported in each interval.")
                .unit("percentunit")
                .interval_min(REPORTED)
                .influx(ask::share_over_time(CLASS, "service_mode", NORMAL), "in service"),
            Panel::bars("Journeys by district", 12)
                .of(CLASS, "run_count")
                .about("Journeys of all cars in each period (above).")
                .influx(ask::growth_by_district(CLASS, "run_count", &period_of_days()), "$tag_district"),
        ],
    };
    let fields = [
        "trapped",
        "emergency_call",
        "overspeed",
        "unintended_movement",
        "door_fault",
        "stopped_between_floors",
        "fault",
    ];
    let faults = Row {
        title: "Faults",
        height: 9,
        panels: vec![
            reports("Faults reported", 12, CLASS, "Reports with a fault or an alarm, the latest first.", &fields),
            Panel::table("Last reports", 12)
                .about("What each elevator said last; a click leads to what it said before.")
                .influx(
                    ask::last_reports(CLASS, &["service_mode", "floor", "door_closed", "occupied", "fault_code"]),
                    "",
                )
                .device_links(CLASS),
        ],
    };
    let mut variables = for_devices_of(CLASS);
    variables.extend([period(&["1d", "1h", "6h", "7d"]), day()]);
    Dashboard {
        uid: "citywire-elevator",
        title: "Elevators",
        about: "Which elevators run, where somebody is trapped, and what is wrong with the others.",
        variables,
        from: "now-7d",
        rows: vec![now, availability, faults],
    }
}

pub fn water() -> Dashboard {
    const CLASS: &str = "water_meter";
    let now = Row {
        title: "Now",
        height: 4,
        panels: vec![
            alarms("Leaks suspected", CLASS, "leak"),
            alarms("Bursts", CLASS, "burst"),
            warnings("Reverse flow", CLASS, "reverse_flow").from(1.0, "orange"),
            warnings("Magnet at the meter", CLASS, "magnetic_tamper").from(1.0, "orange"),
            warnings("Low batteries", CLASS, "battery_low").from(1.0, "orange"),
            reporting("Meters reporting", CLASS),
        ],
    };
    let consumption = Row {
        title: "Consumption",
        height: 9,
        panels: vec![
            Panel::bars("Consumption by district", 12)
                .of(CLASS, "volume_m3")
                .about("What the meters counted in each period (above).")
                .influx(ask::growth_by_district(CLASS, "volume_m3", &period_of_days()), "$tag_district"),
            Panel::lines("Flow", 12)
                .of(CLASS, "flow_m3h")
                .about("Flow through all meters that measure it and reported in the interval, together.")
                .interval_min(REPORTED)
                .influx(ask::sum_of_means(CLASS, "flow_m3h"), "flow"),
            Panel::table("Most used", 8)
                .of(CLASS, "volume_m3")
                .about("The ten meters that counted most within the time that is shown.")
                .influx(ask::most_growth(CLASS, "volume_m3"), "")
                .device_links(CLASS),
            Panel::lines("Night flow", 8)
                .of(CLASS, "volume_m3")
                .about("What all meters counted in the hour of each day in which that was least. Where nobody leaves water \
                        running at night, what is left is leaks. It needs meters that report every hour.")
                .influx(ask::least_hour_of_day(CLASS, "volume_m3"), "quietest hour"),
            Panel::table("Meters that never rest", 8)
                .of(CLASS, "flow_m3h")
                .about("Meters through which water flowed in every report of the time that is shown: choose a day or more.")
                .influx(
                    format!(
                        "SELECT \"device\", \"flow_m3h\" FROM (SELECT min(\"flow_m3h\") AS \"flow_m3h\" FROM \"{CLASS}\" \
                         WHERE {} GROUP BY \"device\") WHERE \"flow_m3h\" > 0",
                        ask::SCOPE
                    ),
                    "",
                )
                .device_links(CLASS),
        ],
    };
    let fields = ["leak", "burst", "reverse_flow", "pipe_empty", "magnetic_tamper", "tamper"];
    let faults = Row {
        title: "Leaks and faults",
        height: 9,
        panels: vec![
            reports(
                "Leaks and tampering reported",
                12,
                CLASS,
                "Reports with one of these alarms, the latest first.",
                &fields,
            ),
            least_and_mean("Battery voltage", 6, CLASS, "battery_v"),
            weakest("Weakest batteries", 6, CLASS, "battery_v"),
        ],
    };
    let mut variables = for_devices_of(CLASS);
    variables.extend([period(&["1d", "1h", "6h", "7d"]), day()]);
    Dashboard {
        uid: "citywire-water",
        title: "Water",
        about: "Consumption by district, night flow, and meters that suspect a leak.",
        variables,
        from: "now-7d",
        rows: vec![now, consumption, faults],
    }
}

/// The period that is chosen, its days beginning when the city's do.
fn period_of_days() -> String {
    format!("{PERIOD}, ${{day:raw}}")
}
