// Every take that is kept, newest first.

import * as api from "./api.js";
import { $, ago, ask, clock, el, notice } from "./ui.js";

const PAGE = 24;
const STATES = { live: "Live", paused: "Paused", stopped: "Resting", complete: "", failed: "Failed" };

export class Gallery {
  constructor() {
    this.cards = new Map();  // by the take's id
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
    this.show(cards, after !== null);
    this.last = page.data.at(-1)?.id;
    $("gallery-more").hidden = !page.has_more;
    $("gallery-empty").hidden = $("gallery").children.length > 0;
  }

  /** Put the cards in their order; one that stays is not moved, for a press on a card that moves is no click. */
  show(cards, more) {
    const list = $("gallery");
    if (!more) for (const card of [...list.children]) if (!cards.includes(card)) card.remove();
    let place = more ? null : list.firstElementChild;
    for (const card of cards) {
      if (card === place) place = place.nextElementSibling;
      else list.insertBefore(card, place);
    }
  }

  /** The take's card: the one on the page, if there is one, brought up to date. */
  async card(take) {
    const card = this.cards.get(take.id) ?? el("li", { class: "card", "data-id": take.id }, el("a", { href: `#/take/${take.id}` }));
    this.cards.set(take.id, card);
    const facts = [clock(take.seconds), ago(take.created_at), ...(take.parent ? ["branch"] : [])];
    const looks = JSON.stringify([take.prompt, take.status, facts]);
    if (card.dataset.looks === looks) return card;

    const picture = el("img", { alt: "", loading: "lazy", width: 320, height: 240 });
    picture.addEventListener("error", () => { picture.removeAttribute("src"); card.dataset.looks = ""; }, { once: true });
    if (take.chunks) picture.src = await api.link(take.id, take.links.thumbnail);
    const anchor = card.querySelector("a");
    anchor.replaceChildren(picture,
      el("div", { class: "text" }, el("span", { class: "said" }, take.prompt),
        el("small", {}, ...facts.map((fact) => el("span", {}, fact)))));
    const state = STATES[take.status] ?? take.status;
    const rest = state ? [el("span", { class: "state", "data-state": take.status }, state)] : [];
    if (take.status !== "live") {
      rest.push(el("button", { type: "button", class: "icon delete", "aria-label": `Delete “${take.prompt}”`, onclick: () => this.remove(take, card) }, "✕"));
    }
    card.replaceChildren(anchor, ...rest);
    card.dataset.looks = looks;
    return card;
  }

  async remove(take, card) {
    if ((await ask({ title: "Delete this take?", text: `“${take.prompt}”, ${clock(take.seconds)}. This cannot be undone.`, ok: "Delete" })) === null) return;
    try {
      await api.remove(take.id);
      card.remove();
      this.cards.delete(take.id);
      $("gallery-empty").hidden = $("gallery").children.length > 0;
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      notice(error.message);
    }
  }
}
