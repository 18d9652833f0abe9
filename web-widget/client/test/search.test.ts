import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeDraft } from "../src/draft";
import { textOf } from "../src/entry";
import { Passage, searchMessages } from "../src/search";
import { numbers, seen, World, type Person } from "./fake/world";

const id = "cnv_1";
const ann = { user: "vis_ann", device: "dev_v", role: "visitor", name: "Ann" };
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

let world: World;
let agent: Person;

const write = (text: string, conversation = id): unknown => world.server.store.record(conversation, ann, makeDraft(`msg_${text}_123`, "text", text));
const change = (type: "edit" | "delete", seq: number, text = ""): unknown => world.server.store.record(id, ann, makeDraft(`msg_${type}_${seq}_${text}`, type, text, seq));
const shown = (passage: Passage): string[] => passage.items().flatMap(({ entry }) => (entry.redacted ? ["gone"] : (textOf(entry) ?? [])));

beforeEach(async () => {
  vi.useFakeTimers();
  world = new World();
  agent = world.agent("li");
  await pass(100);
});
afterEach(() => {
  world.stop();
  vi.useRealTimers();
});

it("finds messages, newest first, in pages", async () => {
  for (const n of numbers(40)) write(`refund ${n}`);
  write("退款，谢谢 <b>", "cnv_2");
  const first = await searchMessages(agent.client, "REFUND");
  expect(first.hits.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, i) => 41 - i));
  const second = await searchMessages(agent.client, "REFUND", first.nextCursor);
  expect([second.hits.length, second.nextCursor]).toEqual([10, ""]);
  const [hit] = (await searchMessages(agent.client, "谢谢 <")).hits;
  expect(hit).toMatchObject({ conversation: "cnv_2", visitor: { id: "vis_ann", name: "Ann" }, seq: 2, role: "visitor" });
  expect(hit?.snippet).toEqual([{ text: "退款，", hit: false }, { text: "谢谢 <", hit: true }, { text: "b>", hit: false }]);
});

describe("a passage", () => {
  const open = async (seq: number, changed = (): void => {}): Promise<Passage> => {
    const conversation = agent.client.conversation(id);
    await pass(100);
    const passage = new Passage(agent.client, conversation, changed);
    await passage.open(seq);
    return passage;
  };

  it("grows both ways until it is a part of the conversation", async () => {
    for (const n of numbers(300)) write(n); // m1 has seq 2
    const passage = await open(101);
    const conversation = agent.client.conversation(id);
    expect([shown(passage), passage.join(), passage.hasOlder]).toEqual([numbers(50, 75), false, true]);
    await passage.loadOlder();
    expect(shown(passage)).toEqual(numbers(100, 25));
    for (let n = 0; n < 2; n++) {
      await passage.loadNewer();
      expect(passage.join()).toBe(false);
    }
    write("m301");
    await passage.loadNewer();
    expect(passage.join()).toBe(true);
    await pass(100);
    expect(seen(conversation)).toEqual(numbers(277, 25));
    await conversation.loadOlder();
    expect([seen(conversation), conversation.hasOlder]).toEqual([numbers(301), false]);
  });

  it("shows what became of its messages far behind it, before and while it is read", async () => {
    for (const n of numbers(10)) write(n);
    change("edit", 3, "edited");
    for (const n of numbers(200, 11)) write(n);
    change("edit", 3, "edited again");
    change("delete", 4);
    for (const n of numbers(60, 211)) write(n);
    let told = 0;
    const passage = await open(5, () => told++);
    expect(shown(passage).slice(0, 5)).toEqual(["m1", "edited again", "gone", "m4", "m5"]);
    expect(passage.items().filter(({ edited }) => edited).map(({ entry }) => entry.seq)).toEqual([3]);
    const before = told;
    change("delete", 5);
    change("edit", 6, "now");
    await pass(1000);
    expect(shown(passage).slice(0, 5)).toEqual(["m1", "edited again", "gone", "gone", "now"]);
    expect(told).toBeGreaterThan(before);
  });

  it("begins where history does", async () => {
    for (const n of numbers(300)) write(n);
    const c = world.server.store.conversations.get(id);
    if (c) c.first = 90;
    const passage = await open(3);
    expect([shown(passage)[0], passage.first, passage.hasOlder]).toEqual(["m89", 90, false]);
  });
});
