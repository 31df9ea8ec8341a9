//! Grafana's dashboards as few words, and the JSON that Grafana reads, made of them.

use serde_json::{Value, json};

use super::catalog;

/// One dashboard: rows of panels below one another, each row with a heading.
pub struct Dashboard {
    /// Also the name of its file.
    pub uid: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    pub variables: Vec<Value>,
    /// How far back it looks when it is opened.
    pub from: &'static str,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub title: &'static str,
    /// Of its panels, in Grafana's units of 30 pixels.
    pub height: u32,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    kind: Kind,
    title: &'static str,
    about: String,
    /// In 24ths of the screen.
    width: u32,
    unit: Option<String>,
    decimals: Option<u32>,
    /// From which value on the panel has which colour.
    steps: Vec<(f64, &'static str)>,
    stacked: bool,
    /// Not shorter than this is the interval that Grafana chooses by the width of the screen.
    interval_min: Option<&'static str>,
    targets: Vec<Value>,
    overrides: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stat,
    BarGauge,
    Lines,
    Bars,
    States,
    Table,
}

const GRID_WIDTH: u32 = 24;

impl Panel {
    /// One number, or one for each series.
    pub fn stat(title: &'static str, width: u32) -> Panel {
        Panel::new(Kind::Stat, title, width)
    }

    /// A bar for each series, as long as its last value.
    pub fn bar_gauge(title: &'static str, width: u32) -> Panel {
        Panel::new(Kind::BarGauge, title, width)
    }

    pub fn lines(title: &'static str, width: u32) -> Panel {
        Panel::new(Kind::Lines, title, width)
    }

    /// What came together within each interval.
    pub fn bars(title: &'static str, width: u32) -> Panel {
        Panel { stacked: true, ..Panel::new(Kind::Bars, title, width) }
    }

    /// What held from when to when: also of texts.
    pub fn states(title: &'static str, width: u32) -> Panel {
        Panel::new(Kind::States, title, width)
    }

    pub fn table(title: &'static str, width: u32) -> Panel {
        Panel::new(Kind::Table, title, width)
    }

    fn new(kind: Kind, title: &'static str, width: u32) -> Panel {
        Panel {
            kind,
            title,
            about: String::new(),
            width,
            unit: None,
            decimals: None,
            steps: Vec::new(),
            stacked: false,
            interval_min: None,
            targets: Vec::new(),
            overrides: Vec::new(),
        }
    }

    pub fn about(mut self, about: &str) -> Panel {
        self.about = about.to_owned();
        self
    }

    /// Has the unit of this field, and its meaning unless [`Panel::about`] says more.
    pub fn of(mut self, class: &str, field: &str) -> Panel {
        let (unit, meaning) = (catalog::unit(class, field), catalog::meaning(class, field));
        self.unit = unit.map(str::to_owned);
        if self.about.is_empty() {
            self.about = format!("{meaning}.");
        }
        self
    }

    pub fn unit(mut self, unit: &str) -> Panel {
        self.unit = Some(unit.to_owned());
        self
    }

    pub fn decimals(mut self, decimals: u32) -> Panel {
        self.decimals = Some(decimals);
        self
    }

    /// Has this colour from this value on. Below the first it is green, or what [`Panel::plain`] says.
    pub fn from(mut self, value: f64, colour: &'static str) -> Panel {
        self.steps.push((value, colour));
        self
    }

    pub fn interval_min(mut self, interval: &'static str) -> Panel {
        self.interval_min = Some(interval);
        self
    }

    pub fn stacked(mut self) -> Panel {
        self.stacked = true;
        self
    }

    /// Asks InfluxDB; `alias` names the series: `$tag_district`.
    pub fn influx(mut self, query: impl Into<String>, alias: &str) -> Panel {
        let format = if self.kind == Kind::Table { "table" } else { "time_series" };
        let target = json!({
            "refId": self.next_reference(), "datasource": INFLUXDB.reference(), "rawQuery": true, "query": query.into(),
            "resultFormat": format, "alias": alias,
        });
        self.targets.push(target);
        self
    }

