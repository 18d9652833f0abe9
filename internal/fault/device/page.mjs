// Plays an agent's desk with our TypeScript client on a page in Chromium: takes
// orders from standard input, a line of JSON each, and answers each with a line.
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";

const [playwright, bundle] = process.argv.slice(1);
const { chromium } = await import(playwright);

let browser;
let context;
let page;

const orders = {
  /** Opens the page and signs in. */
  async open({ url, executable, ...account }) {
    browser = await chromium.launch({
      executablePath: executable,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    context = await browser.newContext();
    page = await context.newPage();
    page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
    page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
    const script = (url) => readFile(join(dirname(bundle), basename(url)), "utf8");
    await page.route("**/desk/*.js", async (route) => route.fulfill({ contentType: "text/javascript", body: await script(route.request().url()) }));
    await page.goto(`${url}/agent/`); // the console's own page, where nobody signs in
    return page.evaluate(start, { server: url, ...account });
  },
  /** Follows a conversation, as a page does that shows it. */
  follow: ({ conversation }) => page.evaluate((id) => void desk.client.conversation(id), conversation),
  release: ({ conversation }) => page.evaluate((id) => desk.client.release(id), conversation),
  read: ({ conversation }) => page.evaluate((id) => desk.client.conversation(id).read(), conversation),
  say: ({ conversation, text }) => page.evaluate(([id, text]) => desk.say(id, text), [conversation, text]),
  amend: ({ conversation, type, seq, text }) => page.evaluate((what) => desk.amend(...what), [conversation, type, seq, text]),
  set: ({ key, value }) => page.evaluate(([key, value]) => desk.registers.set(key, value ?? undefined), [key, value]),
  idle: () => page.evaluate(() => desk.idle()),
  away: () => context.setOffline(true),
  back: () => context.setOffline(false),
  /** How often it has been connected. */
  connections: () => page.evaluate(() => desk.connections),
  view: ({ conversations }) => page.evaluate((ids) => desk.view(ids), conversations),
};

/** On the page: a client, and what it shows. */
async function start(account) {
  const { Client, memoryStorage } = await import("/desk/index.js");
  const { Registers } = await import("/desk/registers.js");
  const { server, site, email, password } = account;
  const client = new Client({ server, namespace: "desk", signIn: { as: "agent", site, email, password } });
  const troubles = [];
  const storage = memoryStorage();
  const lost = (key, value, code) => code === "stale" || troubles.push(`register ${key} refused: ${code}`);
  const registers = new Registers({ client, storage, namespace: "desk", lost });
  const amendments = new Map();
  // A mark, which has no id, may come when somebody else has taken the conversation,
  // an edit or a delete when the message is gone or the conversation closed.
  client.on("refused", ({ id, code, message }) => {
    if (amendments.has(id) && ["conflict", "closed", "forbidden", "not_found"].includes(code)) setTimeout(() => client.conversation(amendments.get(id)).discard(id));
    else if (id) troubles.push(`refused: ${code} ${message}`);
  });
  client.on("error", (error) => console.warn(`${error.code}: ${error.message}`));
  client.on("state", (state) => state === "online" && desk.connections++);
  addEventListener("online", () => client.networkChanged());
  const told = new Promise((resolve) => client.on("session", resolve));
  const text = ({ entry, edited }) => (entry.redacted ? `${entry.seq} deleted` : `${entry.seq} ${entry.body.text}${edited ? " (edited)" : ""}`);
  const texts = (id) =>
    client
      .conversation(id)
      .items()
      .flatMap((item) => (item.kind === "own" ? [`unsent ${item.message.draft.text}`] : item.entry.type === "text" ? [text(item)] : []));
  const talk = (state) => {
    const { conversation, status, assignee, visitor, head, count, agentRead, updatedAt, lastText, marks } = state;
    return {
      ...{ status, assignee: assignee?.id ?? "", visitor: visitor.id, head, count, agentRead, updatedAt, lastText, marks },
      unread: client.unread(conversation),
      texts: texts(conversation), // fetched where it is not delivered
    };
  };
  globalThis.desk = {
    client,
    registers,
    connections: 0,
    // The id is the client's own; who asks waits for the acknowledgement.
    say: (id, text) => {
      const { draft } = client.conversation(id).send(text);
      return draft.id;
    },
    amend: (id, type, seq, text) => {
      const conversation = client.conversation(id);
      const shown = () => conversation.items().find((item) => item.kind === "entry" && item.entry.seq === seq);
      if (!shown() || shown().entry.redacted) return "";
      if (type === "edit") conversation.edit(seq, text);
      else conversation.delete(seq);
      const { draft } = shown().change;
      amendments.set(draft.id, id);
      return draft.id;
    },
    idle: () => client.unsent().length === 0 && storage.keys().length === 0,
    view: (ids) => ({
      conversations: Object.fromEntries(ids.flatMap((id) => (client.conversations.has(id) ? [[id, talk(client.conversations.get(id))]] : []))),
      registers: Object.fromEntries(registers.keys("").map((key) => [key, { key, value: registers.get(key), version: 0 }])),
      troubles: troubles.splice(0),
    }),
  };
  client.start();
  const { user, device, refreshToken } = await told;
  return { site, user, device, refresh: refreshToken };
}

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { order, ...arguments_ } = JSON.parse(line);
    const answer = await Promise.resolve(orders[order](arguments_)).then(
      (value) => ({ value: value ?? null }),
      (error) => ({ error: String(error) }),
    );
    process.stdout.write(JSON.stringify(answer) + "\n");
  })
  .on("close", async () => {
    await browser?.close();
    process.exit(0);
  });
