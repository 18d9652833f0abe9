// One connection at the fake server: MQTT in, deliveries out.

import type { Entry } from "../../src/entry";
import { Frames } from "../../src/mqtt/frames";
import { property } from "../../src/mqtt/properties";
import { fromUtf8, utf8 } from "../../src/platform";
import { parseTopic } from "./topic";
import { field, object, parseJson } from "../../src/json";
import { decodeDraft } from "./draft";
import type { FakeServer, Device } from "./server";
import type { Stored } from "./store";
import { decodeClient, encodeServer, type ClientPacket } from "./wire";

const window = 16;

export class Peer {
  readonly received: ClientPacket[] = [];
  device: Device | undefined;
  private readonly server: FakeServer;
  private readonly write: (bytes: Uint8Array) => void;
  private readonly hangUp: (code: number) => void;
  private readonly frames = new Frames(300_000);
  private readonly inFlight = new Map<number, { stream: string; seq: number }>();
  private nextId = 0;
  private held: Array<() => void> = [];
  private readonly knows = new Set<string>(); // conversations whose state it was told
  private gone = false;
  private expiry: ReturnType<typeof setTimeout> | undefined;

  constructor(server: FakeServer, write: (bytes: Uint8Array) => void, hangUp: (code: number) => void) {
    this.server = server;
    this.write = write;
    this.hangUp = hangUp;
  }

  push(bytes: Uint8Array): void {
    this.frames.push(bytes, (first, body) => {
      if (!this.gone) this.take(decodeClient(first, body));
    });
  }

  /** The network or the client has gone. */
  lost(): void {
    this.gone = true;
    clearTimeout(this.expiry);
    this.server.peers.delete(this);
  }

  /** Ends the connection, with a DISCONNECT first if there is a reason code. */
  end(socketCode: number, reasonCode?: number): void {
    if (this.gone) return;
    if (reasonCode !== undefined) this.send(encodeServer.disconnect(reasonCode));
    this.lost();
    this.hangUp(socketCode);
  }

  private send(bytes: Uint8Array): void {
    if (!this.gone && !this.server.faults.mute) this.write(bytes);
  }

  private take(packet: ClientPacket): void {
    this.received.push(packet);
    switch (packet.type) {
      case "connect":
        return this.connect(packet);
      case "publish":
        return this.publish(packet);
      case "puback":
        return this.acknowledged(packet.packetId);
      case "subscribe":
        return this.subscribe(packet.packetId, packet.filters);
      case "unsubscribe":
        for (const filter of packet.filters) this.device?.filters.delete(filter);
        return this.send(encodeServer.unsuback(packet.packetId, packet.filters.map(() => 0)));
      case "pingreq":
        return this.send(encodeServer.pingresp());
      case "disconnect":
        return this.lost();
    }
  }

  private connect(packet: ClientPacket & { type: "connect" }): void {
    const { connackDelay, tooOften } = this.server.faults;
    if (connackDelay) return void setTimeout(() => this.accept(packet), connackDelay);
    if (!tooOften || tooOften.times-- <= 0) return this.accept(packet);
    this.send(encodeServer.connack(0x9f, false, tooOften.retryAfter ? { user: [["retryAfter", String(tooOften.retryAfter)]] } : {}));
    this.end(4429);
  }

  private accept({ clientId, password }: ClientPacket & { type: "connect" }): void {
    const device = this.server.deviceOf(password);
    if (!device || `${device.user}.${device.device}` !== clientId) {
      this.send(encodeServer.connack(0x86, false));
      return this.end(4401);
    }
    for (const other of [...this.server.peers]) if (other !== this && other.device === device) other.end(4408, 0x8e);
    this.device = device;
    this.endWith(password);
    this.send(encodeServer.connack(0, device.filters.size > 0, { values: new Map([[property.receiveMaximum, window]]) }));
    this.pump();
  }

  private subscribe(packetId: number, filters: readonly string[]): void {
    const { device, server } = this;
    if (!device) return;
    const codes = filters.map((filter) => (server.faults.refuseFilter?.(filter) ? 0x91 : 1));
    this.send(encodeServer.suback(packetId, codes));
    filters.forEach((filter, i) => {
      if (codes[i] !== 1) return;
      const fresh = !device.filters.has(filter);
      device.filters.add(filter);
      if (fresh && filter.endsWith("/messages")) for (const c of server.store.mine(device)) device.cursors.set(c.id, c.entries.length);
      if (filter.endsWith("/state")) for (const c of server.store.conversations.values()) this.state(c, filter);
    });
    this.pump();
  }

  private publish({ topic: name, payload, packetId }: ClientPacket & { type: "publish" }): void {
    const { faults, store } = this.server;
    const topic = parseTopic(name);
    if (this.device && topic?.kind === "auth") return this.renew(this.device, payload, packetId);
    if (this.device && topic?.kind === "marks") return this.mark(this.device, topic.conversation ?? "", payload, packetId);
    const draft = decodeDraft(payload);
    if (!this.device || topic?.conversation === undefined) return this.end(4400);
    if ("refused" in draft) return this.refuse(packetId, draft.refused.code);
    this.server.publishes.push(draft.text);
    const fault = faults.onPublish?.(draft, this.server.publishes.length);
    if (fault === "drop-before") return this.end(1006);
    if (fault === "ignore") return;
    if (typeof fault === "object") return this.refuse(packetId, fault.refuse, draft.id);
    const answer = store.record(topic.conversation, this.device, draft);
    if (fault === "drop-after") return this.end(1006);
    if ("code" in answer) return this.refuse(packetId, answer.code, draft.id);
    const user: Array<[string, string]> = [["seq", String(answer.seq)], ["epoch", store.epoch]];
    if (answer.duplicate) user.push(["duplicate", "1"]);
    const ack = (): void => this.send(encodeServer.puback(packetId, 0, { user }));
    if (faults.ackDelay) setTimeout(ack, faults.ackDelay);
    else ack();
  }

