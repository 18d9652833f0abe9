// Plays an agent's desk with our TypeScript client on a page in Chromium: takes
// orders from standard input, a line of JSON each, and answers each with a line.
import { readFile } from "node:fs/promises";
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
    const script = await readFile(bundle, "utf8");
    await page.route("**/desk/client.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
    await page.goto(`${url}/agent/`); // the console's own page, where nobody signs in
    return page.evaluate(start, { server: url, ...account });
  },
  /** Follows a conversation, as a page does that shows it. */
  follow: ({ conversation }) => page.evaluate((id) => void desk.client.conversation(id), conversation),
  release: ({ conversation }) => page.evaluate((id) => desk.client.release(id), conversation),
  read: ({ conversation }) => page.evaluate((id) => desk.client.conversation(id).read(), conversation),
  say: ({ conversation, text }) => page.evaluate(([id, text]) => desk.say(id, text), [conversation, text]),
  away: () => context.setOffline(true),
  back: () => context.setOffline(false),
  /** How often it has been connected. */
  connections: () => page.evaluate(() => desk.connections),
  view: ({ conversations }) => page.evaluate((ids) => desk.view(ids), conversations),
};

/** On the page: a client, and what it shows. */
async function start(account) {
  const { Client } = await import("/desk/client.js");
  const { server, site, email, password } = account;
  const client = new Client({ server, namespace: "desk", signIn: { as: "agent", site, email, password } });
  const troubles = [];
  // A mark, which has no id, may come when somebody else has taken the conversation.
  client.on("refused", ({ id, code, message }) => id && troubles.push(`refused: ${code} ${message}`));
  client.on("error", (error) => console.warn(`${error.code}: ${error.message}`));
  client.on("state", (state) => state === "online" && desk.connections++);
  addEventListener("online", () => client.networkChanged());
  const told = new Promise((resolve) => client.on("session", resolve));
  const texts = (id) =>
    client
      .conversation(id)
      .items()
      .flatMap((item) => (item.kind === "own" ? [`unsent ${item.message.draft.text}`] : item.entry.type === "text" ? [`${item.entry.seq} ${item.entry.body.text}`] : []));
  const talk = (state) => {
    const { conversation, status, assignee, visitor, head, count, agentRead, updatedAt, lastText, marks } = state;
    const mine = assignee?.id === client.session.user;
    return {
      ...{ status, assignee: assignee?.id ?? "", visitor: visitor.id, head, count, agentRead, updatedAt, lastText, marks },
      unread: client.unread(conversation),
      texts: mine ? texts(conversation) : null,
    };
  };
  globalThis.desk = {
    client,
    connections: 0,
    // The id is the client's own; who asks waits for the acknowledgement.
    say: (id, text) => {
      const { draft } = client.conversation(id).send(text);
      return draft.id;
    },
    view: (ids) => ({
      conversations: Object.fromEntries(ids.flatMap((id) => (client.conversations.has(id) ? [[id, talk(client.conversations.get(id))]] : []))),
      registers: null,
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
