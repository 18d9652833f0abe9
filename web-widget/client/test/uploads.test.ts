import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage, type Client } from "../src/index";
import { Uploads, type Source } from "../src/uploads";
import { seen, World } from "./fake/world";

let world: World;
let client: Client;
let uploads: Uploads;
let conversation: string;

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const bytesOf = (n: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length: n }, (_, i) => (i * 31 + (i >> 8)) & 255);

/** A file of n bytes. Beyond `readable` it cannot be read. */
function file(name: string, n: number, readable = Infinity): Source {
  const bytes = bytesOf(n);
  return {
    name,
    size: n,
    slice: (from, to) => ({ arrayBuffer: () => (to > readable ? Promise.reject(new Error("gone")) : Promise.resolve(bytes.slice(from, to).buffer)) }),
  };
}

const shown = (): string[] => uploads.list.map(({ source, state, stalled, problem }) => [source.name, state, stalled && "stalled", problem].filter(Boolean).join(" "));
const held = (id = "att_1"): Uint8Array | undefined => world.server.files.all.get(id)?.bytes;

beforeEach(async () => {
  vi.useFakeTimers();
  world = new World();
  client = world.visitor().client;
  conversation = client.newConversation();
  uploads = new Uploads(client, () => conversation, () => {});
  await pass(50);
});

afterEach(() => {
  uploads.stop();
  world.stop();
  vi.useRealTimers();
});

