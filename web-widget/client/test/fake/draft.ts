// How the server reads a draft: what it takes, and what it refuses.

import { attachedOf } from "../../src/entry";
import { makeDraft, type Draft, type DraftType } from "../../src/draft";
import { ParleyError } from "../../src/errors";
import { validMessageId } from "../../src/ids";
import { isObject, parseJson, type JsonObject } from "../../src/json";
import { fromUtf8 } from "../../src/platform";

/** What is wrong with a draft, and which one if that can be told. */
export interface DraftRefusal {
  readonly refused: ParleyError;
  readonly id: string;
}

/** Reads a payload from the bytes of the wire. */
export function decodeDraft(payload: Uint8Array): Draft | DraftRefusal {
  try {
    return decodeText(fromUtf8(payload), true);
  } catch {
    return decodeText(Buffer.from(payload).toString("latin1"), false); // the id is ASCII: it can be read all the same
  }
}

/** Whether some string of the JSON text holds half of a surrogate pair. */
const holdsHalf = (json: string): boolean => strings(json).some((text) => /[\ud800-\udfff]/u.test(text));

function decodeText(payload: string, valid: boolean): Draft | DraftRefusal {
  const raw = parseJson(payload);
  if (!isObject(raw)) return refuse("", "the payload is not a JSON object {id, type, body}");
  const id = raw["id"];
  if (twice(payload, "id") || typeof id !== "string" || !validMessageId(id)) return refuse("", "no valid id");
  if (!valid) return refuse(id, "the text is not valid UTF-8");
  if (holdsHalf(payload)) return refuse(id, "the text holds half of a surrogate pair");
  if (["type", "body", "text", "seq"].some((name) => twice(payload, name))) return refuse(id, "a member is given twice");
  return decodeBody(id, raw, /"seq"\s*:\s*\d+\s*[,}]/.test(payload));
}

function decodeBody(id: string, raw: JsonObject, plainSeq: boolean): Draft | DraftRefusal {
  const body = raw["body"];
  const type = types.find((one) => one === raw["type"]);
  if (!type) return refuse(id, "unknown message type");
  const { text = "", seq = 0 } = isObject(body) ? body : {};
  if (!isObject(body) || (type !== "delete" && (typeof text !== "string" || !("text" in body)))) return refuse(id, 'the body of a text message is {"text": "…"}');
  if (type !== "text" && (!plainSeq || typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 1)) return refuse(id, "a change names the seq of its message");
  try {
    return makeDraft(id, type, type === "delete" ? "" : String(text), type === "text" ? 0 : Number(seq), type === "text" ? attachedOf(body) : []);
  } catch (error) {
    if (error instanceof ParleyError) return { refused: error, id };
    throw error;
  }
}

const types: readonly DraftType[] = ["text", "edit", "delete"];

const refuse = (id: string, message: string): DraftRefusal => ({ refused: new ParleyError("invalid", message), id });

const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;

function strings(json: string): string[] {
  return [...json.matchAll(tokens)].map(([token]) => token.replace(/\s*:$/, "")).flatMap((token) => (token.startsWith('"') ? [String(parseJson(token))] : []));
}

/** Whether one object of the JSON text has the member more than once: the draft itself, or its body for "text". */
function twice(json: string, name: string): boolean {
  const wanted = name === "text" || name === "seq" ? 2 : 1;
  let depth = 0;
  let found = 0;
  for (const [token, isName] of json.matchAll(tokens)) {
    if ("{[".includes(token)) depth++;
    else if ("}]".includes(token)) depth--;
    else if (isName && depth === wanted && parseJson(token.replace(/\s*:$/, "")) === name) found++;
  }
  return found > 1;
}
