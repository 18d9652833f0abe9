import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage, type Storage } from "../src/index";
import { Registers } from "../src/registers";
import { World, type Person } from "./fake/world";

const key = "draft:cnv_1";
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

interface Device extends Person {
  registers: Registers;
  lost: unknown[];
}

let world: World;
beforeEach(() => {
  vi.useFakeTimers();
  world = new World();
});
afterEach(() => {
  world.stop();
  vi.useRealTimers();
});

function device(storage: Storage = memoryStorage()): Device {
  const person = world.agent("li", storage);
  const lost: unknown[] = [];
  const registers = new Registers({ client: person.client, storage, namespace: "li", lost: (name, value, code) => lost.push([name, value, code]) });
  return { ...person, registers, lost };
}

/** What the server holds, without what is empty. */
const held = (): Record<string, unknown> => Object.fromEntries(world.server.store.registers("agt_li").map((one) => [one.key, one.value]));
const seen = ({ registers }: Device): Record<string, unknown> => Object.fromEntries(registers.keys("").map((name) => [name, registers.get(name)]));

describe("registers", () => {
  it("are the same on all devices, those that come later too", async () => {
    const [pc, tablet] = [device(), device()];
    await pass(1000);
    let told = 0;
    tablet.registers.subscribe(() => told++);
    pc.registers.set(key, { text: "Dear" });
    expect(pc.registers.get(key)).toEqual({ text: "Dear" });
    await pass(1000);
    expect([tablet.registers.get(key), told]).toEqual([{ text: "Dear" }, 1]);
    tablet.registers.set(key, undefined);
    pc.registers.set("pinned:cnv_1", true);
    await pass(1000);
    const phone = device();
    await pass(1000);
    for (const one of [pc, tablet, phone]) expect([seen(one), one.registers.keys("pinned:"), one.lost]).toEqual([{ "pinned:cnv_1": true }, ["pinned:cnv_1"], []]);
  });

  it("that change with every letter are sent when there is a pause, and the last value wins", async () => {
    const pc = device();
    await pass(1000);
    for (let n = 1; n <= 50; n++) {
      pc.registers.set(key, "x".repeat(n));
      await pass(100);
    }
    await pass(1000);
    expect([held(), pc.storage.keys()]).toEqual([{ [key]: "x".repeat(50) }, []]);
    expect(world.server.requests.filter((one) => one.startsWith("POST /v1/me/registers"))).toHaveLength(1);
  });

  it("set while the answer to the last one is under way are based on that one", async () => {
    const pc = device();
    world.server.faults.latency = () => 300;
    await pass(5000);
    for (let n = 1; n <= 30; n++) {
      pc.registers.set(key, n);
      await pass(n % 3 === 0 ? 450 : 40);
    }
    await pass(5000);
    expect([held(), pc.lost]).toEqual([{ [key]: 30 }, []]);
    expect(world.server.requests.filter((one) => one === "POST /v1/me/registers").length).toBeGreaterThan(3);
  });

  it("set offline are kept over a reload, and sent when there is a connection", async () => {
    const storage = memoryStorage();
    const pc = device(storage);
    await pass(1000);
    world.server.faults.down = true;
    world.server.cut();
    await pass(100);
    pc.registers.set(key, "offline");
    await pass(1000);
    pc.registers.stop();
    pc.client.stop();
    const again = device(storage);
    expect(again.registers.get(key)).toBe("offline");
    world.server.faults = {};
    await pass(30_000);
    expect([held(), again.lost, storage.keys()]).toEqual([{ [key]: "offline" }, [], []]);
  });

  it("whose answer is lost are set once", async () => {
    const pc = device();
    await pass(1000);
    world.server.faults.loseAnswers = 2;
    world.server.faults.loseEvents = true;
    pc.registers.set(key, "once");
    await pass(30_000);
    expect(world.server.requests.filter((one) => one === "POST /v1/me/registers")).toHaveLength(3);
    expect([world.server.store.events.get("agt_li")?.length, held(), pc.lost]).toEqual([1, { [key]: "once" }, []]);
  });

  it("that somebody else was faster with are what that one made of them, and the loser is told", async () => {
    const [pc, tablet] = [device(), device()];
    await pass(1000);
    pc.registers.set(key, "first");
    await pass(1000);
    tablet.client.stop();
    pc.registers.set(key, "of the pc");
    tablet.registers.set(key, "of the tablet");
    await pass(1000);
    tablet.client.start();
    await pass(2000);
    for (const one of [pc, tablet]) expect(one.registers.get(key)).toBe("of the pc");
    expect([pc.lost, tablet.lost]).toEqual([[], [[key, "of the tablet", "stale"]]]);
    tablet.registers.set(key, "of the tablet"); // and may insist
    await pass(1000);
    expect([pc.registers.get(key), held()]).toEqual(["of the tablet", { [key]: "of the tablet" }]);
  });

  it("that the server refuses are as they were, and the loser is told", async () => {
    const pc = device();
    await pass(1000);
    world.server.faults.onRequest = (method, path) => (method === "POST" && path === "/v1/me/registers" ? 413 : undefined);
    pc.registers.set(key, "too long");
    await pass(1000);
    expect([pc.registers.get(key), pc.lost, pc.storage.keys()]).toEqual([undefined, [[key, "too long", "too_large"]], []]);
  });

  it("of which nobody has heard are found within a minute", async () => {
    const pc = device();
    await pass(1000);
    world.server.store.set({ user: "agt_li", device: "d", role: "agent", name: "" }, { id: "set_unheard", key, value: "unheard", basedOn: 0 });
    await pass(61_000);
    expect(pc.registers.get(key)).toBe("unheard");
  });

  it("are read anew when the server numbers anew", async () => {
    const pc = device();
    await pass(1000);
    pc.registers.set(key, "before");
    await pass(1000);
    world.server.store.events.clear();
    world.server.store.epoch = "epo_2";
    world.server.cut();
    await pass(5000);
    expect(seen(pc)).toEqual({});
    pc.registers.set(key, "after");
    await pass(1000);
    expect([held(), pc.lost]).toEqual([{ [key]: "after" }, []]);
  });
});

