// How the fake server takes files.

import { field, type JsonObject } from "../../src/json";
import type { Device } from "./server";

export interface FileOf {
  readonly id: string;
  readonly conversation: string;
  readonly user: string;
  readonly name: string;
  readonly size: number;
  bytes: Uint8Array;
  complete: boolean;
}

export interface Reply {
  status: number;
  json: unknown;
}

const refusal = (status: number, code: string): Reply => ({ status, json: { title: code, status, code, retry: code === "unavailable" } });

export class FakeFiles {
  readonly all = new Map<string, FileOf>();
  /** Sizes of the pieces that came, in their order. */
  readonly pieces: number[] = [];
  largest = 1_000_000;
  chunk = 256 << 10;
  /** What an examination says of a file, if it is not good. */
  judge: (file: FileOf) => [status: number, code: string] | undefined = () => undefined;
  private begun = 0;

  begin(device: Device, conversation: string, json: JsonObject): Reply {
    const size = field.integer(json, "size");
    if (size > this.largest) return refusal(413, "too_large");
    const file: FileOf = { id: `att_${++this.begun}`, conversation, user: device.user, name: field.text(json, "name"), size, bytes: new Uint8Array(), complete: false };
    this.all.set(file.id, file);
    return { status: 201, json: this.told(file) };
  }

  answer(method: string, id: string, what: string, device: Device, offset: string | undefined, body: Uint8Array): Reply {
    const file = this.all.get(id);
    if (!file || file.user !== device.user) return refusal(404, "not_found");
    switch (`${method} ${what}`) {
      case "GET ":
        return { status: 200, json: this.told(file) };
      case "PATCH ":
        return this.piece(file, Number(offset), body);
      case "POST complete":
        return this.complete(file);
      case "DELETE ":
        this.all.delete(id);
        return { status: 204, json: undefined };
    }
    return refusal(404, "not_found");
  }

  private piece(file: FileOf, offset: number, body: Uint8Array): Reply {
    if (file.complete || offset !== file.bytes.length) return refusal(409, "conflict");
    if (body.length > this.chunk || offset + body.length > file.size) return refusal(413, "too_large");
    this.pieces.push(body.length);
    const bytes = new Uint8Array(offset + body.length);
    bytes.set(file.bytes);
    bytes.set(body, offset);
    file.bytes = bytes;
    return { status: 204, json: undefined };
  }

  private complete(file: FileOf): Reply {
    if (file.bytes.length < file.size) return refusal(400, "invalid");
    const wrong = this.judge(file);
    if (wrong) {
      if (wrong[1] !== "unavailable") this.all.delete(file.id);
      return refusal(...wrong);
    }
    file.complete = true;
    return { status: 200, json: this.told(file) };
  }

  private told({ id, conversation, name, size, bytes, complete }: FileOf): JsonObject {
    const picture = name.endsWith(".png");
    const more = complete && { type: picture ? "image/png" : "text/plain", thumbnail: picture, ...(picture && { width: 640, height: 480 }), fileUrl: `/v1/attachments/${id}/file?link=x`, ...(picture && { thumbnailUrl: `/v1/attachments/${id}/thumbnail?link=x` }) };
    // What is kept of a picture is less than what came.
    return { id, conversation, name, size: complete && picture ? 3 : size, offset: complete && picture ? 3 : bytes.length, complete, chunk: this.chunk, ...more };
  }
}
