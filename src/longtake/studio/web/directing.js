// What the user does with the open take: keys, playback, new directions, rewind, branch.

import { $, ask, clock, isWriting, notice, sendOnEnter } from "./ui.js";

const NO_CONNECTION = "There is no connection to the take just now; it is being asked for again.";

export class Directing {
  /** `view`: the open take (`take.js`). */
  constructor(view) {
    this.view = view;
    $("play").addEventListener("click", () => this.toggle());
    $("live").addEventListener("click", () => view.mode === "live" ? view.player.toLive() : view.goOn());
    $("rewind").addEventListener("click", () => this.rewind());
    $("branch").addEventListener("click", () => this.branch());
    $("stop").addEventListener("click", () => view.stop());
    $("full").addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen());
    $("steer-form").addEventListener("submit", (event) => { event.preventDefault(); this.steer(); });
    sendOnEnter($("steer"));
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("visibilitychange", () => view.report());
  }

  key(event) {
    if ($("set").hidden || isWriting(event)) return;
    const { player } = this.view;
    const run = {
      " ": () => this.toggle(), k: () => this.toggle(), l: () => $("live").click(), b: () => this.branch(), r: () => this.rewind(),
      f: () => $("full").click(), "/": () => $("steer").focus(),
      ArrowLeft: () => player.seek(player.time - 1), ArrowRight: () => player.seek(player.time + 1),
    }[event.key];
    if (!run || (event.target.closest?.("button, a, summary") && event.key === " ")) return;
    event.preventDefault();
    run();
  }

  toggle() {
    const { player } = this.view;
    if (player.video.paused) player.play();
    else player.pause();
    this.view.report();
  }

  steer() {
    const { view } = this;
    const prompt = $("steer").value.trim();
    if (!prompt) return;
    const id = view.live.steer(prompt, Number($("transition").value));
    if (!id) return notice(NO_CONNECTION);
    view.receipts.set(id, { prompt, status: "waiting" });
    $("steer").value = "";
  }

  /** Returns whether it could be sent. */
  tell(type, fields) {
    const sent = this.view.live.send(type, fields);
    if (!sent) notice(NO_CONNECTION);
    return sent;
  }

  async rewind() {
    const { view } = this;
    if (view.mode !== "live") return;
    const at = view.player.time;
    const after = view.timeline.made - at;
    if (after > 4 && (await ask({ title: `Rewind to ${clock(at, true)}?`, text: `The ${after.toFixed(0)} seconds after it leave this take. “Branch here” would keep them.`, ok: "Rewind" })) === null) return;
    this.tell("session.rewind", { at });
  }

  async branch() {
    const { view } = this;
    const at = view.player.time;
    const prompt = await ask({ title: `Another take from ${clock(at, true)}`, text: "This one stays as it is.", label: "What happens instead", value: $("steer").value.trim(), ok: "Branch" });
    if (!prompt) return;
    if (view.mode === "live") {
      if (this.tell("session.branch", { at, prompt, transition: 0 })) view.say("Branching …");
      return;
    }
    await view.roll({ branch: { take_id: view.take.id, at }, prompt, transition: 0 });
  }
}
