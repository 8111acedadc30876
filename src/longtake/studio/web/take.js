// The take that is open: player, directions, timeline, rewind and branch, and what the server says of it.

import * as api from "./api.js";
import { sendPictures } from "./inputs.js";
import { Live } from "./live.js";
import { Drift, Receipts, about, drawTree, liveFigures } from "./panels.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { $, ask, clock, isWriting, notice, quiet, sendOnEnter } from "./ui.js";

const HISTORY = 120;  // media seconds that are fetched of a take that is joined
const FIRST = "first";  // the first cue has no event id

export class TakeView {
  /** `onopen(id)`: the address of the page follows the take. */
  constructor({ onopen, onchange }) {
    this.onopen = onopen;
    this.onchange = onchange;
    this.player = new Player($("video"));
    this.player.changed = () => this.tick();
    this.timeline = new Timeline($("timeline"), (at) => { this.player.seek(at); this.tick(); });
    this.receipts = new Receipts($("receipts"));
    this.drift = new Drift($("drift"));
    this.live = new Live();
    this.stats = {};
    this.take = null;
    this.listen();
    this.wire();
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
      .on("back", () => this.say(""))
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
    if (config.unknown_words?.length) this.unknown(config.unknown_words);
    about(this.take);
    this.refresh();
    if (isNew) this.onopen(message.take_id);
    if (this.webcam && !this.stopPictures) this.stopPictures = sendPictures(this.live, this.webcam, config.fps);
  }

  media(meta, data) {
    this.player.push(data);
    this.timeline.add(meta.media_time, meta.num_frames / this.live.fps);
    this.drift.add(meta.media_time, meta.drift);
    this.say("");
    this.tick();
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

  unknown(words) {
    $("words").textContent = `${this.take.model} does not know: ${words.join(", ")}`;
    $("words").hidden = false;
  }

  // -- opening -------------------------------------------------------------------------------------------------------

  clear() {
    this.live.close();
    this.endPictures();
    this.player.end();
    this.timeline.reset();
    this.receipts.reset();
    this.drift.reset();
    this.stats = {};
    this.take = null;
    this.branchedAt = undefined;
    $("words").hidden = true;
    $("tree").replaceChildren();
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

  // -- what the user does --------------------------------------------------------------------------------------------

  wire() {
    $("play").addEventListener("click", () => this.toggle());
    $("live").addEventListener("click", () => this.mode === "live" ? this.player.toLive() : this.goOn());
    $("rewind").addEventListener("click", () => this.rewind());
    $("branch").addEventListener("click", () => this.branch());
    $("stop").addEventListener("click", () => this.live.send("session.stop"));
    $("full").addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen());
    $("steer-form").addEventListener("submit", (event) => { event.preventDefault(); this.steer(); });
    sendOnEnter($("steer"));
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("visibilitychange", () => this.report());
  }

  key(event) {
    if ($("set").hidden || isWriting(event)) return;
    const run = {
      " ": () => this.toggle(), k: () => this.toggle(), l: () => $("live").click(), b: () => this.branch(), r: () => this.rewind(),
      f: () => $("full").click(), "/": () => $("steer").focus(),
      ArrowLeft: () => this.player.seek(this.player.time - 1), ArrowRight: () => this.player.seek(this.player.time + 1),
    }[event.key];
    if (!run || (event.target.closest?.("button, a, summary") && event.key === " ")) return;
    event.preventDefault();
    run();
  }

  toggle() {
    if (this.player.video.paused) this.player.play();
    else this.player.pause();
    this.report();
  }

  steer() {
    const prompt = $("steer").value.trim();
    if (!prompt) return;
    const id = this.live.steer(prompt, Number($("transition").value));
    if (!id) return notice("There is no connection to the take just now; it is being asked for again.");
    this.receipts.set(id, { prompt, status: "waiting" });
    $("steer").value = "";
  }

  async rewind() {
    const at = this.player.time;
    const after = this.timeline.made - at;
    if (after > 4 && (await ask({ title: `Rewind to ${clock(at, true)}?`, text: `The ${after.toFixed(0)} seconds after it leave this take. “Branch here” would keep them.`, ok: "Rewind" })) === null) return;
    this.live.send("session.rewind", { at });
  }

  async branch() {
    const at = this.player.time;
    const prompt = await ask({ title: `Another take from ${clock(at, true)}`, text: "This one stays as it is.", label: "What happens instead", value: $("steer").value.trim(), ok: "Branch" });
    if (!prompt) return;
    if (this.mode === "live") {
      this.say("Branching …");
      this.live.send("session.branch", { at, prompt, transition: 0 });
      return;
    }
    const parent = this.take.id;
    await this.roll({ branch: { take_id: parent, at }, prompt, transition: 0 });
  }

  /** Tell the server what is on screen, so that it does not run ahead of it. */
  report() {
    if (this.mode !== "live" || !this.player.isLive) return;
    this.live.send("session.playback", { media_time: this.player.time, is_playing: this.player.isPlaying });
    this.tick();
  }

  // -- what the user sees --------------------------------------------------------------------------------------------

  state(name) {
    this.mode = name;
    const isLive = name === "live";
    document.body.dataset.take = name;
    for (const id of ["stop", "rewind"]) $(id).hidden = !isLive;
    $("live").textContent = isLive ? "Live" : "Go on";
    $("live").hidden = name === "complete";
    $("steer").disabled = $("steer-send").disabled = !isLive;
    $("steer").placeholder = isLive ? "Say what happens next …" : "This take rests. Go on with it, or branch from a moment.";
  }

  say(text) {
    $("waiting").textContent = text;
  }

  tick() {
    const { player, timeline } = this;
    const made = Math.max(timeline.made, player.isLive ? player.last : player.video.duration || 0);
    timeline.move(player.time);
    $("now").textContent = clock(player.time, true);
    $("made").textContent = clock(made);
    $("play").textContent = player.video.paused ? "▶" : "❚❚";
    $("play").setAttribute("aria-label", player.video.paused ? "Play" : "Pause");
    const isLive = this.mode === "live";
    $("live").dataset.on = String(isLive && player.lead < 2.5);
    $("badge").hidden = !isLive || !player.isLive;
    $("badge").textContent = `${player.lead.toFixed(1)} s behind the newest picture`;
    if (isLive) liveFigures(this.stats, player.lead);
    this.glow();
  }

  /** A soft light of the picture's own colours around it. */
  glow() {
    if (hasPicture($("video"))) $("glow").getContext("2d").drawImage($("video"), 0, 0, 16, 16);
  }

  /** Facts that change slowly. */
  async refresh() {
    const id = this.take?.id;
    if (!id) return;
    const content = `/v1/takes/${id}/content?download=1`;
    try {
      $("export").href = await api.link(id, content);
      drawTree($("tree"), await api.tree(id), id);
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
    }
  }
}

function hasPicture(video) {
  return video.readyState >= 2 && video.videoWidth > 0;
}
