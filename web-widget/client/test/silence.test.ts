// Telling a network that is gone from a server that is down.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { seen, World, type Person } from "./fake/world";

const id = "cnv_test";
let world: World;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(1); // the longest waits
  world = new World();
});

afterEach(() => {
  world.stop();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** A visitor who has been online for a while. */
async function online(): Promise<Person> {
  const ann = world.visitor();
  ann.client.conversation(id).send("hello");
  await pass(10_000);
  expect(seen(ann.client.conversation(id))).toEqual(["hello"]);
  return ann;
}

/** Pulls the cable for so long, while both sides write; the device has not been told when it is back. */
async function pull(ann: Person, ms: number): Promise<void> {
  world.server.faults.silent = true;
  await pass(ms / 2);
  ann.client.conversation(id).send("anybody there?");
  const stored = world.server.store.conversations.get(id);
  if (stored) world.server.store.append(stored, { user: "agt_li", role: "agent" }, "text", "msg_li_1", { text: "are you?" });
  await pass(ms / 2);
  world.server.faults.silent = false;
}

/** The shortest time between two attempts, in milliseconds. */
const shortestGap = (): number => Math.min(...world.server.attempts.slice(1).map((at, i) => at - (world.server.attempts[i] ?? 0)));

describe("a network that is gone", () => {
  const lengths = [12_000, 20_000, 20_700, 31_000, 31_400, 60_000, 61_900, 300_000, 1_800_000];
  it.each(lengths)("for %i ms: caught up within 2 s of its return, without a signal; attempts are at least 1 s apart", async (ms) => {
    const ann = await online();
    await pull(ann, ms);
    await pass(2000);
    expect(ann.client.state).toBe("online");
    expect(seen(ann.client.conversation(id))).toEqual(["hello", "are you?", "anybody there?"]);
    expect(shortestGap()).toBeGreaterThanOrEqual(1000);
  });

  it("begins a fresh attempt at least every 5 s, one in eight has 8", async () => {
    const ann = await online();
    await pull(ann, 300_000);
    const gaps = world.server.attempts.slice(2).map((at, i) => at - (world.server.attempts[i + 1] ?? 0));
    expect(new Set(gaps)).toEqual(new Set([5000, 8000]));
    expect(gaps.filter((gap) => gap === 8000).length).toBeLessThanOrEqual(Math.ceil(gaps.length / 8));
  });

  it.each([2400, 4500, 7500])("and comes back so slow that a socket takes %i ms to open: connects", async (opening) => {
    const ann = await online();
    await pull(ann, 20_000);
    world.server.faults.opening = opening;
    await pass(60_000);
    expect(ann.client.state).toBe("online");
  });

  it("costs no sign-in while the token is good, and delays nobody by one if it is not", async () => {
    const ann = await online();
    const before = world.server.requests.filter((path) => path.startsWith("POST")).length;
    await pull(ann, 60_000);
    await pass(2000);
    expect(world.server.requests.filter((path) => path.startsWith("POST"))).toHaveLength(before);
    world.server.tokenLifetime = 60_000;
    world.server.revokeTokens();
    await pass(1000);
    await pull(ann, 120_000);
    await pass(2000);
    expect(ann.client.state).toBe("online");
  });
});

describe("a server that is down", () => {
  it("and refuses at once is left in peace: full jitter, up to 20 s, also after silence", async () => {
    const ann = await online();
    await pull(ann, 20_000);
    world.server.faults.down = true;
    world.server.cut();
    await pass(10_000); // whatever was under way has ended
    const before = world.server.connections;
    await pass(60_000);
    expect(world.server.connections - before).toBeLessThanOrEqual(6);
    expect(ann.client.state).toBe("offline");
  });

  it.each([false, true])("is known to be down at once, also where only an error event says so (%s)", async (errorOnly) => {
    const ann = await online();
    world.server.faults = { down: true, errorOnly };
    world.server.cut();
    await pass(10);
    expect(ann.client.state).toBe("connecting");
    await pass(2100); // the first wait is 2 s at most
    expect(ann.client.state).toBe("offline");
  });

  it("and said goodbye is left in peace, even if it hangs when it comes back", async () => {
    await online();
    world.server.cut();
    world.server.faults.silent = true;
    await pass(10);
    const before = world.server.connections;
    await pass(60_000);
    expect(world.server.connections - before).toBeLessThanOrEqual(4); // 8 s each, then 4, 8, 16 s
  });

  it("and has many to answer is waited for: who has a place in its row keeps it", async () => {
    world.server.faults.connackDelay = 15_000;
    const ann = world.visitor();
    await pass(16_000);
    expect([ann.client.state, world.server.connections]).toEqual(["online", 1]);
  });

  it.each([[30, 30_000], [0, 5_000]])("and wants to be left alone for %i s is", async (retryAfter, least) => {
    world.server.faults.tooOften = { times: 2, retryAfter };
    const ann = world.visitor();
    await pass(2 * least + 30_000);
    expect([ann.client.state, world.server.connections]).toEqual(["online", 3]);
    expect(shortestGap()).toBeGreaterThanOrEqual(least);
  });

  it("does not see everybody at once when it is back", async () => {
    vi.restoreAllMocks();
    const visitors = Array.from({ length: 100 }, () => world.visitor());
    await pass(10_000);
    world.server.faults.down = true;
    world.server.cut();
    await pass(30_000);
    world.server.faults.down = false;
    const back = Date.now();
    const before = world.server.attempts.length;
    await pass(30_000);
    const seconds = world.server.attempts.slice(before).map((at) => Math.floor((at - back) / 1000));
    expect(Math.max(...seconds.map((s) => seconds.filter((other) => other === s).length))).toBeLessThan(25);
    expect(visitors.every(({ client }) => client.state === "online")).toBe(true);
  });
});

describe("a message that is lost on its way, with every sign of it", () => {
  it.each([["the visitor", false], ["an agent", true]])("is found by %s within a minute", async (_, staff) => {
    const ann = await online();
    const li = world.agent("li");
    await pass(1000);
    await li.client.claim(id);
    const [reader, writer] = staff ? [li, ann] : [ann, li];
    const conversation = reader.client.conversation(id);
    await pass(1000);
    const { device } = writer.client.session ?? {};
    world.server.faults = { loseStates: true, onDeliver: (entry) => (entry.device === device ? "lose" : undefined) };
    writer.client.conversation(id).send("unheard of");
    await pass(5000);
    world.server.faults = {};
    expect(seen(conversation)).toEqual(["hello"]);
    await pass(58_000);
    expect(seen(conversation)).toEqual(["hello", "unheard of"]);
    expect(reader.client.unread(id)).toBe(staff ? 2 : 1);
    expect([reader.states.at(-1), reader.errors]).toEqual(["online", []]);
  });

  it("costs one request in about 45 s, and none for a conversation that nobody has begun", async () => {
    const [ann, bob] = [await online(), world.visitor()];
    bob.client.conversation(bob.client.newConversation());
    await pass(1000);
    world.server.requests.length = 0;
    await pass(450_000);
    expect(world.server.requests.length).toBeGreaterThanOrEqual(8);
    expect(world.server.requests.length).toBeLessThanOrEqual(14);
    expect(new Set(world.server.requests)).toEqual(new Set([`GET /v1/conversations/${id}`]));
    expect([ann.errors, bob.errors]).toEqual([[], []]);
  });
});
