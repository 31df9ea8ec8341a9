//! The city at a glance, and what one device said.

use super::grafana::{Dashboard, INFLUXDB, Panel, Row, choice};
use super::influxql as ask;
use super::{REPORTED, district, for_all_classes, pilot};

const TRUE: &str = "= true";

/// For those who want to know whether anything is wrong; each class has a dashboard that tells more.
pub fn overview() -> Dashboard {
    let now = Row {
        title: "Now",
        height: 5,
        panels: vec![
            Panel::stat("Alarms open", 8)
                .about("Alarms that citywire has open, by severity. Which they are: citywire's own page.")
                .from(1.0, "red")
                .prometheus("sum by (severity) (citywire_alarm_open)", "{{severity}}"),
            Panel::stat("Devices", 12)
                .about("Devices that citywire has heard of, by class.")
                .prometheus("sum by (class) (citywire_fleet_devices)", "{{class}}"),
            Panel::stat("Messages received", 4)
                .about("Messages a second from the broker and from platforms that push.")
                .unit("mps")
                .decimals(1)
                .prometheus(
                    "sum(rate(citywire_broker_received_messages_total[$__rate_interval])) \
                     + sum(rate(citywire_push_received_messages_total[$__rate_interval]))",
                    "messages a second",
                ),
        ],
    };
    let alarms = Row {
        title: "Alarms",
        height: 7,
        panels: vec![
            Panel::bars("Alarms opened", 16)
                .about("Alarms that were opened in each interval, by class.")
                .prometheus("sum by (class) (increase(citywire_alarm_opened_total[$__rate_interval]))", "{{class}}"),
            Panel::bar_gauge("Alarms open by class", 8)
                .about("Critical alarms and warnings that are open, by class.")
                .from(1.0, "red")
                .prometheus("sum by (class) (citywire_alarm_open{severity=~\"critical|warning\"})", "{{class}}"),
        ],
    };
    let devices = Row {
        title: "Devices",
        height: 7,
        panels: vec![
            Panel::lines("How devices are heard", 8)
                .about("Devices of all classes by how they are heard; never heard: those of the registry of which no message ever came.")
                .prometheus(&states("state", "online|late|silent|never_heard"), "{{state}}"),
            Panel::bar_gauge("Not heard, by class", 8)
                .about("Devices that are silent or were never heard, of the ten classes that have most. Which they are: citywire's own page.")
                .from(1.0, "orange")
                .prometheus(&format!("topk(10, {})", states("class, state", "silent|never_heard")), "{{class}}: {{state}}"),
            Panel::lines("In need of care", 8)
                .about("Devices whose last message was refused, whose clock is wrong, or whose battery is low.")
                .prometheus(&states("state", "refused|clock_wrong|battery_low"), "{{state}}"),
        ],
    };
    let alarm = |title, class, field| {
        Panel::stat(title, 4)
            .of(class, field)
            .from(1.0, "red")
            .influx(ask::devices_where(class, field, TRUE), "devices")
    };
    let part = |title, about, class, field, condition| {
        Panel::stat(title, 4).about(about).unit("percentunit").influx(ask::share(class, field, condition), "share")
    };
    let classes = Row {
        title: "Classes",
        height: 4,
        panels: vec![
            part("Parking: occupied", "The part of the spaces that is occupied.", "parking", "occupied", TRUE),
            part("Lamps: on", "The part of the lamps that is on.", "streetlight", "lamp_on", TRUE),
            alarm("Lamps: failed", "streetlight", "lamp_failure"),
            alarm("Smoke", "smoke_detector", "smoke_alarm"),
            part("Elevators: in service", "The part in normal operation.", "elevator", "service_mode", "= 'normal'"),
            alarm("Persons trapped", "elevator", "trapped"),
        ],
    };
    let values = Row {
        title: "Use",
        height: 8,
        panels: vec![
            Panel::lines("Parking", 8)
                .about("The part of the spaces that is occupied, of those that reported in each interval.")
                .unit("percentunit")
                .interval_min(REPORTED)
                .influx(ask::share_over_time("parking", "occupied", TRUE), "occupied"),
            Panel::lines("Street lights", 8)
                .of("streetlight", "power_w")
                .about("Active power of all lamps that measure it and reported in the interval, together.")
                .interval_min(REPORTED)
                .influx(ask::sum_of_means("streetlight", "power_w"), "power"),
            Panel::lines("Water", 8)
                .of("water_meter", "flow_m3h")
                .about("Flow through all meters that measure it and reported in the interval, together.")
                .interval_min(REPORTED)
                .influx(ask::sum_of_means("water_meter", "flow_m3h"), "flow"),
        ],
    };
    Dashboard {
        uid: "citywire-city-overview",
        title: "City overview",
        about: "Whether anything is on fire, stuck or leaking in the city, and whether its devices are heard.",
        variables: for_all_classes(),
        from: "now-24h",
        rows: vec![now, alarms, devices, classes, values],
    }
}

fn states(by: &str, states: &str) -> String {
    format!("sum by ({by}) (citywire_fleet_device_states{{state=~\"{states}\"}})")
}

