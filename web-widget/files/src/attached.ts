import type { Client } from "@parley-chat/client";
import type { Attached } from "@parley-chat/client/uploads";
import { el, icon, shapeOf, shapes } from "./dom";
import { fetched, linksTo, retry } from "./links";
import { paint } from "./paint";
import { sizeOf, type Texts } from "./texts";

/** Who asks the server for what is shown. */
export interface Reader {
  readonly client: Pick<Client, "call" | "on">;
  readonly server: string;
  readonly locale: string;
  readonly texts: Texts;
}

/** The longer side of a picture in a conversation, in px of the page. */
const largest = 260;
/** Larger files are not held in memory to be saved, in bytes. */
const mostHeld = 200_000_000;
/** Not smaller than this: somebody wants to press on it. */
const least = 72;

const drawn = new WeakMap<HTMLElement, string>();

/** Shows files in an element, once for the same list. */
export function drawAttached(at: HTMLElement, list: readonly Attached[], reader: Reader): void {
  const key = list.map(({ id }) => id).join();
  if (drawn.get(at) === key) return;
  drawn.set(at, key);
  at.replaceChildren(...list.map((one) => (one.thumbnail ? pictureOf(one, reader) : rowOf(one, reader))));
}

/** A picture at its right size from the beginning: what is below it does not jump. */
function pictureOf(one: Attached, reader: Reader): HTMLElement {
  const { name, size, width, height } = one;
  const { texts, locale } = reader;
  const label = `${texts.show(name)}, ${width} × ${height}, ${sizeOf(size, locale)}`;
  const button = el("button", "picture", { type: "button", "aria-label": label, title: name }, icon(shapes.picture));
  const scale = Math.min(1, largest / Math.max(width, height, 1));
  button.style.width = `${Math.max(least, Math.round(width * scale))}px`;
  button.style.aspectRatio = `${Math.max(width * scale, least)} / ${Math.max(height * scale, least)}`;
  const box = el("div", "attached", {}, button);
  button.addEventListener("click", () => void open(one, reader, box));
  whenSeen(button, () => void thumbnail(one, reader, button));
  return box;
}

function rowOf(one: Attached, reader: Reader): HTMLElement {
  const { name, size, type } = one;
  const { texts, locale } = reader;
  const text = el("span", "file-text", {}, el("span", "file-name", { dir: "auto" }, ...breakable(name)), el("span", "file-size", {}, sizeOf(size, locale)));
  const face = icon(shapeOf(type));
  face.classList.add("file-face");
  const arrow = icon(shapes.save);
  arrow.classList.add("file-save");
  const button = el("button", "file", { type: "button", title: name, "aria-label": `${texts.save(name)}, ${sizeOf(size, locale)}` }, face, text, arrow);
  const box = el("div", "attached", {}, button);
  button.addEventListener("click", () => void open(one, reader, box));
  return box;
}

/** The ending stays to be seen, whatever else does not fit. */
function breakable(name: string): Node[] {
  const cut = Math.max(name.lastIndexOf("."), name.length - 12, 0);
  return [el("span", "file-stem", {}, name.slice(0, cut)), el("span", "", {}, name.slice(cut))];
}

/** Opens a picture beside the page, saves everything else. */
async function open(one: Attached, reader: Reader, box: HTMLElement): Promise<void> {
  const button = box.querySelector("button");
  if (button?.ariaBusy === "true") return;
  // A browser lets a page open another one at a press, and not later, when the link is there.
  const beside = one.thumbnail ? window.open("", "_blank") : null;
  if (beside) beside.opener = null;
  box.querySelector(".attached-problem")?.remove();
  if (button) button.ariaBusy = "true";
  try {
    if (beside) beside.location.replace((await linksTo(one.id, reader)).file);
    else await save(one, reader);
  } catch (error) {
    beside?.close();
    const { texts } = reader;
    box.append(el("p", "attached-problem", { role: "alert" }, retry(error) ? texts.unavailable : texts.gone));
  }
  if (button) button.ariaBusy = "false";
}

/** Fetched first: a page that were sent to the address would be lost when the network is. */
async function save({ id, name, size }: Attached, reader: Reader): Promise<void> {
  const { file } = await linksTo(id, reader);
  if (size > mostHeld) return press(`${file}&save=true`, name);
  const url = URL.createObjectURL(await (await fetched(file)).blob());
  press(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function press(href: string, name: string): void {
  const link = el("a", "", { href, download: name, rel: "noopener" });
  document.body.append(link);
  link.click();
  link.remove();
}

async function thumbnail(one: Attached, reader: Reader, button: HTMLElement, attempt = 1): Promise<void> {
  try {
    const { thumbnail: url } = await linksTo(one.id, reader);
    const canvas = await paint(await (await fetched(url)).blob());
    if (canvas) button.replaceChildren(canvas);
  } catch (error) {
    if (attempt < 6 && retry(error) && button.isConnected) setTimeout(() => void thumbnail(one, reader, button, attempt + 1), 2_000 * 2 ** attempt);
  }
}

/** Calls `run` when the element comes near to being seen. */
function whenSeen(at: HTMLElement, run: () => void): void {
  if (typeof IntersectionObserver !== "function") return run();
  const watcher = new IntersectionObserver((all) => {
    if (!all.some(({ isIntersecting }) => isIntersecting)) return;
    watcher.disconnect();
    run();
  });
  watcher.observe(at);
}
