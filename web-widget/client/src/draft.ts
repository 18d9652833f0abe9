import { ParleyError } from "./errors";
import { utf8 } from "./platform";

/** A message as its sender makes it, before it has a seq. `id` is made before the first send and never changes. */
export interface Draft {
  readonly id: string;
  readonly type: "text";
  readonly text: string;
}

/** The most bytes a body may have as JSON. */
export const maxBodyBytes = 65_536;

/** A draft of a text message; throws a ParleyError if the text is empty or too long. Halves of characters become U+FFFD: the server takes none. */
export function textDraft(id: string, text: string): Draft {
  const whole = text.replace(/[\ud800-\udfff]/gu, "\ufffd");
  if (whole === "") throw new ParleyError("invalid", "the text is empty");
  const draft: Draft = { id, type: "text", text: whole };
  if (utf8(bodyJson(draft)).length > maxBodyBytes) throw new ParleyError("too_large", "the text is too long");
  return draft;
}

/** The body in the form in which the server stores it: its limit counts these bytes. */
export function bodyJson(draft: Draft): string {
  return JSON.stringify({ text: draft.text }).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}

/** The payload to publish. */
export const draftJson = (draft: Draft): string => `{"id":"${draft.id}","type":"text","body":${bodyJson(draft)}}`;
