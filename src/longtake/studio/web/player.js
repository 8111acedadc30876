// Plays media as it arrives (Media Source Extensions), in media time, and says what is on screen.

const KEEP_BEHIND = 600;  // media seconds that stay in the buffer behind the picture
const FALL_BACK = 0.15;  // seconds before the end where "live" is

export class Player {
  /** `video`: the element. `onend`: called when a finished take has been played. */
  constructor(video) {
    this.video = video;
    this.queue = [];
    this.wanted = true;  // whether the user wants it to play
    this.fresh = false;
    this.stalls = 0;
    for (const name of ["timeupdate", "seeking", "waiting", "playing", "pause"]) video.addEventListener(name, () => this.changed?.());
    video.addEventListener("waiting", () => { if (this.wanted && this.source) this.stalls += 1; });
  }

  /** Begin a stream of pieces of `mime`, the first of which starts at `start` media seconds. */
  begin(mime, start) {
    this.end();
    this.mime = mime;
    this.start = start;
    this.fresh = true;
    this.stalls = 0;
    const source = (this.source = new MediaSource());
    this.address = URL.createObjectURL(source);
    this.video.src = this.address;
    source.addEventListener("sourceopen", () => {
      if (source !== this.source) return;
      this.buffer = source.addSourceBuffer(mime);
      this.buffer.addEventListener("updateend", () => this.next());
      this.next();
    }, { once: true });
  }

  /** Play a whole file. */
  open(address) {
    this.end();
    this.video.src = address;
    this.wanted = false;
    this.changed?.();
  }

  push(data) {
    this.queue.push({ data });
    this.next();
  }

  /** Forget everything from a media second on: it was rewound, or belongs to another take. */
  cut(from) {
    this.queue = [{ from }];
    if (this.video.currentTime > from - 0.05) this.queue.push({ seek: Math.max(0, from - 0.05) });
    this.next();
  }

  next() {
    const { buffer, video } = this;
    if (!buffer || buffer.updating || !this.queue.length) return this.settle();
    const work = this.queue.shift();
    try {
      if (work.data) buffer.appendBuffer(work.data);
      else if (work.from !== undefined) buffer.remove(work.from, Infinity);
      else video.currentTime = work.seek;
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      buffer.remove(0, Math.max(1, video.currentTime - 30));
      this.queue.unshift(work);
    }
    if (!buffer.updating) this.next();
  }

  /** After what arrived is in the buffer: start, go on, forget what is long past. */
  settle() {
    const { buffer, video } = this;
    if (!buffer || buffer.updating || !video.buffered.length) return;
    if (this.fresh) {
      this.fresh = false;
      if (video.currentTime < this.first) video.currentTime = this.first;
    }
    this.overHole();
    if (this.wanted && video.paused) this.play();
    if (video.currentTime - this.first > KEEP_BEHIND + 60) buffer.remove(0, video.currentTime - KEEP_BEHIND);
    this.changed?.();
  }

  /** A viewer that was too slow is sent on; jump over what it never got. */
  overHole() {
    const { video } = this;
    for (let i = 0; i < video.buffered.length; i++) {
      const start = video.buffered.start(i);
      const inside = video.currentTime >= start - 0.01 && video.currentTime < video.buffered.end(i) - 0.02;
      if (inside) return;
      if (start > video.currentTime && video.readyState < 3) {
        video.currentTime = start;
        return;
      }
    }
  }

  async play() {
    this.wanted = true;
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "AbortError" && error.name !== "NotAllowedError") throw error;
    }
    this.changed?.();
  }

  pause() {
    this.wanted = false;
    this.video.pause();
  }

  get isLive() { return Boolean(this.source); }
  get time() { return this.video.currentTime; }
  get first() { return this.video.buffered.length ? this.video.buffered.start(0) : 0; }
  get last() { return this.video.buffered.length ? this.video.buffered.end(this.video.buffered.length - 1) : 0; }
  get isPlaying() { return !this.video.paused && this.video.readyState >= 3; }
  /** Media seconds that are here and not yet on screen. */
  get lead() { return Math.max(0, this.last - this.time); }

  seek(seconds) {
    const end = this.isLive ? this.last - FALL_BACK : this.video.duration || 0;
    this.video.currentTime = Math.min(Math.max(seconds, this.isLive ? this.first : 0), Math.max(end, 0));
    this.changed?.();
  }

  toLive() {
    this.seek(Infinity);
    this.play();
  }

  /** No more will come: let the element know where the end is. */
  finish() {
    const { source, buffer } = this;
    if (!source || source.readyState !== "open") return;
    if (buffer?.updating || this.queue.length) setTimeout(() => source === this.source && this.finish(), 60);
    else if (buffer) source.endOfStream();
  }

  end() {
    this.queue = [];
    this.buffer = this.source = null;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
    this.wanted = true;
  }
}
