// The live connection: one take, its media and its receipts. It reconnects by itself and loses nothing.

import { Failure, streamToken } from "./api.js";

const WAITS = [0.4, 0.8, 1.5, 3, 5, 8];  // seconds between attempts to reconnect
const GIVE_UP = 40;  // attempts

/**
 * Events (`on(name, handler)`): start, init, media, queued, receipt, paused, resumed, rewound, branched, skipped, stats,
 * done, error, lost, back. `media` and `init` carry `{meta, data}`, the others the server's message.
 */
export class Live {
  constructor() {
    this.handlers = new Map();
    this.take = null;
    this.attempt = 0;
    this.ended = true;
    this.end = 0;  // media seconds that have arrived
    this.number = 0;
  }

  on(name, handler) {
    this.handlers.set(name, handler);
    return this;
  }

  tell(name, value) {
    this.handlers.get(name)?.(value);
  }

  /** Begin: `request` is a session.start without its type. */
  async open(request) {
    this.close();
    this.ended = false;
    this.role = request.role ?? "direct";
    this.take = request.take_id ?? null;
    await this.connect(request, this.take ?? request.branch?.take_id ?? null);
  }

  async connect(request, take) {
    const token = await streamToken(take, this.role);
    if (this.ended) return;
    const address = new URL("/v1/realtime/video", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, token ? ["longtake.v1", `longtake.token.${token}`] : ["longtake.v1"]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.announced = null;
    socket.onopen = () => this.send("session.start", request);
    socket.onmessage = (event) => socket === this.socket && this.receive(event.data);
    socket.onclose = () => socket === this.socket && this.lost();
  }

  receive(data) {
    if (typeof data !== "string") {
      const meta = this.announced;
      this.announced = null;
      if (!meta) return;
      if (meta.kind === "media") this.end = meta.media_time + meta.num_frames / this.fps;
      this.tell(meta.kind, { meta, data });
      return;
    }
    const message = JSON.parse(data);
    this.hear(message);
  }

  hear(message) {
    switch (message.type) {
      case "video.start":
        this.take = message.take_id;
        this.fps = message.config.fps;
        if (this.attempt) this.tell("back", message);
        this.attempt = 0;
        return this.tell("start", message);
      case "video.chunk_metadata":
        this.announced = message;
        return;
      case "session.interaction.queued":
        return this.tell("queued", message);
      case "session.rewound":
        this.end = message.media_time;
        return this.tell("rewound", message);
      case "session.done":
        this.ended = true;
        return this.tell("done", message);
      case "error":
        if (message.fatal) this.fatal = message.error;
        return this.tell("error", message);
      default:
        return this.tell(message.type.replace("session.", ""), message);
    }
  }

  /** The connection broke. A take that was begun is asked for again, from where the media ends here. */
  lost() {
    const fatal = this.fatal;
    this.fatal = null;
    if (this.ended) return;
    const mayWait = fatal === null || fatal === undefined || fatal.type === "not_ready" || fatal.type === "unauthorised";
    if (!this.take || !mayWait || this.attempt >= GIVE_UP) {
      this.ended = true;
      this.tell("gone", fatal ?? { message: "The connection to the server is lost." });
      return;
    }
    const wait = WAITS[Math.min(this.attempt, WAITS.length - 1)];
    this.attempt += 1;
    if (this.attempt === 1) this.tell("lost", {});
    this.timer = setTimeout(async () => {
      try {
        await this.connect({ take_id: this.take, from: this.end, role: this.role }, this.take);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.lost();
      }
    }, wait * 1000);
  }

  send(type, fields = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify({ type, ...fields }));
    return true;
  }

  /** A new direction; returns its id, or null while there is no connection. */
  steer(prompt, transition) {
    const id = `e${Date.now().toString(36)}${this.number++}`;
    const sent = this.send("session.interaction", { interaction: { event_id: id, event: { prompt }, transition } });
    return sent ? id : null;
  }

  picture(blob) {
    if (this.socket?.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > 200_000) return false;
    this.socket.send(blob);
    return true;
  }

  close() {
    this.ended = true;
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
