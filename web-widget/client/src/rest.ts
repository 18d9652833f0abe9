import { decodeProblem, ParleyError } from "./errors";
import { parseJson } from "./json";
import { deadline, type Fetch, type RequestOptions } from "./platform";

const patience = 15_000;
/** Sign-ins and renewals are small, and a connection waits for them. */
const signInPatience = 8_000;
/** What the server gives to pages of every origin. */
const forEverybody = "/widget.js";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** Calls the REST API of one server. */
export class Rest {
  readonly #base: string;
  readonly #fetch: Fetch;

  /** `base` is the server's origin, without a slash at its end. */
  constructor(base: string, fetch: Fetch) {
    this.#base = base;
    this.#fetch = fetch;
  }

  /**
   * Sends a request, with a token unless it is empty, and hands the JSON answer to `decode`. Throws ParleyError,
   * whatever goes wrong; one that is "forbidden" and to be retried says that the
   * server is up and does not answer pages of this origin. `more` changes the
   * request itself, for what is not JSON or has its own time.
   */
  async call<T>(method: Method, path: string, decode: (value: unknown) => T, token: string, body?: object, more?: Partial<RequestOptions>): Promise<T> {
    const headers: Record<string, string> = { Accept: "application/json", ...more?.headers };
    if (token) headers["Authorization"] = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const { signal, stop } = deadline(token ? patience : signInPatience);
    let status: number;
    let text: string;
    try {
      const answer = await this.#fetch(this.#base + path, {
        signal,
        ...(body && { body: JSON.stringify(body) }),
        ...more,
        method,
        headers,
      });
      status = answer.status;
      text = await answer.text();
    } catch {
      if (await this.#isUp(more?.signal ?? signal)) throw new ParleyError("forbidden", "origin refused", true);
      throw new ParleyError("unavailable", "no answer");
    } finally {
      stop();
    }
    if (status < 200 || status > 299) throw decodeProblem(status, text);
    try {
      return decode(parseJson(text));
    } catch {
      throw new ParleyError("internal", "unreadable");
    }
  }

  /** Whether the server is there. A browser hides why a request has failed, and a proxy's answer says nothing of what is behind it. */
  async #isUp(signal: RequestOptions["signal"]): Promise<boolean> {
    try {
      return (await this.#fetch(this.#base + forEverybody, { method: "HEAD", headers: {}, cache: "no-store", signal })).status === 200;
    } catch {
      return false;
    }
  }
}
