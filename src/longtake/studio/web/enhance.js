// The open take made larger and cleaner on request; where its model cannot, the reason.

import * as api from "./api.js";
import { $, el, notice } from "./ui.js";

const LOOK = 1500;  // milliseconds between looks at how far it is

export class Enhance {
  constructor() {
    this.take = null;
    this.address = null;  // of the larger video, once it is there
    this.timer = null;  // while one is being made
    $("enhance").addEventListener("click", () => this.press());
  }

  /** The take that is open (null: none), and its model's entry of /v1/models. */
  show(take, model) {
    const why = model?.enhances ? "" : model?.enhance_note ?? "The model of this take is not loaded here.";
    $("enhance").setAttribute("aria-disabled", String(Boolean(why)));
    $("enhance").title = why || "Make what is there of this take larger and cleaner";
    this.why = why;
    if (take && take === this.take && this.timer) return;  // what was asked for goes on
    this.take = take;
    this.address = null;
    this.rest();
  }

  /** Nothing is being made. */
  rest() {
    clearTimeout(this.timer);
    this.timer = null;
    $("enhance").textContent = "Enhance";
  }

  async press() {
    if (this.address) return this.download();
    if (this.why) return notice(`${this.why[0].toUpperCase()}${this.why.slice(1)}.`);
    if (this.take && !this.timer) await this.follow(() => api.enhance(this.take));
  }

  async follow(ask) {
    const { take } = this;
    try {
      const state = await ask();
      if (take === this.take) await this.tell(take, state);
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      if (take !== this.take) return;
      this.rest();
      notice(error.message);
    }
  }

  async tell(take, { status, progress, content, error }) {
    if (status === "failed") {
      this.rest();
      return notice(`It could not be enhanced: ${error.message}`);
    }
    if (status !== "completed") {
      $("enhance").textContent = status === "queued" ? "Waiting …" : `Enhancing ${progress} %`;
      this.timer = setTimeout(() => this.follow(() => api.enhanced(take)), LOOK);
      return;
    }
    this.rest();
    this.address = await api.link(take, `${content}?download=1`);
    $("enhance").textContent = "Larger video";
    notice("The larger video is ready.", { action: { label: "Download", run: () => this.download() } });
  }

  download() {
    el("a", { href: this.address, download: true }).click();
  }
}
