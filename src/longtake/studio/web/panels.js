// What stands beside the player: directions and their receipts, live figures, drift, branches, facts.

import { link } from "./api.js";
import { $, bytes, clock, el, svg } from "./ui.js";

const STATUS = {
  waiting: "sent",
  accepted: "accepted",
  begun: "turning",
  applied: "seen",
  superseded: "replaced by a later one",
  rejected: "refused",
};

/** Directions in the order in which they were given. */
export class Receipts {
  constructor(node) {
    this.node = node;
    this.reset();
  }

  reset() {
    this.rows = new Map();
    this.node.replaceChildren();
  }

  /** `fields`: prompt, status, at (media second), chunk, message. */
  set(id, fields) {
    let row = this.rows.get(id);
    if (!row) {
      row = { node: el("li"), fields: {} };
      this.rows.set(id, row);
      this.node.append(row.node);
      row.node.scrollIntoView?.({ block: "nearest" });
    }
    Object.assign(row.fields, fields);
    const { prompt, status, at, chunk, message } = row.fields;
    row.node.dataset.status = status;
    const where = at === undefined ? "" : ` · ${clock(at, true)} · chunk ${chunk}`;
    row.node.replaceChildren(
      el("span", { class: "said" }, prompt),
      el("small", {}, `${STATUS[status] ?? status}${where}${message ? ` · ${message}` : ""}`),
    );
  }

  cut(from) {
    for (const [id, row] of this.rows) {
      if ((row.fields.at ?? 0) < from - 1e-6) continue;
      row.node.remove();
      this.rows.delete(id);
    }
  }

  prompt(id) {
    return this.rows.get(id)?.fields.prompt;
  }
}

/** Names and values as a definition list; values that are null are left out. */
export function figures(node, rows) {
  const wide = node.classList.contains("wide");
  const pairs = Object.entries(rows).filter(([, value]) => value !== null && value !== undefined);
  node.replaceChildren(...pairs.flatMap(([name, value]) => {
    const pair = [el("dt", {}, name), el("dd", {}, value)];
    return wide ? [el("div", {}, ...pair)] : pair;
  }));
}

export function liveFigures(stats, behind) {
  figures($("figures"), {
    "behind live": `${behind.toFixed(1)} s`,
    "made a second": `${stats.speed?.toFixed(1) ?? "–"} s`,
    "ahead of the picture": `${stats.lead?.toFixed(1) ?? "–"} s`,
    "a direction takes": stats.steer_seconds === null || stats.steer_seconds === undefined ? null : `${stats.steer_seconds.toFixed(1)} s`,
    "first picture": stats.time_to_first_chunk ? `${stats.time_to_first_chunk.toFixed(2)} s` : null,
    stalls: stats.deadlines_missed ? `${stats.deadlines_missed} (${stats.stall_seconds.toFixed(1)} s)` : "none",
    viewers: String(stats.viewers ?? 1),
  });
}

export function about(take) {
  figures($("about"), {
    model: take.model,
    seed: String(take.seed),
    size: `${take.width} × ${take.height}, ${take.fps} fps`,
    length: take.num_frames ? `${clock(take.num_frames / take.fps, true)}` : "no end",
    "on disk": take.bytes === undefined ? null : bytes(take.bytes),
    id: take.id.slice(0, 8),
  });
}

const UNITS = { colour: "ΔE", contrast: "L*", sharpness: "ln", saturation: "C*" };

/** How far the picture has left its beginning, over time. */
export class Drift {
  constructor(node) {
    this.node = node;
    this.reset();
  }

  reset() {
    this.points = [];
    this.node.replaceChildren(el("p", { class: "hint" }, "Shown once there is something to compare with."));
  }

  cut(from) {
    this.points = this.points.filter((point) => point.at < from);
  }

  add(at, drift) {
    if (!drift) return;
    this.points.push({ at, drift });
    if (this.points.length > 400) this.points.splice(1, 1);
    this.node.replaceChildren(...Object.keys(UNITS).map((name) => this.line(name)));
  }

  line(name) {
    const values = this.points.map((point) => point.drift[name] ?? 0);
    const reach = Math.max(1e-6, ...values.map(Math.abs));
    const first = this.points[0].at;
    const span = Math.max(1e-6, this.points.at(-1).at - first);
    const spots = this.points.map((point, i) => `${((point.at - first) / span) * 100},${20 - (values[i] / reach) * 17}`);
    const plot = svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `drift of ${name}` },
      svg("line", { class: "zero", x1: 0, x2: 100, y1: 20, y2: 20 }),
      svg("polyline", { points: spots.join(" ") }));
    const last = values.at(-1);
    return el("div", { class: "line" }, el("span", { class: "dim" }, name), plot,
      el("b", { title: UNITS[name] }, `${last > 0 ? "+" : ""}${last.toFixed(2)}`));
  }
}

/** The pictures that the model holds on to, where it does that. */
export class Anchors {
  constructor(node) {
    this.node = node;
    this.reset();
  }

  reset() {
    this.shown = "";
    this.node.replaceChildren();
    this.node.closest("section").hidden = true;
  }

  async show(take, times) {
    const said = `${take} ${times.join(" ")}`;
    if (said === this.shown) return;
    this.shown = said;
    const pictures = await Promise.all(times.map(async (at) => el("li", {},
      el("img", { alt: "", width: 64, height: 48, src: await link(take, `/v1/takes/${take}/thumbnail?at=${at}`) }), el("small", {}, clock(at, true)))));
    this.node.replaceChildren(...pictures);
    this.node.closest("section").hidden = false;
  }
}

/** The family of a take. */
export function drawTree(node, root, current) {
  const branch = (take) => {
    const place = take.at ? `from ${clock(take.at, true)} · ` : "";
    const item = el("li", {}, el("a", { href: `#/take/${take.take_id}`, "aria-current": take.take_id === current ? "true" : null },
      el("span", { class: "cut" }, take.prompt ?? "take"), el("small", {}, `${place}${clock(take.seconds)}`)));
    if (take.children?.length) item.append(el("ul", {}, ...take.children.map(branch)));
    return item;
  };
  node.replaceChildren(branch(root));
}
