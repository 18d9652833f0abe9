import { Backoff } from "./backoff";
import { errorOf, ParleyError } from "./errors";
import { Connection, type Closed } from "./mqtt/connection";
import type { Publish } from "./mqtt/codec";
import { after, utf8, type SocketConstructor } from "./platform";
import { renewalIn, type Session, type SessionKeeper } from "./session";
import { deviceTopic } from "./topic";

/** What a person may want to know about the connection. "refused": the server is up, and does not allow pages of this origin. */
export type ConnectionState = "connecting" | "online" | "offline" | "refused" | "replaced" | "signed-out";

/** How a connection has ended: whether the link had been online, and how many milliseconds after the attempt began. */
export interface Ended extends Closed {
  readonly lived: boolean;
  readonly took: number;
}

/** Told how each connection has ended; answers what to use instead of a WebSocket from now on, if anything. */
export type Fallback = (ended: Ended) => Promise<SocketConstructor | undefined>;

export interface LinkOptions {
  readonly keeper: SessionKeeper;
  readonly socket: SocketConstructor;
  readonly fallback: Fallback | undefined;
  urlOf(session: Session): string;
  onState(state: ConnectionState): void;
  /** A connection is open; the link counts as online when the promise resolves. */
  onOpen(connection: Connection, session: Session): Promise<void>;
  onPublish(message: Publish): void;
  onRoom(): void;
  /** The connection has gone, whatever comes next. */
  onLost(): void;
  onError(error: ParleyError): void;
}

/** However eager the signals, attempts start at least this far apart. */
const attemptGap = 1_000;
/** How long an attempt may take, from the first packet to an open socket. */
const patience = 8_000;
/**
 * The same while the network is gone: its return finds an attempt that waits,
 * whose first packet the operating system repeats, at 1, 2, 3, 4, 5, 7 and 11 s
 * or more seldom; a fresh attempt comes before the long pauses. One in eight has the time that a very
 * slow network needs. More of them would bring nobody back sooner: browsers
 * open one WebSocket to a server at a time, and Chromium delays each by up to
 * 5 s once thirty have failed.
 */
const silentPatience = 5_000;
/** A connection that lived this long was a good one: the next waits are short again. */
const goodLife = 5_000;

/** What the server's reason code or the WebSocket's close code say: session taken over; bad password, not authorized. */
const takenOver = [0x8e, 4408];
const unauthenticated = [0x86, 0x87, 4401];
/** The WebSocket close code of who comes too often, and how long to stay away then if the server does not say. */
const tooOften = 4429;
const tooOftenWait = 5_000;
const says = (codes: readonly number[], { reasonCode, socketCode }: Closed): boolean => codes.includes(reasonCode) || codes.includes(socketCode);

type Outcome = "again" | "wait" | "replaced" | "signed-out";

