import { ParleyError } from "./errors";
import { field, object } from "./json";
import type { Rest } from "./rest";

/** What a sign-in gives: who we are, and the token that proves it. */
export interface Session {
  readonly site: string;
  readonly user: string;
  readonly device: string;
  readonly role: string;
  readonly name: string;
  readonly token: string;
  readonly refreshToken: string;
  /** Path of the WebSocket on the same server. */
  readonly mqttPath: string;
  /** When the token ends, by the clock of this device, in Unix milliseconds. */
  readonly expiresAt: number;
  /** How long the token lives altogether, in milliseconds. */
  readonly lifetime: number;
}

export function decodeSession(value: unknown): Session {
  const from = object(value);
  // Only the difference of the server's own times counts: this device's clock may be wrong.
  const lifetime = field.integer(from, "tokenExpiresAt") - field.integer(from, "serverTime");
  return {
    site: field.text(from, "site"),
    user: field.text(from, "user"),
    device: field.text(from, "device"),
    role: field.text(from, "role"),
    name: field.text(from, "name", ""),
    token: field.text(from, "token"),
    refreshToken: field.text(from, "refreshToken"),
    mqttPath: field.text(field.object(from, "mqtt"), "path"),
    expiresAt: Date.now() + lifetime,
    lifetime,
  };
}

/** What is remembered of an earlier session. */
export interface Remembered {
  readonly refreshToken: string;
  /** Empty for a new device of the same user. */
  readonly device: string;
}

/** How this client gets its first session. */
export type SignIn =
  | { readonly as: "visitor"; readonly siteKey: string; readonly name?: string; readonly remembered?: () => Remembered | undefined }
  | { readonly as: "agent"; readonly site: string; readonly email: string; readonly password: string; readonly device?: string }
  | { readonly as: "remembered"; readonly refreshToken: string };

/** Asks the server for a session. Throws ParleyError; "unauthenticated" means that signing in again is up to a person. */
export function signIn(rest: Rest, how: SignIn): Promise<Session> {
  switch (how.as) {
    case "visitor":
      return visit(rest, how);
    case "agent": {
      const { site, email, password, device } = how;
      return rest.call("POST", "/v1/agent-sessions", decodeSession, "", { site, email, password, ...(device && { device }) });
    }
    case "remembered":
      return refresh(rest, how.refreshToken);
  }
}

async function visit(rest: Rest, how: SignIn & { as: "visitor" }): Promise<Session> {
  const open = (known: Partial<Remembered>): Promise<Session> =>
    rest.call("POST", "/v1/visitor-sessions", decodeSession, "", { siteKey: how.siteKey, ...(how.name && { name: how.name }), ...known });
  const known = how.remembered?.();
  if (!known) return open({});
  const { refreshToken, device } = known;
  try {
    return await open({ refreshToken, ...(device && { device }) });
  } catch (error) {
    if (!(error instanceof ParleyError) || error.retry) throw error;
    return open({}); // forgotten by the server: a new visitor
  }
}

const refresh = (rest: Rest, refreshToken: string): Promise<Session> =>
  rest.call("POST", "/v1/tokens/refresh", decodeSession, "", { refreshToken });

/** Keeps a session whose token is good: renews it before it ends, or when the server has refused it. */
export class SessionKeeper {
  readonly #rest: Rest;
  readonly #how: SignIn;
  readonly #changed: (session: Session) => void;
  #session: Session | undefined;
  #pending: Promise<Session> | undefined;

  /** `changed` is told every new session. */
  constructor(rest: Rest, how: SignIn, changed: (session: Session) => void) {
    this.#rest = rest;
    this.#how = how;
    this.#changed = changed;
  }

  get current(): Session | undefined {
    return this.#session;
  }

  /** A session whose token has time left. Callers at the same moment share one request. */
  fresh(): Promise<Session> {
    const session = this.#session;
    return session && session.expiresAt - Date.now() > margin(session) ? Promise.resolve(session) : this.#renew();
  }

  /** A session with another token than this, which was refused or grows old. */
  another(token: string): Promise<Session> {
    return this.#session && this.#session.token !== token ? this.fresh() : this.#renew();
  }

  #renew(): Promise<Session> {
    this.#pending ??= this.#request().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  async #request(): Promise<Session> {
    const session = await (this.#session ? this.#again(this.#session) : signIn(this.#rest, this.#how));
    this.#session = session;
    this.#changed(session);
    return session;
  }

  async #again({ refreshToken }: Session): Promise<Session> {
    try {
      return await refresh(this.#rest, refreshToken);
    } catch (error) {
      // Visitors have nobody to ask: they begin anew, as themselves where they are still known.
      if (this.#how.as === "visitor" && error instanceof ParleyError && !error.retry) return signIn(this.#rest, this.#how);
      throw error;
    }
  }
}

/** A token that has less left than a tenth of its life, or a minute, is not used any more where there is a choice. */
const margin = (session: Session): number => Math.min(60_000, session.lifetime / 10);

/** How long until the token of a connection should be renewed, in milliseconds: not all of those that were made at once are renewed at once. */
export const renewalIn = ({ expiresAt, lifetime }: Session): number =>
  // Timers hold 31 bits; whoever lives longer than 24 days on one connection is asked earlier.
  Math.min(Math.max(expiresAt - Date.now() - lifetime * (0.1 + Math.random() / 10), 0), 2 ** 31 - 1);
