import { fromBase64, textDecoder, type ByteReader } from "./platform";

/** What the end of a down stream says that says nothing, as of a WebSocket. */
export const abnormal = 1006;

/**
 * Reads server-sent events to the end and hands on the bytes in them. Answers
 * the close code, if one came. Throws when the stream is cut, or bytes are missing.
 */
export async function readEvents(from: ByteReader, take: (bytes: Uint8Array) => void): Promise<number> {
  const decode = textDecoder();
  let held = "";
  let got = 0;
  for (;;) {
    const { done, value } = await from.read();
    if (done || !value) return abnormal;
    const events = (held + decode(value)).split("\n\n");
    held = events.pop() ?? "";
    for (const event of events) {
      const { id, data, event: kind } = fieldsOf(event);
      if (kind === "close") return Number(data);
      if (data === undefined) continue; // a comment
      const bytes = fromBase64(data);
      got += bytes.length;
      if (id !== String(got)) throw new Error(`bytes are missing before ${id}`);
      take(bytes);
    }
  }
}

function fieldsOf(event: string): Record<string, string | undefined> & { id?: string; data?: string; event?: string } {
  return Object.fromEntries(event.split("\n").map((line) => line.split(": ")));
}
