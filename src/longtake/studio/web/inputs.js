// What a take can be given: a first frame, a video, the webcam.

import { upload } from "./api.js";
import { $, bytes, notice } from "./ui.js";

const LONGEST_SIDE = 512;  // pixels of a webcam picture that is sent

/** A stream of pictures from the webcam. */
export class Webcam {
  static async open() {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
    const video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
    await video.play();
    return new Webcam(stream, video);
  }

  constructor(stream, video) {
    this.stream = stream;
    this.video = video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
    this.canvas = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
  }

  async picture() {
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return this.canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
  }
}

/** Sends pictures at a steady rate until `stop` is called. */
export function sendPictures(live, source, fps) {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy) return;
    busy = true;
    const picture = await source.picture();
    live.picture(picture);
    busy = false;
  }, 1000 / fps);
  return () => clearInterval(timer);
}

/** The one input that the next take begins with. */
export class Given {
  constructor() {
    this.model = null;
    this.clear();
    $("image-file").addEventListener("change", (event) => this.take(event.target));
    $("video-file").addEventListener("change", (event) => this.take(event.target));
    $("webcam").addEventListener("click", () => this.openWebcam());
    $("given-clear").addEventListener("click", () => this.clear());
  }

  /** `model`: an entry of /v1/models; it says what can be done with a video. */
  offer(model) {
    this.model = model;
    for (const [use, can] of [["anew", model.takes_video], ["continue", model.goes_on_from_clips]]) {
      const choice = document.querySelector(`#given-choice input[value="${use}"]`);
      choice.disabled = !can;
      choice.parentElement.title = can ? "" : `${model.id} cannot do that with a video`;
      if (can && document.querySelector("#given-choice input:checked")?.disabled !== false) choice.checked = true;
    }
  }

  get use() {
    return document.querySelector("#given-choice input:checked:not(:disabled)")?.value ?? "anew";
  }

  clear() {
    this.webcam?.close();
    this.webcam = this.uploaded = null;
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
    $("given").hidden = true;
  }

  /** Give the webcam away to the take that uses it. */
  release() {
    const webcam = this.webcam;
    this.webcam = null;
    this.clear();
    return webcam;
  }

  async take(field) {
    const [file] = field.files;
    field.value = "";
    if (!file) return;
    this.clear();
    this.show(`${file.name}, ${bytes(file.size)}: uploading …`);
    try {
      this.uploaded = await upload(file);
    } catch (error) {
      this.clear();
      notice(error.message);
      return;
    }
    const { kind, width, height, seconds } = this.uploaded;
    const length = seconds ? `, ${seconds.toFixed(1)} s` : "";
    this.show(`${kind === "image" ? "Begins with " : ""}${file.name} (${width}×${height}${length})${kind === "image" ? "; scaled and cut to the picture" : ":"}`);
    $("given-choice").hidden = kind !== "video";
    if (kind === "image") {
      this.address = URL.createObjectURL(file);
      $("given-picture").src = this.address;
      $("given-picture").hidden = false;
    }
  }

  async openWebcam() {
    this.clear();
    try {
      this.webcam = await Webcam.open();
    } catch {
      notice("No camera can be used here: none is connected, or the browser was told not to share it.");
      return;
    }
    this.show("Made from the webcam, as it looks");
  }

  show(text) {
    $("given-text").textContent = text;
    $("given-picture").hidden = $("given-choice").hidden = true;
    $("given").hidden = false;
  }

  /** What goes into session.start. */
  fields(strength) {
    if (this.webcam) return { video_reference: { live: true }, strength };
    if (!this.uploaded) return {};
    const reference = { upload: this.uploaded.id };
    if (this.uploaded.kind === "image") return { image_reference: reference };
    return this.use === "continue" ? { clip_reference: reference } : { video_reference: reference, strength };
  }
}
