import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Client } from "@parley-chat/client";
import { World } from "../../client/test/fake/world";
import { Files } from "../src/index";
import { sizeOf, textsOf } from "../src/texts";

let world: World;
let client: Client;
let files: Files;
let panel: HTMLElement;
let changes: number;

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const texts = (selector: string): string[] => [...panel.querySelectorAll(selector)].map((one) => one.textContent ?? "");

/** A form with its places, as both faces have it. */
function form(locale = "en"): void {
  panel = document.createElement("section");
  panel.innerHTML = `<div role="log"></div><form><div id="tray"></div><span id="button"></span><textarea></textarea></form>`;
  document.body.append(panel);
  changes = 0;
  files = new Files({ client, server: "http://parley.test", locale, conversation: () => "cnv_1", changed: () => changes++ });
  files.tray(panel.querySelector("#tray"));
  files.button(panel.querySelector("#button"));
  files.target(panel);
}

function press(label: string): void {
  const button = [...panel.querySelectorAll("button")].find((one) => (one.getAttribute("aria-label") ?? one.textContent) === label);
  if (!button) throw new Error(`no button ${label} in ${panel.innerHTML}`);
  button.click();
}

beforeEach(async () => {
  vi.useFakeTimers();
  world = new World();
  client = world.visitor().client;
  await pass(100);
  form();
});

afterEach(() => {
  files.stop();
  panel.remove();
  world.stop();
  vi.useRealTimers();
});

