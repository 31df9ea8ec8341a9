//! Questions to InfluxDB in InfluxQL, as the dashboards ask them.
//!
//! `$timeFilter`, `$__interval` and `${…}` are Grafana's to fill in. What a question gives is named like the field that it
//! is about; `devices` is a number of devices and `share` a part of them.
//!
//! No inner question carries values on with `fill(previous)`: InfluxDB 1 and 2 add up such points wrongly
//! (<https://github.com/influxdata/influxdb/issues/24483>). So what a device said counts in the interval in which it said it,
//! and these panels ask for intervals in which every device can be expected to have said something ([`super::REPORTED`]).

/// The points of the devices that the dashboard is about.
pub const SCOPE: &str = "$timeFilter AND \"pilot\" =~ /^${pilot:regex}$/ AND \"district\" =~ /^${district:regex}$/ \
                         AND \"device\" =~ /^${device:regex}$/";

/// How many devices said something.
pub fn devices(class: &str) -> String {
    let last = format!("SELECT last(\"time_source\") AS \"said\" FROM \"{class}\" WHERE {SCOPE} GROUP BY \"device\"");
    format!("SELECT count(\"said\") AS \"devices\" FROM ({last})")
}

/// How many devices said last that `condition` holds of `field`: `= true`.
pub fn devices_where(class: &str, field: &str, condition: &str) -> String {
    let last = last_of_each(class, field, "\"device\"");
    format!("SELECT count(\"{field}\") AS \"devices\" FROM ({last}) WHERE \"{field}\" {condition}")
}

/// The same of each interval, of the devices that said something within it.
pub fn devices_where_over_time(class: &str, field: &str, condition: &str) -> String {
    let last = last_of_each(class, field, "time($__interval), \"device\"");
    format!(
        "SELECT count(\"{field}\") AS \"devices\" FROM ({last}) WHERE \"{field}\" {condition} AND $timeFilter \
         GROUP BY time($__interval) fill(0)"
    )
}

/// The part of the devices of which `condition` holds, by what they said last.
pub fn share(class: &str, field: &str, condition: &str) -> String {
    share_of(class, field, condition, &[])
}

/// The same of each district.
pub fn share_by_district(class: &str, field: &str, condition: &str) -> String {
    share_of(class, field, condition, &["\"district\""])
}

/// The same in each interval, of the devices that said something within it.
pub fn share_over_time(class: &str, field: &str, condition: &str) -> String {
    share_of(class, field, condition, &["time($__interval)"])
}

/// The same of each district in each period.
pub fn share_by_district_over_time(class: &str, field: &str, condition: &str, period: &str) -> String {
    share_of(class, field, condition, &[&format!("time({period})"), "\"district\""])
}

/// A part of a whole needs two numbers, which come from two questions: InfluxQL puts their points one below the other, and
/// adding them up puts them side by side. Where nothing is known yet, there is no part of it.
fn share_of(class: &str, field: &str, condition: &str, groups: &[&str]) -> String {
    let of_each: Vec<&str> = groups.iter().copied().chain(["\"device\""]).collect();
    let in_time = groups.iter().any(|group| group.starts_with("time"));
    let last = last_of_each(class, field, &of_each.join(", "));
    let by = if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) };
    let range = if in_time { "$timeFilter AND " } else { "" };
    let count = |name: &str, filter: &str| {
        format!("SELECT count(\"{field}\") AS \"{name}\" FROM ({last}) WHERE {range}{filter}{by}")
    };
    let with = count("with", &format!("\"{field}\" {condition}"));
    // Every value there is, whatever its type.
    let known = count("known", "\"device\" != ''");
    let sums = "SELECT 1.0 * sum(\"with\") / sum(\"known\") AS \"share\", sum(\"known\") AS \"known\"";
    let during = if in_time { " WHERE $timeFilter" } else { "" };
    let shares = format!("{sums} FROM (SELECT \"with\", \"known\" FROM ({with}), ({known})){during}{by} fill(0)");
    let districts = if groups.contains(&"\"district\"") { " GROUP BY \"district\"" } else { "" };
    format!("SELECT \"share\" FROM ({shares}) WHERE \"known\" > 0{districts}")
}

