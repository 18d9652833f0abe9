import { draftJson, makeDraft, type Draft, type DraftType } from "./draft";
import { attachedOf, type Listed } from "./entry";
import { decodeCode, ParleyError, type Code } from "./errors";
import { newId, validMessageId } from "./ids";
import { field, object, parseJson } from "./json";
import type { Storage } from "./storage";

/** A message of ours, or a change of one, that is not yet seen in the conversation. */
export interface Outgoing {
  readonly conversation: string;
  readonly draft: Draft;
  /** queued: waits for a connection. sent: waits for the acknowledgement. acked: stored, not yet come back. failed: refused. */
  readonly state: "queued" | "sent" | "acked" | "failed";
  /** Position in the conversation once acked, else 0. */
  readonly seq: number;
  /** Why it was refused, if it was. */
  readonly code?: Code;
  /** Orders the outbox; also when it was written, in Unix milliseconds. */
  readonly order: number;
}

/**
 * Keeps what we send until the server has it, also across page loads. Every
 * message has a storage key of its own, so tabs that share the storage never
 * overwrite each other; where two of them send the same message, the server
 * stores it once.
 */
export class Outbox {
  readonly #storage: Storage;
  readonly #prefix: string;
  readonly #changed: (conversation: string) => void;
  readonly #held = new Map<string, Outgoing>();

  /** Keys in the storage begin with `prefix`. `changed` is called with the conversation whose rows have changed. */
  constructor(storage: Storage, prefix: string, changed: (conversation: string) => void) {
    this.#storage = storage;
    this.#prefix = prefix + ".out.";
    this.#changed = changed;
  }

  /** Takes in what the storage holds and we do not: from an earlier page, or a tab that has closed. Failed ones that another tab has dealt with go. */
  load(): void {
    for (const row of this.rows()) if (row.state === "failed" && !this.#storage.get(this.#prefix + row.draft.id)) this.settle(row.draft.id);
    for (const key of this.#storage.keys()) {
      const id = key.slice(this.#prefix.length);
      if (!key.startsWith(this.#prefix) || this.#held.has(id)) continue;
      const row = readRow(id, this.#storage.get(key));
      if (row) this.#hold(row);
    }
  }

  /** Puts a message, or a change of the one at `target`, at the end. Throws a ParleyError as makeDraft does. */
  add(conversation: string, type: DraftType, text: string, target = 0, files?: readonly Listed[]): Outgoing {
    const rows = this.rows();
    const order = Math.max(Date.now(), (rows.at(-1)?.order ?? 0) + 1);
    const row: Outgoing = { conversation, draft: makeDraft(newId("msg_"), type, text, target, files), state: "queued", seq: 0, order };
    this.#keep(row);
    return row;
  }

  /** Everything in order, of one conversation or of all. */
  rows(conversation?: string): Outgoing[] {
    return [...this.#held.values()]
      .filter((row) => conversation === undefined || row.conversation === conversation)
      .sort((a, b) => a.order - b.order || (a.draft.id < b.draft.id ? -1 : 1));
  }

  /** Marks the next queued messages as sent, at most `room`, and returns them in order. */
  take(room: number): Outgoing[] {
    if (room <= 0) return [];
    const next = this.rows()
      .filter((row) => row.state === "queued")
      .slice(0, room);
    for (const row of next) this.#hold({ ...row, state: "sent" });
    return next;
  }

  /** The connection has gone: what was sent and not acknowledged is sent again. */
  requeue(): void {
    for (const row of this.#held.values()) if (row.state === "sent") this.#hold({ ...row, state: "queued" });
  }

  /** The server has stored it at seq. */
  acked(id: string, seq: number): void {
    const row = this.#held.get(id);
    this.#storage.remove(this.#prefix + id);
    if (row) this.#hold({ ...row, state: "acked", seq });
  }

  /** It has come back, or nothing is left to show of it. */
  settle(id: string): void {
    const row = this.#held.get(id);
    if (row) this.#drop(row);
  }

  /** The server has refused it for good. Answers whether that is news. */
  refused(id: string, code: Code): boolean {
    const row = this.#held.get(id);
    if (!row || row.state === "acked" || row.state === "failed") return false;
    this.#keep({ ...row, state: "failed", code });
    return true;
  }

  /** Sends a failed message again, as a new one: the refusal of the old one stands. */
  retry(id: string): void {
    const row = this.#held.get(id);
    if (row?.state !== "failed") return;
    const { type, text, target, attachments } = row.draft;
    this.#drop(row);
    this.add(row.conversation, type, text, target, attachments);
  }

  /** Gives a failed message up. */
  discard(id: string): void {
    const row = this.#held.get(id);
    if (row?.state === "failed") this.#drop(row);
  }

  #keep(row: Outgoing): void {
    this.#storage.set(this.#prefix + row.draft.id, rowJson(row));
    this.#hold(row);
  }

  #hold(row: Outgoing): void {
    this.#held.set(row.draft.id, row);
    this.#changed(row.conversation);
  }

  #drop(row: Outgoing): void {
    this.#storage.remove(this.#prefix + row.draft.id);
    this.#held.delete(row.draft.id);
    this.#changed(row.conversation);
  }
}

const rowJson = ({ conversation, draft, order, code }: Outgoing): string =>
  JSON.stringify({ conversation, draft: draftJson(draft), order, code });

/** Reads a stored row; undefined for what is not one of ours. */
function readRow(id: string, text = ""): Outgoing | undefined {
  if (!validMessageId(id)) return undefined;
  try {
    const from = object(parseJson(text));
    const kept = object(parseJson(field.text(from, "draft")));
    const body = field.object(kept, "body");
    const draft = makeDraft(id, field.oneOf(kept, "type", ["text", "edit", "delete"]), field.text(body, "text", ""), field.integer(body, "seq", 0), attachedOf(body));
    const row = { conversation: field.text(from, "conversation"), draft, seq: 0, order: field.integer(from, "order") };
    const code = from["code"];
    return code === undefined ? { ...row, state: "queued" } : { ...row, state: "failed", code: decodeCode(code) };
  } catch {
    return undefined;
  }
}

const codes: Readonly<Record<number, Code>> = { 0x83: "conflict", 0x87: "forbidden", 0x97: "too_large", 0x99: "invalid" };

/** The code of a PUBACK that refuses: its user property, or what its reason code comes nearest to. */
export const codeOfReason = (reasonCode: number, named: string | undefined): Code => decodeCode(named ?? codes[reasonCode]);

/** Whether a refusal with this code is final for the draft, or the draft will be sent again. */
export const isFinal = (code: Code): boolean => !new ParleyError(code, "").retry && code !== "unauthenticated";