    /// Asks Prometheus; `legend` names the series: `{{class}}`. `{I}` stands for the instances that are chosen.
    pub fn prometheus(mut self, expression: &str, legend: &str) -> Panel {
        let instant = matches!(self.kind, Kind::Stat | Kind::BarGauge | Kind::Table);
        let format = if self.kind == Kind::Table { "table" } else { "time_series" };
        let target = json!({
            "refId": self.next_reference(), "datasource": PROMETHEUS.reference(),
            "expr": expression.replace("{I}", "{instance=~\"$instance\"}"),
            "instant": instant, "range": !instant, "legendFormat": legend, "format": format,
        });
        self.targets.push(target);
        self
    }

    /// The column of a table has the unit of the field that it is named like.
    pub fn column(mut self, class: &str, field: &str) -> Panel {
        let unit = catalog::unit(class, field).unwrap_or_else(|| panic!("{class}.{field} has no unit"));
        let properties = json!([{ "id": "unit", "value": unit }]);
        self.overrides.push(json!({ "matcher": { "id": "byName", "options": field }, "properties": properties }));
        self
    }

    /// A click on a device leads to what it said.
    pub fn device_links(mut self, class: &str) -> Panel {
        let url = format!("/d/citywire-devices?var-class={class}&var-device=${{__value.raw}}&${{__url_time_range}}");
        let link = json!({ "title": "What this device said", "url": url });
        let properties = json!([{ "id": "links", "value": [link] }]);
        self.overrides.push(json!({ "matcher": { "id": "byName", "options": "device" }, "properties": properties }));
        self
    }

    fn next_reference(&self) -> String {
        char::from(b'A' + self.targets.len() as u8).to_string()
    }

    fn json(&self, id: u32, place: Value) -> Value {
        assert!(!self.about.is_empty(), "the panel \"{}\" says nothing of itself", self.title);
        let mut panel = json!({
            "id": id, "type": self.kind.name(), "title": self.title, "description": self.about, "gridPos": place,
            "datasource": self.targets[0]["datasource"], "targets": self.targets,
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides }, "options": self.options(),
        });
        if let Some(interval) = self.interval_min {
            panel["interval"] = json!(interval);
        }
        panel
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({ "custom": self.custom() });
        if let Some(unit) = &self.unit {
            defaults["unit"] = json!(unit);
        }
        if let Some(decimals) = self.decimals {
            defaults["decimals"] = json!(decimals);
        }
        if matches!(self.kind, Kind::Stat) {
            // Databases give no row where there is nothing to count.
            defaults["noValue"] = json!("0");
        }
        if self.unit.as_deref() == Some("percentunit") {
            (defaults["min"], defaults["max"]) = (json!(0), json!(1));
        }
        let lowest = if self.steps.is_empty() { "blue" } else { "green" };
        let steps = self.steps.iter().map(|(value, color)| json!({ "color": color, "value": value }));
        let steps: Vec<Value> = [json!({ "color": lowest, "value": null })].into_iter().chain(steps).collect();
        if !matches!(self.kind, Kind::Lines | Kind::Bars | Kind::States) || !self.steps.is_empty() {
            defaults["thresholds"] = json!({ "mode": "absolute", "steps": steps });
        }
        defaults
    }

    fn custom(&self) -> Value {
        let stacking = json!({ "mode": if self.stacked { "normal" } else { "none" }, "group": "A" });
        // Of several lines it would be a tangle.
        let thresholds = if self.steps.is_empty() { "off" } else { "dashed" };
        match self.kind {
            Kind::Lines => json!({
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": true,
                "stacking": stacking, "thresholdsStyle": { "mode": thresholds },
            }),
            Kind::Bars => {
                json!({ "drawStyle": "bars", "lineWidth": 1, "fillOpacity": 80, "showPoints": "never", "stacking": stacking })
            }
            Kind::Table => json!({ "filterable": true }),
            Kind::Stat | Kind::BarGauge | Kind::States => json!({}),
        }
    }

