import { isObject } from "@parley-chat/client";

/** A device on the page, and where its own page comes from. */
export interface Device {
  readonly name: string;
  readonly origin: string;
}

/** Asks the demo which devices there are. */
export async function loadDevices(): Promise<Device[]> {
  const answer: unknown = await (await fetch("/demo/config.json")).json();
  const list = isObject(answer) && Array.isArray(answer["devices"]) ? answer["devices"] : [];
  return list.flatMap((one) => {
    if (!isObject(one) || typeof one["name"] !== "string" || typeof one["origin"] !== "string") return [];
    return [{ name: one["name"], origin: one["origin"] }];
  });
}

/** Presses a button of the demo; answers the HTTP status and what came with it. */
export async function press(path: string, body: object): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`/demo/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer: unknown = response.status === 200 ? await response.json() : undefined;
  return { status: response.status, answer };
}

export const setCable = (device: string, plugged: boolean): Promise<unknown> => press("cable", { device, plugged });
export const killServer = (): Promise<unknown> => press("kill", {});

/** A line to paste into a terminal; undefined while the server is dead. */
export async function terminalLine(): Promise<string | undefined> {
  const { answer } = await press("terminal", {});
  return isObject(answer) && typeof answer["line"] === "string" ? answer["line"] : undefined;
}
