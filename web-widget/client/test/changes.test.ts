import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { shownOf } from "../src/changes";
import { makeDraft, type DraftType } from "../src/draft";
import { textOf, type Entry } from "../src/entry";
import { newestOwn, rowsOf, type Bubble } from "../src/rows";
import { begin, emptyLog, fill, isBehind, hasOlder, prepend, receive, type Log } from "../src/log";
import type { Conversation } from "../src/conversation";
import { Store, type Identity } from "./fake/store";
import { seen, World, type Person } from "./fake/world";

const id = "cnv_test";
const ann: Identity = { user: "vis_ann", device: "dev_1", role: "visitor", name: "Ann" };
const boss: Identity = { user: "agt_boss", device: "dev_2", role: "admin", name: "Boss" };

/** What a server and a device do, one after the other. */
const steps = fc.array(
  fc.record({
    what: fc.constantFrom("text", "edit", "delete", "edit", "load", "older", "live", "live late", "catch up"),
    boss: fc.boolean(),
    target: fc.nat(60),
    size: fc.integer({ min: 1, max: 8 }),
  }),
  { maxLength: 80 },
);

it("whatever the order of deliveries, pages and losses: a device shows what the server holds", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const store = new Store();
      const server = { text: new Map<number, string>(), edited: new Set<number>() };
      store.record(id, ann, makeDraft("msg_opening", "text", "opening"));
      const c = store.conversations.get(id);
      if (!c) throw new Error("no conversation");
      store.claim(c, boss);
      server.text.set(2, "opening");

      let log: Log = emptyLog;
      const wire: Entry[] = []; // as it was when it was sent
      const page = (from: number, to: number) => ({ epoch: store.epoch, head: c.entries.length, first: 1, entries: c.entries.slice(Math.max(0, from - 1), to) });
      const older = (size: number): void => {
        const oldest = log.entries[0]?.seq ?? log.have + 1;
        if (log.epoch && hasOlder(log)) log = prepend(log, page(oldest - size, oldest - 1));
      };
      let drafts = 0;
      const change = (by: Identity, type: DraftType, target: number): void => {
        const text = type === "delete" ? "" : `text ${++drafts}`;
        const answer = store.record(id, by, makeDraft(`msg_${String(++drafts).padStart(8, "0")}`, type, text, type === "text" ? 0 : target));
        if ("code" in answer) return;
        const sent = c.entries[answer.seq - 1];
        if (sent) wire.push(sent);
        if (type === "delete") server.text.set(target, "");
        else server.text.set(type === "text" ? answer.seq : target, text);
        if (type === "edit") server.edited.add(target);
      };
      for (const { what, boss: byBoss, target, size } of all) {
        const next = wire[what === "live late" ? target % (wire.length || 1) : 0];
        if (what === "text" || what === "edit" || what === "delete") change(byBoss ? boss : ann, what, (target % c.entries.length) + 1);
        else if (what === "load" && log.epoch === "") log = begin(log, page(c.entries.length - size, c.entries.length));
        else if (what === "older") older(size);
        else if (what === "catch up" && log.epoch) log = fill(log, page(log.have + 1, log.have + size));
        else if (next) {
          wire.splice(wire.indexOf(next), 1);
          log = receive(log, next);
        }
      }
      if (log.epoch === "") log = begin(log, page(c.entries.length - 3, c.entries.length));
      log = fill(log, page(log.have + 1, c.entries.length)); // the beat
      expect([log.have, isBehind(log)]).toEqual([c.entries.length, false]);
      for (let n = 0; n < 2; n++) {
        for (const { entry, edited } of shownOf(log.entries, [])) {
          if (!server.text.has(entry.seq)) continue;
          const text = server.text.get(entry.seq);
          expect([entry.seq, entry.redacted === true, textOf(entry)]).toEqual([entry.seq, text === "", text || undefined]);
          expect(edited).toBe(text !== "" && server.edited.has(entry.seq));
        }
        while (hasOlder(log)) older(5);
      }
      expect(log.entries[0]?.seq).toBe(1);
    }),
    { numRuns: 500 },
  );
});

it("an edit by somebody else than the author changes nothing, and a deletion is final", () => {
  const base = { epoch: "a", id: "", device: "", role: "", at: 0, count: 0 };
  const log: Entry[] = [
    { ...base, seq: 1, sender: "ann", type: "text", body: { text: "one" } },
    { ...base, seq: 2, sender: "bob", type: "edit", body: { seq: 1, text: "not mine" } },
    { ...base, seq: 3, sender: "ann", type: "edit", body: { seq: 1 } },
    { ...base, seq: 4, sender: "ann", type: "edit", body: { seq: 9, text: "nowhere" } },
  ];
  const first = (entries: Entry[]) => shownOf(entries, [])[0];
  expect(first(log)).toMatchObject({ edited: false, entry: { body: { text: "one" } } });
  const gone: Entry[] = [...log, { ...base, seq: 5, sender: "boss", type: "delete", body: { seq: 1 } }, { ...base, seq: 6, sender: "ann", type: "edit", body: { seq: 1, text: "again" } }];
  expect(first(gone)).toMatchObject({ edited: false, entry: { redacted: true, body: {} } });
  // A page may know of a deletion whose entry is on a later one.
  const ahead = log.map((entry) => (entry.seq === 1 ? { ...entry, body: {}, redacted: true } : entry));
  expect(first([...ahead, { ...base, seq: 5, sender: "ann", type: "edit", body: { seq: 1, text: "late" } }])).toMatchObject({ edited: false, entry: { redacted: true, body: {} } });
});

