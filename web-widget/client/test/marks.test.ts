import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Entry } from "../src/entry";
import { Marks } from "../src/marks";
import { World, type Person } from "./fake/world";

const id = "cnv_test";
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A log as its server has it: who wrote what, and how many messages there were by then. */
const logs = fc.array(fc.constantFrom("me", "other", "system"), { minLength: 1, maxLength: 30 }).map((senders) =>
  senders.map((sender, i): Entry => {
    const count = senders.slice(0, i + 1).filter((one) => one !== "system").length;
    return { seq: i + 1, epoch: "a", id: `e${i}`, sender, device: "", role: "", type: "any", body: {}, at: 0, count };
  }),
);
const news = fc.record({ kind: fc.constantFrom("entry", "state", "marked", "read here"), seq: fc.nat(100), read: fc.nat(100) });

it("unread is what a recount says, whatever comes in whatever order, however often", () => {
  fc.assert(
    fc.property(logs, fc.array(news, { maxLength: 60 }), (log, all) => {
      const marks = new Marks(() => undefined, () => {});
      const countAt = (seq: number): number => log[seq - 1]?.count ?? 0;
      const reached = (seq: number) => ({ delivered: seq, read: seq, count: countAt(seq) });
      let head = 0;
      let read = 0;
      const recount = (): number => log.filter((entry) => entry.sender !== "system" && entry.seq > read && entry.seq <= head).length;
      for (const one of all) {
        const entry = log[one.seq % log.length];
        if (!entry) throw new Error("no entry");
        const { seq, count } = entry;
        const own = entry.sender === "me";
        const upTo = one.read % (seq + 1); // nobody has read what was not there
        switch (one.kind) {
          case "entry":
            marks.mark(id, entry, own, own);
            break;
          case "state":
            marks.learn(id, "a", count, reached(upTo));
            break;
          case "marked":
            marks.learn(id, "a", 0, reached(upTo));
            break;
          case "read here":
            marks.mark(id, entry, true);
        }
        if (one.kind !== "marked") head = Math.max(head, seq);
        if (one.kind !== "entry" || own) read = Math.max(read, one.kind === "state" || one.kind === "marked" ? upTo : seq);
        expect(marks.unread(id)).toBe(recount());
      }
      vi.clearAllTimers();
    }),
  );
});

