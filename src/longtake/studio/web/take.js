// The take that is open: how it is opened and gone on with, and what the server says of it.

import * as api from "./api.js";
import { Directing } from "./directing.js";
import { Enhance } from "./enhance.js";
import { Face } from "./face.js";
import { Webcam, sendPictures } from "./inputs.js";
import { Live } from "./live.js";
import { Anchors, Drift, Receipts, about } from "./panels.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { $, notice, quiet } from "./ui.js";

const HISTORY = 120;  // media seconds that are fetched of a take that is joined
const FIRST = "first";  // the first cue has no event id

export class TakeView {
  /** `onopen(id)`: the address of the page follows the take. `models()`: entries of /v1/models. */
  constructor({ onopen, onchange, models }) {
    this.models = models;
    this.onopen = onopen;
    this.onchange = onchange;
    this.player = new Player($("video"));
    this.player.changed = () => this.tick();
    this.timeline = new Timeline($("timeline"), (at) => { this.player.seek(at); this.tick(); });
    this.receipts = new Receipts($("receipts"));
    this.drift = new Drift($("drift"));
    this.anchors = new Anchors($("anchors"));
    this.face = new Face(this.player, this.timeline);
    this.enhance = new Enhance();
    this.live = new Live();
    this.stats = {};
    this.take = null;
    this.listen();
    this.directing = new Directing(this);
    setInterval(() => this.report(), 1000);
  }

  // -- what the server says ------------------------------------------------------------------------------------------

  listen() {
    this.live
      .on("start", (message) => this.started(message))
      .on("init", ({ data }) => this.player.push(data))
      .on("media", ({ meta, data }) => this.media(meta, data))
      .on("queued", (message) => this.receipts.set(message.event_id, { status: "accepted", at: message.media_time, chunk: message.chunk }))
      .on("receipt", (message) => this.receipt(message))
      .on("paused", () => this.say("paused"))
      .on("resumed", () => this.say(""))
      .on("rewound", (message) => this.rewound(message))
      .on("branched", (message) => { this.branchedAt = message.parent.at; })
      .on("stats", (message) => { this.stats = message; this.tick(); })
      .on("done", (message) => this.done(message))
      .on("error", (message) => this.failed(message))
      .on("lost", () => this.say("The server is gone; asking again …"))
      .on("back", () => this.back())
      .on("gone", (error) => this.gone(error));
  }

  started(message) {
    const { config } = message;
    const isNew = this.take?.id !== message.take_id;
    const old = this.take;
    this.take = { id: message.take_id, ...config };
    this.state("live");
    if (this.branchedAt !== undefined) {
      this.shorten(this.branchedAt);
      this.branchedAt = undefined;
    } else if (!old || isNew || !this.player.isLive) {
      this.player.begin(message.mime, message.media_time);
    }
    if (config.unknown_words?.length) this.face.unknown(config.model, config.unknown_words);
    about(this.take);
    this.refresh();
    if (isNew) this.onopen(message.take_id);
    if (config.takes_pictures && message.role === "direct") this.givePictures(config.fps);
  }

  /** End the session; where the connection breaks over it, as soon as there is one again. */
  stop() {
    this.isStopping = true;
    this.say("Stopping …");
    this.live.send("session.stop");
  }

  back() {
    this.say("");
    if (this.isStopping) this.stop();
  }

  /** A take that is made from live pictures goes on with those of the webcam. */
  async givePictures(fps) {
    if (this.stopPictures) return;
    try {
      this.webcam ??= await Webcam.open();
    } catch {
      notice("This take is made from a camera, and none can be used here. It waits for one: connect it, or allow it, and go on.", { seconds: 0 });
      return;
    }
    this.stopPictures = sendPictures(this.live, this.webcam, fps);
  }

  media(meta, data) {
    this.player.push(data);
    this.timeline.add(meta.media_time, meta.num_frames / this.live.fps);
    this.drift.add(meta.media_time, meta.drift);
    if (meta.anchors.length) this.anchors.show(this.take.id, meta.anchors);
    this.say("");
    this.tick();
    if (!this.isListed) this.onchange();  // it has a picture now
    this.isListed = true;
  }

  receipt(message) {
    const id = message.event_id ?? (message.chunk ? `cue ${message.prompt}` : FIRST);
    const prompt = message.prompt ?? this.receipts.prompt(id) ?? "";
    this.receipts.set(id, { prompt, status: message.status, at: message.media_time ?? undefined, chunk: message.chunk, message: message.message });
    if (message.status === "begun" || message.status === "applied") this.mark(id, prompt, message);
    else this.timeline.cue(id, { prompt, status: message.status, at: message.media_time ?? this.timeline.made });
  }

  mark(id, prompt, { status, media_time: at }) {
    const known = this.timeline.cues.get(id);
    if (status === "begun") this.timeline.cue(id, { prompt, at, applied: at, status });
    else this.timeline.cue(id, { prompt, at: known?.status === "begun" ? known.at : at, applied: at, status });
  }

  rewound(message) {
    this.shorten(message.media_time);
    this.player.toLive();
  }

