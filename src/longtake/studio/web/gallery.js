// Every take that is kept, newest first.

import * as api from "./api.js";
import { $, ago, ask, clock, el, notice } from "./ui.js";

const PAGE = 24;
const STATES = { live: "Live", paused: "Paused", stopped: "Resting", complete: "", failed: "Failed" };

export class Gallery {
  constructor() {
    $("gallery-more").addEventListener("click", () => this.load(this.last));
  }

  async load(after = null) {
    let page;
    try {
      page = await api.takes(PAGE, after);
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      return notice(error.message, { action: { label: "Try again", run: () => this.load(after) }, seconds: 0 });
    }
    const cards = await Promise.all(page.data.map((take) => this.card(take)));
    if (after) $("gallery").append(...cards);
    else $("gallery").replaceChildren(...cards);
    this.last = page.data.at(-1)?.id;
    $("gallery-more").hidden = !page.has_more;
    $("gallery-empty").hidden = $("gallery").children.length > 0;
  }

  async card(take) {
    const picture = el("img", { alt: "", loading: "lazy", width: 320, height: 240 });
    picture.addEventListener("error", () => picture.removeAttribute("src"), { once: true });
    if (take.chunks) picture.src = await api.link(take.id, take.links.thumbnail);
    const state = STATES[take.status] ?? take.status;
    const card = el("li", { class: "card", "data-id": take.id },
      el("a", { href: `#/take/${take.id}` }, picture,
        el("div", { class: "text" }, el("span", { class: "said" }, take.prompt),
          el("small", {}, el("span", {}, clock(take.seconds)), el("span", {}, ago(take.created_at)), take.parent ? el("span", {}, "branch") : null))),
      state ? el("span", { class: "state", "data-state": take.status }, state) : null);
    if (take.status !== "live") {
      card.append(el("button", { type: "button", class: "icon delete", "aria-label": `Delete “${take.prompt}”`, onclick: () => this.remove(take, card) }, "✕"));
    }
    return card;
  }

  async remove(take, card) {
    if ((await ask({ title: "Delete this take?", text: `“${take.prompt}”, ${clock(take.seconds)}. This cannot be undone.`, ok: "Delete" })) === null) return;
    try {
      await api.remove(take.id);
      card.remove();
      $("gallery-empty").hidden = $("gallery").children.length > 0;
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      notice(error.message);
    }
  }
}
