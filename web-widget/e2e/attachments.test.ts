// Files in a conversation, in a real browser against the real server: a picture
// and a document on their way when the network goes, and what arrives.

import { readFile } from "node:fs/promises";
import { deflateSync } from "node:zlib";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { Cable } from "./cable";
import { AgentDevice, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();

/** What a picture's file tells beside the picture. */
const secret = "GPS 52.52 13.405 at home";

/** A PNG of noise, so that it does not become small, with a text in it. */
function picture(width: number, height: number): Buffer {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  let x = 1;
  for (let i = 0; i < rows.length; i++) rows[i] = i % (width * 3 + 1) === 0 ? 0 : (x = (x * 1103515245 + 12345) & 0x7fffffff) >> 16;
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("tEXt", Buffer.from(`Comment\0${secret}`)), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name), body]);
  const whole = Buffer.alloc(8 + named.length);
  whole.writeUInt32BE(body.length, 0);
  named.copy(whole, 4);
  whole.writeUInt32BE(crc(named), 4 + named.length);
  return whole;
}

function crc(bytes: Buffer): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let i = 0; i < 8; i++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return (sum ^ 0xffffffff) >>> 0;
}

/** Something that is a PDF to whoever looks at its beginning. */
function document(size: number): Buffer {
  const body = Buffer.alloc(size, "stream of numbers 0123456789\n");
  return Buffer.concat([Buffer.from("%PDF-1.7\n1 0 obj\n"), body, Buffer.from("\n%%EOF\n")]);
}

/** Presses the row of a file, and answers what the browser saves. */
async function saved(page: Page, name: string): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Save ${name}` }).click()]);
  expect(download.suggestedFilename()).toBe(name);
  return readFile(await download.path());
}

/** Presses a picture, and answers the bytes of what opens beside the page. */
async function shown(page: Page, name: string): Promise<Buffer> {
  const [beside] = await Promise.all([page.waitForEvent("popup"), page.getByRole("button", { name: `Show ${name}` }).click()]);
  await beside.waitForURL(/\/file\?link=/);
  expect(await beside.evaluate("window.opener")).toBeNull();
  const answer = await fetch(beside.url());
  expect(answer.headers.get("content-security-policy")).toContain("sandbox");
  await beside.close();
  return Buffer.from(await answer.arrayBuffer());
}

const painted = (page: Page): Promise<number[]> =>
  page.locator(".message .picture canvas").evaluateAll((all) => all.map((one) => (one instanceof HTMLCanvasElement ? one.width : 0)));

test("a picture and a document arrive over a cut, and one comes back", async () => {
  const { browser, server, shop } = scene;
  const cable = await Cable.lay(server.url);
  shop.parley = cable.url;
  const visitor = await VisitorDevice.open(browser, shop.origin);
  const { page } = visitor;
  const [photo, offer] = [picture(900, 700), document(9_000_000)];
  await page.getByLabel("Attach files").setInputFiles([
    { name: "photo.png", mimeType: "image/png", buffer: photo },
    { name: "offer 报价.pdf", mimeType: "application/pdf", buffer: offer },
  ]);
  await page.getByPlaceholder(/./).first().fill("please look");
  await page.keyboard.press("Enter");
  await page.getByText("Sends when the files are there").waitFor();
  // In the middle of the second one.
  await expect.poll(async () => Number(await page.getByRole("progressbar", { name: "offer" }).getAttribute("aria-valuenow")), { timeout: 60_000 }).toBeGreaterThan(2);
  cable.pull();
  await page.waitForTimeout(3_000);
  expect(await page.locator(".message").count()).toBe(0);
  cable.plug();
  await page.locator(".message", { hasText: "please look" }).getByText("Sent", { exact: true }).waitFor({ timeout: 80_000 });
  expect(await page.locator(".tray li").count()).toBe(0);
  await expect.poll(() => painted(page)).toEqual([480]); // under a policy that lets the page load no pictures

  const agent = await AgentDevice.open(browser, server.url);
  await agent.choose();
  await expect.poll(() => painted(agent.page)).toEqual([480]);
  expect((await saved(agent.page, "offer 报价.pdf")).equals(offer)).toBe(true);
  const clean = await shown(agent.page, "photo.png");
  expect([clean.includes(secret), photo.includes(secret)]).toEqual([false, true]);
  expect(clean.equals(Buffer.concat([photo.subarray(0, 33), photo.subarray(33 + 12 + 8 + secret.length)]))).toBe(true);

  await agent.claim();
  const answer = document(300_000);
  await agent.page.getByLabel("Attach files").setInputFiles({ name: "contract.pdf", mimeType: "application/pdf", buffer: answer });
  await agent.page.locator(".tray .done").waitFor();
  await agent.say("here it is");
  expect((await saved(page, "contract.pdf")).equals(answer)).toBe(true);
  await visitor.reload();
  expect((await saved(page, "contract.pdf")).equals(answer)).toBe(true);
  await expect.poll(() => painted(page)).toEqual([480]);
  cable.close();
});

test("what cannot be sent says so, and can be dropped and pasted", async () => {
  const { browser, server, shop } = scene;
  shop.parley = server.url;
  const { page } = await VisitorDevice.open(browser, shop.origin);
  await page.getByLabel("Attach files").waitFor({ state: "attached" });
  const give = (how: "drop" | "paste", name: string, text: string): Promise<void> =>
    page.locator(how === "drop" ? ".panel" : ".panel textarea").evaluate(
      (at, [how, name, text]) => {
        const data = new DataTransfer();
        data.items.add(new File([String(text)], String(name)));
        if (how === "paste") at.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, composed: true, cancelable: true }));
        else for (const type of ["dragover", "drop"]) at.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
      },
      [how, name, text],
    );
  await give("drop", "page.html", "<html><script>alert(1)</script></html>");
  await page.locator(".tray-status", { hasText: "This kind of file is not taken" }).waitFor();
  await give("paste", "notes.txt", "hello there");
  await page.locator(".tray .done").waitFor();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByText("Remove what cannot be sent").waitFor();
  await page.getByRole("button", { name: "Remove page.html" }).click();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  expect((await saved(page, "notes.txt")).toString()).toBe("hello there");
});
