// Connections that live long: sockets that die without a word, and tokens that
// end, with our client against the real server.

import { Client, textOf, type ClientOptions, type Conversation } from "@parley-chat/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Cable } from "./cable";
import { eventually } from "./pages";
import { agent, Server } from "./server";

let server: Server;
let cable: Cable;
let clients: Client[] = [];

async function start(env: Record<string, string> = {}): Promise<void> {
  server = await Server.start("http://shop.test", env);
  cable = await Cable.lay(server.url);
}

beforeEach(() => void (clients = []));
afterEach(async () => {
  for (const client of clients) client.stop();
  cable?.close();
  await server?.remove();
});

interface Person {
  readonly client: Client;
  readonly states: string[];
  readonly errors: string[];
}

function person(signIn: ClientOptions["signIn"]): Person {
  const client = new Client({ server: cable.url, signIn, namespace: "test" });
  clients.push(client);
  const states: string[] = [];
  const errors: string[] = [];
  client.on("state", (state) => states.push(state));
  client.on("error", (error) => errors.push(`${error.code}: ${error.message}`));
  client.start();
  return { client, states, errors };
}

const visitor = (): Person => person({ as: "visitor", siteKey: agent.siteKey });
const texts = (conversation: Conversation): string[] => conversation.items().map((item) => (item.kind === "entry" ? (textOf(item.entry) ?? "") : `${item.message.draft.text}?`)).filter((text) => text !== "");
const logged = async (id: string): Promise<string[]> => (await server.log(id)).filter(({ type }) => type === "text").map(({ body }) => body.text ?? "");

test("a socket that has died without a word is found and replaced within 10 s", async () => {
  await start();
  const ann = visitor();
  const conversation = ann.client.conversation(ann.client.newConversation());
  conversation.send("one");
  await eventually(async () => (texts(conversation).join() === "one" ? "" : texts(conversation).join()));

  const frozen = Date.now();
  cable.freeze();
  conversation.send("two");
  await eventually(async () => (ann.states.length > 2 ? "" : "nobody has noticed"), 10_000);
  await eventually(async () => (texts(conversation).join() === "one,two" && ann.client.state === "online" ? "" : texts(conversation).join()), frozen + 10_000 - Date.now());
  expect(await logged(conversation.id)).toEqual(["one", "two"]);
  expect(ann.states).toEqual(["connecting", "online", "connecting", "online"]);
});

test("tokens of 3 s are renewed in place; who is offline for two of their lives loses nothing", async () => {
  await start({ PARLEY_TOKEN_LIFE: "3s" });
  const ann = visitor();
  const conversation = ann.client.conversation(ann.client.newConversation());
  const sent: string[] = [];
  const write = async (ms: number): Promise<void> => {
    for (const end = Date.now() + ms; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
      sent.push(`message ${sent.length + 1}`);
      conversation.send(sent.at(-1) ?? "");
    }
  };
  await write(10_000);
  expect([ann.states, ann.errors]).toEqual([["connecting", "online"], []]);

  cable.pull();
  await write(7_000);
  cable.plug();
  await eventually(async () => (ann.client.unsent().length === 0 && texts(conversation).length === sent.length ? "" : `${texts(conversation).length} of ${sent.length}`), 20_000);
  await write(4_000);
  await eventually(async () => (ann.client.unsent().length === 0 ? "" : "the outbox is not empty"), 10_000);
  expect(await logged(conversation.id)).toEqual(sent);
  await eventually(async () => (texts(conversation).join() === sent.join() ? "" : "not all are shown"), 10_000);
});

test("whoever is signed out is told so when the token is refused", async () => {
  await start({ PARLEY_TOKEN_LIFE: "2s" });
  const li = person({ as: "agent", site: agent.site, email: agent.email, password: agent.password });
  await eventually(async () => (li.client.state === "online" ? "" : li.client.state));
  const { token } = li.client.session ?? {};
  const answer = await fetch(`${server.url}/v1/sign-out`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
  expect(answer.ok).toBe(true);
  await eventually(async () => (li.client.state === "signed-out" ? "" : li.client.state), 10_000);
});