/// Everything that one device said, of whatever class.
pub fn devices() -> Dashboard {
    const ONE: &str = "FROM \"${class:raw}\" WHERE $timeFilter AND \"device\" =~ /^${device:regex}$/";
    const SOME: &str = "FROM \"${class:raw}\" WHERE $timeFilter AND \"pilot\" =~ /^${pilot:regex}$/ \
                        AND \"district\" =~ /^${district:regex}$/";
    // Common to all classes, so that any of them tells their units.
    const ANY: &str = "water_meter";
    let last = |fields: &[&str]| {
        let last: Vec<String> = fields.iter().map(|field| format!("last(\"{field}\") AS \"{field}\"")).collect();
        format!("SELECT {} {SOME} GROUP BY \"device\" SLIMIT 1000", last.join(", "))
    };
    let over_time =
        |field: &str| format!("SELECT mean(\"{field}\") AS \"{field}\" {ONE} GROUP BY time($__interval) fill(none)");
    let field = Row {
        title: "$device: $field",
        height: 9,
        panels: vec![
            Panel::lines("$field", 16)
                .about("The field that is chosen above, as a number; its unit: docs/catalog.md. Yes is 1.")
                .influx(
                    format!("SELECT last(\"${{field:raw}}\") AS \"${{field:raw}}\" {ONE} GROUP BY time($__interval) fill(none)"),
                    "$field",
                ),
            Panel::states("$field as a state", 8)
                .about("The same field, as what held from when to when: for states and yes or no.")
                .influx(format!("SELECT \"${{field:raw}}\" {ONE} ORDER BY time DESC LIMIT 1000"), "$field"),
        ],
    };
    let health = Row {
        title: "$device: battery and signal",
        height: 7,
        panels: vec![
            Panel::lines("Battery voltage", 6).of(ANY, "battery_v").influx(over_time("battery_v"), "battery"),
            Panel::lines("Battery charge", 6)
                .of(ANY, "battery_percent")
                .from(0.0, "red")
                .from(20.0, "green")
                .influx(over_time("battery_percent"), "battery"),
            Panel::lines("Signal", 6)
                .about("Received power: of the cell's reference signal (RSRP, NB-IoT), or of the message (RSSI, LoRaWAN).")
                .unit("dBm")
                .influx(over_time("rsrp_dbm"), "RSRP")
                .influx(over_time("rssi_dbm"), "RSSI"),
            Panel::lines("Temperature", 6).of(ANY, "temperature_c").influx(over_time("temperature_c"), "temperature"),
            Panel::bars("Reports", 6)
                .about("Reports of the device in each interval: gaps are times in which it was not heard.")
                .influx(
                    format!("SELECT count(\"time_source\") AS \"reports\" {ONE} GROUP BY time($__interval) fill(0)"),
                    "reports",
                ),
            Panel::states("Time of the reports", 6)
                .about("Where the time of the points is from: the device's clock, the platform, or the moment they were received.")
                .influx(format!("SELECT \"time_source\" {ONE} ORDER BY time DESC LIMIT 1000"), "time"),
            Panel::states("Battery low", 6)
                .of(ANY, "battery_low")
                .influx(format!("SELECT \"battery_low\" {ONE} ORDER BY time DESC LIMIT 1000"), "battery low"),
            Panel::states("Implausible", 6)
                .of(ANY, "implausible")
                .influx(format!("SELECT \"implausible\" {ONE} ORDER BY time DESC LIMIT 1000"), "left out"),
        ],
    };
    let all = Row {
        title: "All that was said",
        height: 10,
        panels: vec![
            Panel::table("What $device said", 24)
                .about("All fields of the latest hundred reports. The bytes they came in: citywire's own page.")
                .influx(format!("SELECT * {ONE} ORDER BY time DESC LIMIT 100"), ""),
            Panel::table("Devices", 24)
                .about("What the devices of the class, pilots and districts that are chosen said last of themselves.")
                .influx(
                    last(&["time_source", "battery_v", "battery_percent", "rsrp_dbm", "rssi_dbm", "temperature_c"]),
                    "",
                )
                .column(ANY, "battery_v")
                .column(ANY, "battery_percent")
                .column(ANY, "rsrp_dbm")
                .column(ANY, "rssi_dbm")
                .column(ANY, "temperature_c")
                .device_links("${class}"),
        ],
    };
    let devices = "SHOW TAG VALUES FROM \"${class:raw}\" WITH KEY = \"device\" WHERE \"pilot\" =~ /^${pilot:regex}$/ \
                   AND \"district\" =~ /^${district:regex}$/ LIMIT 1000";
    let variables = vec![
        choice("class", "Class", &INFLUXDB, "SHOW MEASUREMENTS", "water_meter"),
        pilot("${class:raw}"),
        district("${class:raw}"),
        choice("device", "Device", &INFLUXDB, devices, ""),
        choice("field", "Field", &INFLUXDB, "SHOW FIELD KEYS FROM \"${class:raw}\"", "battery_v"),
    ];
    Dashboard {
        uid: "citywire-devices",
        title: "Devices",
        about: "One device: any of its fields, battery, signal, and all that it said. The list of devices ends at a thousand; \
                any other can be typed in.",
        variables,
        from: "now-7d",
        rows: vec![field, health, all],
    }
}
