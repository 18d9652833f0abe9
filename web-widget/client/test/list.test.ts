import { expect, test } from "vitest";
import { ConversationList } from "../src/list";

const raw = (conversation: string, head: number) => ({
  ...{ conversation, head, epoch: "epo_1", first: 1, count: head - 1, status: "queued", assignee: null, openedAt: 1, updatedAt: 1, lastText: "" },
  ...{ visitor: { id: "vis_1", name: "" }, marks: [], agentRead: 0 },
});

/** Fetches a list whose first page has these conversations; `meanwhile` happens before the last answer. */
async function fetched(list: ConversationList, conversations: unknown[], meanwhile = (): void => {}): Promise<void> {
  const found = await list.refresh(async (path, decode) => {
    const queued = path.includes("queued");
    if (!queued) meanwhile();
    return decode({ conversations: queued ? conversations : [], nextCursor: "" });
  }, true);
  for (const state of found) list.learn(state);
}

test("what has left our sight while the list was fetched does not come back with the answer", async () => {
  const list = new ConversationList(() => {});
  await fetched(list, [raw("cnv_1", 3), raw("cnv_2", 3)]);
  await fetched(list, [raw("cnv_1", 4), raw("cnv_2", 3)], () => list.forget("cnv_1"));
  expect([...list.states.keys()]).toEqual(["cnv_2"]);
  await fetched(list, [raw("cnv_1", 6), raw("cnv_2", 3)]); // it waits again
  expect([...list.states.keys()].sort()).toEqual(["cnv_1", "cnv_2"]);
});

test("a conversation that is numbered anew is taken as it is now", async () => {
  const list = new ConversationList(() => {});
  await fetched(list, [raw("cnv_1", 5)]);
  await fetched(list, [raw("cnv_1", 2)]);
  expect(list.states.get("cnv_1")?.head).toBe(2);
});
