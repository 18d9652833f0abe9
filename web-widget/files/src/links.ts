import { isObject } from "@parley-chat/client";
import type { Reader } from "./attached";

/** Addresses that open a file without a token, for some minutes. */
export interface Links {
  readonly file: string;
  /** Empty if there is no small picture. */
  readonly thumbnail: string;
}

/** After a cut a browser may still try connections that are gone: one by one they are given up. */
const patience = 5_000;

/** Asks for new addresses: the right to have the file is looked at each time. Throws a ParleyError. */
export const linksTo = (id: string, reader: Reader): Promise<Links> => stubborn(() => ask(id, reader));

/** What is at an address of Links, once it begins to come. */
export const fetched = (url: string): Promise<Response> =>
  stubborn(async () => {
    const patient = new AbortController();
    const timer = setTimeout(() => patient.abort(), patience);
    try {
      const answer = await fetch(url, { signal: patient.signal });
      if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { retry: answer.status >= 500 });
      return answer;
    } finally {
      clearTimeout(timer);
    }
  });

async function stubborn<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (attempt === 4 || !retry(error)) throw error;
    }
  }
}

function ask(id: string, { client, server }: Reader): Promise<Links> {
  const whole = (path: unknown): string => (typeof path === "string" ? server + path : "");
  const decode = (answer: unknown): Links => {
    if (!isObject(answer) || !answer["fileUrl"]) throw new Error("no link");
    return { file: whole(answer["fileUrl"]), thumbnail: whole(answer["thumbnailUrl"]) };
  };
  return client.call("GET", `/v1/attachments/${encodeURIComponent(id)}`, decode, undefined, { signal: AbortSignal.timeout(patience) });
}

/** Whether another attempt can succeed. Errors may come from another copy of the client than this module is linked with. */
export const retry = (error: unknown): boolean => !isObject(error) || error["retry"] !== false;