it("whatever three devices do, online or not, reloaded or not: all end with what the server holds", async () => {
  const step = fc.record({
    device: fc.nat(2),
    what: fc.constantFrom("set", "set", "empty", "offline", "online", "reload", "lose answer", "cut", "wait"),
    key: fc.constantFrom("draft:a", "draft:b", "pinned:a"),
    ms: fc.constantFrom(0, 1, 5, 300, 450, 2000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      world = new World();
      let random = 0;
      world.server.faults.latency = () => [0, 5, 40, 300][random++ % 4] ?? 0;
      const devices = [device(), device(), device()];
      const storages = devices.map(({ storage }) => storage);
      let values = 0;
      for (const { device: n, what, key: name, ms } of steps) {
        const one = devices[n];
        if (!one) throw new Error("no device");
        if (what === "set") one.registers.set(name, `value ${++values}`);
        if (what === "empty") one.registers.set(name, undefined);
        if (what === "offline") one.client.stop();
        if (what === "online" && one.client.state === "offline") one.client.start();
        if (what === "lose answer") world.server.faults.loseAnswers = 1;
        if (what === "cut") world.server.cut();
        if (what === "reload") {
          one.client.stop();
          one.registers.stop();
          devices[n] = device(storages[n]);
        }
        await pass(ms);
      }
      delete world.server.faults.loseAnswers;
      for (const { client } of devices) if (client.state === "offline") client.start();
      await pass(120_000);
      for (const one of devices) expect(seen(one)).toEqual(held());
      for (const storage of storages) expect(storage.keys()).toEqual([]);
      for (const { registers } of devices) registers.stop();
      world.stop();
    }),
    {
      numRuns: 150,
      // An answer that comes when the page that asked has been left, and the next one has settled the matter.
      examples: [
        [
          [
            { device: 0, what: "set", key: "draft:b", ms: 0 },
            { device: 0, what: "wait", key: "draft:a", ms: 300 },
            { device: 2, what: "set", key: "draft:a", ms: 450 },
            { device: 2, what: "set", key: "draft:a", ms: 0 },
            { device: 2, what: "reload", key: "draft:a", ms: 0 },
          ],
        ],
      ],
    },
  );
}, 60_000);
