import { Client, isObject, parseJson, webStorage, type ClientOptions, type Fallback, type Session, type SignIn } from "@parley-chat/client";

/** Who signs in, and where. */
export interface Credentials {
  readonly site: string;
  readonly email: string;
  readonly password: string;
}

interface Kept {
  readonly site: string;
  readonly email: string;
  readonly refreshToken: string;
}

const local = webStorage(() => localStorage);
// Every tab is a device of its own, and stays it over a reload.
const session = webStorage(() => sessionStorage);
const key = "parley.console";

/** What tests replace. */
export type Network = Pick<ClientOptions, "webSocket" | "fetch">;

/** Makes the client of an agent who has typed a password. */
export function signIn({ site, email, password }: Credentials, network: Network = {}): Client {
  return make({ as: "agent", site, email, password }, site, email, network);
}

/** Makes the client of whoever was signed in in this tab, if anybody was. */
export function resume(network: Network = {}): Client | undefined {
  const kept = readKept(session.get(key));
  return kept && make({ as: "remembered", refreshToken: kept.refreshToken }, kept.site, kept.email, network);
}

/** Forgets who was signed in in this tab, and what was kept for this agent alone. */
export function forget(): void {
  for (const name of session.keys()) if (name.startsWith(key)) session.remove(name);
}

/** The other way to the server, loaded when a first connection has ended. */
function newFallback(): Fallback {
  let next: Fallback | undefined;
  return (ended) => import("@parley-chat/client/tunnel").then((tunnel) => (next ??= tunnel.newFallback(location.origin))(ended));
}

function make(how: SignIn, site: string, email: string, network: Network): Client {
  const client = new Client({ server: location.origin, signIn: how, storage: local, namespace: `${key}.${site}.${email}`, fallback: newFallback(), ...network });
  client.on("session", ({ refreshToken }: Session) => session.set(key, JSON.stringify({ site, email, refreshToken } satisfies Kept)));
  return client;
}

function readKept(text = ""): Kept | undefined {
  const value = parseJson(text);
  if (!isObject(value)) return undefined;
  const { site, email, refreshToken } = value;
  if (typeof site !== "string" || typeof email !== "string" || typeof refreshToken !== "string") return undefined;
  return { site, email, refreshToken };
}
