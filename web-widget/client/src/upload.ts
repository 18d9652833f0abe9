import { Backoff } from "./backoff";
import type { Client } from "./client";
import { decodeAttached, type Attached } from "./entry";
import { decodeCode, ParleyError, type Code } from "./errors";
import { field, isObject, object } from "./json";
import type { ConnectionState } from "./link";
import { after, deadline } from "./platform";

/** The part of a File that is used. */
export interface Source {
  readonly name: string;
  readonly size: number;
  slice(from: number, to: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/**
 *            begin            all is there          it is good
 *   waiting ───────▶ sending ─────────────▶ checking ─────────▶ done
 *                       └───────────┬──────────┴──▶ failed
 *                                   └▶ cancelled, from anywhere
 */
export type UploadState = "waiting" | "sending" | "checking" | "done" | "failed" | "cancelled";

/** Why a file cannot be sent, in words that a face has texts for. */
export type Problem = "too_large" | "type" | "infected" | "unreadable" | "refused";

/** The first piece: small, so that a slow network shows progress too. */
const firstPiece = 256 << 10;
/** The server keeps what came of a piece that broke off from here on. */
const leastPiece = 64 << 10;
/** A server takes a thousand pieces of one file. */
const mostPieces = 900;
/** A piece should take about so long, in milliseconds: between these it keeps its size. */
const quick = 700;
const slow = 3_000;
const pieceTime = 30_000;
/** After a cut a runtime may still try connections that are gone: they are given up soon. */
const askTime = 6_000;
/** The server may ask a virus scanner. */
const checkTime = 75_000;
/** How often an upload that the server has lost is begun anew. */
const mostLost = 3;

/** One file on its way. It goes on where it was after whatever breaks. */
export class Upload {
  readonly source: Source;
  readonly #client: Pick<Client, "call">;
  readonly #changed: () => void;
  state: UploadState = "waiting";
  /** Bytes that the server has. */
  sent = 0;
  /** The last attempt has failed, and the next one comes by itself. */
  stalled = false;
  problem: Problem | undefined;
  /** What a message says of it, once it is done. */
  attached: Attached | undefined;
  /** The conversation it is uploaded to, empty before that has begun. */
  conversation = "";
  #id = "";
  #largest = firstPiece;
  #piece = firstPiece;
  #lost = 0;
  #doubtful = false;
  #abort = (): void => {};
  #wake = (): void => {};

  constructor(client: Pick<Client, "call">, source: Source, changed: () => void) {
    this.#client = client;
    this.source = source;
    this.#changed = changed;
  }

  /** Uploads it, however long that takes: resolves when it is done, failed or cancelled, or is to begin anew. */
  async run(conversation: string): Promise<void> {
    this.conversation = conversation;
    this.#show("sending");
    const backoff = new Backoff();
    let known = false;
    while (this.#under(conversation)) {
      try {
        if (known) await this.#whereAmI();
        known = true;
        const before = this.sent;
        await this.#steps(conversation, () => before !== this.sent && backoff.reset());
        return;
      } catch (error) {
        if (!this.#under(conversation)) return;
        this.#failed(reasonOf(error));
        if (this.state !== "failed") await this.#pause(backoff.next());
      }
    }
  }

  /** For the connection: what is under way when it breaks may never be answered. */
  follow(state: ConnectionState): void {
    if (state !== "online") return void (this.#doubtful = true);
    if (this.#doubtful) this.#abort();
    this.#doubtful = false;
    this.#wake();
  }

  /** Everything from the beginning. */
  restart(): void {
    if (this.state === "failed" || this.state === "cancelled") return;
    this.#drop();
    this.#show("waiting");
  }

  cancel(): void {
    this.#drop();
    this.#show("cancelled");
  }

  #drop(): void {
    const id = this.#id;
    this.#id = this.conversation = "";
    this.sent = 0;
    this.attached = undefined;
    this.#abort();
    this.#wake();
    if (id) this.#client.call("DELETE", `/v1/attachments/${id}`, () => {}).catch(() => {}); // else it goes after a day
  }

  /** Whether it is still this run's. */
  #under(conversation: string): boolean {
    return this.conversation === conversation && (this.state === "sending" || this.state === "checking");
  }

  async #steps(conversation: string, moved: () => void): Promise<void> {
    if (this.source.size === 0) throw new Unreadable();
    if (!this.#id) await this.#begin(conversation);
    while (this.sent < this.source.size) {
      await this.#sendPiece(conversation);
      if (!this.#under(conversation)) return;
      moved();
    }
    this.stalled = false;
    this.#show("checking");
    const attached = await this.#call("POST", "/complete", decodeAttached, checkTime);
    if (!this.#under(conversation)) return;
    this.attached = attached;
    this.#show("done");
  }

  async #begin(conversation: string): Promise<void> {
    await this.source.slice(0, 1).arrayBuffer().catch(unreadable);
    const { name, size } = this.source;
    const begun = await this.#client.call("POST", `/v1/conversations/${conversation}/attachments`, decodeBegun, { name, size });
    if (!this.#under(conversation)) return void this.#client.call("DELETE", `/v1/attachments/${begun.id}`, () => {}).catch(() => {});
    this.#id = begun.id;
    this.#largest = begun.chunk;
    this.sent = 0;
  }

  /** After a failure only the server knows how much of it came. */
  async #whereAmI(): Promise<void> {
    if (!this.#id) return;
    const { offset, complete } = await this.#call("GET", "", decodeBegun, askTime);
    this.sent = complete ? this.source.size : offset; // what is kept of a picture may be less
  }

  async #sendPiece(conversation: string): Promise<void> {
    const { source, sent } = this;
    const bytes = await source.slice(sent, sent + this.#piece).arrayBuffer().catch(unreadable);
    if (bytes.byteLength === 0) throw new Unreadable(); // it has become shorter
    const began = Date.now();
    try {
      await this.#call("PATCH", "", () => {}, pieceTime, { body: bytes, headers: { "Content-Type": "application/octet-stream", "Upload-Offset": String(sent) } });
    } catch (error) {
      this.#resize(Infinity);
      throw error;
    }
    if (!this.#under(conversation)) return;
    this.#resize(Date.now() - began);
    this.sent = sent + bytes.byteLength;
    this.stalled = false;
    this.#show("sending");
  }

  #resize(took: number): void {
    const wanted = took < quick ? this.#piece * 2 : took > slow ? this.#piece / 2 : this.#piece;
    this.#piece = Math.min(this.#largest, Math.max(leastPiece, Math.ceil(this.source.size / mostPieces), Math.floor(wanted)));
  }

  async #call<T>(method: "GET" | "POST" | "PATCH", path: string, decode: (value: unknown) => T, patience: number, more: { body?: ArrayBuffer; headers?: Record<string, string> } = {}): Promise<T> {
    const { signal, abort, stop } = deadline(patience);
    this.#abort = abort;
    try {
      return await this.#client.call(method, `/v1/attachments/${this.#id}${path}`, decode, undefined, { ...more, signal });
    } finally {
      stop();
      this.#abort = () => {};
    }
  }

  /** Says what comes of a failure: another attempt, or the end. */
  #failed({ code, retry }: { code: Code | "unreadable"; retry: boolean }): void {
    if (code === "not_found" && this.#id && this.#lost++ < mostLost) {
      this.#id = ""; // swept: it took too long
      this.sent = 0;
    } else if (!retry && code !== "unauthenticated" && !(code === "conflict" && this.state === "sending")) {
      this.problem = problemOf(code, this.state);
      this.stalled = false;
      return this.#show("failed");
    }
    this.stalled = true;
    this.#show("sending");
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = after(ms, resolve);
      this.#wake = () => {
        stop();
        resolve();
      };
    });
  }

  #show(state: UploadState): void {
    this.state = state;
    this.#changed();
  }
}

/** The file is not there any more, or is another one, or was never a file. */
class Unreadable extends Error {
  readonly code = "unreadable";
}

const unreadable = (): never => {
  throw new Unreadable();
};

/** Errors may come from another copy of the client than this module is linked with: what they say counts, not their class. */
function reasonOf(thrown: unknown): { code: Code | "unreadable"; retry: boolean } {
  const { code, retry } = isObject(thrown) ? thrown : {};
  if (code === "unreadable") return { code, retry: false };
  const known = decodeCode(code);
  return { code: known, retry: typeof retry === "boolean" ? retry : new ParleyError(known, "").retry };
}

function problemOf(code: Code | "unreadable", state: UploadState): Problem {
  if (code === "too_large" || code === "unreadable") return code;
  if (state !== "checking") return "refused";
  return code === "forbidden" ? "infected" : code === "invalid" ? "type" : "refused";
}

function decodeBegun(value: unknown): { id: string; offset: number; chunk: number; complete: boolean } {
  const from = object(value);
  return { complete: from["complete"] === true, id: field.text(from, "id"), offset: field.integer(from, "offset"), chunk: field.integer(from, "chunk") };
}
