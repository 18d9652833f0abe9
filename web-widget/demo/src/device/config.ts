import { isObject } from "@parley-chat/client";

/** Who this device is, and to which pages it may talk. */
export interface Config {
  readonly device: string;
  readonly pages: readonly string[];
  readonly site: string;
  readonly siteKey: string;
  readonly email: string;
  readonly password: string;
}

/** Asks the demo. Throws if it is not there. */
export async function loadConfig(): Promise<Config> {
  const answer: unknown = await (await fetch("/demo/device.json")).json();
  if (!isObject(answer)) throw new Error("the demo answers something else");
  const text = (name: string): string => (typeof answer[name] === "string" ? answer[name] : "");
  const pages = Array.isArray(answer["pages"]) ? answer["pages"].filter((page) => typeof page === "string") : [];
  return { device: text("device"), pages, site: text("site"), siteKey: text("siteKey"), email: text("email"), password: text("password") };
}
