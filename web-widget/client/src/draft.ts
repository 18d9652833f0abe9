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
}

/** The most bytes a body may have as JSON. */
export const maxBodyBytes = 65_536;

/** A draft; throws a ParleyError if its text is empty or too long. Halves of characters become U+FFFD: the server takes none. */
export function makeDraft(id: string, type: DraftType, text: string, target = 0): Draft {
  const whole = text.replace(/[\ud800-\udfff]/gu, "\ufffd");
  if (whole === "" && type !== "delete") throw new ParleyError("invalid", "the text is empty");
  const draft: Draft = { id, type, text: whole, target };
  if (utf8(bodyJson(draft)).length > maxBodyBytes) throw new ParleyError("too_large", "the text is too long");
  return draft;
}

/** The body in the form in which the server stores it: its limit counts these bytes. */
export function bodyJson({ text, target }: Draft): string {
  return JSON.stringify({ seq: target || undefined, text: text || undefined }).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}

/** The payload to publish. */
export const draftJson = (draft: Draft): string => `{"id":"${draft.id}","type":"${draft.type}","body":${bodyJson(draft)}}`;
