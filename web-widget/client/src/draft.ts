import type { Listed } from "./entry";
import { ParleyError } from "./errors";
import { utf8 } from "./platform";

/** What a draft wants: a new message, another text for one, or none at all any more. */
export type DraftType = "text" | "edit" | "delete";

/** A message, or the change of one, as its sender makes it, before it has a seq. `id` is made before the first send and never changes. */
export interface Draft {
  readonly id: string;
  readonly type: DraftType;
  /** Empty for a deletion. */
  readonly text: string;
  /** Of the message that it changes, 0 for a new one. */
  readonly target: number;
  /** Files that go with a new message. The server counts their ids only; the rest is for showing them until it is stored. */
  readonly attachments?: readonly Listed[] | undefined;
}

/** The most bytes a body may have as JSON. */
export const maxBodyBytes = 65_536;

/** A draft; throws a ParleyError if its text is too long, or empty and there is no file. Halves of characters become U+FFFD: the server takes none. */
export function makeDraft(id: string, type: DraftType, text: string, target = 0, files: readonly Listed[] = []): Draft {
  const whole = text.replace(/[\ud800-\udfff]/gu, "\ufffd");
  const attachments = files[0] && files;
  if (whole === "" && type !== "delete" && !attachments) throw new ParleyError("invalid", "empty");
  const draft: Draft = { id, type, text: whole, target, attachments };
  if (utf8(bodyJson(draft)).length > maxBodyBytes) throw new ParleyError("too_large", "too long");
  return draft;
}

/** The body in the form in which the server stores it: its limit counts these bytes. */
export function bodyJson({ text, target, attachments }: Draft): string {
  return JSON.stringify({ seq: target || undefined, text: text || (attachments && ""), attachments }).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}

/** The payload to publish. */
export const draftJson = (draft: Draft): string => `{"id":"${draft.id}","type":"${draft.type}","body":${bodyJson(draft)}}`;
