// The faces as a person sees them: what is written, and what is shown.

import { chromium, type Browser, type Locator, type Page } from "playwright-core";
import { agent } from "./server";

/** Debian's Chromium, without its attempts to call home. */
export async function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A device: a browser profile of its own with one page. */
export abstract class Device {
  readonly page: Page;

  protected constructor(page: Page) {
    this.page = page;
  }

  protected abstract readonly bubbles: Locator;
  protected abstract readonly field: Locator;

  async say(text: string): Promise<void> {
    await this.field.fill(text);
    await this.field.press("Enter");
  }

  /** What is shown, in display order: seq, or 0 for what is not stored yet, and the text. */
  async shown(): Promise<Shown[]> {
    return this.bubbles.evaluateAll((all) =>
      all.map((one) => ({
        seq: Number(one.getAttribute("data-seq") ?? 0),
        text: Array.from(one.querySelector(".bubble")?.childNodes ?? [])
          .filter((node) => !(node instanceof Element && node.classList.contains("hidden")))
          .map((node) => node.textContent)
          .join("")
          .trim(),
      })),
    );
  }
}

export interface Shown {
  readonly seq: number;
  readonly text: string;
}

export class VisitorDevice extends Device {
  protected readonly bubbles = this.page.locator(".message");
  protected readonly field = this.page.getByPlaceholder(/./).first();

  static async open(browser: Browser, url: string): Promise<VisitorDevice> {
    const page = await newPage(browser);
    await page.goto(url);
    await page.locator(".panel").waitFor();
    return new VisitorDevice(page);
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.page.locator(".panel").waitFor();
  }
}

export class AgentDevice extends Device {
  protected readonly bubbles = this.page.locator(".messages .message");
  protected readonly field = this.page.locator(".composer textarea");

  /** Signs in on a new device. */
  static async open(browser: Browser, url: string): Promise<AgentDevice> {
    const page = await newPage(browser);
    await page.goto(`${url}/agent/?site=${agent.site}`);
    await page.locator("input[name=email]").fill(agent.email);
    await page.locator("input[name=password]").fill(agent.password);
    await page.locator("button.primary").click();
    await page.locator("ul").first().waitFor({ state: "attached" });
    return new AgentDevice(page);
  }

  /** Opens the first conversation of the list. */
  async choose(): Promise<void> {
    await this.page.locator("button.row").first().click();
    await this.page.locator(".messages").waitFor();
  }

  async claim(): Promise<void> {
    await this.page.getByRole("button", { name: "Claim" }).click();
    await this.field.waitFor();
  }
}

async function newPage(browser: Browser): Promise<Page> {
  const context = await browser.newContext({ locale: "en-US", viewport: { width: 1200, height: 800 } });
  const page = await context.newPage();
  page.on("pageerror", (error) => {
    throw error;
  });
  return page;
}

/** Polls until check answers "" or time is up, and then fails with its last answer. */
export async function eventually(check: () => Promise<string>, timeout = 30_000): Promise<void> {
  const deadline = Date.now() + timeout;
  for (;;) {
    const why = await check();
    if (why === "") return;
    if (Date.now() > deadline) throw new Error(why);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
