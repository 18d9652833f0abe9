// A server that speaks Parley's protocol in memory, and misbehaves on demand.

import type { Draft } from "../../src/draft";
import type { Entry } from "../../src/entry";
import type { Fetch, Socket, SocketConstructor } from "../../src/platform";
import { FakeFiles } from "./files";
import { Peer } from "./peer";
import { Rest } from "./rest";
import { Store, type Identity } from "./store";

export interface Device extends Identity {
  filters: Set<string>;
  cursors: Map<string, number>;
  refusals: number;
  /** How far it has got in its user's events. */
  heard: number;
}

/** What goes wrong. Everything absent goes right. */
export interface Faults {
  /** Asked at each publish with the draft and how many publishes there have been. */
  onPublish?: (draft: Draft, n: number) => "drop-before" | "drop-after" | "ignore" | { refuse: string } | undefined;
  /** Asked at each mark, with the device that sends it. */
  onMark?: (device: string) => "drop-before" | { refuse: string } | undefined;
  onDeliver?: (entry: Entry) => "lose" | "late" | "twice" | undefined;
  /** States are not delivered either: nothing at all says that there is something new. */
  loseStates?: boolean;
  /** A user's own events are not delivered. */
  loseEvents?: boolean;
  /** Tokens that are told in place are refused. */
  refuseRenewal?: boolean;
  refuseFilter?: (filter: string) => boolean;
  /** The answer to a REST request, in place of the right one. */
  onRequest?: (method: string, path: string) => number | undefined;
  /** How long a request takes to the server, and its answer back, in milliseconds. */
  latency?: () => number;
  /** So many answers to a change by REST get lost on their way. */
  loseAnswers?: number;
  ackDelay?: number;
  /** The server accepts everything and says nothing: a half-open connection. */
  mute?: boolean;
  /** Pages of the client's origin are not allowed: browsers hide every answer but that of what is for everybody. */
  refuseOrigin?: boolean;
  /** Nobody listens: whoever connects is told so at once. */
  down?: boolean;
  /** So many connects are refused, each with this wish to be left alone, in seconds; 0 says nothing. */
  tooOften?: { times: number; retryAfter: number };
  /** How long a CONNACK takes, in milliseconds. */
  connackDelay?: number;
  /** The cable is pulled: whatever is sent vanishes, and nobody is told. */
  silent?: boolean;
  /** A socket that cannot connect says so by an error event alone, as Node 20's do. */
  errorOnly?: boolean;
  /** How long a socket takes to open, in milliseconds. */
  opening?: number;
  /** Bytes towards the client arrive in pieces of this size. */
  pieces?: number;
}

export class FakeServer {
  readonly site = "ste_test";
  readonly siteKey = "key_test";
  readonly store = new Store();
  readonly files = new FakeFiles();
  readonly peers = new Set<Peer>();
  readonly publishes: string[] = [];
  /** Every mark that has come, with the device that sent it. */
  readonly marks: Array<{ device: string; at: number; delivered: number; read: number }> = [];
  readonly requests: string[] = [];
  /** Every token that has come over an open connection. */
  readonly renewals: string[] = [];
  faults: Faults = {};
  tokenLifetime = 3_600_000;
  connections = 0;
  /** When each attempt to connect began. */
  readonly attempts: number[] = [];
  private readonly rest = new Rest(this);
  private readonly tokens = new Map<string, { device: Device; expires: number }>();

  constructor() {
    this.store.changed = (c) => {
      for (const peer of [...this.peers]) {
        peer.pump();
        peer.state(c);
      }
    };
  }

  /** A token for the device, good for tokenLifetime. */
  tokenFor(device: Device): string {
    const token = `tok_${this.tokens.size + 1}`;
    this.tokens.set(token, { device, expires: Date.now() + this.tokenLifetime });
    return token;
  }

  deviceOf(token: string): Device | undefined {
    const found = this.tokens.get(token);
    return found && found.expires > Date.now() ? found.device : undefined;
  }

