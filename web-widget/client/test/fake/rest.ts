// The REST half of the fake server.

import { isChange } from "../../src/changes";
import type { Entry } from "../../src/entry";
import { field, object, parseJson, type JsonObject } from "../../src/json";
import type { Reply } from "./files";
import type { Device, FakeServer } from "./server";
import type { Stored } from "./store";

const problem = (status: number, code: string): Reply => ({ status, json: { title: code, status, code, retry: false } });

export class Rest {
  private readonly server: FakeServer;
  private readonly devices = new Map<string, Device>(); // by refresh token
  private minted = 0;

  constructor(server: FakeServer) {
    this.server = server;
  }

  answer(method: string, url: string, headers: Record<string, string>, body: string | ArrayBuffer): Reply {
    const { pathname, searchParams } = new URL(url);
    const json = object(parseJson((typeof body === "string" && body) || "{}"));
    switch (`${method} ${pathname}`) {
      case "POST /v1/visitor-sessions":
        return this.visitor(json);
      case "POST /v1/agent-sessions":
        return this.agent(json);
      case "POST /v1/tokens/refresh":
        return this.session(this.devices.get(String(json["refreshToken"])));
    }
    const device = this.server.deviceOf((headers["Authorization"] ?? "").replace("Bearer ", ""));
    if (!device) return problem(401, "unauthenticated");
    if (pathname === "/v1/me/registers") return method === "GET" ? this.registers(device) : this.set(device, json);
    const [, file, part = ""] = /^\/v1\/attachments\/(\w+)\/?(\w*)$/.exec(pathname) ?? [];
    if (file) return this.server.files.answer(method, file, part, device, headers["Upload-Offset"], typeof body === "string" ? new Uint8Array() : new Uint8Array(body));
    if (pathname === "/v1/search") return this.search(device, searchParams);
    if (pathname === "/v1/conversations") return this.list(device, searchParams);
    const [, id = "", what] = /^\/v1\/conversations\/([\w-]+)\/?(\w*)$/.exec(pathname) ?? [];
    if (what === "attachments") return this.server.files.begin(device, id, json);
    const c = this.server.store.conversations.get(id);
    if (!c || !this.server.store.sees(c, device)) return problem(404, "not_found");
    return this.about(c, device, what ?? "", searchParams);
  }

  private visitor(json: JsonObject): Reply {
    if (json["siteKey"] !== this.server.siteKey) return problem(404, "not_found");
    const token = json["refreshToken"];
    if (token === undefined) return this.session(this.mint("visitor", `vis_${++this.minted}`, String(json["name"] ?? "")));
    const known = this.devices.get(String(token));
    if (!known) return problem(401, "unauthenticated");
    if (json["device"] === known.device) return this.session(known);
    return this.session(this.mint("visitor", known.user, known.name));
  }

  private agent(json: JsonObject): Reply {
    if (json["password"] !== "secret") return problem(401, "unauthenticated");
    const name = String(json["email"]).split("@")[0] ?? "";
    return this.session(this.mint(name === "boss" ? "admin" : "agent", `agt_${name}`, name));
  }

  private mint(role: string, user: string, name: string): Device {
    return { user, device: `dev_${++this.minted}`, role, name, filters: new Set(), cursors: new Map(), refusals: 0, heard: 0 };
  }

  private session(device: Device | undefined): Reply {
    if (!device) return problem(401, "unauthenticated");
    const refreshToken = `ref_${device.device}`;
    this.devices.set(refreshToken, device);
    const { user, role, name } = device;
    const now = Date.now() - 86_400_000; // the server's clock is another one
    return {
      status: 200,
      json: {
        site: this.server.site,
        user,
        device: device.device,
        role,
        name,
        token: this.server.tokenFor(device),
        tokenExpiresAt: now + this.server.tokenLifetime,
        refreshToken,
        mqtt: { path: "/mqtt" },
        serverTime: now,
      },
    };
  }

