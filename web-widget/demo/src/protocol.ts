// What the demo page and its devices say to each other, over postMessage.

import { isObject } from "@parley-chat/client";

/** A message on a screen. */
export interface Row {
  readonly seq: number;
  readonly id: string;
  /** Whether the device's user has written it. */
  readonly own: boolean;
  readonly text: string;
}

/** A conversation on a screen. */
export interface View {
  readonly conversation: string;
  /** Nothing older is left on the server that is not shown. */
  readonly complete: boolean;
  /** So many rows from the top are as in the report before; `rows` are those below. */
  readonly keep: number;
  readonly rows: readonly Row[];
}

/** A message of the device's own. */
export interface Own {
  readonly conversation: string;
  readonly id: string;
  /** 0 where it is not known. */
  readonly seq: number;
  readonly text: string;
}

/** What a device tells: all it shows, and what is new about what it sent. */
export interface Report {
  readonly user: string;
  readonly online: boolean;
  readonly views: readonly View[];
  readonly sent: readonly Own[];
  readonly acked: readonly Own[];
  readonly refused: readonly Own[];
}

export type Language = "en" | "zh";

/** From the page to a device. */
export type ToDevice =
  | { readonly parley: "hello" }
  | { readonly parley: "flood"; readonly count: number }
  | { readonly parley: "resync" };

/** From a device to the page. */
export interface ToPage {
  readonly parley: "report";
  readonly report: Report;
  /** Whether a flood from here would go anywhere. */
  readonly canSend: boolean;
}

/** Reads what came from the page; undefined for what is not for us. */
export function decodeToDevice(data: unknown): ToDevice | undefined {
  if (!isObject(data)) return undefined;
  const { parley, count } = data;
  if (parley === "flood" && typeof count === "number" && count > 0 && count <= 1000) return { parley, count };
  return parley === "hello" || parley === "resync" ? { parley } : undefined;
}

/** A report as the page handles it: it looks at little, and the server checks the rest. */
export interface Relayed {
  readonly report: object;
  readonly online: boolean;
  readonly canSend: boolean;
}

/** Reads what came from a device. */
export function decodeToPage(data: unknown): Relayed | undefined {
  if (!isObject(data) || data["parley"] !== "report" || !isObject(data["report"])) return undefined;
  return { report: data["report"], online: data["report"]["online"] === true, canSend: data["canSend"] === true };
}
