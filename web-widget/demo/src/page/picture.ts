import { isObject, type parseJson } from "@parley-chat/client";

/** What the demo tells the page, several times a second where there is news. */
export interface Picture {
  readonly server: { readonly up: boolean; readonly pid: number; readonly starts: number; readonly backAfter: number };
  /** Whether the cable of a device is plugged in. */
  readonly cables: ReadonlyMap<string, boolean>;
  readonly score: Score;
}

export interface Score {
  /** The load of the page that it is about. */
  readonly run: string;
  /** Every device has told what it shows: from now on the numbers belong together. */
  readonly settled: boolean;
  readonly sent: number;
  readonly acked: number;
  readonly stored: number;
  readonly elsewhere: number;
  /** Of the stored ones, those of other visitors than the one on the page. */
  readonly earlier: number;
  readonly inFlight: number;
  readonly lost: number;
  readonly doubled: number;
  readonly reordered: number;
  readonly wrong: number;
  readonly messages: number;
  readonly waiting: readonly string[];
  /** Devices that do not show the beginning of the conversation yet. */
  readonly loading: readonly string[];
  readonly agreed: boolean;
  readonly examples: readonly string[];
  readonly devices: ReadonlyMap<string, DeviceScore>;
}

export interface DeviceScore {
  /** Whether it has told anything yet. */
  readonly told: boolean;
  readonly online: boolean;
  readonly sent: number;
  readonly acked: number;
  readonly shown: number;
  readonly behind: number;
  readonly wrong: number;
}

/** Whether the numbers of a picture are about this load of the page, and belong together. */
export const counts = ({ score }: Picture, run: string): boolean => score.settled && score.run === run;

type Json = ReturnType<typeof parseJson>;

/** Reads an event; what is missing is empty. */
export function decodePicture(value: Json): Picture {
  const server = child(value, "server");
  const score = child(value, "score");
  return {
    server: { up: truth(server, "up"), pid: number(server, "pid"), starts: number(server, "starts"), backAfter: number(server, "backAfter") },
    cables: new Map(Object.entries(object(child(value, "cables"))).map(([name, plugged]) => [name, plugged === true])),
    score: {
      run: text(score, "run"),
      settled: truth(score, "settled"),
      sent: number(score, "sent"),
      acked: number(score, "acked"),
      stored: number(score, "stored"),
      elsewhere: number(score, "elsewhere"),
      earlier: number(score, "earlier"),
      inFlight: number(score, "inFlight"),
      lost: number(score, "lost"),
      doubled: number(score, "doubled"),
      reordered: number(score, "reordered"),
      wrong: number(score, "wrong"),
      messages: number(score, "messages"),
      waiting: texts(score, "waiting"),
      loading: texts(score, "loading"),
      agreed: truth(score, "agreed"),
      examples: texts(score, "examples"),
      devices: new Map(Object.entries(object(child(score, "devices"))).map(([name, device]) => [name, decodeDevice(device)])),
    },
  };
}

function decodeDevice(value: Json): DeviceScore {
  return {
    told: truth(value, "told"),
    online: truth(value, "online"),
    sent: number(value, "sent"),
    acked: number(value, "acked"),
    shown: number(value, "shown"),
    behind: number(value, "behind"),
    wrong: number(value, "wrong"),
  };
}

const object = (value: Json): Readonly<Record<string, unknown>> => (isObject(value) ? value : {});
const child = (value: Json, name: string): Json => object(value)[name];
const truth = (value: Json, name: string): boolean => child(value, name) === true;

function text(value: Json, name: string): string {
  const found = child(value, name);
  return typeof found === "string" ? found : "";
}

function number(value: Json, name: string): number {
  const found = child(value, name);
  return typeof found === "number" ? found : 0;
}

function texts(value: Json, name: string): string[] {
  const found = child(value, name);
  return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
}
