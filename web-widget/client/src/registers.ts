// Settings that all devices of a user share: drafts, pins and the like. Not part
// of what the widget loads.

import { Backoff } from "./backoff";
import type { Client } from "./client";
import type { Entry } from "./entry";
import { errorOf, type Code } from "./errors";
import { newId, validMessageId } from "./ids";
import { field, object, parseJson } from "./json";
import { after } from "./platform";
import type { Storage } from "./storage";

/** What is set several times in this time, in milliseconds, is sent once. */
const gather = 400;
/** How often we ask for all of them: an event that is lost without a sign is found by that. */
const beat = 60_000;

/** A register as the server has it. */
interface Held {
  readonly value: unknown;
  /** 0 where nobody has set it. */
  readonly version: number;
}

/** What a register is to become. It keeps its id, value and base from the first attempt on, so that a repetition is one. */
interface Wish extends Held {
  readonly id: string;
  readonly key: string;
  /** Whether it may have reached the server. */
  readonly sent: boolean;
}

export interface RegistersOptions {
  readonly client: Pick<Client, "call" | "on" | "state">;
  /** Where wishes survive a page load. */
  readonly storage: Storage;
  /** Begins their keys in the storage. */
  readonly namespace: string;
  /** What was set here is not what the register holds: another device was faster ("stale"), or the server refuses it. */
  readonly lost: (key: string, value: unknown, code: Code) => void;
}

/**
 * The registers of a user, each with the version that was seen here. A change is
 * shown at once and sent when there is a connection; it counts if nobody was
 * faster. Otherwise the register is what the others made of it.
 */
export class Registers {
  readonly #options: RegistersOptions;
  readonly #prefix: string;
  readonly #held = new Map<string, Held>();
  /** In the order in which they are to be sent; of each key the first may be under way, and the second is the newest. */
  readonly #wishes: Wish[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #backoff = new Backoff();
  readonly #stops: Array<() => void>;
  #epoch = "";
  /** The seq of the user's events up to which all of this is known. */
  #have = 0;
  #loading: Promise<void> | undefined;
  #sending = false;
  /** What is answered from then on is for those who come later, who share the storage. */
  #stopped = false;
  #stopTimer = (): void => {};
  #stopBeat = (): void => {};

  constructor(options: RegistersOptions) {
    this.#options = options;
    this.#prefix = options.namespace + ".set.";
    this.#load();
    this.#stops = [options.client.on("state", (state) => state === "online" && this.#opened()), options.client.on("event", (entry) => this.#came(entry))];
    if (options.client.state === "online") this.#opened();
  }

  /** The value, undefined if it is empty or not known yet. */
  get(key: string): unknown {
    return this.#newest(key).value ?? undefined;
  }

