// Small things that every part of the page uses: elements, times, notices, questions.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children; text is always text. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** 75.25 → "1:15"; with tenths "1:15.2". */
export function clock(seconds, tenths = false) {
  const whole = Math.max(0, seconds);
  const minutes = Math.floor(whole / 60);
  const rest = tenths ? (Math.floor((whole % 60) * 10) / 10).toFixed(1).padStart(4, "0") : String(Math.floor(whole % 60)).padStart(2, "0");
  return `${minutes}:${rest}`;
}

/** "just now", "12 min ago", a date. */
export function ago(stamp) {
  const seconds = Date.now() / 1000 - stamp;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(stamp * 1000).toLocaleDateString();
}

export function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.ceil(count / 1e3)} kB`;
}

let forget = 0;

/** Say something at the top of the page. `action` is `{label, run}`; `seconds` 0 keeps it until dismissed. */
export function notice(text, { action = null, seconds = 9 } = {}) {
  clearTimeout(forget);
  $("notice-text").textContent = text;
  $("notice-action").hidden = action === null;
  if (action) {
    $("notice-action").textContent = action.label;
    $("notice-action").onclick = () => { quiet(); action.run(); };
  }
  $("notice").hidden = false;
  if (seconds) forget = setTimeout(quiet, seconds * 1000);
}

export function quiet() {
  clearTimeout(forget);
  $("notice").hidden = true;
}

/** Ask for a line of text, or for consent when `label` is null; resolves to null when cancelled. */
export function ask({ title, text = "", label = null, value = "", ok = "OK" }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-value").hidden = label === null;
  $("ask-label").textContent = label ?? "";
  $("ask-value").value = value;
  $("ask-ok").textContent = ok;
  dialog.returnValue = "cancel";
  dialog.showModal();
  if (label !== null) $("ask-value").select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? $("ask-value").value.trim() : null), { once: true });
  });
}

/** Enter sends a form whose field is a text area; Shift+Enter makes a line. */
export function sendOnEnter(area) {
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
}

/** Whether a key press belongs to a field that is being written in. */
export function isWriting(event) {
  return event.target.closest?.("input, textarea, select, dialog") !== null || event.ctrlKey || event.metaKey || event.altKey;
}
