import { ParleyError } from "./errors";
import { validMessageId } from "./ids";
import { isObject, parseJson, type JsonObject } from "./json";
import { fromUtf8, utf8 } from "./platform";

/** A message as its sender makes it, before it has a seq. `id` is made before the first send and never changes. */
export interface Draft {
  readonly id: string;
  readonly type: "text";
  readonly text: string;
}

/** The most bytes a body may have as JSON. */
export const maxBodyBytes = 65_536;

/** What is wrong with a draft, and which one if that can be told. */
export interface DraftRefusal {
  readonly refused: ParleyError;
  readonly id: string;
}

/** A draft of a text message; throws a ParleyError if the text is empty or too long. */
export function textDraft(id: string, text: string): Draft {
  const whole = text.replace(/[\ud800-\udfff]/gu, "\ufffd"); // half a character cannot be UTF-8
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

/** Reads a payload as the server does, from text. */
export function decodeDraft(payload: string, valid = true): Draft | DraftRefusal {
  const raw = parseJson(payload);
  if (!isObject(raw)) return refuse("", "the payload is not a JSON object {id, type, body}");
  const id = raw["id"];
  if (typeof id !== "string" || !validMessageId(id)) return refuse("", "no valid id");
  if (!valid) return refuse(id, "the text is not valid UTF-8");
  return decodeBody(id, raw);
}

function decodeBody(id: string, raw: JsonObject): Draft | DraftRefusal {
  const body = raw["body"];
  if (raw["type"] !== "text") return refuse(id, "unknown message type");
  if (!isObject(body) || typeof body["text"] !== "string") return refuse(id, 'the body of a text message is {"text": "…"}');
  try {
    return textDraft(id, body["text"]);
  } catch (error) {
    if (error instanceof ParleyError) return { refused: error, id };
    throw error;
  }
}

const refuse = (id: string, message: string): DraftRefusal => ({ refused: new ParleyError("invalid", message), id });

/** Reads a payload as the server does, from the bytes of the wire. */
export function decodeDraftBytes(payload: Uint8Array): Draft | DraftRefusal {
  let text: string;
  try {
    text = fromUtf8(payload);
  } catch {
    return decodeDraft(latin1(payload), false); // the id is ASCII: it can be read all the same
  }
  return decodeDraft(text);
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
