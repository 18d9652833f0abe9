// Which way is taken after which end of a connection.

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Ended } from "../src/link";
import { Choice } from "../src/tunnel/choice";
import { Tunnel } from "../src/tunnel/tunnel";

let choice: Choice;
let reachable: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  reachable = true;
  choice = new Choice("http://parley.test");
  vi.stubGlobal("fetch", (url: string, { method }: { method: string }) => {
    expect([url, method]).toEqual(["http://parley.test/widget.js", "HEAD"]);
    return reachable ? Promise.resolve({ status: 200 }) : Promise.reject(new TypeError("no answer"));
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const failed: Ended = { cause: "network", lived: false, took: 50, socketCode: 1006, reasonCode: 0, retryAfter: 0 };
const young: Ended = { ...failed, lived: true, took: 2_000 };
const good: Ended = { ...failed, lived: true, took: 60_000 };

/** A connection that takes as long as it says, a second after the one before. */
async function next(ended: Ended): Promise<"websocket" | "tunnel"> {
  await vi.advanceTimersByTimeAsync(1_000 + ended.took);
  return choice.next(ended) === Tunnel ? "tunnel" : "websocket";
}

async function all(...ends: Ended[]): Promise<string[]> {
  const ways: string[] = [];
  for (const ended of ends) ways.push(await next(ended));
  return ways;
}

it("takes a tunnel when a second WebSocket fails although the server answers plain HTTP", async () => {
  expect(await all(failed, failed)).toEqual(["websocket", "tunnel"]);
});

it("takes one when the proxy never answers", async () => {
  const silent: Ended = { ...failed, cause: "silence", took: 8_000 };
  expect(await all(silent, silent)).toEqual(["websocket", "tunnel"]);
});

it("takes none while the server answers nothing", async () => {
  reachable = false;
  expect(await all(good, failed, failed, failed)).toEqual(Array(4).fill("websocket"));
});

it("takes none when the answer came after the WebSocket had begun", async () => {
  reachable = false;
  await all(good, failed);
  reachable = true; // the server is back while the next attempt is under way
  expect(await all(failed, good, failed)).toEqual(["websocket", "websocket", "websocket"]);
});

it("takes none for what the server itself says, or we", async () => {
  for (const cause of ["refused", "server", "local", "malformed", "timeout"] as const) {
    expect(await all(failed, { ...failed, cause }, failed)).toEqual(Array(3).fill("websocket"));
    await next(good);
  }
});

it("takes one when WebSockets open and are cut three times, not when they last", async () => {
  expect(await all(young, young, good, young, young, young)).toEqual([...Array(5).fill("websocket"), "tunnel"]);
});

it("stays with a tunnel that works, and tries a WebSocket again after ten minutes", async () => {
  await all(failed, failed);
  expect(await all(young, good, young)).toEqual(["tunnel", "tunnel", "tunnel"]);
  expect(await next({ ...good, took: 600_000 })).toBe("websocket");
  expect(await next(failed)).toBe("tunnel"); // it has worked: one is enough
  expect(await next({ ...good, took: 600_000 })).toBe("websocket");
  expect(await all(good, failed)).toEqual(["websocket", "websocket"]); // and the proxy is gone
});

it("goes back at once when a tunnel does not open, and changes to and fro where it had worked", async () => {
  expect(await all(failed, failed, failed)).toEqual(["websocket", "tunnel", "websocket"]);
  await all(failed, good); // a tunnel that works
  expect(await all(failed, failed, failed, failed)).toEqual(["websocket", "tunnel", "websocket", "tunnel"]);
});
