// Where a proxy forbids WebSocket: the real server and our clients, with a
// proxy between them that is cut again and again. The lists equal the log.

import { Client, textOf, type ClientOptions, type Conversation } from "@parley-chat/client";
import { newFallback } from "@parley-chat/client/tunnel";
import { afterEach, expect, test } from "vitest";
import { eventually } from "./pages";
import { Proxy, type ProxyOptions } from "./proxy";
import { agent, Server } from "./server";

let server: Server | undefined;
let proxy: Proxy | undefined;
let clients: Client[] = [];

afterEach(async () => {
  for (const client of clients) client.stop();
  clients = [];
  proxy?.close();
  await server?.remove();
});

async function start(options: ProxyOptions, settings: Record<string, string> = {}): Promise<{ server: Server; proxy: Proxy }> {
  server = await Server.start("http://shop.test", settings);
  proxy = await Proxy.start(server.url, options);
  return { server, proxy };
}

function person(url: string, signIn: ClientOptions["signIn"]): Client {
  const client = new Client({ server: url, signIn, namespace: "test", fallback: newFallback(url) });
  clients.push(client);
  client.start();
  return client;
}

const visitor = (url: string): Client => person(url, { as: "visitor", siteKey: agent.siteKey });
const staff = (url: string): Client => person(url, { as: "agent", site: agent.site, email: agent.email, password: agent.password });

/** What is shown, in display order: what is stored with its seq, what is not with 0. */
const shown = (conversation: Conversation): string[] =>
  conversation.items().flatMap((item) => {
    if (item.kind === "own") return [`${item.message.seq} ${item.message.draft.text}`];
    const text = textOf(item.entry);
    return text === undefined ? [] : [`${item.entry.seq} ${text}`];
  });

const stored = async (from: Server, id: string): Promise<string[]> =>
  (await from.log(id)).filter(({ type }) => type === "text").map(({ seq, body }) => `${seq} ${body.text}`);

const online = (client: Client): Promise<void> => eventually(async () => (client.state === "online" ? "" : client.state));

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Talk {
  readonly sides: readonly [Conversation, Conversation];
  readonly sent: readonly string[][];
  say(n: number): Promise<void>;
  /** Both lists are the log, which holds what each has sent once and in order. */
  agree(): Promise<void>;
}

/** Begins a conversation of a visitor with an agent, who are both online. */
async function talk(from: Server, ann: Client, li: Client): Promise<Talk> {
  const id = ann.newConversation();
  const left = ann.conversation(id);
  left.send("hello");
  await online(li);
  await eventually(async () => (li.conversations.has(id) ? "" : "the agent does not see the conversation"));
  const right = li.conversation(id);
  await li.claim(id);
  const sides = [left, right] as const;
  const sent: string[][] = [["hello"], []];
  return {
    sides,
    sent,
    async say(n) {
      for (let i = 0; i < n; i++) {
        for (const [side, conversation] of sides.entries()) {
          const text = `${side} says ${sent[side]?.length} 你好 👋`;
          conversation.send(text);
          sent[side]?.push(text);
        }
        await pause(40);
      }
    },
    async agree() {
      const all = sent.flat().length;
      await eventually(async () => {
        const log = await stored(from, id);
        if (log.length !== all) return `the log holds ${log.length} of ${all}`;
        // Whose first page came late has the newest entries only, and is asked for more, as by who scrolls up.
        for (const side of sides) if (side.hasOlder) await side.loadOlder().catch(() => undefined);
        const [one, other] = sides.map(shown);
        if (JSON.stringify(one) !== JSON.stringify(log)) return `the visitor sees ${one?.length} of ${log.length}`;
        return JSON.stringify(other) === JSON.stringify(log) ? "" : `the agent sees ${other?.length} of ${log.length}`;
      }, 90_000); // after many cuts a back-off may be at its longest
      const texts = (await stored(from, id)).map((line) => line.slice(line.indexOf(" ") + 1));
      for (const mine of sent) expect(texts.filter((text) => mine.includes(text))).toEqual(mine);
    },
  };
}

test.each([
  ["stripped", 600],
  ["refused", 120],
  ["dropped", 120],
] as const)(
  "WebSockets are %s: %i messages while the proxy is cut at random and the server killed",
  async (webSockets, messages) => {
    const { server, proxy } = await start({ webSockets });
    const began = Date.now();
    const [ann, li] = [visitor(proxy.url), staff(proxy.url)];
    const conversation = await talk(server, ann, li);
    console.log(`${webSockets}: talking after ${Date.now() - began} ms, ${proxy.upgrades} WebSockets tried`);
    let cutting = true;
    const cutter = (async () => {
      for (; cutting; await pause(500 + 2_500 * Math.random())) proxy.cut(Math.random());
    })();
    await conversation.say(messages / 4 - 10);
    await server.kill();
    await conversation.say(20);
    await server.launch();
    await conversation.say(messages / 4 - 10);
    cutting = false;
    await cutter;
    await conversation.agree();
    await conversation.say(10);
    await conversation.agree();
    expect(proxy.tunnels).toBeGreaterThanOrEqual(2);
    console.log(`${webSockets}: ${proxy.tunnels} tunnels, ${proxy.upgrades} WebSockets tried`);
  },
  240_000,
);

test("WebSockets pass: nobody asks for a tunnel, also when connections are cut and the server is killed", async () => {
  const { server, proxy } = await start({ webSockets: "passed" });
  const conversation = await talk(server, visitor(proxy.url), staff(proxy.url));
  for (let i = 0; i < 2; i++) {
    await conversation.say(5);
    proxy.cut();
    await pause(7_000);
  }
  await server.kill();
  await pause(3_000);
  await server.launch();
  await conversation.agree();
  await conversation.say(5);
  await conversation.agree();
  expect(proxy.tunnels).toBe(0);
});

test("a proxy that cuts what is silent for 3 s leaves a tunnel alone that beats each second", async () => {
  const { server, proxy } = await start({ webSockets: "stripped", idle: 3_000 }, { PARLEY_TUNNEL_BEAT: "1s" });
  const conversation = await talk(server, visitor(proxy.url), staff(proxy.url));
  const before = proxy.tunnels;
  for (let i = 0; i < 2; i++) {
    await pause(7_000);
    await conversation.say(5);
    await conversation.agree();
  }
  expect(proxy.tunnels).toBe(before);
  expect(proxy.idled).toBeGreaterThan(0); // it does cut: connections without a request
});

test("tunnels that beat too seldom for a proxy are cut, and nothing is lost", async () => {
  const { server, proxy } = await start({ webSockets: "stripped", idle: 2_000 }, { PARLEY_TUNNEL_BEAT: "1m" });
  const conversation = await talk(server, visitor(proxy.url), staff(proxy.url));
  const before = proxy.tunnels;
  for (let i = 0; i < 3; i++) {
    await pause(4_000);
    await conversation.say(5);
  }
  await conversation.agree();
  expect(proxy.tunnels).toBeGreaterThan(before);
});

test("a proxy that cuts what is silent for 30 s leaves a tunnel alone as it is", async () => {
  const { server, proxy } = await start({ webSockets: "stripped", idle: 30_000 });
  const conversation = await talk(server, visitor(proxy.url), staff(proxy.url));
  const before = proxy.tunnels;
  await pause(33_000);
  await conversation.say(5);
  await conversation.agree();
  expect(proxy.tunnels).toBe(before);
});
