import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeDraft } from "../src/draft";
import { memoryStorage } from "../src/index";
import { numbers, seen, stored, World } from "./fake/world";

const id = "cnv_test";
let world: World;

beforeEach(() => {
  vi.useFakeTimers();
  world = new World();
});

afterEach(() => {
  world.stop();
  vi.useRealTimers();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("a conversation", () => {
  it("goes both ways and looks the same on every device", async () => {
    const ann = world.visitor();
    const li = world.agent("li");
    const tablet = world.agent("li");
    await pass(100);
    expect([ann.client.state, li.client.state, tablet.client.state]).toEqual(["online", "online", "online"]);
    const hers = ann.client.conversation(id);
    hers.send("hello");
    await pass(100);
    expect(li.client.conversations.get(id)?.status).toBe("queued");
    await li.client.claim(id);
    const his = li.client.conversation(id);
    const copy = tablet.client.conversation(id);
    await pass(100);
    for (const n of numbers(50)) {
      hers.send("ann " + n);
      his.send("li " + n);
      if (n.endsWith("0")) await pass(20);
    }
    await pass(2000);
    expect(stored(world.server, id)).toHaveLength(101);
    expect(seen(hers)).toEqual(stored(world.server, id));
    expect(seen(his)).toEqual(seen(hers));
    expect(seen(copy)).toEqual(seen(hers));
    expect(stored(world.server, id).filter((text) => text.startsWith("ann"))).toEqual(numbers(50).map((n) => "ann " + n));
  });

  it("can be begun offline", async () => {
    world.server.faults.down = true;
    const { client, storage } = world.visitor();
    await pass(5000);
    expect(client.state).toBe("offline");
    const c = client.conversation(id);
    c.send("first");
    c.send("second");
    expect(seen(c)).toEqual(["first (queued)", "second (queued)"]);
    world.server.faults.down = false;
    client.networkChanged();
    await pass(2000);
    expect(seen(c)).toEqual(["first", "second"]);
    expect(storage.keys()).toEqual([]);
  });

  it("shows the newest page first and older ones on demand", async () => {
    const { client } = world.visitor();
    await pass(100);
    for (const n of numbers(120)) client.conversation(id).send(n);
    await pass(1000);
    const reader = world.agent("li");
    await pass(100);
    await reader.client.claim(id);
    const c = reader.client.conversation(id);
    await pass(100);
    expect(seen(c)).toEqual(numbers(49, 72));
    expect(c.hasOlder).toBe(true);
    await c.loadOlder();
    await c.loadOlder();
    expect(seen(c)).toEqual(numbers(120));
    expect(c.hasOlder).toBe(false);
  });

  it("sends halves of characters as U+FFFD: outbox and server hold the same", async () => {
    const { client } = world.visitor();
    const c = client.conversation(id);
    c.send("a\ud800b\udc00 😀");
    expect(seen(c)).toEqual(["a\ufffdb\ufffd 😀 (queued)"]);
    await pass(1000);
    expect(stored(world.server, id)).toEqual(["a\ufffdb\ufffd 😀"]);
    expect(seen(c)).toEqual(stored(world.server, id));
  });

  it("refuses what is empty or too long before it reaches the outbox", async () => {
    const { client, storage } = world.visitor();
    const c = client.conversation(id);
    expect(() => c.send("")).toThrow("empty");
    expect(() => c.send("a".repeat(65_536))).toThrow("too long");
    expect(() => c.send("\n".repeat(33_000))).toThrow("too long");
    expect(() => c.send("好".repeat(22_000))).toThrow("too long");
    c.send("好".repeat(21_000));
    expect(storage.keys()).toHaveLength(1);
  });
});

describe("deliveries", () => {
  async function written(n: number): Promise<string[]> {
    const ann = world.visitor();
    const c = ann.client.conversation(id);
    await pass(100);
    for (const text of numbers(n)) {
      c.send(text);
      await pass(10);
    }
    await pass(3000);
    return seen(c);
  }

  it("that come twice are shown once", async () => {
    world.server.faults.onDeliver = () => "twice";
    expect(await written(30)).toEqual(numbers(30));
  });

  it("that overtake each other are put in order, without a fetch", async () => {
    world.server.faults.onDeliver = (entry) => (entry.seq % 4 === 0 ? "late" : undefined);
    expect(await written(30)).toEqual(numbers(30));
    expect(world.server.requests.filter((path) => path.includes("after="))).toHaveLength(1); // the one at connect
  });

  it("that are lost are fetched", async () => {
    world.server.faults.onDeliver = (entry) => (entry.seq % 5 === 0 ? "lose" : undefined);
    expect(await written(30)).toEqual(numbers(30));
  });

  it("that arrive in single bytes are put together", async () => {
    world.server.faults.pieces = 1;
    expect(await written(10)).toEqual(numbers(10));
  });

  it("of another epoch make the device forget and read anew", async () => {
    await written(5);
    const reader = world.agent("li");
    await pass(100);
    await reader.client.claim(id);
    const c = reader.client.conversation(id);
    await pass(1000);
    const conversation = world.server.store.conversations.get(id);
    world.server.store.epoch = "epo_2";
    conversation?.entries.splice(3);
    conversation?.entries.forEach((entry, i, all) => (all[i] = { ...entry, epoch: "epo_2" }));
    world.server.cut();
    await pass(5000);
    expect(seen(c)).toEqual(stored(world.server, id));
    expect(seen(c)).toHaveLength(2);
  });

  it("of fewer entries than before under the same epoch make the device read anew, and keep the outbox", async () => {
    await written(5);
    const reader = world.agent("li");
    await pass(100);
    await reader.client.claim(id);
    const c = reader.client.conversation(id);
    await pass(1000);
    world.server.store.conversations.get(id)?.entries.splice(3); // a copy of the data, made earlier
    world.server.faults.down = true;
    world.server.cut();
    c.send("kept");
    world.server.faults.down = false;
    await pass(5000);
    expect(stored(world.server, id)).toEqual(["m1", "m2", "kept"]);
    expect(seen(c)).toEqual(stored(world.server, id));
    expect(reader.client.conversations.get(id)?.head).toBe(4);
    expect(reader.storage.keys()).toEqual([]);
  });

  it("a state that is merely late makes nobody forget", async () => {
    const { client } = world.visitor();
    const c = client.conversation(id);
    await pass(100);
    for (const n of numbers(3)) c.send(n);
    await pass(1000);
    const conversation = world.server.store.conversations.get(id);
    const all = conversation?.entries.splice(1) ?? [];
    if (conversation) for (const peer of world.server.peers) peer.state(conversation);
    conversation?.entries.push(...all);
    let fewest = 9;
    c.subscribe(() => (fewest = Math.min(fewest, seen(c).length)));
    await pass(1000);
    expect(fewest).toBe(3);
    expect(client.conversations.get(id)?.head).toBe(4);
  });

  it("that nobody can read are reported and do not stop the next", async () => {
    const { client, errors } = world.visitor();
    const c = client.conversation(id);
    await pass(100);
    c.send("one");
    await pass(100);
    const conversation = world.server.store.conversations.get(id);
    const broken = conversation?.entries.at(-1);
    if (broken) conversation?.entries.push({ ...broken, seq: 0 });
    c.send("two");
    await pass(1000);
    expect(errors).toContain("internal");
    expect(client.state).toBe("online");
  });
});

describe("connection faults", () => {
  it.each([1, 2, 3, 4, 5])("cut before and after the store, at random (seed %i): nothing lost, doubled or reordered", async (seed) => {
    let x = seed;
    const dice = (): number => (x = (x * 48_271) % 2_147_483_647) / 2_147_483_647;
    world.server.faults.onPublish = () => (dice() < 0.1 ? "drop-before" : dice() < 0.1 ? "drop-after" : undefined);
    const { client, storage } = world.visitor();
    const c = client.conversation(id);
    for (const n of numbers(100)) {
      c.send(n);
      await pass(dice() * 100);
    }
    for (let i = 0; i < 200 && storage.keys().length > 0; i++) {
      client.networkChanged();
      await pass(1500);
    }
    await pass(2000);
    expect(stored(world.server, id)).toEqual(numbers(100));
    expect(seen(c)).toEqual(numbers(100));
    expect(storage.keys()).toEqual([]);
  });

  it("an acknowledgement that never comes leads to a new connection and the same message", async () => {
    world.server.faults.onPublish = (_, n) => (n === 2 ? "ignore" : undefined);
    const { client } = world.visitor();
    await pass(100);
    const c = client.conversation(id);
    for (const n of numbers(3)) c.send(n);
    await pass(40_000);
    expect(stored(world.server, id)).toEqual(["m1", "m3", "m2"]);
    expect(seen(c)).toEqual(stored(world.server, id));
  });

  it("never has more in flight than the server takes", async () => {
    world.server.faults.ackDelay = 1000;
    const { client } = world.visitor();
    await pass(100);
    for (const n of numbers(40)) client.conversation(id).send(n);
    await pass(500);
    expect(world.server.publishes).toHaveLength(16);
    await pass(10_000);
    expect(stored(world.server, id)).toEqual(numbers(40));
  });

  it("a half-open connection is found within 10 s", async () => {
    const { client, states } = world.visitor();
    await pass(1000);
    world.server.faults.mute = true;
    await pass(10_000);
    expect(states).toEqual(["connecting", "online", "connecting"]);
    world.server.faults.mute = false;
    await pass(25_000); // the CONNECT that was not heard is given 20 s
    expect(client.state).toBe("online");
  });

  it("after a long sleep the connection is asked before it is given up", async () => {
    const { states } = world.visitor();
    await pass(6_500); // a ping may be on its way
    vi.setSystemTime(Date.now() + 3_600_000);
    await pass(20_000);
    expect(states.filter((state) => state === "online").length).toBeGreaterThan(0);
    expect(states.at(-1)).toBe("online");
  });

  it("the network's return ends the wait at once", async () => {
    const { client } = world.visitor();
    await pass(1000);
    world.server.faults.down = true;
    world.server.cut();
    await pass(120_000);
    expect(client.state).toBe("offline");
    world.server.faults.down = false;
    client.networkChanged();
    await pass(1100);
    expect(client.state).toBe("online");
  });

  it("attempts are at least a second apart, however often the network changes", async () => {
    const { client } = world.visitor();
    await pass(1000);
    world.server.faults.down = true;
    world.server.cut();
    const before = world.server.connections;
    for (let i = 0; i < 100; i++) {
      client.networkChanged();
      await pass(100);
    }
    expect(world.server.connections - before).toBeLessThanOrEqual(11);
  });

  it("a refused subscription is asked for again", async () => {
    let refusals = 0;
    world.server.faults.refuseFilter = (filter) => filter.endsWith("messages") && refusals++ < 2;
    const ann = world.visitor();
    await pass(10_000);
    expect(refusals).toBe(3);
    expect(ann.errors).toEqual(["unavailable", "unavailable"]);
    ann.client.conversation(id).send("x");
    await pass(100);
    expect(seen(ann.client.conversation(id))).toEqual(["x"]);
  });

  it("a delivery is acknowledged only after it was taken", async () => {
    const ann = world.visitor();
    const c = ann.client.conversation(id);
    await pass(100);
    const peer = [...world.server.peers][0];
    let acksWhenSeen = -1;
    ann.client.on("entry", ({ entry }) => {
      if (entry.type === "text") acksWhenSeen = peer?.received.filter((p) => p.type === "puback").length ?? 0;
    });
    c.send("x");
    await pass(1000);
    c.send("y");
    await pass(1000);
    const acks = peer?.received.filter((p) => p.type === "puback").length ?? 0;
    expect(acksWhenSeen).toBeGreaterThan(0);
    expect(acks).toBeGreaterThan(acksWhenSeen);
  });
});

describe("refusals", () => {
  it.each(["invalid", "too_large", "forbidden", "not_found", "conflict", "closed"])("%s is final: the message fails, and can be sent again or discarded", async (code) => {
    world.server.faults.onPublish = (draft) => (draft.text.startsWith("bad") ? { refuse: code } : undefined);
    const { client, storage } = world.visitor();
    const refused: string[] = [];
    client.on("refused", (refusal) => refused.push(refusal.code));
    const c = client.conversation(id);
    await pass(100);
    for (const text of ["one", "bad 1", "bad 2", "two"]) c.send(text);
    await pass(1000);
    expect(seen(c)).toEqual(["one", "two", "bad 1 (failed)", "bad 2 (failed)"]);
    expect(refused).toEqual([code, code]);
    expect(storage.keys()).toHaveLength(2);
    const [first, second] = c.items().flatMap((item) => (item.kind === "own" ? [item.message] : []));
    expect(first?.code).toBe(code);
    world.server.faults = {};
    c.retry(first?.draft.id ?? "");
    c.discard(second?.draft.id ?? "");
    await pass(1000);
    expect(seen(c)).toEqual(["one", "two", "bad 1"]);
    expect(storage.keys()).toEqual([]);
  });

  it("a code that passes by itself is not final: the message goes again, in order", async () => {
    world.server.faults.onPublish = (_, n) => (n === 2 ? { refuse: "unavailable" } : undefined);
    const { client } = world.visitor();
    await pass(100);
    const c = client.conversation(id);
    for (const n of numbers(2)) c.send(n);
    await pass(10_000);
    expect(seen(c)).toEqual(["m1", "m2"]);
  });

  it("failed messages are still there after a page load", async () => {
    world.server.faults.onPublish = () => ({ refuse: "forbidden" });
    const { client, storage } = world.visitor();
    await pass(100);
    client.conversation(id).send("x");
    await pass(100);
    client.stop();
    expect(seen(world.visitor(storage).client.conversation(id))).toEqual(["x (failed)"]);
  });
});

describe("storage", () => {
  it("what a closed page left is sent by the next, in order, once", async () => {
    const first = world.visitor();
    let session = { refreshToken: "", device: "" };
    first.client.on("session", (s) => (session = s));
    await pass(100);
    world.server.faults.onPublish = (draft) => (draft.text === "m3" ? "drop-after" : undefined);
    for (const n of numbers(5)) first.client.conversation(id).send(n);
    await pass(20);
    first.client.stop();
    world.server.faults = {};
    const second = world.visitor(first.storage, { remembered: () => session });
    expect(second.client.unsent()).toEqual([id]);
    await pass(1000);
    expect(second.client.session?.user).toBe(first.client.session?.user);
    expect(stored(world.server, id)).toEqual(numbers(5));
    expect(seen(second.client.conversation(id)).slice(0, 5)).toEqual([]);
    await pass(100);
    expect(seen(second.client.conversation(id))).toEqual(numbers(5));
    expect(first.storage.keys()).toEqual([]);
  });

  it("two tabs share it without overwriting or doubling", async () => {
    const storage = memoryStorage();
    const one = world.visitor(storage);
    let session = { refreshToken: "", device: "" };
    one.client.on("session", ({ refreshToken }) => (session = { refreshToken, device: "" }));
    await pass(100);
    const two = world.visitor(storage, { remembered: () => session });
    await pass(100);
    expect(two.client.session?.user).toBe(one.client.session?.user);
    expect(two.client.session?.device).not.toBe(one.client.session?.device);
    world.server.cut();
    for (const n of numbers(10)) {
      one.client.conversation(id).send("one " + n);
      two.client.conversation(id).send("two " + n);
    }
    expect(storage.keys()).toHaveLength(20);
    await pass(10_000);
    const texts = stored(world.server, id);
    expect(texts).toHaveLength(20);
    expect(texts.filter((text) => text.startsWith("one"))).toEqual(numbers(10).map((n) => "one " + n));
    expect(texts.filter((text) => text.startsWith("two"))).toEqual(numbers(10).map((n) => "two " + n));
    expect(seen(one.client.conversation(id))).toEqual(texts);
    expect(seen(two.client.conversation(id))).toEqual(texts);
    expect(storage.keys()).toEqual([]);
  });
});

describe("sessions", () => {
  it("a refused token is renewed", async () => {
    const { client, states } = world.visitor();
    await pass(1000);
    world.server.revokeTokens();
    await pass(1000);
    expect(client.state).toBe("online");
    expect(states).toEqual(["connecting", "online", "connecting", "online"]);
    expect(world.server.requests).toContain("POST /v1/tokens/refresh");
  });

  it("a token is renewed in place: the connection goes on", async () => {
    world.server.tokenLifetime = 100_000;
    const { client, states, errors } = world.visitor();
    await pass(600_000);
    expect([states, world.server.connections, errors]).toEqual([["connecting", "online"], 1, []]);
    expect(world.server.renewals.length).toBeGreaterThanOrEqual(6);
    expect(world.server.renewals.length).toBeLessThanOrEqual(8);
    expect(client.session?.token).toBe(world.server.renewals.at(-1));
  });

  it("tokens made in the same moment are not renewed in the same moment", async () => {
    world.server.tokenLifetime = 100_000;
    for (let n = 0; n < 20; n++) world.visitor();
    await pass(85_000);
    expect(world.server.renewals.length).toBeGreaterThan(0);
    expect(world.server.renewals.length).toBeLessThan(20);
    await pass(6_000);
    expect(world.server.renewals).toHaveLength(20);
  });

  it("a renewal that fails is tried again while the token is good", async () => {
    world.server.tokenLifetime = 100_000;
    const { states, errors } = world.visitor();
    await pass(1000);
    world.server.faults.onRequest = (_, path) => (path === "/v1/tokens/refresh" ? 503 : undefined);
    await pass(91_000);
    expect(errors).toContain("unavailable");
    world.server.faults = {};
    await pass(100_000);
    expect([states, world.server.connections]).toEqual([["connecting", "online"], 1]);
  });

  it("a renewed token that the server refuses is shown, and another one fetched", async () => {
    world.server.tokenLifetime = 100_000;
    const { client, states, errors } = world.visitor();
    await pass(1000);
    world.server.faults.refuseRenewal = true;
    await pass(95_000);
    expect([states, errors]).toEqual([["connecting", "online", "connecting", "online"], ["unauthenticated"]]);
    world.server.faults = {};
    await pass(300_000);
    expect([client.state, world.server.connections]).toEqual(["online", 2]);
  });

  it("whose refresh token is void end with the token, and say so", async () => {
    world.server.tokenLifetime = 100_000;
    const { client } = world.agent("li");
    await pass(1000);
    world.server.faults.onRequest = (_, path) => (path === "/v1/tokens/refresh" ? 401 : undefined);
    await pass(98_000);
    expect(client.state).toBe("online");
    await pass(3_000);
    expect(client.state).toBe("signed-out");
  });

  it("a client that is stopped while it signs in stays so, whatever comes of that", async () => {
    world.server.faults.silent = true;
    const { client, errors } = world.agent("li");
    await pass(100);
    client.stop();
    world.server.faults = { onRequest: () => 403 };
    await pass(20_000);
    expect([client.state, errors]).toEqual(["offline", []]);
  });

  it("a device that is offline when its token ends loses nothing", async () => {
    world.server.tokenLifetime = 60_000;
    const ann = world.visitor();
    const li = world.agent("li");
    await pass(1000);
    const conversation = ann.client.conversation(id);
    conversation.send("before");
    await pass(1000);
    await li.client.claim(id);
    for (const fault of [{ down: true }, { silent: true }]) {
      world.server.faults = fault;
      world.server.cut();
      for (const text of numbers(10)) conversation.send(text);
      await pass(300_000); // five lives of a token
      world.server.faults = {};
      await pass(25_000);
    }
    expect(stored(world.server, id)).toEqual(["before", ...numbers(10), ...numbers(10)]);
    expect(seen(conversation)).toEqual(stored(world.server, id));
    expect([ann.client.state, li.client.state, ann.storage.keys()]).toEqual(["online", "online", []]);
  });

  it("a page whose origin is not allowed is told apart from a network that is gone, and goes on once it is", async () => {
    world.server.faults.refuseOrigin = true;
    const { client, errors } = world.visitor();
    await pass(100);
    expect(client.state).toBe("offline"); // may have been a network that just came back
    await pass(5000);
    expect(client.state).toBe("refused");
    expect(errors).toContain("forbidden");
    client.conversation(id).send("kept");
    world.server.faults = { down: true };
    await pass(60_000);
    expect(client.state).toBe("offline");
    world.server.faults = {};
    await pass(30_000);
    expect(client.state).toBe("online");
    expect(stored(world.server, id)).toEqual(["kept"]);
  });

  it("an origin that the site itself refuses is said at once", async () => {
    world.server.faults.onRequest = () => 403;
    const { client } = world.visitor();
    await pass(100);
    expect(client.state).toBe("refused");
  });

  it("a wrong password ends in signed-out", async () => {
    const { client, errors } = world.agent("li", memoryStorage(), "wrong");
    await pass(1000);
    expect(client.state).toBe("signed-out");
    expect(errors).toEqual(["unauthenticated"]);
  });

  it("a visitor whom the server has forgotten becomes a new one", async () => {
    const { client } = world.visitor(memoryStorage(), { remembered: () => ({ refreshToken: "ref_old", device: "dev_old" }) });
    await pass(1000);
    expect(client.state).toBe("online");
  });

  it("a device that was taken over waits for a person", async () => {
    const first = world.visitor();
    let session = { refreshToken: "", device: "" };
    first.client.on("session", (s) => (session = s));
    await pass(1000);
    const second = world.visitor(memoryStorage(), { remembered: () => session });
    await pass(60_000);
    expect([first.client.state, second.client.state]).toEqual(["replaced", "online"]);
    first.client.networkChanged();
    await pass(10_000);
    expect(first.client.state).toBe("replaced");
    first.client.takeOver();
    await pass(1000);
    expect([first.client.state, second.client.state]).toEqual(["online", "replaced"]);
  });
});

describe("an agent's list", () => {
  it("follows the queue, and forgets what others took", async () => {
    const ann = world.visitor();
    const li = world.agent("li");
    const han = world.agent("han");
    await pass(100);
    ann.client.conversation(id).send("help");
    await pass(100);
    expect(li.client.conversations.get(id)?.lastText).toBe("help");
    const open = han.client.conversation(id);
    await pass(600);
    expect(seen(open)).toEqual(["help"]);
    ann.client.conversation(id).send("please");
    await pass(100);
    expect(seen(open)).toEqual(["help", "please"]);
    await li.client.claim(id);
    await expect(han.client.claim(id)).rejects.toMatchObject({ code: "not_found" });
    await pass(100);
    expect(han.client.conversations.has(id)).toBe(false);
    expect(open.error?.code).toBe("not_found");
    expect(han.errors).toEqual([]);
    expect(li.client.conversations.get(id)).toMatchObject({ status: "open", assignee: { id: "agt_li", name: "li" } });
    expect((await li.client.close(id)).status).toBe("closed");
  });
});

describe("a list that is longer than what is fetched of it", () => {
  it("keeps what was told beyond", async () => {
    for (let n = 0; n < 1200; n++) world.server.store.record(`cnv_${n}`, { user: "vis_a", device: "d", role: "visitor", name: "" }, makeDraft(`msg_${n}_000`, "text", "x"));
    const { client } = world.agent("li");
    await pass(2000);
    await client.refresh();
    expect(client.conversations.size).toBe(1200);
  });
});

describe("a new conversation", () => {
  it("asks the server for nothing before something was written", async () => {
    const { client } = world.visitor();
    const c = client.conversation(client.newConversation());
    await pass(1000);
    expect(c.loaded).toBe(true);
    expect(world.server.requests.filter((path) => path.includes("messages"))).toEqual([]);
    c.send("x");
    await pass(1000);
    expect(seen(c)).toEqual(["x"]);
  });
});
