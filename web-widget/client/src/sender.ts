import { draftJson } from "./draft";
import type { Refusal } from "./entry";
import type { Ack } from "./mqtt/codec";
import type { Connection } from "./mqtt/connection";
import { userOf } from "./mqtt/properties";
import { codeOfReason, isFinal, type Outbox, type Outgoing } from "./outbox";
import { utf8 } from "./platform";
import { conversationTopic } from "./topic";

/** So few messages go out before the socket is asked again whether it can take more. */
const batch = 8;

export interface SenderOptions {
  readonly outbox: Outbox;
  /** The connection, while there is one. */
  open(): Connection | undefined;
  /** Our site, once that is known. */
  site(): string | undefined;
  /** Whether somebody shows the conversation, and waits for the message to come back in it. */
  shown(conversation: string): boolean;
  refused(refusal: Refusal): void;
}

/** Carries messages from the outbox to the server, in order, as many at a time as it takes. */
export class Sender {
  readonly #options: SenderOptions;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Sends what is queued, as much as the connection takes now. */
  pump(): void {
    const { outbox } = this.#options;
    const open = this.#options.open();
    const site = this.#options.site();
    if (!open || site === undefined) return;
    for (;;) {
      const rows = outbox.take(Math.min(open.room, batch));
      if (rows.length === 0) return;
      for (const row of rows) {
        const topic = conversationTopic("send", site, row.conversation);
        void open.publish(topic, utf8(draftJson(row.draft))).then((ack) => ack && this.#answered(row, topic, ack, open));
      }
    }
  }

  /** A refusal comes as PUBACK and on the `errors` topic; the first one counts. */
  refused(refusal: Refusal): void {
    if (refusal.retry || !isFinal(refusal.code)) return;
    if (refusal.id && !this.#options.outbox.refused(refusal.id, refusal.code)) return;
    this.#options.refused(refusal);
  }

  #answered({ conversation, draft: { id } }: Outgoing, topic: string, ack: Ack, connection: Connection): void {
    const { outbox } = this.#options;
    if (ack.code < 0x80) {
      outbox.acked(id, Number(userOf(ack.properties, "seq") ?? 0));
      if (!this.#options.shown(conversation)) outbox.settle(id);
      return;
    }
    const code = codeOfReason(ack.code, userOf(ack.properties, "code"));
    if (isFinal(code)) this.refused({ id, topic, code, retry: false, message: "" });
    else connection.close("refused"); // the message stays ours: it goes again, in order, on the next connection
  }
}
