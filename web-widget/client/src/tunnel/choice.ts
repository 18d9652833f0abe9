import type { Ended } from "../link";
import { after, type SocketConstructor } from "../platform";
import { newStop, request } from "./platform";
import { Tunnel } from "./tunnel";

/** A connection that lived this long was a good one. */
const goodLife = 5_000;
/** How long tunnels are used before a WebSocket is tried again, at the next connection. */
const trustTunnels = 600_000;
const probePatience = 5_000;
/** What the server gives to pages of every origin: a proxy's own answer says nothing. */
const forEverybody = "/widget.js";

/**
 * Chooses between WebSocket and tunnel, for each connection of a page anew:
 *
 *   WebSocket ──failed, although the server had answered plain HTTP before──▶ tunnel
 *       ▲                                                                       │
 *       └───────── did not open, or has been used for ten minutes ──────────────┘
 *
 * That the network is gone, or the server, is no reason to change. Where a tunnel
 * has worked last, one WebSocket that fails is enough.
 */
export class Choice {
  readonly #server: string;
  #since = 0;
  #tunnel = false;
  #worked = false;
  /** WebSockets in a row that opened and were cut young: some proxies do that, but so do trains. */
  #young = 0;
  /** When the server answered plain HTTP after the last connection had ended, 0 for not. */
  #answered = 0;

  /** `server` is its origin, without a slash at the end. */
  constructor(server: string) {
    this.#server = server;
  }

  /** Takes how a connection has ended, and answers what the next one uses; undefined for a WebSocket. */
  next({ cause, lived, took }: Ended): SocketConstructor | undefined {
    const now = Date.now();
    const reachable = this.#answered > 0 && this.#answered < now - took; // before this one began
    this.#answered = 0;
    const cut = cause === "network" || cause === "silence";
    const good = lived && took > goodLife;
    if (this.#tunnel) {
      this.#worked ||= lived;
      this.#tunnel = (lived || !cut) && now - this.#since < trustTunnels;
    } else if (!cut || good) {
      this.#worked = false;
      this.#young = 0;
    } else if (this.#worked || ((!lived || ++this.#young > 2) && reachable)) {
      this.#tunnel = true;
      this.#since = now;
    }
    if (cut && !good && !this.#tunnel) void this.#probe();
    return this.#tunnel ? Tunnel : undefined;
  }

  async #probe(): Promise<void> {
    const probe = newStop();
    const stop = after(probePatience, () => probe.abort());
    const status = await request(this.#server + forEverybody, probe, { method: "HEAD" }).then(
      (answer) => answer.status,
      () => 0,
    );
    stop();
    if (status === 200) this.#answered = Date.now();
  }
}
