// A game whose flat picture streams through video-to-video; the page shows both and measures the delay between them.

import { Live } from "./live.js";
import { figures } from "./panels.js";
import { Player } from "./player.js";
import { $, isWriting, notice } from "./ui.js";

const COLOURS = {
  red: "#c8362f", green: "#3f8f4f", blue: "#3465c0", yellow: "#e2b93b", orange: "#de7b2d", purple: "#7d4ba8",
  cyan: "#3fb0bd", pink: "#e08aa8", white: "#e9e6df", black: "#26262a",
};
const SHAPES = ["sphere", "cube", "cylinder", "cone", "torus", "pyramid"];
const GROUNDS = { wooden: "#a9784c", grey: "#8d8f93", grass: "#5f8a45", sand: "#d3bd8c", checkered: "#a5a29b" };
const PUSH = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SPEED = 1.5;  // scene units a second
const HORIZON = 0.34;  // share of the picture above the ground

/** What the prompt names, or the first of each kind. */
function sceneOf(prompt) {
  const words = prompt.toLowerCase();
  const named = (names) => names.find((name) => words.includes(name)) ?? names[0];
  return { colour: named(Object.keys(COLOURS)), shape: named(SHAPES), ground: named(Object.keys(GROUNDS)) };
}

export class Game {
  constructor() {
    this.live = new Live();
    this.player = new Player($("game-video"));
    this.held = new Set();
    this.pressed = [];  // {picture, at}: key presses that are not on screen yet
    this.delays = [];
    $("game-form").addEventListener("submit", (event) => { event.preventDefault(); this.start(); });
    document.addEventListener("keydown", (event) => this.press(event, true));
    document.addEventListener("keyup", (event) => this.press(event, false));
    for (const button of document.querySelectorAll(".pad button")) {
      button.addEventListener("pointerdown", () => this.hold(button.dataset.key, true));
      for (const name of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(name, () => this.hold(button.dataset.key, false));
    }
    this.live
      .on("start", (message) => this.started(message))
      .on("lost", () => this.say("The server is gone; asking again …"))
      .on("init", ({ data }) => this.player.push(data))
      .on("media", ({ meta, data }) => this.media(meta, data))
      .on("stats", (message) => { this.stats = message; })
      .on("error", ({ error }) => notice(error.message))
      .on("done", () => this.stop())
      .on("gone", (error) => { this.stop(); notice(error.message, { seconds: 0 }); });
  }

  /** `model`: an entry of /v1/models. */
  prepare(model) {
    this.model = model;
    Object.assign($("game-canvas"), { width: model.width, height: model.height });
    this.reset();
    this.draw();
  }

  reset() {
    this.at = { x: 0, z: 0 };
    this.moved = { x: 0, z: 0 };
    this.sent = 0;
    this.pressed = [];
    this.spans = [];
    this.delays = [];
  }

  async start() {
    this.stop();
    const prompt = $("game-prompt").value.trim();
    if (!prompt) return;
    this.reset();
    this.scene = sceneOf(prompt);
    this.isRunning = true;
    this.say("Setting up …");
    $("game-canvas").focus();
    try {
      await this.live.open({ model: this.model.id, prompt, video_reference: { live: true }, strength: Number($("game-strength").value) });
    } catch (error) {
      this.stop();
      return notice(error.message);
    }
    this.timer = setInterval(() => this.step(), 1000 / this.model.fps);
    this.watch();
  }

  stop() {
    this.isRunning = false;
    this.say("Press Play");
    clearInterval(this.timer);
    this.live.send("session.stop");
    this.live.close();
  }

  /** Also after a break: the server counts the pictures anew from then on. */
  started(message) {
    this.player.begin(message.mime, message.media_time);
    this.sent = 0;
    this.pressed = [];
    this.spans = [];
    this.say("");
  }

  say(text) {
    $("game-waiting").textContent = text;
  }

  press(event, down) {
    if (!(event.key in PUSH) || $("game").hidden || isWriting(event)) return;
    event.preventDefault();
    this.hold(event.key, down);
  }

  hold(key, down) {
    if (down === this.held.has(key)) return;
    if (down) this.held.add(key);
    else this.held.delete(key);
    if (this.isRunning) this.pressed.push({ picture: this.sent, at: performance.now() });
  }

  /** One picture of the game: move, draw, send. */
  async step() {
    const step = SPEED / this.model.fps;
    for (const key of this.held) {
      this.at.x = Math.max(-2.2, Math.min(2.2, this.at.x + PUSH[key][0] * step));
      this.at.z = Math.max(-1.6, Math.min(1.6, this.at.z + PUSH[key][1] * step));
    }
    this.draw();
    const blob = await new Promise((done) => $("game-canvas").toBlob(done, "image/jpeg", 0.9));
    if (this.isRunning && this.live.picture(blob)) this.sent += 1;
    this.live.send("session.playback", { media_time: this.player.time, is_playing: this.player.isPlaying });
  }

  media(meta, data) {
    this.player.push(data);
    if (meta.source_frames) this.spans.push({ start: meta.media_time, end: meta.media_time + meta.num_frames / this.live.fps, pictures: meta.source_frames });
    if (this.player.lead > 1.2) this.player.toLive();
  }

  /** When a picture that shows a key press reaches the screen, the delay is known. */
  watch() {
    if (!this.isRunning) return;
    const span = this.spans.find(({ start, end }) => this.player.time >= start && this.player.time < end);
    if (span) {
      const [from, to] = span.pictures;
      const shown = from + ((this.player.time - span.start) / (span.end - span.start)) * (to - from);
      while (this.pressed.length && this.pressed[0].picture <= shown) {
        this.delays.push(performance.now() - this.pressed.shift().at);
      }
      this.spans = this.spans.filter(({ end }) => end > this.player.time - 5);
    }
    this.tell();
    requestAnimationFrame(() => this.watch());
  }

  tell() {
    const recent = this.delays.slice(-20).sort((a, b) => a - b);
    const middle = recent[Math.floor(recent.length / 2)];
    figures($("game-figures"), {
      "key to picture": middle === undefined ? "press a key" : `${(middle / 1000).toFixed(2)} s`,
      "pictures sent": String(this.sent),
      "dropped": String(this.stats?.pictures?.dropped ?? 0),
      "made a second": this.stats?.speed ? `${this.stats.speed.toFixed(1)} s` : "–",
    });
  }

  /** A flat toybox: sky, ground, shadow, one solid. */
  draw() {
    const { colour, shape, ground } = this.scene ?? sceneOf($("game-prompt").value);
    const canvas = $("game-canvas");
    const { width, height } = canvas;
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#cfd3d6";
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = GROUNDS[ground];
    pen.fillRect(0, height * HORIZON, width, height);
    if (ground === "checkered") this.checks(pen, width, height);
    const depth = (this.at.z + 2.6) / 4.2;  // 0 far, 1 near
    const size = height * (0.12 + 0.1 * depth);
    const x = width / 2 + (this.at.x / 2.6) * width * (0.28 + 0.2 * depth);
    const foot = height * (HORIZON + 0.16 + 0.42 * depth);
    pen.fillStyle = "rgb(0 0 0 / 28%)";
    pen.beginPath();
    pen.ellipse(x + size * 0.25, foot, size * 1.05, size * 0.34, 0, 0, 7);
    pen.fill();
    pen.fillStyle = COLOURS[colour];
    solid(pen, shape, x, foot, size);
  }

  checks(pen, width, height) {
    pen.fillStyle = "#3d3c3a";
    for (let row = 0; row < 6; row++) {
      for (let column = 0; column < 8; column++) {
        if ((row + column) % 2) pen.fillRect((column * width) / 8, height * HORIZON + (row * height) / 8, width / 8, height / 8);
      }
    }
  }
}

function solid(pen, shape, x, foot, size) {
  pen.beginPath();
  if (shape === "sphere") pen.arc(x, foot - size, size, 0, 7);
  else if (shape === "torus") {
    pen.ellipse(x, foot - size * 0.4, size * 1.15, size * 0.55, 0, 0, 7);
    pen.ellipse(x, foot - size * 0.4, size * 0.45, size * 0.18, 0, 0, 7, true);
  } else if (shape === "cone" || shape === "pyramid") {
    pen.moveTo(x, foot - size * 2);
    pen.lineTo(x + size, foot);
    pen.lineTo(x - size, foot);
  } else if (shape === "cylinder") {
    pen.rect(x - size * 0.8, foot - size * 1.8, size * 1.6, size * 1.7);
    pen.ellipse(x, foot - size * 0.1, size * 0.8, size * 0.22, 0, 0, 7);
  } else pen.rect(x - size, foot - size * 1.8, size * 2, size * 1.8);
  pen.fill();
}
