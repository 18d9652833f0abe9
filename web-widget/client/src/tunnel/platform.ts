// What a tunnel takes from its runtime besides what every client does: a fetch
// whose answer can be read while it comes.

export interface ByteReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

export interface StreamAnswer {
  readonly status: number;
  /** Absent in runtimes that cannot stream, where there are no tunnels. */
  readonly body?: { getReader(): ByteReader } | null;
  json(): Promise<unknown>;
}

export interface StreamRequest {
  readonly method?: "HEAD" | "POST";
  readonly body?: Uint8Array | undefined;
  readonly cache: "no-store";
  readonly credentials: "omit";
  readonly signal: unknown;
}

export interface Stop {
  readonly signal: unknown;
  abort(): void;
}

declare const fetch: (url: string, request: StreamRequest) => Promise<StreamAnswer>;
declare const AbortController: new () => Stop;
declare const TextDecoder: new () => { decode(bytes: Uint8Array, options: { stream: true }): string };
declare const atob: (base64: string) => string;

/** Requests without headers of our own, which a browser sends to another origin without asking first. */
export function request(url: string, { signal }: Stop, more: Pick<StreamRequest, "method" | "body"> = {}): Promise<StreamAnswer> {
  return fetch(url, { ...more, signal, cache: "no-store", credentials: "omit" });
}

export const newStop = (): Stop => new AbortController();

/** Decodes a text that comes in pieces. */
export function textDecoder(): (bytes: Uint8Array) => string {
  const decoder = new TextDecoder();
  return (bytes) => decoder.decode(bytes, { stream: true });
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