/**
 * Holds a connection open for as long as it is wanted.
 *
 *   connecting ──▶ online ──lost──▶ connecting ──attempt failed──▶ offline / refused
 *        │            │                  ▲ ▲                          │
 *        │            └─ taken over ─▶ replaced (until takeOver)      │
 *        └─ no valid sign-in ─▶ signed-out        └── back-off, or network is back ──┘
 *
 * How long it waits between two attempts depends on how the last one ended. An
 * answer in no time (connection refused, closed, 5xx) says that the server is
 * down or starting: back-off with full jitter. Silence after a connection that
 * was lost by silence says that the network has gone: the next attempt at once.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #backoff = new Backoff();
  #present: ConnectionState = "offline";
  #connection: Connection | undefined;
  #running = 0;
  #attemptAt = 0;
  /** The last connection was lost by silence, or the network has changed: what is not answered is the network's fault. */
  #silent = false;
  #attempts = 0;
  #refusedToken = "";
  #leaveAlone = 0;
  #wake: (() => void) | undefined;
  #other: SocketConstructor | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#present;
  }

  /** The connection, while there is one that can be used. */
  get open(): Connection | undefined {
    return this.#present === "online" ? this.#connection : undefined;
  }

  start(): void {
    void this.#run(++this.#running);
  }

  /** Ends the connection and the attempts. */
  stop(): void {
    this.#running++;
    this.#connection?.close();
    this.#wake?.();
    this.#become("offline");
  }

  /** The network may be back, or another one: tries at once, and tests a connection that seems open. */
  networkChanged(): void {
    this.#backoff.reset();
    this.#silent = true;
    if (this.open) this.open.check();
    else if (this.#connection && Date.now() - this.#attemptAt > attemptGap) this.#connection.close("network");
    this.#wake?.();
  }

  async #run(mine: number): Promise<void> {
    this.#become("connecting");
    for (;;) {
      const outcome = await this.#attempt(mine);
      if (this.#running !== mine) return;
      if (outcome === "replaced" || outcome === "signed-out") return this.#become(outcome);
      if (outcome === "wait") await this.#pause(this.#leaveAlone + this.#backoff.next());
      if (this.#running !== mine) return;
    }
  }

  /** One connection from sign-in to its end. */
  async #attempt(mine: number): Promise<Outcome> {
    this.#attemptAt = Date.now();
    const { keeper } = this.#options;
    let session: Session;
    this.#leaveAlone = 0;
    try {
      session = await (this.#refusedToken ? keeper.another(this.#refusedToken) : keeper.fresh());
    } catch (error) {
      return this.#running === mine ? this.#noSession(error) : "wait";
    }
    if (this.#running !== mine) return "wait";
    const connection = this.#connect(session);
    if (!connection) return "wait";
    const closed = await connection.closed;
    if (this.#connection !== connection) return "wait"; // stopped, and started again already
    this.#connection = undefined;
    const lived = this.#present === "online";
    if (this.#running === mine) this.#become(lived ? "connecting" : "offline");
    this.#options.onLost();
    // Not waited for: what it takes may be as far away as the server.
    this.#options.fallback?.({ ...closed, lived, took: Date.now() - this.#attemptAt }).then(
      (other) => (this.#other = other),
      () => {},
    );
    if (lived) this.#lived(closed);
    return this.#judge(closed, session);
  }

  #noSession(error: unknown): Outcome {
    if (!(error instanceof ParleyError)) throw error;
    this.#options.onError(error);
    const refused = error.code === "forbidden";
    if (!error.retry && !refused) return "signed-out";
    // When the browser hides the refusal, a network that has just come back looks the same: once is not enough.
    this.#become(refused && (!error.retry || this.#present !== "connecting") ? "refused" : "offline");
    return error.code === "unavailable" ? this.#unanswered() : "wait";
  }

  #connect(session: Session): Connection | undefined {
    const options = this.#options;
    try {
      this.#connection = new Connection({
        url: options.urlOf(session),
        clientId: `${session.user}.${session.device}`,
        password: session.token,
        socket: this.#other ?? options.socket,
        patience: this.#silent && ++this.#attempts % 8 ? silentPatience : patience,
        onPublish: (message) => options.onPublish(message),
        onRoom: () => options.onRoom(),
      });
    } catch (error) {
      options.onError(new ParleyError("forbidden", String(error)));
      this.#become("offline");
      return undefined;
    }
    void this.#whenOpen(this.#connection, session);
    return this.#connection;
  }

  async #whenOpen(connection: Connection, session: Session): Promise<void> {
    await connection.opened;
    await this.#options.onOpen(connection, session);
    if (this.#connection !== connection) return;
    this.#become("online");
    this.#options.onRoom();
    this.#renewInTime(session, connection);
  }

  /** Keeps the connection when its token ends, by telling the server another one in time. */
  #renewInTime(session: Session, connection: Connection, wait = renewalIn(session)): void {
    const stop = after(wait, () => void this.#renew(session, connection));
    void connection.closed.then(stop);
  }

  /** What fails is tried again; if it never succeeds, the server ends the connection when the token ends. */
  async #renew(session: Session, connection: Connection): Promise<void> {
    try {
      const next = await this.#options.keeper.another(session.token);
      if (next.device !== session.device) return connection.close(); // the server has forgotten us
      if (connection.room < 1) throw new ParleyError("unavailable", "no room");
      const ack = await connection.publish(deviceTopic("auth", next.site, next.user, next.device), utf8(JSON.stringify({ token: next.token })));
      if (!ack) return;
      if (ack.code < 0x80) return this.#renewInTime(next, connection);
      this.#options.onError(new ParleyError("unauthenticated", "token refused"));
      connection.close();
    } catch (error) {
      this.#options.onError(errorOf(error));
      this.#renewInTime(session, connection, 1000 + (Math.random() * session.lifetime) / 20);
    }
  }

  /** What the end of a connection that was good says about the attempts to come. */
  #lived({ cause }: Closed): void {
    this.#silent = cause === "silence";
    this.#attempts = 0;
    if (Date.now() - this.#attemptAt > goodLife) this.#backoff.reset();
  }

  #judge(closed: Closed, session: Session): Outcome {
    const { cause, retryAfter, socketCode } = closed;
    this.#leaveAlone = retryAfter || (socketCode === tooOften ? tooOftenWait : 0);
    if (says(takenOver, closed)) return "replaced";
    const refused = says(unauthenticated, closed);
    const before = this.#refusedToken;
    this.#refusedToken = refused ? session.token : "";
    if ((refused && !before) || cause === "local") return "again";
    return cause === "silence" || cause === "network" ? this.#unanswered() : "wait";
  }

  /** Ten thousand devices whose server is down are told so in no time; one whose network is gone hears nothing for long. */
  #unanswered(): Outcome {
    return this.#silent && Date.now() - this.#attemptAt > attemptGap ? "again" : "wait";
  }

  /** Waits. Who is woken may go on sooner, but not at once: signals of a flapping network come in swarms. */
  async #pause(ms: number): Promise<void> {
    const woken = await new Promise<boolean>((resolve) => {
      const stop = after(ms, () => resolve(false));
      this.#wake = () => {
        stop();
        resolve(true);
      };
    });
    this.#wake = undefined;
    const rest = this.#attemptAt + attemptGap - Date.now();
    if (woken && rest > 0) await new Promise<void>((resolve) => after(rest, resolve));
  }

  #become(state: ConnectionState): void {
    if (state === this.#present) return;
    this.#present = state;
    this.#options.onState(state);
  }
}
