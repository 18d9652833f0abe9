// Sending files. Not part of what the widget loads at once.

import type { Client } from "./client";
import type { Attached } from "./entry";
import { Upload, type Source } from "./upload";

export { type Attached, decodeAttached } from "./entry";
export { Upload, type Problem, type Source, type UploadState } from "./upload";

/** So many files one message can have. */
export const maxAttachments = 10;

/** The files that somebody gathers for one message. They are uploaded one after the other, while the message is being written. */
export class Uploads {
  readonly #client: Pick<Client, "call" | "on">;
  readonly #conversation: () => string;
  readonly #changed: () => void;
  readonly #stop: () => void;
  #list: readonly Upload[] = [];
  #running = false;

  /** `conversation` is the one that they are meant for; where it has become another one, they are uploaded anew. */
  constructor(client: Pick<Client, "call" | "on">, conversation: () => string, changed: () => void) {
    this.#client = client;
    this.#conversation = conversation;
    this.#changed = changed;
    this.#stop = client.on("state", (state) => this.#list.forEach((upload) => upload.follow(state)));
  }

  get list(): readonly Upload[] {
    return this.#list;
  }

  /** Whether a message can be sent with what is here, to the conversation that it now is. */
  ready(): boolean {
    this.#move();
    return this.#list.every(({ state }) => state === "done");
  }

  /** The files for the message, once all are complete. */
  get attached(): Attached[] {
    return this.#list.flatMap(({ attached }) => attached ?? []);
  }

  /** Takes files; answers how many of them are too many. */
  add(sources: readonly Source[]): number {
    const room = Math.max(0, maxAttachments - this.#list.length);
    const taken = sources.slice(0, room).map((source) => new Upload(this.#client, source, this.#changed));
    this.#list = [...this.#list, ...taken];
    this.#changed();
    void this.#run();
    return sources.length - taken.length;
  }

  /** Gives one up, wherever it is. */
  remove(upload: Upload): void {
    this.#list = this.#list.filter((one) => one !== upload);
    upload.cancel();
    this.#changed();
  }

  /** A message has them: the next one begins without. */
  clear(): void {
    this.#list = [];
    this.#changed();
  }

  /** Nobody wants them any more. */
  stop(): void {
    this.#stop();
    for (const upload of this.#list) upload.cancel();
    this.#list = [];
  }

  /** The conversation has become another one: what was uploaded to the old one cannot be sent to this. */
  #move(): void {
    const id = this.#conversation();
    for (const upload of this.#list) if (upload.conversation && upload.conversation !== id) upload.restart();
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (;;) {
      const next = this.#list.find(({ state }) => state === "waiting");
      if (!next) break;
      await next.run(this.#conversation());
    }
    this.#running = false;
  }
}
