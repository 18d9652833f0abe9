// A real `parley serve` on free ports, which can be killed and started again on
// the same data.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binary = join(import.meta.dirname, "../../bin/parley");

export class Server {
  readonly url: string;
  private readonly mqtt: string;
  private readonly data: string;
  private readonly settings: Readonly<Record<string, string>>;
  private child: ChildProcess | undefined;
  private said = "";

  private constructor(httpPort: number, mqttPort: number, data: string, settings: Readonly<Record<string, string>>) {
    this.url = `http://127.0.0.1:${httpPort}`;
    this.mqtt = `127.0.0.1:${mqttPort}`;
    this.data = data;
    this.settings = settings;
  }

  /** Starts a server whose demo site allows pages of origin, with more settings of the environment. */
  static async start(origin: string, more: Readonly<Record<string, string>> = {}): Promise<Server> {
    const data = await mkdtemp(join(tmpdir(), "parley-e2e-"));
    const server = new Server(await freePort(), await freePort(), data, { PARLEY_DEMO_ORIGINS: origin, ...more });
    await server.launch();
    return server;
  }

  async launch(): Promise<void> {
    const args = ["serve", "--data", this.data, "--http", new URL(this.url).host, "--mqtt", this.mqtt, "--metrics", "off"];
    const env = { ...process.env, PARLEY_DEMO_SITE: "1", PARLEY_LOG: "warn", ...this.settings };
    this.child = spawn(binary, args, { env, stdio: ["ignore", "ignore", "pipe"] });
    this.child.stderr?.on("data", (text) => (this.said += String(text)));
    const failed = once(this.child, "error").then(([error]) => Promise.reject(new Error(`${binary} does not start: ${String(error)}`)));
    await Promise.race([this.ready(), failed]);
  }

  private async ready(): Promise<void> {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
      if (Date.now() > deadline) throw new Error(`the server is not ready: ${this.said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  /** The whole log of a conversation, read as an agent. */
  async log(conversation: string): Promise<LogEntry[]> {
    const token = await this.agentToken();
    const entries: LogEntry[] = [];
    for (;;) {
      const after = entries.at(-1)?.seq ?? 0;
      const answer = await fetch(`${this.url}/v1/conversations/${conversation}/messages?after=${after}&limit=200`, {
        headers: { authorization: `Bearer ${token}` },
      });
      if (!answer.ok) throw new Error(`log of ${conversation}: ${answer.status} ${await answer.text()}`);
      const page: { entries: LogEntry[] } = await answer.json();
      if (page.entries.length === 0) return entries;
      entries.push(...page.entries);
    }
  }

  private async agentToken(): Promise<string> {
    const answer = await fetch(`${this.url}/v1/agent-sessions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ site: agent.site, email: agent.email, password: agent.password }),
    });
    const { token }: { token: string } = await answer.json();
    return token;
  }
}

export interface LogEntry {
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly body: { readonly text?: string };
}

/** The demo site's agent. */
export const agent = { site: "demo", siteKey: "demo-key", email: "agent@example.com", password: "parley-demo" };

/** A port nobody listens on, outside the range from which the system gives ports to connections. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const listening = once(server, "listening").then(() => true);
    const taken = once(server, "error").then(() => false);
    server.listen(port, "127.0.0.1");
    if (!(await Promise.race([listening, taken]))) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
