import { memoryStorage, type Storage } from "@parley-chat/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeDraft } from "../../client/src/draft";
import { FakeServer } from "../../client/test/fake/server";
import { stored } from "../../client/test/fake/world";
import { Chat } from "../src/chat";
import { newFiles } from "../src/files";
import { Identity } from "../src/identity";
import { mount } from "../src/mount";
import { pageMethods, type Methods } from "../src/page";
import { chooseLocale, decodeTexts, en, fill, type Texts } from "../src/texts";
import zh from "../public/widget-zh.json";

interface Widget {
  chat: Chat;
  page: Methods;
  root: ShadowRoot;
  local: Storage;
  session: Storage;
}

let server: FakeServer;
let widgets: Widget[] = [];

const textsOf = (locale: string): Texts => (locale === "en" ? en : decodeTexts(zh));

function widget(local = memoryStorage(), session = memoryStorage(), locale = "en"): Widget {
  const identity = new Identity(local, session, server.siteKey);
  const chat = new Chat({ server: "http://parley.test", site: server.siteKey, identity, storage: local, webSocket: server.socket, fetch: server.fetch });
  const { host, speak } = mount(chat, { title: "Chat", accent: "" }, () => Promise.resolve({ newFiles }));
  speak({ locale, texts: textsOf(locale) });
  if (!host.shadowRoot) throw new Error("no shadow");
  const made = { chat, page: pageMethods(chat), root: host.shadowRoot, local, session };
  widgets.push(made);
  return made;
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

function find<T extends Element>(root: ShadowRoot, selector: string, type: new () => T): T {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`no ${selector}`);
  return found;
}

const bubbles = (root: ShadowRoot): string[] => [...root.querySelectorAll(".bubble")].map((b) => b.lastChild?.textContent ?? "");

async function type(root: ShadowRoot, text: string, key: KeyboardEventInit = {}): Promise<void> {
  const field = find(root, "textarea", HTMLTextAreaElement);
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await pass(20);
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...key }));
  await pass(100);
}

/** An agent answers by the store's own door. */
function answer(id: string, text: string): void {
  const c = server.store.conversations.get(id);
  const agent = { user: "agt_li", device: "dev_a", role: "agent", name: "Li" };
  if (!c) throw new Error("no conversation");
  if (!c.assignee) server.store.claim(c, agent);
  server.store.record(id, agent, makeDraft(`msg_answer_${c.entries.length}`, "text", text));
}

/** A conversation of somebody else. */
function foreign(id: string): void {
  server.store.record(id, { user: "vis_other", device: "dev_o", role: "visitor", name: "" }, makeDraft("msg_other_1", "text", "hello"));
}

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => {
  for (const { chat, root } of widgets) {
    chat.client.stop();
    root.host.remove();
  }
  widgets = [];
  vi.useRealTimers();
});

describe("files", () => {
  it("go with a message, with or without words, when they are there", async () => {
    const { chat, root } = widget();
    chat.show(true);
    await pass(500);
    const files = await filesOf(root);
    server.faults.latency = () => 100;
    choose(files, "a.txt", "b.png");
    await type(root, "look");
    expect(stored(server, chat.conversation.id)).toEqual([]);
    await pass(3000);
    const sent = server.store.conversations.get(chat.conversation.id)?.entries.at(-1);
    expect(sent?.body).toMatchObject({ text: "look", attachments: [{ id: "att_1", name: "a.txt" }, { id: "att_2", thumbnail: true }] });
    expect(root.querySelectorAll(".message .attached")).toHaveLength(2);
    expect(root.querySelectorAll(".tray li")).toHaveLength(0);
    expect(find(root, ".files", HTMLElement).getAttribute("aria-label")).toBe("You");

    expect(find(root, "button.send", HTMLButtonElement).disabled).toBe(true);
    choose(files, "c.txt");
    await pass(1000);
    expect(find(root, "button.send", HTMLButtonElement).disabled).toBe(false);
    find(root, "form", HTMLFormElement).dispatchEvent(new Event("submit", { cancelable: true, bubbles: true }));
    await pass(500);
    expect(server.store.conversations.get(chat.conversation.id)?.entries.at(-1)?.body).toMatchObject({ text: "", attachments: [{ id: "att_3" }] });
    expect(bubbles(root)).toEqual(["look"]);
  });

  it("stay where they are while a message is edited, and are not part of it", async () => {
    const { chat, root } = widget();
    chat.show(true);
    await pass(500);
    await type(root, "one");
    choose(await filesOf(root), "a.txt");
    await pass(1000);
    find(root, ".more", HTMLButtonElement).click();
    await pass(50);
    [...root.querySelectorAll("button")].find((one) => one.textContent === "Edit")?.click();
    await pass(50);
    await type(root, "two");
    await pass(500);
    expect(bubbles(root)).toEqual(["two"]);
    expect(root.querySelectorAll(".tray li")).toHaveLength(1);
  });
});