describe("what goes with a message", () => {
  it("is shown with how far it is, and can be taken out again", async () => {
    expect(panel.querySelector<HTMLElement>(".tray")?.hidden).toBe(true);
    world.server.faults.latency = () => 300;
    files.add([new File(["x".repeat(600_000)], "a.txt"), new File(["y"], "b.txt")]);
    expect(texts(".tray-status")).toEqual(["0% of 600 kB", "1 byte · Waiting"]);
    await pass(1500);
    expect(texts(".tray-status")[0]).toBe("43% of 600 kB");
    expect(panel.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow")).toBe("43");
    await pass(5000);
    expect(texts(".tray-status")).toEqual(["600 kB · ready", "1 byte · ready"]);
    expect(texts("[role=status]")).toEqual(["b.txt: 1 byte · ready"]);
    press("Remove a.txt");
    expect(texts(".tray-name")).toEqual(["b.txt"]);
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Remove b.txt");
    press("Remove b.txt");
    expect(document.activeElement?.tagName).toBe("TEXTAREA");
    expect([files.count, panel.querySelector<HTMLElement>(".tray")?.hidden]).toEqual([0, true]);
  });

  it("holds the message until all of it is there, unless somebody thinks better of it", async () => {
    const send = vi.fn();
    world.server.faults.latency = () => 300;
    files.add([new File(["x"], "a.txt")]);
    expect(files.hold(send)).toBe(true);
    expect(texts(".tray-words span")).toEqual(["Sends when the files are there"]);
    press("Do not send yet");
    await pass(5000);
    expect(send).not.toHaveBeenCalled();
    files.add([new File(["y"], "b.txt")]);
    expect(files.hold(send)).toBe(true);
    await pass(5000);
    expect(send).toHaveBeenCalledOnce();
    expect(files.hold(send)).toBe(false);
    expect(files.attached.map(({ name }) => name)).toEqual(["a.txt", "b.txt"]);
    files.taken();
    expect([files.count, files.attached.length]).toEqual([0, 0]);
  });

  it.each([
    ["en", 413, "too_large", "Too large to be sent here. Try a smaller version."],
    ["en", 400, "invalid", "This kind of file is not taken, or it is damaged. Send a picture, PDF, office document or ZIP."],
    ["zh-CN", 403, "forbidden", "病毒扫描发现此文件已感染，未发送。"],
  ])("says what is wrong, and what to do (%s %d)", async (locale, status, code, words) => {
    files.stop();
    panel.remove();
    form(locale);
    const send = vi.fn();
    world.server.files.judge = () => [status, code];
    files.add([new File(["x"], "bad.txt")]);
    files.hold(send);
    await pass(3000);
    expect(texts(".tray-status")).toEqual([words]);
    expect(texts("[role=status]")).toEqual([`bad.txt: ${words}`]);
    expect(send).not.toHaveBeenCalled();
    expect(files.hold(send)).toBe(true);
    expect(texts("[role=alert]")).toEqual([textsOf(locale).removeFirst]);
  });

  it("waits for the network, and says so", async () => {
    world.server.faults.down = true;
    world.server.cut();
    files.add([new File(["x"], "a.txt")]);
    await pass(3000);
    expect(texts(".tray-status")).toEqual(["Waiting for the connection, then it goes on"]);
    world.server.faults = {};
    await pass(30_000);
    expect(texts(".tray-status")).toEqual(["1 byte · ready"]);
  });

  it("is at most ten files", async () => {
    files.add(Array.from({ length: 12 }, (_, i) => new File(["x"], `${i}.txt`)));
    expect(files.count).toBe(10);
    expect(texts("[role=alert]")[0]).toContain("At most 10 files");
    await pass(11_000);
    expect(texts("[role=alert]").join("")).toBe("");
  });

  it("can be chosen, dropped and pasted", () => {
    const input = panel.querySelector<HTMLInputElement>("input[type=file]");
    expect([input?.multiple, input?.getAttribute("aria-label")]).toEqual([true, "Attach files"]);
    const event = (name: string, data: string, types: string[], list: File[]): Event => {
      const made = new Event(name, { bubbles: true, cancelable: true });
      Object.defineProperty(made, data, { value: { types, files: list } });
      panel.querySelector("textarea")?.dispatchEvent(made);
      return made;
    };
    expect(event("dragover", "dataTransfer", ["text/plain"], []).defaultPrevented).toBe(false);
    expect(event("dragover", "dataTransfer", ["Files"], []).defaultPrevented).toBe(true);
    expect(texts(".drop-here")).toEqual(["Drop files here"]);
    event("drop", "dataTransfer", ["Files"], [new File(["x"], "a.txt")]);
    expect([texts(".drop-here"), texts(".tray-name")]).toEqual([[], ["a.txt"]]);
    event("paste", "clipboardData", ["text/plain", "Files"], [new File(["x"], "image.png")]); // a spreadsheet's cells
    expect(files.count).toBe(1);
    event("paste", "clipboardData", ["Files"], [new File(["x"], "image.png", { type: "image/png" })]);
    expect(texts(".tray-name")[1]).toMatch(/^\d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png$/);
  });
});

describe("what came with a message", () => {
  const list = [
    { id: "att_1", name: "photo.png", type: "image/png", size: 48_211, width: 1600, height: 1200, thumbnail: true },
    { id: "att_2", name: "<img src=x onerror=alert(1)>.pdf", type: "application/pdf", size: 1_500_000, width: 0, height: 0, thumbnail: false },
  ];

  it("has its place before it is there, and nothing of it becomes markup", () => {
    const at = document.createElement("div");
    panel.append(at);
    files.draw(at, list, "Ann");
    const [picture, row] = [...at.querySelectorAll("button")];
    expect(picture?.getAttribute("aria-label")).toBe("Show photo.png, 1600 × 1200, 48 kB");
    expect(picture?.style.width).toBe("260px");
    expect(row?.textContent).toBe("<img src=x onerror=alert(1)>.pdf1.5 MB");
    expect(at.querySelector("img")).toBeNull();
    files.draw(at, list, "Ann");
    expect(at.querySelector("button")).toBe(picture);
  });

  it("says so when it is gone", async () => {
    const at = document.createElement("div");
    panel.append(at);
    files.draw(at, list.slice(1), "Ann");
    at.querySelector("button")?.click();
    await pass(500);
    expect(at.querySelector("[role=alert]")?.textContent).toBe("This file is no longer there.");
  });
});

describe("sizes", () => {
  it.each([
    [1, "en", "1 byte"],
    [999, "en", "999 bytes"],
    [1000, "en", "1 kB"],
    [1_500_000, "en", "1.5 MB"],
    [26_214_400, "zh-CN", "26 MB"],
  ])("%d in %s", (bytes, locale, words) => expect(sizeOf(bytes, locale)).toBe(words));
});
