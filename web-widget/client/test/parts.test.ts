import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Backoff } from "../src/backoff";
import { decodeProblem } from "../src/errors";
import { newId } from "../src/ids";
import { begin, emptyLog, fill, hasOlder, isBehind, logAt, prepend, receive, type Log } from "../src/log";
import { Outbox } from "../src/outbox";
import { memoryStorage, webStorage, type WebStorage } from "../src/storage";
import type { Entry } from "../src/entry";

afterEach(() => vi.useRealTimers());

describe("ids", () => {
  it("have the form the server makes, and differ", () => {
    const ids = Array.from({ length: 1000 }, () => newId("msg_"));
    expect(new Set(ids).size).toBe(1000);
    for (const id of ids) expect(id).toMatch(/^msg_[a-z2-7]{26}$/);
  });
});

describe("back-off", () => {
  it("stays between 0.5 s and a bound that grows to 20 s, and starts anew", () => {
    const highest = new Backoff(() => 1);
    expect(Array.from({ length: 6 }, () => highest.next())).toEqual([2000, 4000, 8000, 16_000, 20_000, 20_000]);
    const lowest = new Backoff(() => 0);
    expect(Array.from({ length: 6 }, () => lowest.next())).toEqual([500, 500, 500, 500, 500, 500]);
    highest.reset();
    expect(highest.next()).toBe(2000);
  });
});

describe("problems", () => {
  const cases: Array<[string, number, string, object]> = [
    ["of ours", 409, '{"code":"conflict","detail":"too late","retry":false}', { code: "conflict", message: "too late", retry: false }],
    ["of ours, to be retried", 503, '{"code":"unavailable","retry":true}', { code: "unavailable", retry: true }],
    ["with a code from the future", 418, '{"code":"teapot"}', { code: "internal" }],
    ["of a proxy", 502, "<html>Bad gateway</html>", { code: "unavailable", retry: true }],
    ["without words", 404, "", { code: "not_found", retry: false }],
  ];
  it.each(cases)("%s", (_, status, text, want) => expect(decodeProblem(status, text)).toMatchObject(want));
});

const entry = (seq: number, epoch = "a"): Entry => ({
  seq, epoch, id: `e${seq}`, sender: "s", device: "", role: "visitor", type: "text", body: {}, at: 0, count: seq,
});
const page = (from: number, to: number, head = to, first = 1, epoch = "a") => ({
  epoch, head, first, entries: Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, epoch)),
});
const seqs = (log: Log): number[] => log.entries.map((e) => e.seq);

describe("the log", () => {
  it("whatever the order, the doubles and the losses: a contiguous run, complete after one fetch", () => {
    fc.assert(
      fc.property(fc.nat(20), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 80 }), (have, incoming) => {
        let log = logAt("a", have);
        for (const seq of incoming) {
          log = receive(log, entry(seq));
          expect(seqs(log)).toEqual(Array.from({ length: log.have - have }, (_, i) => have + 1 + i));
        }
        if (isBehind(log)) log = fill(log, page(log.have + 1, log.head));
        const top = Math.max(have, ...incoming);
        expect([log.have, seqs(log).length, log.waiting.length]).toEqual([top, top - have, 0]);
      }),
    );
  });

  it("keeps what comes before the first page", () => {
    let log = receive(receive(emptyLog, entry(12)), entry(11));
    log = begin(log, page(3, 10));
    expect([seqs(log).at(-1), log.have, hasOlder(log)]).toEqual([12, 12, true]);
    log = prepend(log, page(1, 2));
    expect([seqs(log)[0], hasOlder(log)]).toEqual([1, false]);
  });

  it("says where history starts when the beginning has been removed", () => {
    const log = fill(receive(logAt("a", 5), entry(200)), page(100, 200, 200, 100));
    expect([seqs(log)[0], log.have, log.first]).toEqual([100, 200, 100]);
  });

  it("does not keep more early entries than it must", () => {
    let log = logAt("a", 0);
    for (let seq = 2; seq < 2000; seq++) log = receive(log, entry(seq));
    expect(log.waiting.length).toBeLessThan(600);
    while (isBehind(log)) log = fill(log, page(log.have + 1, Math.min(log.have + 200, log.head), log.head));
    expect(log.have).toBe(1999);
  });

  it("ignores a page of older entries that does not fit", () => {
    const log = begin(emptyLog, page(10, 20));
    expect(seqs(prepend(log, page(1, 5)))).toEqual(seqs(log));
    expect(seqs(prepend(log, page(1, 9, 20, 1, "b")))).toEqual(seqs(log));
  });
});

describe("the outbox", () => {
  it("keeps the order when the clock goes back", () => {
    vi.useFakeTimers();
    vi.setSystemTime(2_000_000);
    const storage = memoryStorage();
    const outbox = new Outbox(storage, "p", () => {});
    outbox.add("c", "text", "one");
    vi.setSystemTime(1_000_000);
    outbox.add("c", "text", "two");
    const again = new Outbox(storage, "p", () => {});
    again.load();
    again.add("c", "text", "three");
    expect(again.rows().map((row) => row.draft.text)).toEqual(["one", "two", "three"]);
  });

  it("does not touch what belongs to others, or cannot be read", () => {
    const storage = memoryStorage();
    for (const [key, value] of [["q.out.x", "{}"], ["p.out.a", "not JSON"], ["p.out.b", '{"draft":"{}"}'], ["p.out.c", "7"]] as const) storage.set(key, value);
    const outbox = new Outbox(storage, "p", () => {});
    outbox.load();
    expect(outbox.rows()).toEqual([]);
    expect(storage.keys()).toHaveLength(4);
  });
});

describe("storage", () => {
  const throwing: WebStorage = {
    get length(): number {
      throw new Error("denied");
    },
    key: () => null,
    getItem: () => {
      throw new Error("denied");
    },
    setItem: () => {
      throw new Error("quota");
    },
    removeItem: () => {
      throw new Error("denied");
    },
  };
  const blocked = (): WebStorage => {
    throw new Error("SecurityError");
  };
  it.each([["throwing", () => throwing], ["blocked", blocked]])("that is %s falls back to memory", (_, open) => {
    const storage = webStorage(open);
    expect(storage.set("k", "v")).toBe(false);
    expect([storage.get("k"), storage.keys()]).toEqual(["v", ["k"]]);
    storage.remove("k");
    expect([storage.get("k"), storage.keys()]).toEqual([undefined, []]);
  });
});
