// What the user sees of the open take beside the picture: its state, its figures, the light around it, its family.

import * as api from "./api.js";
import { drawTree, liveFigures } from "./panels.js";
import { $, clock } from "./ui.js";

export class Face {
  constructor(player, timeline) {
    this.player = player;
    this.timeline = timeline;
  }

  /** `name`: live, complete, stopped, elsewhere, damaged or none. */
  state(name) {
    this.mode = name;
    const isLive = name === "live";
    document.body.dataset.take = name;
    for (const id of ["stop", "rewind"]) $(id).hidden = !isLive;
    $("live").textContent = isLive ? "Live" : "Go on";
    $("live").setAttribute("aria-label", isLive ? "Jump to the newest picture" : "Go on with this take");
    $("live").hidden = name === "complete";
    $("steer").disabled = $("steer-send").disabled = !isLive;
    $("steer").placeholder = isLive ? "Say what happens next …" : "This take rests. Go on with it, or branch from a moment.";
  }

  say(text) {
    $("waiting").textContent = text;
  }

  unknown(model, words) {
    $("words").textContent = `${model} does not know: ${words.join(", ")}`;
    $("words").hidden = false;
  }

  tick(stats) {
    const { player, timeline } = this;
    const made = Math.max(timeline.made, player.isLive ? player.last : player.video.duration || 0);
    timeline.move(Math.min(player.time, made || player.time));
    $("now").textContent = clock(player.time, true);
    $("made").textContent = clock(made);
    $("play").textContent = player.video.paused ? "▶" : "❚❚";
    $("play").setAttribute("aria-label", player.video.paused ? "Play" : "Pause");
    const isLive = this.mode === "live";
    $("live").dataset.on = String(isLive && player.lead < 2.5);
    $("badge").hidden = !isLive || !player.isLive;
    $("badge").textContent = `${player.lead.toFixed(1)} s behind the newest picture`;
    if (isLive) liveFigures(stats, player.lead);
    this.glow();
  }

  /** A soft light of the picture's own colours around it. */
  glow() {
    const { video } = this.player;
    if (video.readyState < 2 || video.videoWidth === 0) return;
    const pen = $("glow").getContext("2d");
    pen.filter = "blur(2px) saturate(1.3)"; // of 16 pixels; as a style it would cost a core without a GPU
    pen.drawImage(video, 0, 0, 16, 16);
  }

  /** Facts that change slowly: links and branches. */
  async refresh(id) {
    try {
      $("export").href = await api.link(id, `/v1/takes/${id}/content?download=1`);
      drawTree($("tree"), await api.tree(id), id);
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
    }
  }

  clear() {
    $("words").hidden = true;
    $("figures").replaceChildren();
    $("tree").replaceChildren();
  }
}
