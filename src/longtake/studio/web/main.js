// The page: which view is shown, the first prompt, the server's state.

import * as api from "./api.js";
import { Gallery } from "./gallery.js";
import { Game } from "./game.js";
import { Given } from "./inputs.js";
import { TakeView } from "./take.js";
import { $, el, notice, sendOnEnter } from "./ui.js";

const EXAMPLES = [
  "a red sphere rolls to the right on a wooden floor",
  "a small yellow cone bounces on sand, the camera pans slowly",
  "a green torus orbits on the grass",
  "a large blue cube slides to the left on a grey floor",
];
const REFRESH = 5000;  // milliseconds between looks at the server

const gallery = new Gallery();
const given = new Given();
const set = new TakeView({ onopen: (id) => follow(`#/take/${id}`), onchange: () => gallery.load(), models: () => models });
const game = new Game();
let models = [];

/** Follow a take without opening it again. */
function follow(hash) {
  if (location.hash !== hash) history.pushState(null, "", hash);
  route();
}

function route() {
  const [, view, id] = location.hash.match(/^#\/(\w*)\/?([\w-]*)/) ?? [null, "", ""];
  const name = view === "take" && id ? "take" : view === "game" ? "game" : view === "new" ? "take" : "home";
  document.body.dataset.view = name;
  $("start").hidden = name !== "home";
  $("set").hidden = name !== "take";
  $("game").hidden = name !== "game";
  $("gallery-section").hidden = name === "game";
  for (const anchor of document.querySelectorAll("[data-nav]")) {
    if (anchor.dataset.nav === name) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (name !== "game" && game.isRunning) game.stop();
  if (name === "take" && !$("gallery").children.length) gallery.load();
  if (name === "take" && id) set.open(id);
  if (name === "game" && models.length) game.prepare(models.find((model) => model.takes_video) ?? models[0]);
  if (name === "home") {
    set.clear();
    gallery.load();
    $("start-prompt").focus({ preventScroll: true });
  }
}

async function roll() {
  const prompt = $("start-prompt").value.trim();
  if (!prompt) return;
  const model = chosen();
  const seconds = numberIn("seconds");
  const request = { model: model.id, prompt, format: "m4s", ...given.fields(Number($("strength").value)) };
  if (numberIn("seed") !== null) request.seed = Math.floor(numberIn("seed"));
  if (seconds !== null) request.num_frames = Math.max(1, Math.round(seconds * model.fps));
  const webcam = given.release();
  history.pushState(null, "", "#/new");
  route();
  await set.roll(request, webcam);
}

function numberIn(id) {
  const text = $(id).value.trim().replace(",", ".");
  return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

function chosen() {
  return models.find((model) => model.id === $("model").value) ?? models[0] ?? { id: undefined, fps: 8 };
}

function describe() {
  const model = chosen();
  const length = model.longest_seconds ? `up to ${model.longest_seconds.toFixed(1)} s` : "no end";
  $("model-note").textContent = `${model.summary} ${model.width}×${model.height}, ${model.fps} fps, ${model.method}, ${length}. ${model.licence}.`;
  $("strength").value = model.default_strength ?? 0.6;
  document.querySelector("label:has(#image-file)").hidden = !model.takes_image;
  document.querySelector("label:has(#video-file)").hidden = !model.takes_video && !model.goes_on_from_clips;
  $("webcam").hidden = !model.takes_video;
  given.offer(model);
}

async function meet() {
  try {
    models = await api.models();
  } catch (error) {
    if (!(error instanceof api.Failure)) throw error;
    notice(error.message, { seconds: 0, action: { label: "Try again", run: meet } });
    return;
  }
  $("model").replaceChildren(...models.map((model) => el("option", { value: model.id, selected: model.default }, model.id)));
  describe();
  if (document.body.dataset.view === "game") route();
}

/** The line at the top right: how busy the server is. */
async function look() {
  try {
    const { ready, capacity } = await api.status();
    const { takes, running } = capacity;
    $("server").textContent = ready ? `${running} of ${takes} takes running` : "the model is loading …";
    if (ready && !models.length) await meet();
  } catch (error) {
    if (!(error instanceof api.Failure)) throw error;
    $("server").textContent = "no answer from the server";
  }
}

$("examples").append(...EXAMPLES.map((text) => el("li", {}, el("button", {
  type: "button", onclick: () => { $("start-prompt").value = text; $("start-prompt").focus(); },
}, text))));
$("start-form").addEventListener("submit", (event) => { event.preventDefault(); roll(); });
$("model").addEventListener("change", describe);
sendOnEnter($("start-prompt"));
window.addEventListener("hashchange", route);

await look();
route();
setInterval(look, REFRESH);