  private registers(device: Device): Reply {
    const { store } = this.server;
    return { status: 200, json: { epoch: store.epoch, after: store.events.get(device.user)?.length ?? 0, registers: store.registers(device.user) } };
  }

  private set(device: Device, json: JsonObject): Reply {
    const answer = this.server.store.set(device, { id: field.text(json, "id"), key: field.text(json, "key"), value: json["value"], basedOn: field.integer(json, "basedOn") });
    if ("code" in answer) return problem(409, answer.code);
    for (const peer of [...this.server.peers]) peer.pump();
    return { status: 200, json: { seq: answer.seq, epoch: this.server.store.epoch, at: 0, duplicate: answer.duplicate } };
  }

  private list(device: Device, query: URLSearchParams): Reply {
    const status = query.get("status");
    const from = Number(query.get("cursor") ?? 0);
    const to = from + Number(query.get("limit") ?? 50);
    const { store } = this.server;
    const found = [...store.conversations.values()].filter((c) => store.sees(c, device) && (!status || c.status === status));
    return { status: 200, json: { conversations: found.slice(from, to).map((c) => store.state(c, device)), nextCursor: to < found.length ? String(to) : "" } };
  }

  private about(c: Stored, device: Device, what: string, query: URLSearchParams): Reply {
    const { store } = this.server;
    switch (what) {
      case "messages":
        return this.messages(c, query);
      case "":
        break;
      case "claim":
        if (c.assignee && c.assignee.user !== device.user) return problem(409, "conflict");
        store.claim(c, device);
        break;
      case "close":
        store.close(c, device);
        break;
    }
    return { status: 200, json: store.state(c, device) };
  }

  private messages(c: Stored, query: URLSearchParams): Reply {
    const limit = Number(query.get("limit") ?? 50);
    const all = c.entries.filter((e) => e.seq >= c.first);
    const number = (name: string): number | undefined => (query.has(name) ? Number(query.get(name)) : undefined);
    const [after, before, around] = [number("after"), number("before"), number("around")];
    const start = after !== undefined ? all.findIndex((e) => e.seq > after) : around !== undefined ? Math.max(0, around - c.first - limit / 2) : undefined;
    const entries = start === undefined ? all.filter((e) => e.seq < (before ?? Infinity)).slice(-limit) : start < 0 ? [] : all.slice(start, start + limit);
    const amendments = c.entries.filter((e) => isChange(e) && entries.some(({ seq }) => seq === e.body["seq"]));
    return { status: 200, json: { epoch: this.server.store.epoch, head: c.entries.length, first: c.first, entries, amendments } };
  }

  /** Finds every message that has the words as they are, whatever their case. */
  private search(device: Device, query: URLSearchParams): Reply {
    const { store } = this.server;
    const words = (query.get("q") ?? "").toLowerCase();
    const from = Number(query.get("cursor") ?? 0);
    const to = from + Number(query.get("limit") ?? 20);
    const all = [...store.conversations.values()].filter((c) => store.sees(c, device)).flatMap((c) => c.entries.filter((e) => textIn(e).toLowerCase().includes(words)).map((e) => hitOf(c, e, words)));
    const hits = all.sort((a, b) => b.at - a.at);
    return { status: 200, json: { epoch: store.epoch, hits: hits.slice(from, to), partial: false, indexing: false, ...(to < hits.length && { nextCursor: String(to) }) } };
  }
}

const textIn = ({ type, body }: Entry): string => (type === "text" ? String(body["text"] ?? "") : "");

function hitOf({ id, visitor }: Stored, entry: Entry, words: string): JsonObject & { at: number } {
  const { seq, sender, role, type, at } = entry;
  const text = textIn(entry);
  const found = text.toLowerCase().indexOf(words);
  const end = found + words.length;
  const snippet = [{ text: text.slice(0, found) }, { text: text.slice(found, end), hit: true }, { text: text.slice(end) }].filter((piece) => piece.text !== "");
  return { conversation: id, visitor: { id: visitor.user, name: visitor.name }, in: "messages", seq, sender, role, type, at, edited: false, snippet };
}
