import { decodeToPage, type ToDevice } from "../protocol";
import { press, type Device } from "./control";

const helloEvery = 500;
const retryAfter = 300;
const gone = 410;
const incomplete = 409;

/**
 * Carries what the devices report to the demo, in order, without looking into
 * it. Devices are known by the origin of their page, and by their frame.
 */
export class Relay {
  readonly #run: string;
  readonly #frames = new Map<string, { device: Device; frame: HTMLIFrameElement }>();
  readonly #changed: () => void;
  readonly #queue: Array<{ device: string; report: object }> = [];
  #busy = false;
  readonly canSend = new Set<string>();
  /** Another tab has taken over. */
  superseded = false;

  constructor(run: string, changed: () => void) {
    this.#run = run;
    this.#changed = changed;
  }

  async start(): Promise<void> {
    await press("runs", { run: this.#run });
    addEventListener("message", (event) => this.#heard(event));
    setInterval(() => this.#hello(), helloEvery);
  }

  attach(device: Device, frame: HTMLIFrameElement): void {
    this.#frames.set(device.name, { device, frame });
  }

  flood(name: string, count: number): void {
    this.#tell(name, { parley: "flood", count });
  }

  #hello(): void {
    for (const name of this.#frames.keys()) this.#tell(name, { parley: "hello" });
  }

  #tell(name: string, message: ToDevice): void {
    const known = this.#frames.get(name);
    // The browser drops it, with a line in its console, while the frame still holds an empty page.
    if (known && !this.superseded) known.frame.contentWindow?.postMessage(message, known.device.origin);
  }

  #heard(event: MessageEvent): void {
    for (const { device, frame } of this.#frames.values()) {
      if (event.origin !== device.origin || event.source !== frame.contentWindow) continue;
      const message = decodeToPage(event.data);
      if (message) this.#take(device.name, message.report, message.canSend);
    }
  }

  #take(device: string, report: object, canSend: boolean): void {
    if (this.superseded) return;
    if (canSend !== this.canSend.has(device)) {
      if (canSend) this.canSend.add(device);
      else this.canSend.delete(device);
      this.#changed();
    }
    this.#queue.push({ device, report });
    void this.#carry();
  }

  /** One at a time: each report builds on the one before. */
  async #carry(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#queue[0]; next && !this.superseded; next = this.#queue[0]) {
      const { device, report } = next;
      const status = await press("report", { ...report, device, run: this.#run }).then(
        (answered) => answered.status,
        () => 0,
      );
      if (status === 0) {
        await new Promise((resolve) => setTimeout(resolve, retryAfter));
        continue;
      }
      this.#queue.shift();
      if (status === incomplete) this.#tell(device, { parley: "resync" });
      if (status === gone) this.#stop();
    }
    this.#busy = false;
  }

  #stop(): void {
    this.superseded = true;
    this.#queue.length = 0;
    this.#changed();
  }
}
