// Keeps the page up to date: fetches it again every two seconds and takes over what differs, node by node, so that
// focus, scrolling, selections and unfolded details stay as they are. When citywire tells of an alarm (/events), at once.
// Rests while the page is hidden or paused.
"use strict";

const INTERVAL_MS = 2000;
const PATIENCE_MS = 10000;
// After the first alarm of several, the others are shown together.
const GATHER_MS = 250;

const pause = document.getElementById("pause");
const filter = document.getElementById("filter");
const offline = document.getElementById("offline");
const news = document.getElementById("news");
let paused = false;
let timer = 0;
let request = null;

async function refresh() {
  clearTimeout(timer);
  request?.abort();
  const mine = (request = new AbortController());
  const patience = setTimeout(() => mine.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(location.pathname + location.search, { signal: mine.signal, cache: "no-store", headers: { "Citywire-Refresh": "1" } });
    if (!answer.ok) throw new Error(answer.statusText);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    offline.hidden = true;
  } catch {
    // Taken over by a newer request: that one tells.
    if (mine !== request) return;
    document.getElementById("offline-since").textContent = document.getElementById("updated").textContent;
    offline.hidden = false;
  } finally {
    clearTimeout(patience);
  }
  if (mine === request) schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(refresh, INTERVAL_MS);
}

function show(page) {
  document.title = page.title;
  for (const region of document.querySelectorAll("[data-live]")) {
    const now = page.getElementById(region.id);
    if (now) update(region, now);
  }
}

// Makes `old` equal to `now`, changing no more than has to be.
function update(old, now) {
  for (const { name } of [...old.attributes]) {
    // `open` is the reader's: it says that details are unfolded.
    if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const keyed = new Map();
  for (const child of old.children) if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
  let place = old.firstChild;
  for (const child of [...now.childNodes]) {
    const known = counterpart(child, place, keyed);
    if (!known) {
      old.insertBefore(document.importNode(child, true), place);
      continue;
    }
    if (known === place) place = place.nextSibling;
    else old.insertBefore(known, place);
    if (known.nodeType === Node.ELEMENT_NODE) update(known, child);
    else if (known.data !== child.data) known.data = child.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// The node of the page that `child` is the new state of: a row by its key, anything else by its place.
function counterpart(child, place, keyed) {
  const key = child.dataset?.key;
  if (key !== undefined) return keyed.get(key);
  const same = place && place.nodeName === child.nodeName && place.dataset?.key === undefined;
  return same ? place : undefined;
}

function applyFilter() {
  const chosen = [...new FormData(filter)].filter(([, value]) => value !== "");
  const search = new URLSearchParams(chosen).toString();
  history.replaceState(null, "", location.pathname + (search ? "?" + search : ""));
  refresh();
}

let typing = 0;
filter?.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, 250);
});
filter?.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  applyFilter();
});

// Alarms as they open and close. The browser connects again by itself; while it cannot, the page is fetched all the same.
let events = null;
let gathering = 0;

function listen() {
  if (paused || document.hidden || (events && events.readyState !== EventSource.CLOSED)) return;
  events = new EventSource("/events");
  events.addEventListener("alarm", (event) => {
    const { change, alarm } = JSON.parse(event.data);
    if (change === "opened") {
      const words = { kind: alarm.kind, device: alarm.device };
      news.textContent = news.dataset.opened.replace(/\{(kind|device)\}/g, (_, word) => words[word]);
    }
    if (gathering) return;
    refresh();
    gathering = setTimeout(() => { gathering = 0; refresh(); }, GATHER_MS);
  });
}

// A connection that nobody looks at would take one of the few that a browser makes to a host.
function deafen() {
  events?.close();
  events = null;
}

pause.hidden = false;
const pauseText = pause.textContent;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? pause.dataset.resume : pauseText;
  if (paused) rest();
  else resume();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) rest();
  else if (!paused) resume();
});

function rest() {
  clearTimeout(timer);
  deafen();
}

function resume() {
  refresh();
  listen();
}

schedule();
listen();
