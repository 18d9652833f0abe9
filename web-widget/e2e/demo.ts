// A real `parley demo` on free ports.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, FrameLocator, Locator, Page } from "playwright-core";

const binary = join(import.meta.dirname, "../../bin/parley");

export class Demo {
  readonly url: string;
  private readonly child: ChildProcess;
  private readonly data: string;

  private constructor(child: ChildProcess, data: string, url: string) {
    this.child = child;
    this.data = data;
    this.url = url;
  }

  static async start(): Promise<Demo> {
    const data = await mkdtemp(join(tmpdir(), "parley-demo-"));
    const args = ["demo", "--data", data, "--http", await freeAddress(), "--mqtt", await freeAddress(), "--page", "127.0.0.1:0"];
    const child = spawn(binary, args, { env: { ...process.env, LC_ALL: "C" }, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const note = (text: unknown): void => void (said += String(text));
    child.stdout.on("data", note);
    child.stderr.on("data", note);
    const failed = once(child, "exit").then(() => Promise.reject(new Error(`the demo has ended: ${said}`)));
    const greeted = (async () => {
      while (!said.includes("Ctrl-C stops")) await once(child.stdout, "data");
    })();
    await Promise.race([greeted, failed]);
    failed.catch(() => {}); // later on that is how it ends
    const url = /Demo page\s+(\S+)/.exec(said)?.[1];
    if (!url) throw new Error(`the demo does not say where its page is: ${said}`);
    return new Demo(child, data, url);
  }

  async remove(): Promise<void> {
    if (this.child.exitCode === null) {
      const exit = once(this.child, "exit");
      this.child.kill("SIGTERM");
      await exit;
    }
    await rm(this.data, { recursive: true, force: true });
  }
}

/** An address that nobody listens on. Its port is below those that the system hands out: it must still be free when the server starts. */
async function freeAddress(): Promise<string> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const free = new Promise<boolean>((resolve) => server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
    if (!(await free)) continue;
    server.close();
    await once(server, "close");
    return `127.0.0.1:${port}`;
  }
}

/** What the page has said at a moment. */
export interface DrawnState {
  readonly title: string;
  readonly numbers: readonly string[];
  readonly server: string;
}

/** The demo page, and what the browser complains about on it. */
export class DemoPage {
  readonly complaints: string[] = [];
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      if (/content.security.policy/i.test(message.text())) this.complaints.push(message.text());
    });
    page.on("request", (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol.startsWith("http") && hostname !== "127.0.0.1") this.complaints.push(`it asks ${request.url()}`);
    });
  }

  static async open(browser: Browser, demo: Demo, options: BrowserContextOptions): Promise<DemoPage> {
    const context = await browser.newContext(options);
    const opened = new DemoPage(await context.newPage());
    await opened.page.goto(demo.url);
    return opened;
  }

  close(): Promise<void> {
    return this.page.context().close();
  }

  inside(device: string): FrameLocator {
    return this.page.frameLocator(`[data-device=${device}] iframe`);
  }

  async say(device: string, text: string): Promise<void> {
    const field = this.inside(device).locator("textarea");
    await field.fill(text);
    await field.press("Enter");
  }

  /** Goes back to the agent's list and opens the conversation whose last message is text. */
  async choose(device: string, text: string): Promise<void> {
    const back = this.inside(device).getByRole("button", { name: "Back to the list" });
    if (await back.isVisible()) await back.click();
    await this.inside(device).locator("nav button").filter({ hasText: text }).click();
  }

  message(device: string, text: string): Locator {
    return this.inside(device).locator(".message").filter({ hasText: text }).last();
  }

  flood(device: string): Promise<void> {
    return this.page.locator(`[data-device=${device}] [data-action=flood]`).click();
  }

  async pull(device: string): Promise<void> {
    await this.page.locator(`.plugged[data-device=${device}] [data-action=cable]`).click();
    await this.page.locator(`.unplugged[data-device=${device}]`).waitFor();
  }

  plug(device: string): Promise<void> {
    return this.page.locator(`.unplugged[data-device=${device}] [data-action=cable]`).click();
  }

  kill(): Promise<void> {
    return this.page.locator("[data-action=kill]").click();
  }

  /** Waits until the page says that everybody has the same n messages, or that something is wrong; answers its numbers. */
  async verdict(n: number): Promise<Record<string, number>> {
    await this.page.locator(".score.good, .score.bad").filter({ hasText: new RegExp(`\\b${n} messages|wrong`) }).waitFor();
    return this.numbers();
  }

  async numbers(): Promise<Record<string, number>> {
    const numbers: Record<string, number> = {};
    for (const tally of await this.page.locator("[data-tally]").all()) {
      numbers[(await tally.getAttribute("data-tally")) ?? ""] = Number(await tally.locator("dd").textContent());
    }
    return numbers;
  }

  /** From the next load on, the page keeps every state that it has drawn. */
  async recordStates(): Promise<void> {
    await this.page.addInitScript(() => {
      if (window !== top) return;
      const states: DrawnState[] = [];
      Object.assign(window, { drawnStates: states });
      const text = (selector: string): string => document.querySelector(selector)?.textContent ?? "";
      new MutationObserver(() => {
        if (!document.querySelector(".score")) return;
        const numbers = Array.from(document.querySelectorAll("[data-tally] dd")).map((one) => one.textContent ?? "");
        states.push({ title: text(".score h2"), numbers, server: text(".server p") });
      }).observe(document, { childList: true, subtree: true, characterData: true });
    });
  }

  states(): Promise<DrawnState[]> {
    return this.page.evaluate<DrawnState[]>("drawnStates");
  }

  /** Another visitor comes to the visitor's device. */
  async newVisitor(): Promise<void> {
    await this.inside("visitor").locator("body").evaluate(() => localStorage.clear());
    await this.page.reload();
  }

  /** What is drawn on a device, from the top. */
  async drawn(device: string): Promise<string[]> {
    const bubbles = await this.inside(device).locator(".message .bubble").allTextContents();
    return bubbles.map((text) => text.replace(/^[^:]*: /, "").trim()); // without whose it is, for screen readers
  }
}