describe("uploads", () => {
  it("go in pieces, one file after the other, and their message lists them", async () => {
    const progress: number[] = [];
    uploads.stop();
    uploads = new Uploads(client, () => conversation, () => progress.push(uploads.list[0]?.sent ?? -1));
    uploads.add([file("a.txt", 700_000), file("b.png", 10)]);
    expect(uploads.ready()).toBe(false);
    await pass(5000);
    expect(shown()).toEqual(["a.txt done", "b.png done"]);
    expect(uploads.ready()).toBe(true);
    expect(held()).toEqual(bytesOf(700_000));
    expect(world.server.files.pieces).toEqual([262_144, 262_144, 175_712, 10]);
    expect([...new Set(progress)]).toEqual([0, 262_144, 524_288, 700_000]);

    const talk = client.conversation(conversation);
    talk.send("", uploads.attached);
    uploads.clear();
    expect(talk.items()[0]).toMatchObject({ kind: "own", message: { draft: { text: "", attachments: [{ id: "att_1", name: "a.txt" }, { id: "att_2", width: 640, thumbnail: true }] } } });
    await pass(500);
    expect(talk.items().at(-1)).toMatchObject({ kind: "entry", entry: { body: { text: "", attachments: [{ id: "att_1" }, { id: "att_2" }] } } });
    talk.edit(2, "look");
    await pass(500);
    expect(seen(talk)).toEqual(["look"]);
    expect(talk.items()).toMatchObject([{ entry: { type: "opened" } }, { entry: { body: { attachments: [{ id: "att_1" }, { id: "att_2" }] } } }, {}]);
  });

  it("go on where they were after a cut", async () => {
    world.server.faults.latency = () => 400;
    uploads.add([file("a.txt", 900_000)]);
    await pass(2600);
    expect(held()?.length).toBeGreaterThan(0);
    expect(held()?.length).toBeLessThan(900_000);
    world.server.faults.down = true;
    world.server.cut();
    await pass(10_000);
    expect(shown()).toEqual(["a.txt sending stalled"]);
    world.server.faults = {};
    await pass(25_000);
    expect(shown()).toEqual(["a.txt done"]);
    expect(held()).toEqual(bytesOf(900_000));
    expect(world.server.files.all.size).toBe(1);
  });

  it("do not wait for the answers of a connection that is gone", async () => {
    uploads.add([file("a.txt", 300_000)]);
    world.server.faults.silent = true;
    await pass(1000);
    world.server.cut();
    world.server.faults.silent = false;
    await pass(10_000);
    expect(shown()).toEqual(["a.txt done"]);
  });

  it("ask where they are when an answer was lost, whichever it is", async () => {
    for (let n = 1; n <= 4; n++) {
      let count = 0;
      world.server.faults.onRequest = (method, path) => {
        if (method !== "GET" && path.includes("attachments") && ++count === n) world.server.faults.loseAnswers = 1;
        return undefined;
      };
      uploads.add([file(`${n}.png`, 300_000)]);
      await pass(15_000);
      expect(shown()).toEqual([`${n}.png done`]);
      uploads.clear();
    }
    for (const { bytes, complete } of world.server.files.all.values()) if (complete) expect(bytes).toEqual(bytesOf(300_000));
  });

  it("begin anew when the server has swept them, and end when it always does", async () => {
    let swept = 0;
    world.server.faults.onRequest = (method, path) => {
      if (method === "POST" && path.endsWith("/complete") && swept++ === 0) world.server.files.all.clear();
      return undefined;
    };
    uploads.add([file("a.txt", 300_000)]);
    await pass(20_000);
    expect(shown()).toEqual(["a.txt done"]);
    uploads.clear();
    world.server.faults.onRequest = (method, path) => (method === "PATCH" && path.includes("attachments") ? 404 : undefined);
    uploads.add([file("b.txt", 300_000)]);
    await pass(200_000);
    expect(shown()).toEqual(["b.txt failed refused"]);
  });

  it.each([
    ["too_large", 413, "too_large"],
    ["type", 400, "invalid"],
    ["infected", 403, "forbidden"],
  ])("say what is wrong with a file: %s", async (problem, status, code) => {
    world.server.files.judge = ({ name }) => (name === "bad" ? [status, code] : undefined);
    uploads.add([file("bad", 100), file("good", 100)]);
    await pass(2000);
    expect(shown()).toEqual([`bad failed ${problem}`, "good done"]);
    expect(uploads.ready()).toBe(false);
    uploads.list[0] && uploads.remove(uploads.list[0]);
    expect(uploads.ready()).toBe(true);
  });

  it("wait for a scanner that does not answer", async () => {
    world.server.files.judge = () => [503, "unavailable"];
    uploads.add([file("a", 100)]);
    await pass(60_000);
    expect(shown()).toEqual(["a sending stalled"]);
    world.server.files.judge = () => undefined;
    await pass(20_000);
    expect(shown()).toEqual(["a done"]);
  });

  it("refuse what is empty, cannot be read, or is too large", async () => {
    uploads.add([file("empty", 0), file("folder", 4096, 0), file("shrunk", 300_000, 262_144), file("large", 2_000_000)]);
    await pass(5000);
    expect(shown()).toEqual(["empty failed unreadable", "folder failed unreadable", "shrunk failed unreadable", "large failed too_large"]);
  });

  it("are at most ten", async () => {
    const all = Array.from({ length: 12 }, (_, i) => file(`${i}`, 10));
    expect(uploads.add(all)).toBe(2);
    await pass(5000);
    expect(uploads.attached).toHaveLength(10);
    expect(uploads.add(all)).toBe(12);
  });

  it("leave nothing behind when they are cancelled", async () => {
    world.server.faults.latency = () => 300;
    uploads.add([file("a", 900_000), file("b", 100)]);
    await pass(2000);
    uploads.list[0] && uploads.remove(uploads.list[0]);
    await pass(5000);
    expect(shown()).toEqual(["b done"]);
    expect([...world.server.files.all.values()].map(({ name }) => name)).toEqual(["b"]);
    uploads.stop();
    await pass(2000);
    expect(world.server.files.all.size).toBe(0);
  });

  it("are made again for another conversation than they were meant for", async () => {
    uploads.add([file("a", 100)]);
    await pass(1000);
    conversation = "cnv_other";
    expect(uploads.ready()).toBe(false);
    await pass(1000);
    expect(uploads.ready()).toBe(true);
    expect([...world.server.files.all.values()].map((one) => one.conversation)).toEqual(["cnv_other"]);
  });
});

describe("a message with files", () => {
  it("survives a page load, and a refusal", async () => {
    const storage = memoryStorage();
    const ann = world.visitor(storage);
    await pass(50);
    const id = ann.client.newConversation();
    world.server.faults.onPublish = () => "ignore";
    const file = { id: "att_7", name: "x.png", type: "image/png", size: 3, width: 1, height: 2, thumbnail: true };
    ann.client.conversation(id).send("look", [file]);
    await pass(100);
    ann.client.stop();
    world.server.faults.onPublish = () => ({ refuse: "conflict" });
    const again = world.visitor(storage);
    const talk = again.client.conversation(id);
    await pass(500);
    const [item] = talk.items();
    expect(item).toMatchObject({ message: { state: "failed", draft: { text: "look", attachments: [{ id: "att_7", name: "x.png" }] } } });
    world.server.faults = {};
    if (item?.kind === "own") talk.retry(item.message.draft.id);
    await pass(500);
    expect(talk.items().at(-1)).toMatchObject({ kind: "entry", entry: { body: { attachments: [{ id: "att_7" }] } } });
  });
});
