import { decodeToDevice, type Own, type Report, type Row, type ToPage } from "../protocol";

/** An own message. "history": stored, and not seen on its way by this load of the page. */
export type OwnState = Own & { readonly state: "sent" | "acked" | "refused" | "history" };

/** What a device shows, however it draws it. */
export interface Face {
  /** Empty until it is known. */
  user(): string;
  online(): boolean;
  canSend(): boolean;
  /** Looks quickly at what is on its way: it may be acknowledged the next moment. */
  observe(): void;
  /** The conversations on the screen, with their stored messages in the order of the screen. */
  views(): readonly { readonly conversation: string; readonly complete: boolean; readonly rows: readonly Row[] }[];
  /** Own messages of this very device, in the order of their writing, as far as they are known at the last `views`. */
  own(): readonly OwnState[];
  send(text: string): void;
}

const beat = 1_000;
/** How often the page hears from us at most. */
const spacing = 100;
const floodPause = 60;
const floodBatch = 8;

/** Tells the demo page around us what we show, and does what its buttons ask. */
export class Reporter {
  readonly #face: Face;
  readonly #pages: readonly string[];
  #page = "";
  #last = 0;
  #looking = false;
  #reported = new Map<string, readonly Row[]>();
  #known = { sent: new Set<string>(), acked: new Set<string>(), refused: new Set<string>() };
  #floods = 0;

  /** `pages` are the origins of the demo page: nobody else is listened to, nobody else is told. */
  constructor(face: Face, pages: readonly string[]) {
    this.#face = face;
    this.#pages = pages;
  }

  start(): void {
    addEventListener("message", (event) => this.#heard(event));
    setInterval(() => this.#tell(), spacing);
  }

  /** Call it whenever something may have changed. */
  look(): void {
    if (this.#looking) return; // looking may itself change something
    this.#looking = true;
    this.#face.observe();
    this.#looking = false;
  }

  /** Reports if there is something new. */
  #tell(): void {
    if (!this.#page) return;
    this.#looking = true;
    const report = this.#report();
    this.#looking = false;
    if (!report) return;
    const message: ToPage = { parley: "report", report, canSend: this.#face.canSend() };
    parent.postMessage(message, this.#page);
  }

  #heard(event: MessageEvent): void {
    if (event.source !== parent || !this.#pages.includes(event.origin)) return;
    const message = decodeToDevice(event.data);
    switch (message?.parley) {
      case "hello":
        this.#page = event.origin;
        return;
      case "resync":
        return this.#forget();
      case "flood":
        return this.#flood(++this.#floods, message.count, 1);
    }
  }

  /** The next report starts from nothing. */
  #forget(): void {
    this.#reported = new Map();
    this.#known = { sent: new Set(), acked: new Set(), refused: new Set() };
    this.#last = 0;
  }

  /** Sends in small batches: there has to be time to pull a cable in between. */
  #flood(flood: number, count: number, from: number): void {
    for (let i = from; i < from + floodBatch && i <= count; i++) this.#face.send(`#${flood} · ${i}/${count}`);
    if (from + floodBatch <= count) setTimeout(() => this.#flood(flood, count, from + floodBatch), floodPause);
  }

  /** What is new since the last report, undefined if that is nothing and the last one is young. */
  #report(): Report | undefined {
    const user = this.#face.user();
    const views = this.#face.views().map(({ conversation, complete, rows }) => {
      const before = this.#reported.get(conversation) ?? [];
      const keep = commonLength(before, rows);
      return { conversation, complete, keep, rows: rows.slice(keep), whole: rows, changed: keep < before.length || keep < rows.length };
    });
    const own = user ? this.#face.own() : [];
    const sent = this.#news("sent", own.filter(({ state }) => state !== "history"));
    const acked = this.#news("acked", own.filter(({ state }) => state === "acked" || state === "history"));
    const refused = this.#news("refused", own.filter(({ state }) => state === "refused"));
    const quiet = sent.length + acked.length + refused.length === 0 && !views.some(({ changed }) => changed);
    if (quiet && Date.now() - this.#last < beat) return undefined;
    this.#last = Date.now();
    this.#reported = new Map(views.map(({ conversation, whole }) => [conversation, whole]));
    return {
      user,
      online: this.#face.online(),
      views: views.map(({ conversation, complete, keep, rows }) => ({ conversation, complete, keep, rows })),
      sent,
      acked,
      refused,
    };
  }

  #news(kind: "sent" | "acked" | "refused", own: readonly Own[]): Own[] {
    const news = own.filter(({ id }) => !this.#known[kind].has(id));
    for (const { id } of news) this.#known[kind].add(id);
    return news.map(({ conversation, id, seq, text }) => ({ conversation, id, seq, text }));
  }
}

/** How many rows from the top are the same. */
function commonLength(a: readonly Row[], b: readonly Row[]): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i]?.seq !== b[i]?.seq || a[i]?.id !== b[i]?.id || a[i]?.text !== b[i]?.text) return i;
  return n;
}
