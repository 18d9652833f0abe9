// A server that speaks Parley's protocol in memory, and misbehaves on demand.

import type { Draft } from "../../src/draft";
import type { Entry } from "../../src/entry";
import type { Fetch, Socket, SocketConstructor } from "../../src/platform";
import { Peer } from "./peer";
import { Rest } from "./rest";
import { Store, type Identity } from "./store";

export interface Device extends Identity {
  filters: Set<string>;
  cursors: Map<string, number>;
  refusals: number;
}

/** What goes wrong. Everything absent goes right. */
export interface Faults {
  /** Asked at each publish with the draft and how many publishes there have been. */
  onPublish?: (draft: Draft, n: number) => "drop-before" | "drop-after" | "ignore" | { refuse: string } | undefined;
  onDeliver?: (entry: Entry) => "lose" | "late" | "twice" | undefined;
  refuseFilter?: (filter: string) => boolean;
  /** The answer to a REST request, in place of the right one. */
  onRequest?: (method: string, path: string) => number | undefined;
  ackDelay?: number;
  /** The server accepts everything and says nothing: a half-open connection. */
  mute?: boolean;
  /** Pages of the client's origin are not allowed: browsers hide every answer but that of what is for everybody. */
  refuseOrigin?: boolean;
  /** The server cannot be reached at all. */
  down?: boolean;
  /** Bytes towards the client arrive in pieces of this size. */
  pieces?: number;
}

export class FakeServer {
  readonly site = "ste_test";
  readonly siteKey = "key_test";
  readonly store = new Store();
  readonly peers = new Set<Peer>();
  readonly publishes: string[] = [];
  readonly requests: string[] = [];
  faults: Faults = {};
  tokenLifetime = 3_600_000;
  connections = 0;
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

  revokeTokens(): void {
    this.tokens.clear();
    for (const peer of [...this.peers]) peer.end(4401, 0x87);
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const peer of [...this.peers]) peer.end(1006);
  }

  readonly fetch: Fetch = async (url, { method, headers, body }) => {
    const { pathname, search } = new URL(url);
    this.requests.push(`${method} ${pathname}${search}`);
    if (this.faults.down || (this.faults.refuseOrigin && pathname !== "/widget.js")) throw new TypeError("network");
    if (pathname === "/widget.js") return { status: 200, text: () => Promise.resolve("") };
    const status = this.faults.onRequest?.(method, pathname + search);
    const answer = status ? { status, json: {} } : this.rest.answer(method, url, headers["Authorization"] ?? "", body ?? "");
    return { status: answer.status, text: () => Promise.resolve(JSON.stringify(answer.json)) };
  };

  /** The WebSocket class that leads here. */
  get socket(): SocketConstructor {
    const server = this;
    return class implements Socket {
      binaryType = "";
      onopen: Socket["onopen"] = null;
      onmessage: Socket["onmessage"] = null;
      onclose: Socket["onclose"] = null;
      onerror: Socket["onerror"] = null;
      private readonly peer: Peer | undefined;

      constructor() {
        server.connections++;
        if (server.faults.down) {
          soon(() => this.onclose?.({ code: 1006 }));
          return;
        }
        this.peer = server.accept(
          (bytes) => soon(() => this.onmessage?.({ data: bytes.slice().buffer })),
          (code) => soon(() => this.onclose?.({ code })),
        );
        soon(() => this.onopen?.());
      }

      send(data: Uint8Array): void {
        const copy = data.slice();
        soon(() => this.peer?.push(copy));
      }

      close(): void {
        soon(() => this.peer?.lost());
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
