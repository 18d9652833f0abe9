import type { Entry, Page } from "./entry";

// What a device holds of one stream, and the pure steps by which it changes.
//
//            first        oldest …… have          head
//   gone ──────┼──── not here ──┼──entries──┼── gap ──┤     waiting: came too early

/** The part of a stream that is here: entries without a hole, from oldest to have. */
export interface Log {
  /** Identity of the numbering; empty until the first page is here. */
  readonly epoch: string;
  /** Where history starts on the server. */
  readonly first: number;
  /** Everything from the oldest entry here up to this seq has been applied. */
  readonly have: number;
  /** The highest seq that we know to exist. */
  readonly head: number;
  readonly entries: readonly Entry[];
  /** Entries beyond a gap, in order. */
  readonly waiting: readonly Entry[];
}

export const emptyLog: Log = { epoch: "", first: 1, have: 0, head: 0, entries: [], waiting: [] };

/** Early entries beyond this many are not kept: the fetch that fills the gap brings them again. */
const maxWaiting = 512;

/** A log that has applied everything up to `have` without holding it. */
export const logAt = (epoch: string, have: number): Log => ({ ...emptyLog, epoch, have, head: have });

/** Whether something is missing that exists. */
export const isBehind = (log: Log): boolean => log.head > log.have;

/** Whether there is history on the server before what is here. */
export const hasOlder = (log: Log): boolean => (log.entries[0]?.seq ?? log.have + 1) > log.first && log.first > 0;

/** Takes a delivery: applies it, drops it, keeps it for later, or forgets everything because the numbering is another. */
export function receive(log: Log, entry: Entry): Log {
  if (log.epoch === "") return wait(log, entry);
  if (entry.epoch !== log.epoch) return { ...wait(emptyLog, entry), head: entry.seq };
  return apply({ ...log, head: Math.max(log.head, entry.seq) }, [entry]);
}

/** Learns how far the stream goes. */
export function learnHead(log: Log, epoch: string, head: number): Log {
  if (log.epoch !== "" && epoch !== log.epoch) return { ...emptyLog, head };
  return head > log.head ? { ...log, head } : log;
}

/** Takes the first page: the newest entries. */
export function begin(log: Log, page: Page): Log {
  const last = page.entries.at(-1)?.seq ?? page.head;
  const waiting = log.waiting.filter((entry) => entry.epoch === page.epoch);
  const head = Math.max(page.head, waiting.at(-1)?.seq ?? 0);
  return apply({ epoch: page.epoch, first: page.first, have: last, head, entries: page.entries, waiting: [] }, waiting);
}

/**
 * Takes a page of what comes after `have`. `asked` is the head we knew when we
 * asked: a server that has less by then numbers anew under the same name, as
 * one does that was started on a copy of its data.
 */
export function fill(log: Log, page: Page, asked = 0): Log {
  if (page.epoch !== log.epoch || page.head < asked) return { ...emptyLog, head: page.head };
  const known = { ...log, first: page.first, head: Math.max(log.head, page.head) };
  // Retention has removed what we missed: history starts anew, and says so.
  if (page.first > log.have + 1) return apply({ ...known, have: page.first - 1, entries: [] }, page.entries);
  return apply(known, page.entries);
}

/** Takes a page of what comes before the oldest entry here. */
export function prepend(log: Log, page: Page): Log {
  const oldest = log.entries[0]?.seq ?? log.have + 1;
  if (page.epoch !== log.epoch || page.entries.at(-1)?.seq !== oldest - 1) return { ...log, first: Math.max(log.first, page.first) };
  return { ...log, first: page.first, entries: [...page.entries, ...log.entries] };
}

function apply(log: Log, incoming: readonly Entry[]): Log {
  const entries = [...log.entries];
  let have = log.have;
  const waiting: Entry[] = [];
  for (const entry of merge(log.waiting, incoming)) {
    if (entry.seq === have + 1) {
      entries.push(entry);
      have++;
    } else if (entry.seq > have) waiting.push(entry);
  }
  return { ...log, entries, have, waiting: waiting.slice(0, maxWaiting) };
}

function wait(log: Log, entry: Entry): Log {
  return { ...log, head: Math.max(log.head, entry.seq), waiting: merge(log.waiting, [entry]).slice(0, maxWaiting) };
}

/** Both in seq order, each seq once. */
function merge(some: readonly Entry[], more: readonly Entry[]): Entry[] {
  const bySeq = new Map([...some, ...more].map((entry) => [entry.seq, entry]));
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}