describe("changes of own messages", () => {
  let world: World;
  let visitor: Person;
  let pc: Person;
  let tablet: Person;
  let conversation: Conversation;
  const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
  const bubbles = (of: Conversation, me: string): Bubble[] => rowsOf(of.items(), me, "visitor").filter((row) => row.kind === "bubble");
  const shown = (person: Person): string[] =>
    bubbles(person.client.conversation(id), person.client.session?.user ?? "").map(({ text, edited, deleted, change }) => `${text}${edited ? " (edited)" : ""}${deleted ? "(deleted)" : ""}${change ? ` ${change.state}` : ""}`);

  beforeEach(async () => {
    vi.useFakeTimers();
    world = new World();
    [visitor, pc, tablet] = [world.visitor(), world.agent("li"), world.agent("li")];
    await pass(100);
    conversation = visitor.client.conversation(id);
    conversation.send("one");
    conversation.send("two");
    await pass(100);
    await pc.client.claim(id);
    for (const { client } of [pc, tablet]) client.conversation(id);
    await pass(2000);
  });
  afterEach(() => {
    world.stop();
    vi.useRealTimers();
  });

  it("show at once, and on every device", async () => {
    conversation.edit(2, "ONE");
    expect(shown(visitor)).toEqual(["ONE (edited) sent", "two"]);
    await pass(100);
    for (const person of [visitor, pc, tablet]) expect(shown(person)).toEqual(["ONE (edited)", "two"]);
    conversation.delete(2);
    await pass(100);
    for (const person of [visitor, pc, tablet]) expect(shown(person)).toEqual(["(deleted)", "two"]);
    expect(visitor.storage.keys()).toEqual([]);
  });

  it("reach a device that was away, whose pages hold the text no more", async () => {
    tablet.client.stop();
    conversation.edit(2, "ONE");
    await pass(100);
    conversation.edit(3, "TWO");
    conversation.delete(2);
    await pass(100);
    tablet.client.start();
    const fresh = world.agent("li");
    await pass(1000);
    fresh.client.conversation(id);
    await pass(1000);
    for (const person of [tablet, fresh]) expect(shown(person)).toEqual(["(deleted)", "TWO (edited)"]);
  });

  it("written offline wait in the outbox, over a reload too", async () => {
    world.server.faults.down = true;
    world.server.cut();
    await pass(100);
    conversation.edit(2, "ONE");
    conversation.delete(3);
    conversation.send("three");
    expect(shown(visitor)).toEqual(["ONE (edited) queued", "(deleted) queued", "three"]);
    visitor.client.stop();
    world.server.faults = {};
    const again = world.visitor(visitor.storage, { remembered: () => ({ refreshToken: visitor.client.session?.refreshToken ?? "", device: visitor.client.session?.device ?? "" }) });
    again.client.conversation(id);
    await pass(5000);
    expect(shown(again)).toEqual(["ONE (edited)", "(deleted)", "three"]);
    expect(visitor.storage.keys()).toEqual([]);
  });

  it("that are refused show the message as it was, and why, until somebody has seen it", async () => {
    world.server.store.editVisitor = -1;
    conversation.edit(2, "ONE");
    await pass(100);
    expect(shown(visitor)).toEqual(["one failed", "two"]);
    const [first] = bubbles(conversation, visitor.client.session?.user ?? "");
    expect(first?.change).toMatchObject({ code: "forbidden" });
    conversation.edit(2, "ONE again");
    await pass(100);
    expect(visitor.storage.keys()).toHaveLength(1);
    world.server.store.editVisitor = 900_000;
    const failed = bubbles(conversation, visitor.client.session?.user ?? "")[0]?.change?.draft.id ?? "";
    conversation.retry(failed);
    await pass(100);
    expect(shown(visitor)).toEqual(["ONE again (edited)", "two"]);
    world.server.store.editVisitor = -1;
    conversation.delete(3);
    await pass(100);
    expect(shown(visitor)).toEqual(["ONE again (edited)", "two failed"]);
    conversation.discard(bubbles(conversation, visitor.client.session?.user ?? "")[1]?.change?.draft.id ?? "");
    expect(shown(visitor)).toEqual(["ONE again (edited)", "two"]);
    expect(visitor.storage.keys()).toEqual([]);
  });

  it("of a message that is deleted already are refused", async () => {
    pc.client.conversation(id).send("mine");
    await pass(1000);
    const { seq = 0 } = bubbles(pc.client.conversation(id), "").at(-1) ?? {};
    tablet.client.stop();
    pc.client.conversation(id).delete(seq);
    await pass(100);
    tablet.client.conversation(id).edit(seq, "still mine");
    tablet.client.start();
    await pass(5000);
    expect(shown(tablet)).toEqual(["one", "two", "(deleted) failed"]);
  });

  it("count as no message, and mark nothing as read", async () => {
    pc.client.conversation(id).send("answer");
    await pass(2000);
    expect(visitor.client.unread(id)).toBe(1);
    conversation.edit(2, "ONE");
    await pass(2000);
    expect([visitor.client.unread(id), pc.client.unread(id)]).toEqual([1, 0]);
    expect(seen(conversation)).toEqual(["ONE", "two", "answer"]);
    const rows = rowsOf(conversation.items(), visitor.client.session?.user ?? "", "visitor");
    expect(newestOwn(rows, 99)).toBe(rows.filter((row) => row.kind === "bubble" && row.own).at(-1)?.key);
  });
});
