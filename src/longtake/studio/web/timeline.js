// The take in time: film that is made, cues and what became of them, the picture on screen. Drag to look back.

import { clock, svg } from "./ui.js";

const FILM = { top: 58, height: 26 };
const LABELS = [14, 30, 46];  // baselines of cue texts, taken in turn
const SHORTEST = 12;  // media seconds that fill the width at least

/** Media seconds between two ticks so that they do not crowd. */
function tickEvery(span, width) {
  const least = (span * 64) / width;
  return [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((step) => step >= least) ?? 7200;
}

export class Timeline {
  /** `node`: the element. `onseek(seconds)`: the user drags or presses a key. */
  constructor(node, onseek) {
    this.node = node;
    this.onseek = onseek;
    this.reset();
    node.addEventListener("pointerdown", (event) => this.grab(event));
    node.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(node);
  }

  reset() {
    this.segments = [];  // {start, seconds}
    this.cues = new Map();  // id → {prompt, at, applied, status}
    this.time = this.made = this.from = 0;
    this.draw();
  }

  add(start, seconds) {
    this.segments.push({ start, seconds });
    this.made = Math.max(this.made, start + seconds);
  }

  cut(from) {
    this.segments = this.segments.filter((segment) => segment.start < from - 1e-6);
    for (const [id, cue] of this.cues) if (cue.at >= from - 1e-6) this.cues.delete(id);
    this.made = from;
    this.draw();
  }

  /** Put a cue in its place, or tell more about it. */
  cue(id, fields) {
    this.cues.set(id, { ...this.cues.get(id), ...fields });
    this.draw();
  }

  move(time) {
    this.time = time;
    this.draw();
  }

  get span() {
    return Math.max(SHORTEST, this.made * 1.06);
  }

  x(seconds) {
    return (seconds / this.span) * this.width;
  }

  draw() {
    this.width = this.node.clientWidth;
    if (!this.width) return;
    const { top, height } = FILM;
    const root = svg("svg", { viewBox: `0 0 ${this.width} 104`, "aria-hidden": "true" });
    root.append(...this.ticks());
    root.append(svg("rect", { class: "ahead", x: 0, y: top, width: this.x(this.made), height, rx: 4 }));
    root.append(svg("rect", { class: "film", x: 0, y: top, width: this.x(Math.min(this.time, this.made)), height, rx: 4 }));
    if (this.from > 0) root.append(svg("rect", { class: "gone", x: 0, y: top, width: this.x(this.from), height }));
    if (this.segments.length < this.width / 5) {
      for (const { start } of this.segments) {
        if (start) root.append(svg("line", { class: "seam", x1: this.x(start), x2: this.x(start), y1: top, y2: top + height }));
      }
    }
    root.append(...this.flags());
    const head = this.x(this.time);
    root.append(svg("line", { class: "head", x1: head, x2: head, y1: top - 6, y2: top + height + 4 }));
    root.append(svg("circle", { class: "head-knob", cx: head, cy: top - 6, r: 5 }));
    this.node.replaceChildren(root);
    this.node.setAttribute("aria-valuemax", this.made.toFixed(1));
    this.node.setAttribute("aria-valuenow", this.time.toFixed(1));
    this.node.setAttribute("aria-valuetext", `${clock(this.time, true)} of ${clock(this.made, true)}`);
  }

  ticks() {
    const step = tickEvery(this.span, this.width);
    const marks = [];
    for (let at = step; at < this.span; at += step) {
      marks.push(svg("line", { class: "tick-line", x1: this.x(at), x2: this.x(at), y1: 58, y2: 88 }));
      marks.push(svg("text", { class: "tick", x: this.x(at) + 3, y: 100 }, clock(at, step < 1)));
    }
    return marks;
  }

  flags() {
    const { top, height } = FILM;
    const marks = [];
    let lane = 0;
    for (const cue of [...this.cues.values()].sort((a, b) => a.at - b.at)) {
      const x = this.x(cue.at);
      if (cue.applied > cue.at) {
        marks.push(svg("rect", { class: "blend", x, y: top, width: this.x(cue.applied) - x, height }));
      }
      const baseline = LABELS[lane++ % LABELS.length];
      marks.push(svg("line", { class: "cue", x1: x, x2: x, y1: baseline - 8, y2: top + height }));
      marks.push(svg("circle", { class: `cue-dot ${cue.status}`, cx: x, cy: top + height / 2, r: 6 }));
      const room = Math.max(6, Math.floor((this.width - x) / 6.2));
      const text = cue.prompt.length > Math.min(room, 46) ? `${cue.prompt.slice(0, Math.min(room, 46) - 1)}…` : cue.prompt;
      const label = svg("text", { x: x + 5, y: baseline }, text);
      label.append(svg("title", {}, cue.prompt));
      marks.push(label);
    }
    return marks;
  }

  grab(event) {
    this.node.setPointerCapture(event.pointerId);
    const box = this.node.getBoundingClientRect();
    const seek = (at) => this.onseek(Math.min(Math.max(0, ((at.clientX - box.left) / box.width) * this.span), this.made));
    seek(event);
    this.node.onpointermove = seek;
    this.node.onpointerup = this.node.onpointercancel = () => { this.node.onpointermove = null; };
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.onseek(Math.min(Math.max(0, this.time + step), this.made));
  }
}