  /** How long the token is still good, in milliseconds. */
  left(token: string): number {
    return (this.tokens.get(token)?.expires ?? 0) - Date.now();
  }

  revokeTokens(): void {
    this.tokens.clear();
    for (const peer of [...this.peers]) peer.end(4401, 0x87);
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const peer of [...this.peers]) peer.end(1006);
  }

  readonly fetch: Fetch = async (url, { method, headers, body, signal }) => {
    const { pathname, search } = new URL(url);
    this.requests.push(`${method} ${pathname}${search}`);
    await this.#heard(() => signal.aborted);
    if (this.faults.latency) await new Promise((resolve) => setTimeout(resolve, this.faults.latency?.()));
    if (signal.aborted) throw new TypeError("aborted");
    if (this.faults.down || (this.faults.refuseOrigin && pathname !== "/widget.js")) throw new TypeError("network");
    if (pathname === "/widget.js") return { status: 200, text: () => Promise.resolve("") };
    const status = this.faults.onRequest?.(method, pathname + search);
    const answer = status ? { status, json: {} } : this.rest.answer(method, url, headers, body ?? "");
    if (this.faults.latency) await new Promise((resolve) => setTimeout(resolve, this.faults.latency?.()));
    if (method !== "GET" && this.faults.loseAnswers) {
      this.faults.loseAnswers--;
      throw new TypeError("network");
    }
    return { status: answer.status, text: () => Promise.resolve(JSON.stringify(answer.json) ?? "") };
  };

  /** Resolves when a first packet is heard, or nobody waits any more. It is sent again after 1, 2, 3, 4, 5, 7, 11 s and so on, as Linux does. */
  async #heard(ended: () => boolean): Promise<void> {
    for (let n = 1; this.faults.silent && !ended(); n++) await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(1, 2 ** (n - 5))));
  }

  /** The WebSocket class that leads here. */
  get socket(): SocketConstructor {
    const server = this;
    return class implements Socket {
      binaryType = "";
      onopen: Socket["onopen"] = null;
      onmessage: Socket["onmessage"] = null;
      onclose: Socket["onclose"] = null;
      onerror: Socket["onerror"] = null;
      private peer: Peer | undefined;
      private closed = false;

      constructor() {
        server.connections++;
        server.attempts.push(Date.now());
        void this.open();
      }

      private async open(): Promise<void> {
        await server.#heard(() => this.closed);
        if (server.faults.opening) await new Promise((resolve) => setTimeout(resolve, server.faults.opening));
        if (this.closed) return;
        if (server.faults.down) return this.later(() => (server.faults.errorOnly ? this.onerror?.() : this.onclose?.({ code: 1006 })));
        this.peer = server.accept(
          (bytes) => this.later(() => this.onmessage?.({ data: bytes.slice().buffer })),
          (code) => this.later(() => this.onclose?.({ code })),
        );
        this.later(() => this.onopen?.());
      }

      send(data: Uint8Array): void {
        const copy = data.slice();
        this.later(() => this.peer?.push(copy));
      }

      close(): void {
        this.closed = true;
        this.later(() => this.peer?.lost());
      }

      /** Crosses the network, if there is one. */
      private later(run: () => void): void {
        if (!server.faults.silent) soon(run);
      }
    };
  }

  /** A new connection, whose bytes go to `write` in pieces as faults say. */
  accept(write: (bytes: Uint8Array) => void, hangUp: (code: number) => void): Peer {
    const peer = new Peer(
      this,
      (bytes) => {
        const size = this.faults.pieces ?? bytes.length;
        for (let at = 0; at < bytes.length; at += size) write(bytes.subarray(at, at + size));
      },
      hangUp,
    );
    this.peers.add(peer);
    return peer;
  }
}

/** After everything that is under way, as a network would. */
const soon = (run: () => void): void => void setTimeout(run, 1);
