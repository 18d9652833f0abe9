// Plays a device with our TypeScript client: reads its part from standard input
// and writes its journal to standard output, as `parley fault device` does.
import { createInterface } from "node:readline";

const { Client } = await import(process.argv[1]);
const note = (record) => process.stdout.write(JSON.stringify(record) + "\n");
let client;
let conversation;
const acked = new Set();

// live in another time
function misdate(skew) {
  const Real = Date;
  globalThis.Date = class extends Real {
    constructor(...args) {
      if (args.length > 0) super(...args);
      else super(Real.now() + skew);
    }
    static now() {
      return Real.now() + skew;
    }
  };
}

function play(part) {
  if (part.skew) misdate(part.skew);
  const { refresh } = part.credentials;
  client = new Client({
    server: part.url,
    namespace: "fault",
    signIn: { as: "visitor", siteKey: "demo-key", remembered: () => ({ refreshToken: refresh, device: part.credentials.device }) },
  });
  client.on("error", (error) => process.stderr.write(`${error.code}: ${error.message}\n`));
  client.on("refused", (refusal) => note({ event: "refused", conversation: part.conversation, id: refusal.id }));
  conversation = client.conversation(part.conversation);
  let next = 0;
  let changed = false;
  const look = () => {
    changed = false;
    for (const item of conversation.items().slice(0)) {
      if (item.kind === "own") {
        const { draft, state } = item.message;
        if (state === "acked") settle(part, draft.id, item.message.seq);
      } else if (item.entry.seq > next) {
        const { seq, id, sender, type, body } = item.entry;
        next = seq;
        settle(part, id, seq);
        note({ event: "shown", conversation: part.conversation, seq, id, sender, type, body });
      }
    }
  };
  // As a page that draws once for many changes: each look goes through all there is.
  conversation.subscribe(() => {
    if (!changed) setImmediate(look);
    changed = true;
  });
  client.start();
}

const sent = new Set();
function settle(part, id, seq) {
  if (!sent.has(id) || acked.has(id)) return;
  acked.add(id);
  note({ event: "acked", conversation: part.conversation, id, seq });
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (!client) return play(JSON.parse(line));
    for (let n = Number(line.split(" ")[1]); n > 0; n--) {
      const { draft } = conversation.send(`message ${n}: 还在吗？`);
      sent.add(draft.id);
      note({ event: "sent", conversation: conversation.id, id: draft.id, type: draft.type, body: { text: draft.text } });
    }
  })
  .on("close", () => process.exit(0));
