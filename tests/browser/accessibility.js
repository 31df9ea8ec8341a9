// Looks for what keeps people from using a page: those who hear it, use the keyboard, or see little. Rules of ours after
// WCAG 2.2, as far as a script can tell; it is no replacement for people. Returns sentences, none when nothing was found.
"use strict";

const faults = [];
const shown = (element) => element.checkVisibility({ checkVisibilityCSS: true }) && !element.closest("[aria-hidden=true]");
const where = (element) => `<${element.tagName.toLowerCase()}${element.id ? " id=" + element.id : ""} class="${element.getAttribute("class") ?? ""}"> ${(element.textContent ?? "").trim().slice(0, 40)}`;
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);

// 3.1.1, 2.4.2: the page says its language and its title.
if (!document.documentElement.lang) faults.push("the page does not say its language");
if (!document.title.trim()) faults.push("the page has no title");

// 1.3.1, 2.4.1: landmarks, each once or with a name of its own.
for (const [selector, count] of [["main", 1], ["header", 1], ["footer", 1]]) {
  if (all(selector).length !== count) faults.push(`${all(selector).length} of ${selector}`);
}
const named = (element) => accessibleName(element) !== "";
for (const element of all("nav, section, [role=region]")) if (!named(element)) faults.push("no name: " + where(element));

// 1.3.1: headings begin with one h1 and leave out no level.
let level = 0;
for (const heading of all("h1, h2, h3, h4, h5, h6")) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) faults.push(`a heading of level ${own} after ${level}: ` + where(heading));
  level = own;
}
if (all("h1").length !== 1) faults.push(`${all("h1").length} h1`);

// 4.1.2: every control has a name.
function accessibleName(element) {
  const by = (element.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean);
  if (by.length) return by.map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const label = element.getAttribute("aria-label");
  if (label) return label.trim();
  if (element.labels?.length) return [...element.labels].map((label) => label.textContent).join(" ").trim();
  if (element.matches("nav, section, [role=region], input, select, textarea")) return "";
  return (element.textContent ?? "").trim() || (element.getAttribute("title") ?? "").trim();
}
for (const control of all("a[href], button, input, select, textarea, summary")) {
  if (!named(control)) faults.push("a control without a name: " + where(control));
}
for (const image of all("img, svg")) {
  if (image.getAttribute("role") !== "img") faults.push("a picture that is neither hidden nor named: " + where(image));
  else if (!image.getAttribute("aria-label")) faults.push("a picture without a name: " + where(image));
}

// Nothing that is hidden from those who hear the page can be reached with the keyboard.
for (const hidden of document.querySelectorAll("[aria-hidden=true] a[href], [aria-hidden=true] button")) {
  if (hidden.tabIndex >= 0) faults.push("hidden, and reached with the keyboard: " + where(hidden));
}

// 2.1.1: what scrolls can be scrolled with the keyboard.
for (const element of all("*")) {
  const style = getComputedStyle(element);
  const scrolls = /(auto|scroll)/.test(style.overflowX + style.overflowY) &&
    (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1);
  if (scrolls && element.tabIndex < 0 && element !== document.documentElement && element !== document.body) {
    faults.push("it scrolls, and not with the keyboard: " + where(element));
  }
}

// 4.1.1: ids are unique, and what refers to one finds it.
const ids = new Set();
for (const { id } of document.querySelectorAll("[id]")) {
  if (ids.has(id)) faults.push(`the id ${id} is there twice`);
  ids.add(id);
}
for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
  for (const element of document.querySelectorAll(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(/\s+/)) {
      if (!ids.has(id)) faults.push(`${attribute} names ${id}, which is not there`);
    }
  }
}

// 1.3.1: tables have headings that say of what they are.
for (const table of all("table")) {
  if (!table.querySelector("th")) faults.push("a table without headings: " + where(table));
  for (const heading of table.querySelectorAll("th")) if (!heading.scope) faults.push("no scope: " + where(heading));
}

// 1.4.3: text stands out from its ground, 4.5 to 1, or 3 to 1 when it is large.
function color(text) {
  const context = (color.context ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }));
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = text;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
function ground(element) {
  const layers = [];
  for (let node = element; node; node = node.parentElement) {
    const layer = color(getComputedStyle(node).backgroundColor);
    if (layer[3] > 0) layers.push(layer);
    if (layer[3] === 1) break;
  }
  return layers.reduceRight((back, front) => over(front, back), [255, 255, 255, 1]);
}
function luminance([r, g, b]) {
  const linear = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}
const seen = new Set();
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = texts.nextNode(); text; text = texts.nextNode()) {
  const element = text.parentElement;
  if (!text.data.trim() || seen.has(element) || !shown(element) || element.closest("svg, option, script, noscript")) continue;
  seen.add(element);
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const back = ground(element);
  const [a, b] = [luminance(over(color(style.color), back)), luminance(back)].sort((x, y) => y - x);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < (large ? 3 : 4.5)) faults.push(`contrast ${contrast.toFixed(2)}: ` + where(element));
}

// 1.4.10: nothing is wider than the screen.
const { scrollWidth, clientWidth } = document.documentElement;
if (scrollWidth > clientWidth) {
  const wide = all("body *").filter((element) => element.getBoundingClientRect().right > clientWidth + 1);
  faults.push(`the page is ${scrollWidth} wide on a screen of ${clientWidth}: ${wide.slice(0, 3).map(where).join("; ")}`);
}

return faults.slice(0, 30);