describe("marks", () => {
  let world: World;
  let ann: Person;
  let pc: Person;
  let tablet: Person;

  beforeEach(async () => {
    world = new World();
    [ann, pc, tablet] = [world.visitor(), world.agent("li"), world.agent("li")];
    await pass(100);
    ann.client.conversation(id).send("hello");
    await pass(100);
    await pc.client.claim(id);
    await pass(3000);
    world.server.marks.length = 0;
  });
  afterEach(() => world.stop());

  const say = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) ann.client.conversation(id).send(`m${i}`);
    await pass(100);
  };
  const unread = (): number[] => [pc, tablet].map(({ client }) => client.unread(id));
  const read = async (person: Person): Promise<void> => {
    const conversation = person.client.conversation(id);
    await pass(50);
    conversation.read();
  };

  it("clear the other devices of the user within a second", async () => {
    await say(3);
    expect(unread()).toEqual([4, 4]);
    await read(pc);
    expect(unread()).toEqual([0, 4]);
    await pass(1000);
    expect(unread()).toEqual([0, 0]);
    await say(1);
    expect(unread()).toEqual([1, 1]);
    pc.client.conversation(id).send("an answer is read by whoever writes it");
    await pass(100);
    expect(unread()).toEqual([0, 0]);
    expect(ann.client.unread(id)).toBe(1);
  });

  it("clear them within a second where one has left just before, too", async () => {
    await say(1);
    await read(pc);
    await pass(60);
    expect(unread()).toEqual([0, 0]);
    await say(1);
    pc.client.conversation(id).read();
    expect(unread()).toEqual([0, 1]);
    await pass(850);
    expect(unread()).toEqual([0, 0]);
  });

  it("are told to the others in the conversation", async () => {
    await say(1);
    await read(pc);
    await pass(1000);
    const head = world.server.store.conversations.get(id)?.entries.length ?? 0;
    expect(ann.client.conversations.get(id)?.agentRead).toBe(head);
    pc.client.conversation(id).send("hi");
    await pass(3000);
    const hers = (): unknown => pc.client.conversations.get(id)?.marks.find(({ user }) => user.startsWith("vis_"));
    expect(hers()).toMatchObject({ delivered: head + 1, read: head });
    await read(ann);
    await pass(1000);
    expect(hers()).toMatchObject({ delivered: head + 1, read: head + 1 });
  });

  it("leave 0.8 s apart at least, and the last one always", async () => {
    const conversation = pc.client.conversation(id);
    conversation.subscribe(() => conversation.read());
    for (let n = 0; n < 50; n++) await say(1);
    await pass(1100);
    const mine = world.server.marks.filter(({ device }) => device === pc.client.session?.device);
    expect(mine.length).toBeGreaterThan(3);
    for (const [i, { at }] of mine.entries()) expect(at - (mine[i - 1]?.at ?? 0)).toBeGreaterThanOrEqual(800);
    expect(mine.at(-1)?.read).toBe(world.server.store.conversations.get(id)?.entries.length);
    await pass(10_000);
    expect(world.server.marks.filter(({ device }) => device === pc.client.session?.device)).toHaveLength(mine.length);
  });

  it("are sent again after a reconnect until they are acknowledged, and not after that", async () => {
    await say(2);
    const conversation = pc.client.conversation(id);
    await pass(100);
    let attempts = 0;
    world.server.faults.onMark = (device) => (device === pc.client.session?.device && ++attempts < 3 ? "drop-before" : undefined);
    conversation.read();
    await pass(20_000);
    expect(attempts).toBe(3);
    expect(unread()).toEqual([0, 0]);
    world.server.cut();
    await pass(10_000);
    expect(attempts).toBe(3);
  });

  it("that are made offline are told when there is a connection", async () => {
    await say(2);
    const conversation = pc.client.conversation(id);
    await pass(100);
    world.server.faults.down = true;
    world.server.cut();
    await pass(1000);
    conversation.read();
    expect(unread()).toEqual([0, 3]);
    await pass(5000);
    world.server.faults.down = false;
    pc.client.networkChanged();
    tablet.client.networkChanged();
    await pass(3000);
    expect(unread()).toEqual([0, 0]);
  });

  it("that are refused are not told again", async () => {
    await say(1);
    let attempts = 0;
    world.server.faults.onMark = () => (attempts++, { refuse: "invalid" });
    await read(pc);
    await pass(10_000);
    expect(attempts).toBeGreaterThan(0);
    const before = attempts;
    await pass(60_000);
    expect(attempts).toBe(before);
    expect([...pc.errors, ...ann.errors]).toEqual([]);
  });

  it("of another numbering count anew", async () => {
    await say(5);
    await read(pc);
    await pass(1000);
    const c = world.server.store.conversations.get(id);
    world.server.store.epoch = "epo_2";
    c?.entries.splice(4);
    c?.entries.forEach((entry, i, all) => (all[i] = { ...entry, epoch: "epo_2" }));
    c?.marks.clear();
    world.server.cut();
    await pass(5000);
    expect(tablet.client.unread(id)).toBe(c?.entries.at(-1)?.count);
  });

  it("of fewer entries under the same epoch count anew", async () => {
    await say(5);
    world.server.store.conversations.get(id)?.entries.splice(3);
    world.server.cut();
    await pass(5000);
    expect(unread()).toEqual([1, 1]);
  });

  it("in a state that is late take nothing back", async () => {
    await say(1);
    const late = world.server.store.conversations.get(id);
    const before = new Map(late?.marks);
    await read(pc);
    await pass(1000);
    const agentRead = ann.client.conversations.get(id)?.agentRead;
    const now = late?.marks;
    if (late) late.marks = before;
    if (late) for (const peer of world.server.peers) peer.state(late);
    await pass(100);
    expect(unread()).toEqual([0, 0]);
    expect(ann.client.conversations.get(id)?.agentRead).toBe(agentRead);
    if (late && now) late.marks = now;
  });
});
