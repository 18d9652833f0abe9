import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bodyJson } from "../src/draft";
import { decodeEntry, type Entry } from "../src/entry";
import { parseJson } from "../src/json";
import { isBehind, logAt, receive } from "../src/log";
import { utf8 } from "../src/platform";
import { decodeDraft } from "./fake/draft";
import { conversationTopic, deviceTopic, placeOf } from "../src/topic";
import { parseFilter, parseTopic, type Topic } from "./fake/topic";

// The same files that the Go tests run.
function vectors<T>(name: string): T[] {
  const path = new URL(`../../../broker/protocol/vectors/${name}.json`, import.meta.url);
  const file: { cases: T[] } = JSON.parse(readFileSync(path, "utf8"));
  return file.cases;
}

interface TopicVector {
  topic: string;
  parsed?: Topic;
  filterOnly?: boolean;
}

describe("topics", () => {
  it.each(vectors<TopicVector>("topics"))("$topic", ({ topic, parsed, filterOnly }) => {
    expect(parseFilter(topic)).toEqual(parsed);
    expect(parseTopic(topic)).toEqual(filterOnly ? undefined : parsed);
    if (parsed && /^p1\/[^/]+\/[cud]\//.test(topic)) expect(placeOf(topic)).toEqual({ kind: parsed.kind, id: parsed.conversation ?? topic.split("/")[3] });
  });
});

interface DraftVector {
  name: string;
  payload?: string;
  base64?: string;
  repeat?: { text: string; times: number };
  id?: string;
  text?: string;
  body?: string;
  bodyBytes?: number;
  refused?: { code: string; id: string };
}

function payloadOf({ payload, base64, repeat }: DraftVector): Uint8Array {
  if (base64 !== undefined) return new Uint8Array(Buffer.from(base64, "base64"));
  if (repeat) return utf8(JSON.stringify({ id: "msg_0123456789", type: "text", body: { text: repeat.text.repeat(repeat.times) } }));
  return utf8(payload ?? "");
}

it("topics that we make are read as what we mean", () => {
  expect(parseTopic(conversationTopic("send", "s", "c"))).toEqual({ kind: "send", site: "s", conversation: "c" });
  expect(parseTopic(deviceTopic("auth", "s", "u", "d"))).toEqual({ kind: "auth", site: "s", user: "u", device: "d" });
});

describe("drafts", () => {
  it.each(vectors<DraftVector>("drafts"))("$name", (vector) => {
    const draft = decodeDraft(payloadOf(vector));
    if ("refused" in draft) {
      expect({ code: draft.refused.code, id: draft.id }).toEqual(vector.refused);
      return;
    }
    expect(vector.refused).toBeUndefined();
    expect(draft.id).toBe(vector.id);
    if (vector.bodyBytes !== undefined) expect(utf8(bodyJson(draft)).length).toBe(vector.bodyBytes);
    else expect([draft.text, bodyJson(draft)]).toEqual([vector.text, vector.body]);
  });
});

describe("edits and deletions", () => {
  it.each(vectors<DraftVector & { type?: string }>("edits"))("$name", (vector) => {
    const draft = decodeDraft(payloadOf(vector));
    if ("refused" in draft) expect({ code: draft.refused.code, id: draft.id }).toEqual(vector.refused);
    else expect([draft.id, draft.type, bodyJson(draft)]).toEqual([vector.id, vector.type, vector.body]);
  });
});

describe("entries", () => {
  it.each(vectors<{ name: string; payload: string; entry?: Entry }>("entries"))("$name", ({ payload, entry }) => {
    if (entry) expect(decodeEntry(parseJson(payload))).toEqual(entry);
    else expect(() => decodeEntry(parseJson(payload))).toThrow();
  });
});

interface FlowVector {
  name: string;
  epoch: string;
  have: number;
  incoming: Array<{ epoch: string; seq: number }>;
  applied: number[];
  haveAfter: number;
  fetchAfter: number | null;
}

describe("flows", () => {
  it.each(vectors<FlowVector>("flows"))("$name", ({ epoch, have, incoming, applied, haveAfter, fetchAfter }) => {
    const base = { id: "", sender: "", device: "", role: "", type: "text", body: {}, at: 0, count: 0 };
    const log = incoming.reduce((log, at) => receive(log, { ...base, ...at }), logAt(epoch, have));
    expect(log.entries.map((entry) => entry.seq)).toEqual(applied);
    expect(log.have).toBe(haveAfter);
    expect(isBehind(log) ? log.have : null).toBe(fetchAfter);
  });
});
