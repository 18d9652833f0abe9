import { after, type Socket } from "../platform";
import { field, object } from "../json";
import { abnormal, readEvents } from "./events";
import { newStop, request, type Stop } from "./platform";

/** Bytes of one POST. */
const chunkMost = 65_536;
/** How long one POST may take, and how long a chunk is sent again that is not known to have arrived. */
const postPatience = 8_000;
const repeatFor = 15_000;
const repeatPause = 300;
/** How long the down stream has to say why, when the server knows the tunnel no more; and how long the last bytes may take. */
const lastWords = 1_500;

/**
 * Carries bytes over plain HTTP with the face of a WebSocket: down as
 * server-sent events, up in numbered chunks, one at a time, so that one that is
 * sent again counts once. It ends with its down stream and, like a WebSocket,
 * never comes back.
 */
export class Tunnel implements Socket {
  binaryType = "arraybuffer";
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;

  readonly #stop = newStop();
  #url: string;
  #posting: Stop | undefined;
  #waiting: Uint8Array[] = [];
  #unsent = 0;
  #chunks = 0;
  #closing = false;
  #ended = false;

  /** `url` is that of the WebSocket. */
  constructor(url: string) {
    this.#url = url.replace(/^ws/, "http") + "/http";
    this.#follow().then(
      (code) => this.#finish(code),
      () => this.#finish(abnormal), // the network, or a proxy that forbids this too
    );
  }

  /** Bytes that the server is not known to have. */
  get bufferedAmount(): number {
    return this.#unsent;
  }

  send(data: Uint8Array): void {
    if (this.#closing) return;
    this.#waiting.push(data);
    this.#unsent += data.length;
    if (!this.#posting) void this.#post();
  }

  /** Ends the tunnel. What was sent before has a moment to get up. */
  close(): void {
    this.#closing = true;
    if (this.#unsent > 0) after(lastWords, () => this.#finish(abnormal));
    else this.#finish(abnormal);
  }

  /** Opens the tunnel, and hands on what comes down until it ends. */
  async #follow(): Promise<number> {
    const opened = await request(this.#url, this.#stop, { method: "POST" });
    this.#url += "/" + field.text(object(await opened.json()), "tunnel");
    const { status, body } = await request(this.#url + "/down", this.#stop);
    if (status !== 200 || !body) return abnormal;
    this.onopen?.();
    return readEvents(body.getReader(), ({ buffer }) => this.#hand(buffer));
  }

  #hand(data: unknown): void {
    if (this.#ended) return;
    try {
      this.onmessage?.({ data });
    } catch (error) {
      after(0, () => {
        throw error; // for the runtime to report, as in a WebSocket's listener
      });
    }
  }

  async #post(): Promise<void> {
    while (this.#unsent > 0 && !this.#ended) {
      const chunk = this.#take();
      if (!(await this.#arrives(++this.#chunks, chunk))) {
        after(lastWords, () => this.#finish(abnormal));
        return;
      }
      this.#unsent -= chunk.length;
    }
    this.#posting = undefined;
    if (this.#closing) this.#finish(abnormal);
  }

  #take(): Uint8Array {
    const all = new Uint8Array(this.#waiting.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const bytes of this.#waiting) {
      all.set(bytes, at);
      at += bytes.length;
    }
    const rest = all.subarray(chunkMost);
    this.#waiting = rest.length > 0 ? [rest] : [];
    return all.subarray(0, chunkMost);
  }

  /** Sends a chunk until the server has it. Answers false when it never will. */
  async #arrives(n: number, body: Uint8Array): Promise<boolean> {
    for (const until = Date.now() + repeatFor; !this.#ended && Date.now() < until; ) {
      const posting = (this.#posting = newStop());
      const stop = after(postPatience, () => posting.abort());
      const status = await request(`${this.#url}/up?n=${n}`, posting, { method: "POST", body }).then(
        (answer) => answer.status,
        () => 0,
      );
      stop();
      if (status === 204) return true;
      if (status > 0 && status < 500 && status !== 429) return false;
      await new Promise<void>((resolve) => after(repeatPause, resolve));
    }
    return false;
  }

  #finish(code: number): void {
    if (this.#ended) return;
    this.#ended = this.#closing = true;
    this.#stop.abort();
    this.#posting?.abort();
    this.onclose?.({ code });
  }
}
