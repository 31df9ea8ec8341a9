//! The frame of the operator's pages: head, header with the ways to all pages, footer.

use maud::{DOCTYPE, Markup, html};

use super::asked::{Asked, LANGUAGES};
use super::parts::{self, Mark};
use super::status::Status;
use super::text::Text;
use super::{format, overview};

/// Where the page's own style and script are.
pub(super) const STYLE_PATH: &str = "/assets/style.css";
pub(super) const SCRIPT_PATH: &str = "/assets/live.js";

/// A dot and three waves, drawn here so that the tab has a sign without another request.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
    width='16' height='16' rx='3' fill='%230b6e7a'/%3E%3Cpath d='M4 12V7h3v5m2 0V4h3v8' fill='none' stroke='white' \
    stroke-width='1.5'/%3E%3C/svg%3E";

/// The pages that the header leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Devices,
    Map,
    Refused,
    Journal,
    Profiles,
}

impl Tab {
    const ALL: [Tab; 6] = [Tab::Overview, Tab::Devices, Tab::Map, Tab::Refused, Tab::Journal, Tab::Profiles];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Tab::Overview => "/",
            Tab::Devices => "/devices",
            Tab::Map => "/map",
            Tab::Refused => "/refused",
            Tab::Journal => "/journal",
            Tab::Profiles => "/profiles",
        }
    }

    pub(super) const fn name(self, text: &Text) -> &'static str {
        match self {
            Tab::Overview => text.overview,
            Tab::Devices => text.devices,
            Tab::Map => text.map,
            Tab::Refused => text.refused,
            Tab::Journal => text.journal_page,
            Tab::Profiles => text.profiles,
        }
    }
}

/// What a page shows within the frame.
pub(super) struct Content {
    /// The page that it is, or belongs to.
    pub tab: Tab,
    /// Its heading; without one, the tab's name.
    pub heading: Option<String>,
    /// False of an address that nothing is behind.
    pub found: bool,
    pub body: Markup,
}

impl Content {
    pub(super) fn of(tab: Tab, body: Markup) -> Content {
        Content { tab, heading: None, found: true, body }
    }
}

/// The whole document.
pub(super) fn document(content: &Content, status: &Status, asked: &Asked) -> Markup {
    let text = asked.text;
    let heading = content.heading.as_deref().unwrap_or(content.tab.name(text));
    html! {
        (DOCTYPE)
        html lang=(text.language) {
            (head(&title(content.tab, heading, status.alarms.open, text)))
            body {
                a class="skip" href="#content" { (text.skip) }
                header class="top" {
                    p class="name" { a href="/" { "citywire" } }
                    (navigation(content.tab, text))
                    p #health data-live role="status" { (health(status, text)) }
                    p class="clock" {
                        span class="muted" { (text.updated) " " }
                        span #updated data-live { time datetime=(status.now) { (format::moment(status.now)) } }
                        button #pause type="button" aria-pressed="false" data-resume=(text.resume) hidden { (text.pause) }
                    }
                    (languages(asked))
                }
                p #offline role="alert" hidden {
                    (parts::sign(Mark::Warning)) " " (text.no_answer) " " span #offline-since {} "."
                }
                // Read aloud as alarms open; the script fills it from /events.
                p #news class="unseen" role="status" aria-label=(text.news) data-opened=((text.alarm_opened)("{kind}", "{device}")) {}
                main #content tabindex="-1" {
                    h1 { (parts::name(heading)) }
                    (content.body)
                }
                footer #foot data-live {
                    span { ((text.version)(status.version)) }
                    span { ((text.running_for)(&format::age(status.started, status.now))) }
                    span { ((text.rules_loaded)(&format::age(status.rules.loaded, status.now))) }
                    @for path in ["/metrics", "/readyz", "/api/v1/status"] {
                        a href=(path) { (path) }
                    }
                }
            }
        }
    }
}

/// The alarms stand in it, so that they are seen on a tab that is not looked at.
fn title(tab: Tab, heading: &str, open_alarms: usize, text: &Text) -> String {
    match (tab, open_alarms) {
        (Tab::Overview, _) => (text.title_with_alarms)(open_alarms),
        (_, 0) => (text.title_of)(heading),
        _ => format!("({open_alarms}) {}", (text.title_of)(heading)),
    }
}

fn navigation(current: Tab, text: &Text) -> Markup {
    html! {
        nav class="tabs" aria-label=(text.navigation) {
            @for tab in Tab::ALL {
                a href=(tab.path()) aria-current=[(tab == current).then_some("page")] { (tab.name(text)) }
            }
        }
    }
}

fn languages(asked: &Asked) -> Markup {
    html! {
        nav class="languages" aria-label=(asked.text.languages) {
            @for (language, name) in LANGUAGES {
                @if language.language != asked.text.language {
                    a href=(asked.link(language)) lang=(language.language) hreflang=(language.language) { (name) }
                }
            }
        }
    }
}

/// The one line that says whether all is well. It is read aloud when it changes, so no number that always does.
fn health(status: &Status, text: &Text) -> Markup {
    let problems = overview::concerns(status, text).len();
    if problems > 0 {
        parts::marked(Mark::Bad, &(text.problems)(problems))
    } else if status.rates.history.iter().any(|rate| *rate > 0.0) {
        parts::marked(Mark::Good, text.receiving)
    } else {
        parts::marked(Mark::Quiet, text.quiet)
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href=(ICON);
            link rel="stylesheet" href=(STYLE_PATH);
            script src=(SCRIPT_PATH) defer {}
            noscript { meta http-equiv="refresh" content="5"; }
        }
    }
}

/// What an address answers that is none of ours.
pub(super) fn nowhere(asked: &Asked) -> Content {
    let text = asked.text;
    let body = html! {
        p { (text.not_found_advice) }
        p { a href="/" { (text.to_overview) } }
    };
    Content { tab: Tab::Overview, heading: Some(text.not_found.to_owned()), found: false, body }
}