  /** Every key that begins with `prefix` and is not empty. */
  keys(prefix: string): string[] {
    const all = new Set([...this.#held.keys(), ...this.#wishes.map((wish) => wish.key)]);
    return [...all].filter((key) => key.startsWith(prefix) && this.get(key) !== undefined);
  }

  /** Sets a register; undefined empties it. It is stored on the device when this returns. */
  set(key: string, value: unknown): void {
    const now = value ?? null;
    if (JSON.stringify(this.#newest(key).value ?? null) === JSON.stringify(now)) return;
    const waiting = this.#wishes.find((wish) => wish.key === key && !wish.sent);
    if (waiting) this.#drop(waiting);
    this.#keep({ id: newId("set_"), key, value: now, version: this.#held.get(key)?.version ?? 0, sent: false });
    this.#changed();
    this.#schedule(gather);
  }

  /** Calls `listener` after every change; the answer stops that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all of it. What has not been sent is kept for the next time. */
  stop(): void {
    this.#stopped = true;
    for (const stop of [...this.#stops, this.#stopTimer, this.#stopBeat]) stop();
    this.#listeners.clear();
  }

  #newest(key: string): Held {
    return this.#wishes.findLast((wish) => wish.key === key) ?? this.#held.get(key) ?? { value: null, version: 0 };
  }

  #opened(): void {
    this.#backoff.reset();
    void this.#sync();
    this.#schedule(0);
  }

  /** Asks for all registers. Callers at the same moment share one request. */
  #sync(): Promise<void> {
    this.#stopBeat();
    this.#loading ??= this.#options.client
      .call("GET", "/v1/me/registers", decodeRegisters)
      .then((all) => this.#learn(all), () => {}) // the next beat, event or connection asks again
      .finally(() => {
        this.#loading = undefined;
        if (!this.#stopped) this.#stopBeat = after(beat, () => this.#options.client.state === "online" && void this.#sync());
      });
    return this.#loading;
  }

  #learn({ epoch, after: have, registers }: All): void {
    if (this.#stopped) return;
    if (this.#epoch !== epoch) this.#held.clear(); // versions of another numbering
    this.#epoch = epoch;
    this.#have = Math.max(this.#have, have);
    const there = new Set(registers.map(({ key }) => key));
    for (const [key, { version }] of this.#held) if (!there.has(key) && version <= have) this.#held.delete(key);
    for (const { key, value, version } of registers) this.#apply(key, value, version);
    this.#changed();
  }

  /** An entry of the user's events. */
  #came({ type, seq, epoch, id, body }: Entry): void {
    if (epoch !== this.#epoch || seq > this.#have + 1) {
      // What is being fetched already may not have it.
      return void this.#sync().then(() => (this.#have < seq ? this.#sync() : undefined));
    }
    this.#have = Math.max(this.#have, seq);
    if (type !== "set") return;
    const wish = this.#wishes.find((one) => one.id === id);
    if (wish) return this.#settled(wish, seq);
    this.#apply(field.text(body, "key"), body["value"], seq);
    this.#changed();
  }

  /** What others have set wins over what has not been sent from here. */
  #apply(key: string, value: unknown, version: number): void {
    if (version <= (this.#held.get(key)?.version ?? 0)) return;
    this.#held.set(key, { value, version });
    const [first] = this.#wishes.filter((wish) => wish.key === key);
    if (first && !first.sent && first.version < version) this.#lose(first, "stale");
  }

  #schedule(ms: number): void {
    if (this.#sending) return;
    this.#stopTimer();
    this.#stopTimer = after(ms, () => void this.#send());
  }

  /** Sends what waits, one after the other. */
  async #send(): Promise<void> {
    const { client } = this.#options;
    let pause = 0;
    this.#sending = true;
    for (const wish of [...this.#wishes])
      if (!pause && !this.#stopped && client.state === "online" && this.#wishes.includes(wish)) pause = await this.#tell(this.#sent(wish));
    this.#sending = false;
    if (!this.#stopped && this.#wishes.length > 0 && client.state === "online") this.#schedule(pause || gather);
  }

  #sent(wish: Wish): Wish {
    const sent = { ...wish, sent: true };
    this.#wishes[this.#wishes.indexOf(wish)] = sent;
    return this.#store(sent);
  }

  /** Answers how long to wait before the next attempt, 0 if that need not be. */
  async #tell(wish: Wish): Promise<number> {
    const { id, key, value, version: basedOn } = wish;
    try {
      const seq = await this.#options.client.call("POST", "/v1/me/registers", decodeReceipt, { id, key, value, basedOn });
      if (this.#stopped) return 0;
      this.#settled(wish, seq);
      this.#backoff.reset();
    } catch (error) {
      const { code, retry } = errorOf(error);
      if (retry || code === "unauthenticated") return this.#backoff.next();
      if (code === "stale") await this.#sync();
      if (this.#stopped) return 0;
      if (this.#wishes.includes(wish)) this.#lose(wish, code);
      this.#changed();
    }
    return 0;
  }

  /** It is stored: what has been set here since is based on it. */
  #settled(wish: Wish, version: number): void {
    this.#drop(wish);
    this.#wishes.forEach((one, i, all) => {
      if (one.key === wish.key && !one.sent) all[i] = this.#store({ ...one, version });
    });
    this.#apply(wish.key, wish.value, version);
    this.#changed();
  }

  /** Of what was set here only the newest is worth telling. */
  #lose(wish: Wish, code: Code): void {
    const mine = this.#wishes.filter(({ key }) => key === wish.key);
    for (const one of mine) this.#drop(one);
    const value = mine.at(-1)?.value;
    if (code !== "stale" || JSON.stringify(value) !== JSON.stringify(this.#held.get(wish.key)?.value ?? null)) this.#options.lost(wish.key, value, code);
  }

  #keep(wish: Wish): void {
    this.#wishes.push(this.#store(wish));
  }

  #store(wish: Wish): Wish {
    this.#options.storage.set(this.#prefix + wish.id, JSON.stringify(wish));
    return wish;
  }

  #drop(wish: Wish): void {
    this.#options.storage.remove(this.#prefix + wish.id);
    const at = this.#wishes.indexOf(wish);
    if (at >= 0) this.#wishes.splice(at, 1);
  }

  /** Takes in what an earlier page has not sent. */
  #load(): void {
    for (const name of this.#options.storage.keys()) {
      const wish = name.startsWith(this.#prefix) ? decodeWish(this.#options.storage.get(name)) : undefined;
      if (wish && name === this.#prefix + wish.id) this.#wishes.push(wish);
    }
    this.#wishes.sort((a, b) => Number(b.sent) - Number(a.sent)); // one that may have got through comes first
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

interface All {
  readonly epoch: string;
  readonly after: number;
  readonly registers: ReadonlyArray<{ readonly key: string } & Held>;
}

function decodeRegisters(value: unknown): All {
  const from = object(value);
  const register = (one: unknown): { key: string } & Held => {
    const of = object(one);
    return { key: field.text(of, "key"), value: of["value"] ?? null, version: field.integer(of, "version") };
  };
  return { epoch: field.text(from, "epoch"), after: field.integer(from, "after"), registers: field.list(from, "registers", register) };
}

const decodeReceipt = (value: unknown): number => field.integer(object(value), "seq");

function decodeWish(text = ""): Wish | undefined {
  try {
    const from = object(parseJson(text));
    const wish = { id: field.text(from, "id"), key: field.text(from, "key"), value: from["value"], version: field.integer(from, "version"), sent: from["sent"] === true };
    return validMessageId(wish.id) ? wish : undefined;
  } catch {
    return undefined;
  }
}