fn last_of_each(class: &str, field: &str, groups: &str) -> String {
    format!("SELECT last(\"{field}\") AS \"{field}\" FROM \"{class}\" WHERE {SCOPE} GROUP BY {groups}")
}

/// `function` (`mean`, `min`, …) of all that the devices said in each interval.
pub fn of_all(class: &str, field: &str, function: &str) -> String {
    format!(
        "SELECT {function}(\"{field}\") AS \"{field}\" FROM \"{class}\" WHERE {SCOPE} GROUP BY time($__interval) fill(none)"
    )
}

/// What the devices together have: the sum of each one's mean, of the devices that said something in the interval.
pub fn sum_of_means(class: &str, field: &str) -> String {
    format!(
        "SELECT sum(\"{field}\") AS \"{field}\" FROM (SELECT mean(\"{field}\") AS \"{field}\" FROM \"{class}\" \
         WHERE {SCOPE} GROUP BY time($__interval), \"device\") WHERE $timeFilter \
         GROUP BY time($__interval) fill(none)"
    )
}

/// By how much the devices' counters grew in each period, by district. One that begins again counts from there.
pub fn growth_by_district(class: &str, field: &str, period: &str) -> String {
    let growth = growth(class, field, &format!("time({period}), \"device\", \"district\""));
    format!(
        "SELECT sum(\"{field}\") AS \"{field}\" FROM ({growth}) WHERE $timeFilter GROUP BY time({period}), \"district\" \
         fill(none)"
    )
}

/// The hour of each day in which the counters grew least, of all devices together. The last hour is left out unless it is
/// over: some devices have yet to report in it.
pub fn least_hour_of_day(class: &str, field: &str) -> String {
    let growth = growth(class, field, "time(1h), \"device\"");
    format!(
        "SELECT min(\"{field}\") AS \"{field}\" FROM (SELECT sum(\"{field}\") AS \"{field}\" FROM ({growth}) \
         WHERE $timeFilter GROUP BY time(1h) fill(none)) WHERE $timeFilter AND time <= ${{__to}}ms - 1h \
         GROUP BY time(1d, ${{day:raw}}) fill(none)"
    )
}

fn growth(class: &str, field: &str, groups: &str) -> String {
    format!(
        "SELECT non_negative_difference(last(\"{field}\")) AS \"{field}\" FROM \"{class}\" WHERE {SCOPE} GROUP BY {groups}"
    )
}

/// The ten devices whose counter grew most.
pub fn most_growth(class: &str, field: &str) -> String {
    format!(
        "SELECT top(\"{field}\", \"device\", 10) AS \"{field}\" FROM (SELECT spread(\"{field}\") AS \"{field}\" \
         FROM \"{class}\" WHERE {SCOPE} GROUP BY \"device\")"
    )
}

/// The ten devices that said last the lowest value.
pub fn lowest(class: &str, field: &str) -> String {
    let last = last_of_each(class, field, "\"device\"");
    format!("SELECT bottom(\"{field}\", \"device\", 10) AS \"{field}\" FROM ({last})")
}

/// The latest reports in which one of these fields is true.
pub fn reports_with(class: &str, fields: &[&str]) -> String {
    let names: Vec<String> = fields.iter().map(|field| format!("\"{field}\"")).collect();
    let wanted: Vec<String> = names.iter().map(|name| format!("{name} = true")).collect();
    format!(
        "SELECT \"device\", \"pilot\", \"district\", {} FROM \"{class}\" WHERE {SCOPE} AND ({}) ORDER BY time DESC LIMIT 100",
        names.join(", "),
        wanted.join(" OR ")
    )
}

/// What each device said last in these fields.
pub fn last_reports(class: &str, fields: &[&str]) -> String {
    let last: Vec<String> = fields.iter().map(|field| format!("last(\"{field}\") AS \"{field}\"")).collect();
    format!("SELECT {} FROM \"{class}\" WHERE {SCOPE} GROUP BY \"device\" SLIMIT 1000", last.join(", "))
}
