import { after, type Socket, type SocketConstructor } from "../platform";
import { MqttError } from "./bytes";
import { decode, encode, type Ack, type Connack, type Packet, type Publish } from "./codec";
import { Frames } from "./frames";
import { numberOf, property, userOf } from "./properties";

const maximumPacketSize = 262_144;
/** Silence after which we ask whether the other end is still there, and how long it may take to answer. */
const pingAfter = 4_500;
const pingPatience = 3_000;
/** An acknowledgement that does not come means "not stored, as far as you know": start afresh and send again. */
const ackPatience = 20_000;
/** The server answers those who come at once one after the other: who gives up begins at the end again. */
const connackPatience = 20_000;
const goodbyePatience = 1_000;
/** Beyond this many unsent bytes in the socket we wait: the network is slower than we are. */
const bufferLimit = 131_072;
const bufferPoll = 50;
/** How long the close event may follow the error event. */
const closePatience = 50;
/** Announced to the server. Browsers run timers of hidden pages once a minute only, so a shorter one would lie. */
const keepAlive = 60;

/** Why a connection has ended. */
export interface Closed {
  /** The WebSocket close code, 1006 if there was none. */
  readonly socketCode: number;
  /** The reason code of the server's CONNACK or DISCONNECT, 0 if there was none. */
  readonly reasonCode: number;
  /** For how many milliseconds the server wants to be left alone, 0 if it did not say. */
  readonly retryAfter: number;
  /** "silence": no CONNACK, or no sign of life when asked for one; "timeout": an acknowledgement did not come. */
  readonly cause: "network" | "silence" | "timeout" | "malformed" | "refused" | "server" | "local";
}

export interface ConnectionOptions {
  readonly url: string;
  readonly clientId: string;
  readonly password: string;
  readonly socket: SocketConstructor;
  /** How long may pass until the socket is open, in milliseconds. */
  readonly patience: number;
  /** Takes a message. It is acknowledged to the server after this returns; if it throws, the connection ends and the message comes again. */
  readonly onPublish: (message: Publish) => void;
  /** Called whenever `room` may have grown. */
  readonly onRoom: () => void;
}

/** One WebSocket connection that speaks MQTT 5, from CONNECT to its end. It never reconnects. */
export class Connection {
  /** Resolves at an accepted CONNECT; stays pending if the connection ends before. */
  readonly opened: Promise<Connack>;
  /** Resolves once, when the connection has ended. */
  readonly closed: Promise<Closed>;

  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #frames = new Frames(maximumPacketSize);
  readonly #acks = new Map<number, (ack: Ack | undefined) => void>();
  readonly #subacks = new Map<number, (codes: readonly number[]) => void>();
  #window = 0;
  #lastId = 0;
  #heard = 0;
  #heardAt = 0;
  #asking = false;
  #ended = false;
  #open!: (connack: Connack) => void;
  #end!: (closed: Closed) => void;
  #stopWatch: () => void;
  #stopPoll: (() => void) | undefined;
  #stopAckWatch: (() => void) | undefined;
  #reasonCode = 0;
  #retryAfter = 0;
  #cause: Closed["cause"] | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.opened = new Promise((resolve) => (this.#open = resolve));
    this.closed = new Promise((resolve) => (this.#end = resolve));
    const socket = new options.socket(options.url, ["mqtt"]);
    this.#stopWatch = after(options.patience, () => this.close("silence"));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#sendConnect();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#finish("network", event.code);
    socket.onerror = () => after(closePatience, () => this.close("network")); // the close event follows and says more, but not in Node 20
    this.#socket = socket;
  }

  /** How many publishes may be sent now. */
  get room(): number {
    if (this.#ended || this.#stopPoll) return 0;
    if ((this.#socket.bufferedAmount ?? 0) > bufferLimit) {
      this.#stopPoll = after(bufferPoll, () => {
        this.#stopPoll = undefined;
        this.#options.onRoom();
      });
      return 0;
    }
    return this.#window - this.#acks.size;
  }

  /** Publishes at QoS 1. Resolves with the PUBACK, or with undefined if the connection ends before one. */
  publish(topic: string, payload: Uint8Array): Promise<Ack | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    const id = this.#nextId();
    return new Promise((resolve) => {
      this.#acks.set(id, resolve);
      this.#watchAcks();
      this.#send(encode.publish(topic, payload, id));
    });
  }

  /** Subscribes at QoS 1. Resolves with a reason code per filter; stays pending if the connection ends before. */
  subscribe(filters: readonly string[]): Promise<readonly number[]> {
    return this.#ask(filters, encode.subscribe);
  }

  /** Drops subscriptions; answers like `subscribe`. */
  unsubscribe(filters: readonly string[]): Promise<readonly number[]> {
    return this.#ask(filters, encode.unsubscribe);
  }