/** The field for files, once what deals with them is there. */
async function filesOf(root: ShadowRoot): Promise<HTMLInputElement> {
  await vi.waitFor(() => find(root, ".attach input", HTMLInputElement));
  return find(root, ".attach input", HTMLInputElement);
}

function choose(input: HTMLInputElement, ...names: string[]): void {
  Object.defineProperty(input, "files", { value: names.map((name) => new File(["x"], name)), configurable: true });
  Object.defineProperty(input, "value", { value: "", writable: true, configurable: true });
  input.dispatchEvent(new Event("change"));
}

describe("the widget", () => {
  it.each([
    ["en", "Earlier messages are no longer available"],
    ["zh", "更早的消息已不再保留"],
  ])("says where history starts, when its beginning was removed (%s)", async (locale, words) => {
    const { chat, local } = widget();
    chat.send("m1");
    await pass(500);
    const { id } = chat.conversation;
    const ann = { user: chat.client.session?.user ?? "", device: "dev_o", role: "visitor", name: "" };
    chat.client.stop();
    for (let n = 2; n <= 65; n++) server.store.record(id, ann, makeDraft(`msg_early_${n}`, "text", `m${n}`));
    const c = server.store.conversations.get(id);
    if (c) c.first = 12;
    const again = widget(local, memoryStorage(), locale);
    again.chat.show(true);
    await pass(1000);
    const top = (): string => again.root.querySelector(".list")?.firstElementChild?.textContent ?? "";
    expect(top()).not.toBe(words);
    find(again.root, ".older", HTMLButtonElement).click();
    await pass(500);
    expect([top(), bubbles(again.root)[0]]).toEqual([words, "m11"]);
  });

  it("costs the server nothing until it is opened", async () => {
    const { page } = widget();
    await pass(5000);
    expect(server.requests).toEqual([]);
    expect(page.state().connection).toBe("idle");
    page.open();
    await pass(100);
    expect(page.state().connection).toBe("online");
  });

  it("sends with Enter and shows the answer with the agent's name", async () => {
    const { page, root } = widget();
    page.open();
    await pass(100);
    await type(root, "hello");
    expect(bubbles(root)).toEqual(["hello"]);
    answer(page.state().conversation, "hi, I am Li");
    await pass(100);
    expect(bubbles(root)).toEqual(["hello", "hi, I am Li"]);
    expect(find(root, "h1", HTMLElement).textContent).toBe("Li");
    expect(page.entries().map(({ text, own, state }) => [text, own, state])).toEqual([
      ["hello", true, "stored"],
      ["hi, I am Li", false, "stored"],
    ]);
  });

  it.each<[string, KeyboardEventInit]>([
    ["Shift+Enter", { shiftKey: true }],
    ["Enter that picks a Chinese word", { isComposing: true }],
    ["Enter that ends a composition in Safari", { keyCode: 229 }],
  ])("%s does not send", async (_, key) => {
    const { page, root } = widget();
    page.open();
    await pass(100);
    await type(root, "nihao", key);
    expect(page.entries()).toEqual([]);
    expect(find(root, "textarea", HTMLTextAreaElement).value).toBe("nihao");
  });

  it("counts what is unread while closed, and only that", async () => {
    const { page, root } = widget();
    page.open();
    await pass(100);
    await type(root, "hello");
    page.close();
    answer(page.state().conversation, "one");
    answer(page.state().conversation, "two");
    await pass(100);
    expect(page.state().unread).toBe(2);
    expect(find(root, ".badge", HTMLElement).textContent).toBe("2");
    page.open();
    await pass(100);
    expect(page.state().unread).toBe(0);
    await pass(1000);
    const [read] = server.store.conversations.get(page.state().conversation)?.marks.values() ?? [];
    expect(read?.read).toBe(page.entries().at(-1)?.seq);
  });

  it("keeps what is unread over a reload, and what was read elsewhere does not count", async () => {
    const { page, local } = widget();
    page.open();
    await pass(100);
    page.send("hello");
    await pass(100);
    page.close();
    answer(page.state().conversation, "one");
    const tab = widget(local);
    await pass(2000);
    expect([page.state().unread, tab.page.state().unread]).toEqual([1, 1]);
    tab.page.open();
    await pass(2000);
    expect([page.state().unread, tab.page.state().unread]).toEqual([0, 0]);
  });

  it.each([["en", "Read", "Sent"], ["zh", "已读", "已发送"]])("says what an agent has read (%s)", async (locale, read, sent) => {
    const { page, root } = widget(memoryStorage(), memoryStorage(), locale);
    page.open();
    await pass(100);
    await type(root, "hello");
    const progress = (): string[] => [...root.querySelectorAll(".message")].map((m) => m.querySelector(".progress")?.textContent ?? "");
    expect(progress()).toEqual([sent]);
    const c = server.store.conversations.get(page.state().conversation);
    if (!c) throw new Error("no conversation");
    const agent = { user: "agt_li", device: "dev_a", role: "agent", name: "Li" };
    server.store.claim(c, agent);
    server.store.mark(c, agent, { epoch: server.store.epoch, delivered: c.entries.length, read: c.entries.length });
    await pass(100);
    expect(progress()).toEqual([read]);
    await type(root, "one more");
    expect(progress()).toEqual([read, sent]);
  });

  it("closes with Escape", async () => {
    const { page, root } = widget();
    const closed = vi.fn();
    page.on("close", closed);
    page.open();
    await pass(100);
    find(root, "textarea", HTMLTextAreaElement).dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    await pass(20);
    expect(page.state().open).toBe(false);
    expect(closed).toHaveBeenCalledOnce();
  });

  it("keeps what is written offline, says so, and sends it", async () => {
    const { page, root } = widget();
    page.open();
    await pass(1000);
    server.faults.down = true;
    server.cut();
    await pass(30_000);
    await type(root, "are you there?");
    expect(find(root, ".banner", HTMLElement).textContent).toContain("Offline");
    expect(find(root, ".progress", HTMLElement).textContent).toBe("Not sent yet");
    server.faults.down = false;
    await pass(30_000);
    expect(stored(server, page.state().conversation)).toEqual(["are you there?"]);
    expect(page.state().pending).toBe(0);
  });

  it.each(["en", "zh"])("tells the owner what to do where the page's origin is not allowed (%s)", async (locale) => {
    server.faults.refuseOrigin = true;
    const { page, root } = widget(memoryStorage(), memoryStorage(), locale);
    page.open();
    await pass(5000);
    await type(root, "hello");
    expect(find(root, ".banner.refused", HTMLElement).textContent).toBe(fill(textsOf(locale).notHere, location.origin));
    expect(find(root, ".progress", HTMLElement).textContent).toBe(textsOf(locale).kept);
  });

  it("keeps what was begun to write, over closing and a page load, until it is sent", async () => {
    const { page, root, local, session, chat } = widget();
    page.open();
    await pass(100);
    const field = find(root, "textarea", HTMLTextAreaElement);
    field.value = "half a sent";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await pass(20);
    page.close();
    await pass(20);
    page.open();
    await pass(20);
    expect(find(root, "textarea", HTMLTextAreaElement).value).toBe("half a sent");
    chat.client.stop();
    const again = widget(local, session);
    again.page.open();
    await pass(100);
    expect(find(again.root, "textarea", HTMLTextAreaElement).value).toBe("half a sent");
    await type(again.root, "half a sentence");
    const third = widget(local, session);
    third.page.open();
    await pass(100);
    expect(find(third.root, "textarea", HTMLTextAreaElement).value).toBe("");
  });

  it("offers to send a refused message again", async () => {
    server.faults.onPublish = () => ({ refuse: "forbidden" });
    const { page, root } = widget();
    page.open();
    await pass(100);
    await type(root, "hello");
    expect(find(root, ".failure", HTMLElement).textContent).toContain("Not sent");
    server.faults = {};
    find(root, ".failure button", HTMLElement).click();
    await pass(500);
    expect(root.querySelector(".failure")).toBeNull();
    expect(stored(server, page.state().conversation)).toEqual(["hello"]);
  });

  it("begins a new conversation when the old one is not the visitor's any more", async () => {
    foreign("cnv_of_another");
    const local = memoryStorage();
    local.set(`parley.${server.siteKey}.conversation`, "cnv_of_another");
    const { page, root } = widget(local);
    page.open();
    await pass(100);
    await type(root, "one");
    await type(root, "two");
    expect(root.querySelectorAll(".failure")).toHaveLength(2);
    find(root, ".failure button", HTMLElement).click();
    await pass(500);
    expect(bubbles(root)).toEqual(["one", "two"]);
    expect(stored(server, page.state().conversation)).toEqual(["one", "two"]);
    expect(page.state().conversation).not.toBe("cnv_of_another");
  });

  it("goes on after a page load as the same device, in another tab as another one", async () => {
    const { page, local, session, chat } = widget();
    page.send("hello");
    await pass(1000);
    const { user, device } = { user: chat.client.session?.user, device: chat.client.session?.device };
    chat.client.stop();
    const again = widget(local, session);
    const tab = widget(local);
    await pass(1000);
    expect(again.chat.client.session).toMatchObject({ user, device });
    expect(tab.chat.client.session?.user).toBe(user);
    expect(tab.chat.client.session?.device).not.toBe(device);
    for (const { page } of [again, tab]) expect(page.entries().map((e) => e.text)).toEqual(["hello"]);
  });

  it("shows strangers' markup as text, and links only what is http", async () => {
    const { page, root } = widget();
    page.open();
    page.send("<img src=x onerror=alert(1)> javascript:alert(1) https://example.com/a?b=c, data:text/html,x");
    await pass(500);
    expect(root.querySelectorAll(".bubble img, .bubble script")).toHaveLength(0);
    expect([...root.querySelectorAll(".bubble a")].map((a) => a.getAttribute("href"))).toEqual(["https://example.com/a?b=c"]);
  });

  describe("an own message", () => {
    let made: Widget;
    const press = async (label: string): Promise<void> => {
      const button = [...made.root.querySelectorAll("button")].findLast((one) => one.textContent?.trim() === label || one.getAttribute("aria-label") === label);
      if (!button) throw new Error(`no button ${label}`);
      button.click();
      await pass(50);
    };
    const field = (): HTMLTextAreaElement => find(made.root, "textarea", HTMLTextAreaElement);
    const meta = (): string => [...made.root.querySelectorAll(".meta")].map((one) => one.textContent).join();

    beforeEach(async () => {
      made = widget();
      made.page.open();
      await pass(200);
      await type(made.root, "hello");
      await pass(200);
    });

    it("can be edited; what was begun to write waits meanwhile", async () => {
      field().value = "half a";
      field().dispatchEvent(new Event("input", { bubbles: true }));
      await press("Change this message");
      await press("Edit");
      expect([field().value, made.root.activeElement]).toEqual(["hello", field()]);
      await type(made.root, "hello!");
      expect([bubbles(made.root), field().value]).toEqual([["hello!"], "half a"]);
      expect(meta()).toContain("edited");
      expect(made.page.entries().map(({ text }) => text)).toEqual(["hello!"]);
    });

    it("stays as it is when Escape or the button gives the edit up", async () => {
      for (const giveUp of [() => field().dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })), () => void press("Cancel")]) {
        await press("Change this message");
        await press("Edit");
        giveUp();
        await pass(100);
        expect([made.root.querySelector(".editing"), field().value, bubbles(made.root), made.page.state().open]).toEqual([null, "", ["hello"], true]);
      }
    });

    it("can be deleted, and is so in every tab", async () => {
      const tab = widget(made.local);
      tab.page.open();
      await pass(500);
      await press("Change this message");
      await press("Delete");
      await pass(200);
      for (const { root, page } of [made, tab]) expect([bubbles(root), page.entries(), root.querySelector(".more")]).toEqual([["This message was deleted"], [], null]);
    });

    it("that can no longer be changed says so, and is as it was", async () => {
      server.store.editVisitor = -1;
      await press("Change this message");
      await press("Delete");
      await pass(200);
      expect(bubbles(made.root)).toEqual(["hello"]);
      expect(find(made.root, ".failure", HTMLElement).textContent).toContain("This message can no longer be changed");
      await press("OK");
      expect([bubbles(made.root), made.root.querySelector(".failure")]).toEqual([["hello"], null]);
    });

    it.each([
      ["that came too late", "hello", () => (server.store.editVisitor = -1)],
      [
        "that was deleted meanwhile",
        "This message was deleted",
        (): unknown => {
          const { id } = made.chat.conversation;
          const c = server.store.conversations.get(id);
          return c && server.store.record(id, c.visitor, makeDraft("msg_elsewhere", "delete", "", 2));
        },
      ],
    ])("of an edit %s: the words are given back for a new message, behind what was begun", async (_, left, meanwhile) => {
      const field = find(made.root, "textarea", HTMLTextAreaElement);
      field.value = "begun";
      field.dispatchEvent(new Event("input", { bubbles: true }));
      await press("Change this message");
      await press("Edit");
      meanwhile();
      await type(made.root, "other words");
      expect(find(made.root, ".failure q", HTMLElement).textContent).toBe("other words");
      await press("Use as a new message");
      expect([field.value, bubbles(made.root), made.root.querySelector(".failure")]).toEqual(["begun\nother words", [left], null]);
    });
  });

  it("neither sends nor shows an empty bubble", async () => {
    const { chat, root } = widget();
    chat.show(true);
    await pass(50);
    await type(root, " \u200b\u2800\n");
    expect([bubbles(root), server.store.conversations.size]).toEqual([[], 0]);
    await type(root, "hello");
    answer(chat.conversation.id, " \n\u200b");
    await pass(200);
    expect(bubbles(root)).toEqual(["hello", "Empty message"]);
  });

  it("tries at once when it is told to", async () => {
    const { chat, root } = widget();
    chat.show(true);
    await pass(50);
    server.faults.down = true;
    server.cut();
    await pass(60_000);
    server.faults = {};
    expect(chat.view.connection).toBe("offline");
    find(root, ".banner button", HTMLButtonElement).click();
    await pass(1_100); // attempts begin a second apart
    expect(chat.view.connection).toBe("online");
  });

  it("speaks Chinese to those who wish it", async () => {
    const { page, root } = widget(memoryStorage(), memoryStorage(), "zh-CN");
    page.open();
    await pass(50);
    expect(find(root, "textarea", HTMLTextAreaElement).placeholder).toBe("输入消息…");
    expect(chooseLocale(["fr-FR", "zh-TW", "en"])).toBe("zh-TW");
    expect(chooseLocale(["fr-FR"])).toBe("en");
  });

  it("knows the same words in both languages, with the same places in them", () => {
    const places = (texts: object): object => Object.fromEntries(Object.entries(texts).map(([name, words]) => [name, String(words).includes("{}")]));
    expect(places(zh)).toEqual(places(en));
    expect(decodeTexts({ open: "打开", close: 7 })).toEqual({ ...en, open: "打开" });
    expect(decodeTexts(undefined)).toEqual(en);
  });
});