  /** Forget what came after a media second. */
  shorten(at) {
    this.player.cut(at);
    this.timeline.cut(at);
    this.receipts.cut(at);
    this.drift.cut(at);
  }

  done(message) {
    const reasons = {
      stopped: "Stopped. It can go on from here.", complete: "It has reached its length.",
      idle: "It rests: nobody was watching. It can go on from here.", lifetime: "It has run as long as one take may here. It can go on from here.",
      failed: "It failed; what was made is kept.", shutdown: "The server is going down; the take is safe.",
    };
    this.player.finish();
    this.isStopping = false;
    this.state(message.reason === "complete" ? "complete" : "stopped");
    this.say("");
    notice(reasons[message.reason] ?? "The take has ended.", message.reason === "complete" ? {} : { action: { label: "Go on", run: () => this.goOn() }, seconds: 20 });
    this.endPictures();
    this.onchange();
    this.refresh();
  }

  failed({ error, event_id: id, fatal }) {
    if (id && this.receipts.prompt(id) !== undefined) this.receipts.set(id, { status: "rejected", message: error.message });
    else if (!fatal) notice(error.message);
  }

  gone(error) {
    this.state(this.take ? "stopped" : "none");
    this.say("");
    this.endPictures();
    const wait = error.retry_after ? ` Try again in ${Math.ceil(error.retry_after)} s.` : "";
    notice(`${error.message}${wait}`, { seconds: 0, action: this.take ? { label: "Go on", run: () => this.goOn() } : null });
    if (!this.take) location.hash = "#/";
  }

  // -- opening -------------------------------------------------------------------------------------------------------

  clear() {
    this.live.close();
    this.endPictures();
    this.player.end();
    this.timeline.reset();
    this.receipts.reset();
    this.drift.reset();
    this.anchors.reset();
    this.stats = {};
    this.take = null;
    this.branchedAt = undefined;
    this.isListed = this.isStopping = false;
    this.face.clear();
    this.enhance.show(null, null);
    quiet();
  }

  /** Roll a new take; `webcam` is a source of pictures for a live one. */
  async roll(request, webcam = null) {
    this.clear();
    this.webcam = webcam;
    this.state("live");
    this.say("Setting up …");
    this.receipts.set(FIRST, { prompt: request.prompt, status: "accepted" });
    await this.attempt(() => this.live.open(request));
  }

  /** Open a take by its id: watch it if it is being made, play it otherwise. */
  async open(id) {
    if (this.take?.id === id) return;
    this.clear();
    this.say("Opening …");
    await this.attempt(async () => {
      const take = await api.take(id);
      this.show(take);
      if (take.status === "live" || take.status === "paused") {
        this.state("live");
        await this.live.open({ take_id: id, from: Math.max(take.rewindable_from ?? 0, take.seconds - HISTORY), role: "direct" });
      } else {
        this.state(take.status);
        this.player.open(await api.link(id, take.links.content));
        this.say("");
      }
    });
  }

  show(take) {
    this.take = take;
    about(take);
    this.timeline.reset();
    for (const { start, seconds } of take.segments) this.timeline.add(start, seconds);
    this.timeline.from = take.rewindable_from ?? 0;
    take.receipts.forEach((receipt, i) => this.past(receipt, i));
    this.refresh();
  }

  past(receipt, number) {
    const id = number ? `past ${number}` : FIRST;
    const { cue, status, first_time: at, first_chunk: chunk, applied_time: applied } = receipt;
    const shown = status !== "accepted" ? status : applied === null ? "begun" : "applied";
    this.receipts.set(id, { prompt: cue.prompt, status: shown, at: at ?? undefined, chunk });
    if (at !== null) this.timeline.cue(id, { prompt: cue.prompt, at, applied: applied ?? at, status: shown });
  }

  /** Resume a take that rests. */
  async goOn() {
    const { id } = this.take;
    const end = this.timeline.made;
    this.clear();
    this.say("Going on …");
    await this.attempt(async () => {
      this.show(await api.take(id));
      this.take = { ...this.take, id: null };
      this.state("live");
      await this.live.open({ take_id: id, from: Math.max(0, end - HISTORY), role: "direct" });
    });
  }

  async attempt(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      this.say("");
      notice(error.message, { seconds: 0 });
      if (!this.take) location.hash = "#/";
    }
  }

  endPictures() {
    this.stopPictures?.();
    this.stopPictures = null;
    this.webcam?.close();
    this.webcam = null;
  }

  // -- what is told --------------------------------------------------------------------------------------------------

  /** Tell the server what is on screen, so that it does not run ahead of it. */
  report() {
    if (this.mode !== "live" || !this.player.isLive) return;
    this.live.send("session.playback", { media_time: this.player.time, is_playing: this.player.isPlaying });
    this.tick();
  }

  get mode() { return this.face.mode; }
  state(name) { this.face.state(name); }
  say(text) { this.face.say(text); }
  tick() { this.face.tick(this.stats); }

  refresh() {
    const id = this.take?.id;
    if (!id) return;
    this.enhance.show(id, this.models().find((model) => model.id === this.take.model));
    this.face.refresh(id);
  }
}
