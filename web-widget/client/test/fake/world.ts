// Verbs for tests: people at their devices, all of them in one fake world.

import { Client, memoryStorage, type ClientOptions, type Conversation, type SignIn, type Storage } from "../../src/index";
import { textOf } from "../../src/entry";
import { FakeServer } from "./server";

export interface Person {
  client: Client;
  storage: Storage;
  states: string[];
  errors: string[];
}

export class World {
  readonly server = new FakeServer();
  private readonly clients: Client[] = [];

  visitor(storage: Storage = memoryStorage(), more: Partial<SignIn & { as: "visitor" }> = {}): Person {
    return this.person({ as: "visitor", siteKey: this.server.siteKey, ...more }, storage, "visitor");
  }

  agent(name: string, storage: Storage = memoryStorage(), password = "secret"): Person {
    return this.person({ as: "agent", site: this.server.site, email: `${name}@example.org`, password }, storage, name);
  }

  stop(): void {
    for (const client of this.clients) client.stop();
  }

  private person(signIn: SignIn, storage: Storage, namespace: string): Person {
    const options: ClientOptions = {
      server: "http://parley.test",
      signIn,
      storage,
      namespace,
      webSocket: this.server.socket,
      fetch: this.server.fetch,
    };
    const client = new Client(options);
    const person: Person = { client, storage, states: [], errors: [] };
    client.on("state", (state) => person.states.push(state));
    client.on("error", (error) => person.errors.push(error.code));
    this.clients.push(client);
    client.start();
    return person;
  }
}

/** What a person sees: texts of entries as they are, of own unfinished messages with their state. */
export function seen(conversation: Conversation): string[] {
  return conversation
    .items()
    .map((item) => (item.kind === "entry" ? (textOf(item.entry) ?? "") : `${item.message.draft.text} (${item.message.state})`))
    .filter((text) => text !== "");
}

/** The texts the server holds. */
export function stored(server: FakeServer, id: string): string[] {
  return (server.store.conversations.get(id)?.entries ?? []).map((entry) => textOf(entry) ?? "").filter((text) => text !== "");
}

export const numbers = (n: number, from = 1): string[] => Array.from({ length: n }, (_, i) => `m${i + from}`);
