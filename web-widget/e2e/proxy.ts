// A proxy as it stands in front of people's networks: it understands HTTP/1.1,
// and may understand nothing else.

import { once } from "node:events";
import { Agent, createServer, request, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * What becomes of a WebSocket. "passed": nothing; "stripped": the server sees a
 * plain request; "refused": the answer is 426; "dropped": it opens, and is cut
 * when the first bytes have gone through.
 */
export type WebSockets = "passed" | "stripped" | "refused" | "dropped";

export interface ProxyOptions {
  readonly webSockets: WebSockets;
  /** Connections in which nothing has moved for so long are cut, in milliseconds. */
  readonly idle?: number;
}

export class Proxy {
  url = "";
  /** How many tunnels were asked for, and how many WebSockets. */
  tunnels = 0;
  upgrades = 0;
  /** How many connections were cut for their silence. */
  idled = 0;

  private readonly options: ProxyOptions;
  private readonly target: URL;
  private readonly server: HttpServer;
  private readonly agent = new Agent({ keepAlive: true });
  private readonly sockets = new Set<Duplex>();

  private constructor(target: string, options: ProxyOptions) {
    this.target = new URL(target);
    this.options = options;
    this.server = createServer((asked, answer) => this.forward(asked, answer));
    this.server.on("upgrade", (asked, socket, head) => this.upgrade(asked, socket, head));
    this.server.on("connection", (socket) => this.watch(socket));
    this.server.keepAliveTimeout = 60_000;
  }

  /** Stands in front of the server at `target`. */
  static async start(target: string, options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(target, options);
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    const address = proxy.server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    proxy.url = `http://127.0.0.1:${address.port}`;
    return proxy;
  }

  /** Cuts what is connected now, each with this probability. */
  cut(probability = 1): void {
    for (const socket of [...this.sockets]) if (Math.random() < probability) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.agent.destroy();
    this.cut();
  }

  private watch(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.sockets.delete(socket));
    if (this.options.idle) this.cutWhenIdle(socket, this.options.idle);
  }

  /** Looks at what has moved: the time-out of a socket belongs to the HTTP server. */
  private cutWhenIdle(socket: Socket, idle: number): void {
    let moved = 0;
    let at = Date.now();
    const look = setInterval(() => {
      const now = socket.bytesRead + socket.bytesWritten;
      if (now !== moved) [moved, at] = [now, Date.now()];
      if (Date.now() - at < idle) return;
      this.idled++;
      socket.destroy();
    }, 100);
    socket.on("close", () => clearInterval(look));
  }

  private forward(asked: IncomingMessage, answer: ServerResponse): void {
    if (asked.method === "POST" && asked.url === "/mqtt/http") this.tunnels++;
    const { hostname, port } = this.target;
    const passed = request({ hostname, port, method: asked.method, path: asked.url, headers: plain(asked), agent: this.agent });
    passed.on("response", (back) => {
      answer.writeHead(back.statusCode ?? 502, back.headers);
      answer.flushHeaders();
      back.pipe(answer);
      back.on("error", () => answer.destroy());
    });
    passed.on("error", () => {
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(502).end();
    });
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  private upgrade(asked: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgrades++;
    if (this.options.webSockets === "refused") return void socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    const { hostname, port } = this.target;
    const far = connect(Number(port), hostname);
    this.watch(far);
    far.on("close", () => socket.destroy());
    socket.on("close", () => far.destroy());
    const headers = this.options.webSockets === "stripped" ? { ...plain(asked), connection: "close" } : asked.headers;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    far.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
    far.write(head);
    far.pipe(socket);
    socket.pipe(far);
    if (this.options.webSockets === "dropped") socket.once("data", () => setTimeout(() => socket.destroy(), 20));
  }
}

/** The headers without those that concern one hop only. */
function plain({ headers }: IncomingMessage): IncomingMessage["headers"] {
  const { upgrade: _upgrade, connection: _connection, "keep-alive": _keepAlive, "transfer-encoding": _encoding, ...rest } = headers;
  return headers["transfer-encoding"] ? { ...rest, "transfer-encoding": headers["transfer-encoding"] } : rest;
}
