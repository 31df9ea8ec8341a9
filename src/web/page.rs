//! The frame of the operator's pages: head, header, footer.

use maud::{DOCTYPE, Markup, html};

use super::parts::{self, Mark};
use super::query::DevicesQuery;
use super::status::Status;
use super::text::Text;
use super::{devices, format, overview as sections};
use crate::fleet::Snapshot;

/// Where the page's own style and script are.
pub(super) const STYLE_PATH: &str = "/assets/style.css";
pub(super) const SCRIPT_PATH: &str = "/assets/live.js";

/// A dot and three waves, drawn here so that the tab has a sign without another request.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
    width='16' height='16' rx='3' fill='%230b6e7a'/%3E%3Cpath d='M4 12V7h3v5m2 0V4h3v8' fill='none' stroke='white' \
    stroke-width='1.5'/%3E%3C/svg%3E";

/// Everything at a glance; what `/` answers.
pub(super) fn overview(status: &Status, snapshot: &Snapshot, query: &DevicesQuery, text: &Text) -> Markup {
    let concerns = sections::concerns(status, text);
    let content = html! {
        (sections::attention(&concerns, text))
        (sections::service(status, text))
        div class="columns" {
            div class="column" {
                (sections::alarms(status, text))
                (sections::classes(status, text))
            }
            div class="column" {
                (sections::sinks(status, text))
                (sections::refused(status, text))
            }
        }
        (devices::section(status, snapshot, query, text))
    };
    frame(&(text.title_with_alarms)(status.alarms.open), health(status, concerns.len(), text), status, content, text)
}

/// The one line that says whether all is well. It is read aloud when it changes, so no number that always does.
fn health(status: &Status, problems: usize, text: &Text) -> Markup {
    if problems > 0 {
        parts::marked(Mark::Bad, &(text.problems)(problems))
    } else if status.rates.history.iter().any(|rate| *rate > 0.0) {
        parts::marked(Mark::Good, text.receiving)
    } else {
        parts::marked(Mark::Quiet, text.quiet)
    }
}

fn frame(title: &str, health: Markup, status: &Status, content: Markup, text: &Text) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(text.language) {
            (head(title, true))
            body {
                a class="skip" href="#devices" { (text.skip_to_devices) }
                header class="top" {
                    h1 { a href="/" { "citywire" } }
                    p #health data-live role="status" { (health) }
                    p class="clock" {
                        span class="muted" { (text.updated) " " }
                        span #updated data-live { time datetime=(status.now) { (format::moment(status.now)) } }
                        button #pause type="button" aria-pressed="false" data-resume=(text.resume) hidden { (text.pause) }
                    }
                }
                p #offline role="alert" hidden {
                    (parts::sign(Mark::Warning)) " " (text.no_answer) " " span #offline-since {} "."
                }
                main { (content) }
                footer #foot data-live {
                    span { ((text.version)(status.version)) }
                    span { ((text.running_for)(&format::age(status.started, status.now))) }
                    span { ((text.rules_loaded)(&format::age(status.rules.loaded, status.now))) }
                    @for path in ["/metrics", "/readyz", "/api/v1/status", "/api/v1/devices"] {
                        a href=(path) { (path) }
                    }
                }
            }
        }
    }
}

fn head(title: &str, live: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href=(ICON);
            link rel="stylesheet" href=(STYLE_PATH);
            @if live {
                script src=(SCRIPT_PATH) defer {}
                noscript { meta http-equiv="refresh" content="5"; }
            }
        }
    }
}

/// What an address answers that is none of ours.
pub(super) fn not_found(text: &Text) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(text.language) {
            (head(text.not_found, false))
            body {
                header class="top" { p class="name" { a href="/" { "citywire" } } }
                main class="alone" {
                    h1 { (text.not_found) }
                    p { (text.not_found_advice) }
                    p { a href="/" { (text.to_overview) } }
                }
            }
        }
    }
}