  /** The connection ends with its token. */
  private endWith(token: string): void {
    clearTimeout(this.expiry);
    this.expiry = setTimeout(() => this.end(4401, 0x87), this.server.left(token));
  }

  private renew(device: Device, payload: Uint8Array, packetId: number): void {
    const token = field.text(object(parseJson(fromUtf8(payload))), "token");
    this.server.renewals.push(token);
    if (this.server.faults.refuseRenewal || this.server.deviceOf(token) !== device) return this.refuse(packetId, "unauthenticated");
    this.endWith(token);
    this.send(encodeServer.puback(packetId, 0));
  }

  private mark(device: Device, id: string, payload: Uint8Array, packetId: number): void {
    const { faults, marks, store } = this.server;
    const from = object(parseJson(fromUtf8(payload)));
    const draft = { epoch: field.text(from, "epoch"), delivered: field.integer(from, "delivered"), read: field.integer(from, "read") };
    marks.push({ device: device.device, at: Date.now(), delivered: draft.delivered, read: draft.read });
    const fault = faults.onMark?.(device.device);
    if (fault === "drop-before") return this.end(1006);
    if (fault) return this.refuse(packetId, fault.refuse);
    const c = store.conversations.get(id);
    const { code } = c && store.sees(c, device) ? store.mark(c, device, draft) : { code: "not_found" };
    if (code) this.refuse(packetId, code);
    else this.send(encodeServer.puback(packetId, 0));
  }

  private refuse(packetId: number, code: string, id = ""): void {
    const { device } = this;
    if (device && id) this.errorEntry(device, code, id);
    this.send(encodeServer.puback(packetId, 0x83, { user: [["code", code]] }));
  }

  private errorEntry(device: Device, code: string, id: string): void {
    const body = { id, topic: "", code, retry: false, message: "" };
    const seq = ++device.refusals;
    const entry = { seq, epoch: this.server.store.epoch, id: `sys:${seq}`, sender: "system", role: "system", type: "refusal", body, at: 0, count: 0 };
    const topic = `p1/${this.server.site}/d/${device.user}.${device.device}/errors`;
    this.deliver(topic, utf8(JSON.stringify(entry)), "", 0);
  }

  private acknowledged(packetId: number): void {
    const got = this.inFlight.get(packetId);
    this.inFlight.delete(packetId);
    if (got?.stream && this.device) {
      this.device.cursors.set(got.stream, Math.max(this.device.cursors.get(got.stream) ?? 0, got.seq));
    }
  }

  /** Delivers what the device has not been sent on this connection. */
  private readonly sent = new Map<string, number>();

  pump(): void {
    const { device, server } = this;
    if (!device || this.gone) return;
    this.tell(device);
    if (![...device.filters].some((f) => f.endsWith("/messages"))) return;
    for (const c of server.store.mine(device)) {
      const from = Math.max(this.sent.get(c.id) ?? 0, device.cursors.get(c.id) ?? 0);
      for (const entry of c.entries.slice(from)) this.entry(c, entry);
      this.sent.set(c.id, c.entries.length);
    }
  }

  /** Delivers the user's own events. */
  private tell(device: Device): void {
    const topic = `p1/${this.server.site}/u/${device.user}/events`;
    if (!device.filters.has(topic)) return;
    const events = this.server.store.events.get(device.user) ?? [];
    for (const entry of this.server.faults.loseEvents ? [] : events.slice(device.heard)) this.deliver(topic, utf8(JSON.stringify(entry)), "", 0);
    device.heard = events.length;
  }

  /** Delivers the state if the device may and wants to see it. */
  state(c: Stored, only?: string): void {
    const { device, server } = this;
    if (!device || this.gone) return;
    const exact = `p1/${server.site}/c/${c.id}/state`;
    const membership = `p1/${server.site}/c/+/state`;
    const wanted = only ? only === exact || only === membership : device.filters.has(exact) || device.filters.has(membership);
    if (!wanted || (server.faults.loseStates && !only)) return;
    if (server.store.sees(c, device)) {
      this.knows.add(c.id);
      this.deliver(exact, utf8(JSON.stringify(server.store.state(c, device))), "", 0, true);
    } else if (this.knows.delete(c.id)) {
      this.deliver(exact, new Uint8Array(), "", 0);
    }
  }

  private entry(c: Stored, entry: Entry): void {
    const { faults } = this.server;
    const go = (): void => this.deliver(`p1/${this.server.site}/c/${c.id}/messages`, utf8(JSON.stringify(entry)), c.id, entry.seq);
    const fault = faults.onDeliver?.(entry);
    if (fault === "lose") return;
    if (fault === "late") return void this.held.push(go);
    go();
    if (fault === "twice") go();
    for (const late of this.held.splice(0)) late();
  }

  private deliver(topic: string, payload: Uint8Array, stream: string, seq: number, retain = false): void {
    this.nextId = (this.nextId % 65_535) + 1;
    this.inFlight.set(this.nextId, { stream, seq });
    this.send(encodeServer.publish(topic, payload, this.nextId, retain));
  }
}

