// The tunnel's socket, request by request, against a server that does what each
// test says.

import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Tunnel } from "../src/tunnel/tunnel";

interface Asked {
  readonly url: string;
  readonly method?: string;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

let asked: Asked[];
/** Answers a POST of bytes with a status; 0 is no answer. */
let take: (n: number, bytes: number[]) => number;
let down: ReadableStreamDefaultController<Uint8Array>;

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const event = (id: number, bytes: number[]): string => `id: ${id}\ndata: ${btoa(String.fromCharCode(...bytes))}\n\n`;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  take = () => 204;
  vi.stubGlobal("fetch", async (url: string, options: Omit<Asked, "url">) => {
    asked.push({ url, ...options });
    if (url.endsWith("/http")) return Response.json({ tunnel: "tun_one" }, { status: 201 });
    if (url.endsWith("/down")) {
      const body = new ReadableStream<Uint8Array>({ start: (controller) => void (down = controller) });
      options.signal.addEventListener("abort", () => down.error(new Error("aborted")));
      return new Response(body);
    }
    const status = take(Number(new URL(url).searchParams.get("n")), [...(options.body ?? [])]);
    if (status === 0) throw new TypeError("no answer");
    return new Response(null, { status });
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** An open tunnel, and what it has told. */
async function open(): Promise<{ tunnel: Tunnel; got: number[]; closed: number[] }> {
  const tunnel = new Tunnel("wss://parley.test/mqtt");
  const got: number[] = [];
  const closed: number[] = [];
  let opened = false;
  tunnel.onopen = () => (opened = true);
  tunnel.onmessage = ({ data }) => void got.push(...(data instanceof ArrayBuffer ? new Uint8Array(data) : []));
  tunnel.onclose = ({ code }) => void closed.push(code);
  await pass();
  expect(opened).toBe(true);
  expect(asked.map(({ url, method }) => `${method ?? "GET"} ${url}`)).toEqual(["POST https://parley.test/mqtt/http", "GET https://parley.test/mqtt/http/tun_one/down"]);
  return { tunnel, got, closed };
}

it("hands on what comes down, however it was split on its way", async () => {
  const { got, closed } = await open();
  const all = `:\n\n${event(3, [1, 2, 255])}:\n\n${event(4, [0])}event: close\ndata: 4408\n\n`;
  for (const c of all) down.enqueue(text(c));
  await pass();
  expect([got, closed]).toEqual([[1, 2, 255, 0], [4408]]);
});

it("ends when bytes are missing, and hands on none behind them", async () => {
  const { got, closed } = await open();
  down.enqueue(text(event(1, [1]) + event(3, [3])));
  await pass();
  expect([got, closed]).toEqual([[1], [1006]]);
});

it.each(["closed", "cut"])("ends when the down stream is %s", async (how) => {
  const { closed } = await open();
  if (how === "cut") down.error(new Error("cut"));
  else down.close();
  await pass();
  expect(closed).toEqual([1006]);
});

it("sends one chunk at a time, with all that has come together meanwhile", async () => {
  const { tunnel } = await open();
  const taken: Array<[number, number]> = [];
  take = (n, bytes) => (taken.push([n, bytes.length]), 204);
  tunnel.send(new Uint8Array(10));
  for (let i = 0; i < 10; i++) tunnel.send(new Uint8Array(10_000));
  expect(tunnel.bufferedAmount).toBe(100_010);
  await pass();
  expect(taken).toEqual([[1, 10], [2, 65_536], [3, 34_464]]);
  expect(tunnel.bufferedAmount).toBe(0);
});

it("sends a chunk again, with its number, until there is an answer", async () => {
  const { tunnel, closed } = await open();
  const taken: string[] = [];
  const answers = [0, 502, 429, 503, 204, 204];
  take = (n, bytes) => (taken.push(`${n}:${bytes}`), answers.shift() ?? 204);
  tunnel.send(Uint8Array.of(7));
  await pass();
  tunnel.send(Uint8Array.of(8));
  await pass(5_000);
  expect(taken).toEqual(["1:7", "1:7", "1:7", "1:7", "1:7", "2:8"]);
  expect(closed).toEqual([]);
});

it("gives up after 15 s", async () => {
  const { tunnel, closed } = await open();
  take = () => 0;
  tunnel.send(Uint8Array.of(7));
  await pass(14_000);
  expect(closed).toEqual([]);
  await pass(4_000);
  expect(closed).toEqual([1006]);
  expect(asked.find(({ url }) => url.endsWith("/down"))?.signal.aborted).toBe(true);
});

it("lets the down stream say why, when the server knows the tunnel no more", async () => {
  const { tunnel, closed } = await open();
  take = () => 404;
  tunnel.send(Uint8Array.of(7));
  await pass(500);
  down.enqueue(text("event: close\ndata: 4401\n\n"));
  await pass(5_000);
  expect(closed).toEqual([4401]);
});

it("sends what is left before it closes, and says so once", async () => {
  const { tunnel, closed } = await open();
  const taken: number[] = [];
  take = (n) => (taken.push(n), 204);
  tunnel.send(Uint8Array.of(1));
  tunnel.send(Uint8Array.of(2));
  tunnel.close();
  tunnel.send(Uint8Array.of(3));
  await pass(5_000);
  expect([taken, closed]).toEqual([[1, 2], [1006]]);
});

it("ends when the server opens none", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("too many tunnels", { status: 429 })));
  const tunnel = new Tunnel("ws://parley.test/mqtt");
  const closed: number[] = [];
  tunnel.onclose = ({ code }) => void closed.push(code);
  await pass();
  expect(closed).toEqual([1006]);
});

/** Bytes after gzip of what is loaded where a WebSocket fails. */
const limit = 2_000;

it(`fits in ${limit} bytes`, async () => {
  vi.useRealTimers();
  const built = await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL("..", import.meta.url)),
    build: { write: false, minify: true, target: "es2022", lib: { entry: "src/tunnel/index.ts", formats: ["iife"], name: "parleyTunnel" } },
  });
  const [output] = Array.isArray(built) ? built : [];
  const size = gzipSync(output?.output[0].code ?? "", { level: 9 }).length;
  console.log(`tunnel: ${size} bytes gzip`);
  expect(size).toBeGreaterThan(500);
  expect(size).toBeLessThanOrEqual(limit);
}, 60_000);
