// The network between a device and a server, with a plug that can be pulled
// without a word to anybody.

import { once } from "node:events";
import { connect, createServer, type Server as TcpServer, type Socket } from "node:net";

export class Cable {
  url = "";
  private readonly ends = new Set<Socket>();
  private readonly held = new Set<Socket>();
  private silent = false;

  private readonly listener: TcpServer;

  private constructor(listener: TcpServer) {
    this.listener = listener;
  }

  /** A way to the server at `url`. */
  static async lay(url: string): Promise<Cable> {
    const { hostname, port } = new URL(url);
    const listener = createServer();
    const cable = new Cable(listener);
    listener.on("connection", (near) => cable.join(near, Number(port), hostname));
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const address = listener.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    cable.url = `http://127.0.0.1:${address.port}`;
    return cable;
  }

  /** What is connected now is never heard of again, in neither direction. Who connects from now on is not affected. */
  freeze(): void {
    for (const end of this.ends) {
      end.pause();
      end.unpipe();
      this.held.add(end);
    }
    this.ends.clear();
  }

  /** Nothing goes through, for those who are connected and for those who come, until `plug`. */
  pull(): void {
    this.silent = true;
    this.freeze();
  }

  plug(): void {
    this.silent = false;
  }

  close(): void {
    for (const end of [...this.ends, ...this.held]) end.destroy();
    this.listener.close();
  }

  private join(near: Socket, port: number, host: string): void {
    near.on("error", () => near.destroy());
    if (this.silent) return void this.held.add(near);
    const far = connect(port, host);
    far.on("error", () => far.destroy());
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.ends.add(from);
      from.pipe(to);
      from.on("close", () => {
        this.ends.delete(from);
        if (!this.held.has(to)) to.destroy();
      });
    }
  }
}
