//! Deletes single points, for a replay: what a former profile gave and the present one does not.
//!
//! InfluxDB 2 deletes by measurement, tags and a range of time
//! (<https://docs.influxdata.com/influxdb/v2/api/#operation/PostDelete>); its relatives mostly lack the interface.

use serde_json::json;

use super::answer::{Answer, judge, shown};
use super::send::{Endpoint, answered};
use crate::point::Point;
use crate::sink::WriteError;
use crate::time::Timestamp;

/// The database's word on a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    Done,
    /// It cannot delete, in its own words.
    Unsupported(String),
}

impl Endpoint {
    /// The range ends a nanosecond behind the point. Whether its end belongs to it is not documented; a point there is of
    /// the same message, which is written again.
    pub async fn delete(&mut self, point: &Point<'_>) -> Result<Deleted, WriteError> {
        let stop = Timestamp::from_nanos(point.time.as_nanos().saturating_add(1));
        let body = json!({
            "start": point.time.to_string(),
            "stop": stop.to_string(),
            "predicate": predicate(point),
        });
        let request = self.request(&self.delete_url, "application/json").body(body.to_string());
        let response = answered(request).await.map_err(|error| self.no_answer(error))?;
        let words = shown(&response.body, self.place());
        let said = || Deleted::Unsupported(format!("{} {words}", response.status).trim_end().to_owned());
        match (response.status.as_u16(), judge(self.place(), &response)) {
            (_, Answer::Taken) => Ok(Deleted::Done),
            // Of InfluxDB 404 means that there is no such bucket, which the writes tell of.
            (404 | 405 | 501, _) | (_, Answer::Unacceptable(_) | Answer::TooLarge(_)) => Ok(said()),
            (_, Answer::Later(error)) if error.reason == "not_found" => Ok(said()),
            (_, Answer::Later(error)) => Err(error),
        }
    }
}

/// `_measurement="door" AND device="W-1"`
fn predicate(point: &Point<'_>) -> String {
    let mut predicate = format!("_measurement={}", quoted(point.measurement));
    for (name, value) in point.tags.iter().filter(|(_, value)| !value.is_empty()) {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = if is_plain { (*name).to_owned() } else { quoted(name) };
        predicate.push_str(&format!(" AND {name}={}", quoted(value)));
    }
    predicate
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_by_its_measurement_and_all_its_tags() {
        let tags = [("device", "W \"1\""), ("empty", ""), ("my pilot", "n\\s")];
        let point = Point { measurement: "door", tags: &tags, fields: &[], time: Timestamp::from_seconds(0) };
        assert_eq!(predicate(&point), r#"_measurement="door" AND device="W \"1\"" AND "my pilot"="n\\s""#);
    }
}
