//! docs/alerts.md: what to do about each alert.

use std::collections::BTreeMap;

use super::{read, yaml};

/// What an operator has to find there, in this order.
const PARTS: [&str; 3] = ["**Means.**", "**Look at**", "**Do.**"];

#[test]
fn each_alert_has_a_paragraph_that_says_what_to_do_and_no_paragraph_is_without_an_alert() {
    let page = read("docs/alerts.md");
    let paragraphs: Vec<(&str, &str)> = page
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a heading and what is below it"))
        .collect();
    let headings: Vec<&str> = paragraphs.iter().map(|(heading, _)| *heading).collect();
    let alerts = runbooks();
    assert_eq!(headings, alerts.iter().map(|(alert, _)| alert.as_str()).collect::<Vec<_>>(), "in the rules' order");
    for (heading, text) in paragraphs {
        let places: Vec<usize> = PARTS
            .iter()
            .map(|part| text.find(part).unwrap_or_else(|| panic!("{heading} does not say {part}")))
            .collect();
        assert!(places.is_sorted(), "{heading} has its parts in another order than {PARTS:?}");
        let ends = places.iter().skip(1).copied().chain([text.len()]);
        for (part, (start, end)) in PARTS.iter().zip(places.iter().copied().zip(ends)) {
            assert!(end - start > part.len() + 15, "{heading} says nothing behind {part}");
        }
    }
}

#[test]
fn each_alert_links_its_paragraph() {
    for (alert, runbook) in runbooks() {
        assert_eq!(runbook, format!("docs/alerts.md#{}", alert.to_lowercase()));
    }
}

#[test]
fn the_options_and_metrics_that_the_paragraphs_name_are_there() {
    let page = read("docs/alerts.md");
    let known = read("docs/configuration.md") + &read("docs/profiles.md") + &read("docs/operating.md");
    let codes: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    assert!(codes.len() > 30, "{} pieces of code", codes.len());
    for code in codes {
        if let Some(metric) = code.strip_prefix("citywire_") {
            let metric = format!("citywire_{metric}");
            assert!(citywire::metrics::ALL.iter().any(|known| known.name == metric), "there is no metric {metric}");
        } else if let Some((section, option)) = code.split_once('.')
            && ["broker", "journal", "profiles", "push"].contains(&section)
        {
            let name = option.rsplit('.').next().expect("a part");
            assert!(known.contains(&format!("`{name}`")), "there is no option {code}");
        }
    }
}

/// Each alert with its `runbook_url`, in the order of the rules.
fn runbooks() -> Vec<(String, String)> {
    let rules = yaml("deploy/prometheus/rules/citywire.yml");
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let alerts: Vec<(String, String)> = rules
        .map(|rule| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_else(|| panic!("{rule}")).to_string();
            (text(&rule["alert"]), text(&rule["annotations"]["runbook_url"]))
        })
        .collect();
    let names: BTreeMap<&str, ()> = alerts.iter().map(|(alert, _)| (alert.as_str(), ())).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
    alerts
}
