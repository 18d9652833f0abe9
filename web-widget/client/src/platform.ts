// What the client takes from its runtime, and nothing more: browsers, Node and
// React Native all have it. Declared here, so that no DOM type can slip in.

/** The part of a WebSocket that is used. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount?: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number }) => void) | null;
  onerror: (() => void) | null;
  send(data: Uint8Array): void;
  close(code?: number): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** The part of an HTTP answer that is used. */
export interface Answer {
  readonly status: number;
  text(): Promise<string>;
}

export interface RequestOptions {
  method: string;
  headers: Record<string, string>;
  body?: string | ArrayBuffer;
  cache?: "no-store";
  signal: AbortSignal;
}

export type Fetch = (url: string, options: RequestOptions) => Promise<Answer>;

interface AbortSignal {
  readonly aborted: boolean;
}

export type Timer = unknown;

declare const WebSocket: SocketConstructor;
declare const fetch: Fetch;
declare const setTimeout: (run: () => void, ms: number) => Timer;
declare const clearTimeout: (timer: Timer) => void;
declare const crypto: { getRandomValues(bytes: Uint8Array): Uint8Array };
declare const AbortController: new () => { readonly signal: AbortSignal; abort(): void };
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
declare const TextDecoder: new (
  label: string,
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string };

/** The runtime's WebSocket; throws where there is none and none was injected. */
export const defaultSocket = (): SocketConstructor => WebSocket;

/** The runtime's fetch, called as a plain function as browsers demand. */
export const defaultFetch: Fetch = (url, options) => fetch(url, options);

/** Runs `run` after `ms`; the answer cancels it. */
export function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** A signal that fires after `ms` or `abort`, and how to stop the clock. */
export function deadline(ms: number): { signal: AbortSignal; abort: () => void; stop: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  return { signal: controller.signal, abort, stop: after(ms, abort) };
}

export const randomBytes = (n: number): Uint8Array => crypto.getRandomValues(new Uint8Array(n));

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Decodes UTF-8; throws on bytes that are not. A byte order mark is content. */
export const fromUtf8 = (bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