  /** Asks the server for a sign of life now; without one within 3 s the connection ends. */
  check(): void {
    if (this.#asking) return;
    const before = this.#heard;
    const asked = Date.now();
    this.#asking = true;
    this.#send(encode.pingreq());
    this.#watch(pingPatience, () => {
      this.#asking = false;
      if (this.#heard !== before) this.#idle();
      else if (Date.now() - asked > pingPatience + 1000) this.check(); // we were asleep, not the server
      else this.close("silence");
    });
  }

  /** Ends the connection from this side. */
  close(cause: Closed["cause"] = "local"): void {
    if (this.#ended) return;
    if (cause === "local") this.#send(encode.disconnect(0));
    this.#socket.close();
    this.#finish(cause, 1006); // the socket's own event may take minutes when the network is gone
  }

  #sendConnect(): void {
    this.#watch(connackPatience, () => this.close("silence"));
    this.#send(
      encode.connect({
        clientId: this.#options.clientId,
        password: this.#options.password,
        keepAlive,
        sessionExpiry: 86_400,
        receiveMaximum: 128,
        maximumPacketSize,
      }),
    );
  }

  #receive(data: unknown): void {
    if (this.#ended) return;
    this.#heard++;
    this.#heardAt = Date.now();
    try {
      if (!(data instanceof ArrayBuffer)) throw new MqttError(); // not a binary frame
      this.#frames.push(new Uint8Array(data), (first, body) => {
        if (!this.#ended) this.#dispatch(decode(first, body));
      });
    } catch (error) {
      this.close("malformed");
      if (!(error instanceof MqttError)) throw error; // a fault of the message's taker: let the runtime report it
    }
  }

  #dispatch(packet: Packet): void {
    switch (packet.type) {
      case "connack":
        return this.#connected(packet);
      case "publish":
        return this.#published(packet);
      case "puback":
        return this.#acknowledged(packet);
      case "suback":
      case "unsuback":
        return this.#answered(packet.packetId, packet.codes);
      case "disconnect":
        return this.#goodbye(packet.code, "server");
    }
  }

  #connected(connack: Connack): void {
    if (this.#window > 0) throw new MqttError(); // second CONNACK
    if (connack.code >= 0x80) {
      this.#retryAfter = 1000 * Number(userOf(connack.properties, "retryAfter") ?? 0) || 0;
      return this.#goodbye(connack.code, "refused");
    }
    this.#window = numberOf(connack.properties, property.receiveMaximum, 64);
    this.#idle();
    this.#open(connack);
  }

  /** The server has given its reason; the close code that follows may say more. */
  #goodbye(reasonCode: number, cause: Closed["cause"]): void {
    this.#reasonCode = reasonCode;
    this.#cause = cause;
    this.#window = 0;
    this.#watch(goodbyePatience, () => this.close(cause));
  }

  #published(message: Publish): void {
    this.#options.onPublish(message);
    if (message.qos > 0) this.#send(encode.puback(message.packetId));
  }

  #acknowledged(ack: Ack): void {
    const resolve = this.#acks.get(ack.packetId);
    if (!resolve) return;
    this.#acks.delete(ack.packetId);
    this.#stopAckWatch?.();
    this.#stopAckWatch = undefined;
    if (this.#acks.size > 0) this.#watchAcks();
    resolve(ack);
    this.#options.onRoom();
  }

  #answered(packetId: number, codes: readonly number[]): void {
    this.#subacks.get(packetId)?.(codes);
    this.#subacks.delete(packetId);
  }

  #ask(filters: readonly string[], encodeWith: (id: number, filters: readonly string[]) => Uint8Array): Promise<readonly number[]> {
    const id = this.#nextId();
    return new Promise((resolve) => {
      const stop = after(ackPatience, () => this.close("timeout"));
      this.#subacks.set(id, (codes) => {
        stop();
        resolve(codes);
      });
      this.#send(encodeWith(id, filters));
    });
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1;
    while (this.#acks.has(this.#lastId) || this.#subacks.has(this.#lastId));
    return this.#lastId;
  }

  /** Nothing to wait for but the end of a silence. */
  #idle(): void {
    const left = this.#heardAt + pingAfter - Date.now();
    if (left <= 0) this.check();
    else this.#watch(left, () => this.#idle());
  }

  #watch(ms: number, run: () => void): void {
    this.#stopWatch();
    if (!this.#ended) this.#stopWatch = after(ms, run);
  }

  #watchAcks(): void {
    this.#stopAckWatch ??= after(ackPatience, () => this.close("timeout"));
  }

  #send(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.send(bytes);
  }

  #finish(cause: Closed["cause"], socketCode: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatch();
    this.#stopPoll?.();
    this.#stopAckWatch?.();
    for (const resolve of this.#acks.values()) resolve(undefined);
    this.#end({ socketCode, reasonCode: this.#reasonCode, retryAfter: this.#retryAfter, cause: this.#cause ?? cause });
  }
}