    fn options(&self) -> Value {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.kind {
            Kind::Stat => {
                json!({ "reduceOptions": last, "colorMode": "value", "graphMode": "none", "textMode": "auto" })
            }
            Kind::BarGauge => {
                json!({ "reduceOptions": last, "orientation": "horizontal", "displayMode": "gradient" })
            }
            Kind::Lines | Kind::Bars => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::States => json!({ "mergeValues": true, "showValue": "auto", "legend": { "showLegend": false } }),
            Kind::Table => json!({ "showHeader": true }),
        }
    }
}

impl Kind {
    /// Grafana's name of it.
    fn name(self) -> &'static str {
        match self {
            Kind::Stat => "stat",
            Kind::BarGauge => "bargauge",
            Kind::Lines | Kind::Bars => "timeseries",
            Kind::States => "state-timeline",
            Kind::Table => "table",
        }
    }
}

impl Dashboard {
    pub fn json(&self) -> Value {
        json!({
            "uid": self.uid, "title": self.title, "description": self.about, "tags": ["citywire"],
            "timezone": "browser", "schemaVersion": 39, "refresh": "1m", "time": { "from": self.from, "to": "now" },
            "editable": false, "graphTooltip": 1, "templating": { "list": self.variables },
            "annotations": { "list": [] }, "links": [links()], "panels": self.panels(),
        })
    }

    /// The panels, each behind the one before where there is room for it, else in the next line.
    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut y) = (Vec::new(), 0);
        for row in &self.rows {
            let place = json!({ "x": 0, "y": y, "w": GRID_WIDTH, "h": 1 });
            let heading = json!({
                "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "gridPos": place,
                "panels": [],
            });
            panels.push(heading);
            y += 1;
            let mut x = 0;
            for panel in &row.panels {
                if x + panel.width > GRID_WIDTH {
                    (x, y) = (0, y + row.height);
                }
                let place = json!({ "x": x, "y": y, "w": panel.width, "h": row.height });
                panels.push(panel.json(panels.len() as u32 + 1, place));
                x += panel.width;
            }
            y += row.height;
        }
        panels
    }
}

/// To all the other dashboards, with the time and the choices that were made.
fn links() -> Value {
    json!({
        "type": "dashboards", "title": "citywire", "tags": ["citywire"], "asDropdown": true, "keepTime": true,
        "includeVars": true, "icon": "external link", "targetBlank": false,
    })
}

/// A data source by the uid that `deploy/grafana/provisioning/datasources` gives it.
pub struct DataSource {
    kind: &'static str,
    uid: &'static str,
}

pub const INFLUXDB: DataSource = DataSource { kind: "influxdb", uid: "citywire-influxdb" };
pub const PROMETHEUS: DataSource = DataSource { kind: "prometheus", uid: "citywire-prometheus" };

impl DataSource {
    fn reference(&self) -> Value {
        json!({ "type": self.kind, "uid": self.uid })
    }
}

/// Any number of what the query finds; all of it at first.
pub fn choices(name: &str, label: &str, source: &DataSource, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": source.reference(), "query": query,
        "definition": query, "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
        "current": { "text": "All", "value": "$__all" },
    })
}

/// One of what the query finds.
pub fn choice(name: &str, label: &str, source: &DataSource, query: &str, at_first: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": source.reference(), "query": query,
        "definition": query, "refresh": 2, "sort": 1, "multi": false, "includeAll": false,
        "current": { "text": at_first, "value": at_first },
    })
}

/// One of these, each `text : value`; the first at first.
pub fn one_of(name: &str, label: &str, about: &str, options: &[(&str, &str)]) -> Value {
    let query: Vec<String> = options.iter().map(|(text, value)| format!("{text} : {value}")).collect();
    let (text, value) = options[0];
    json!({
        "name": name, "label": label, "description": about, "type": "custom", "query": query.join(","), "multi": false,
        "includeAll": false, "current": { "text": text, "value": value },
    })
}
