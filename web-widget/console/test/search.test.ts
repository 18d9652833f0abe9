import { beforeEach, describe, expect, it } from "vitest";
import { nextTick } from "vue";
import { makeDraft } from "../../client/src/draft";
import type { Store } from "../../client/test/fake/store";
import { ask, bubbles, choose, fill, find, freshWorld, page, pass, press, saidIn, server, signIn, visitor, write } from "./page";

freshWorld();

let root: HTMLElement;
beforeEach(async () => {
  root = page();
  await signIn(root);
});

const field = (): HTMLInputElement => find(root, "[type=search]", HTMLInputElement);
const hits = (): HTMLButtonElement[] => [...root.querySelectorAll<HTMLButtonElement>(".hit")];
const snippets = (): string[] => hits().map((hit) => hit.querySelector(".snippet")?.textContent ?? "");
const status = (): string => root.querySelector(".results")?.textContent ?? "";
const searches = (): string[] => server.requests.filter((path) => path.includes("/v1/search")).map((path) => decodeURIComponent(/q=([^&]*)/.exec(path)?.[1] ?? ""));
const found = (): string => saidIn(root.querySelector(".found .bubble"));

async function search(words: string): Promise<void> {
  fill(root, "[type=search]", words);
  await pass(500);
}

async function open(index: number): Promise<void> {
  hits()[index]?.click();
  dispatchEvent(new Event("hashchange"));
  await pass(200);
}

function key(at: Element | null, name: string): void {
  at?.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
}

describe("searching", () => {
  it("finds a Chinese and an English message, and opens them", async () => {
    ask("cnv_1", "你好，我想退款");
    ask("cnv_2", "When will my <i>refund</i> arrive?");
    await search("退款");
    expect([snippets(), hits()[0]?.querySelector("mark")?.textContent]).toEqual([["你好，我想退款"], "退款"]);
    expect(find(root, ".lists", HTMLElement).style.display).toBe("none");
    await open(0);
    expect([location.hash, found(), hits()[0]?.getAttribute("aria-current")]).toEqual(["#cnv_1/2", "你好，我想退款", "true"]);
    await search("<I>refund");
    expect([snippets(), root.querySelector(".results i")]).toEqual([["When will my <i>refund</i> arrive?"], null]);
    await open(0);
    expect([bubbles(root), found()]).toEqual([["When will my <i>refund</i> arrive?"], "When will my <i>refund</i> arrive?"]);
    await search("nobody wrote this");
    expect(status()).toContain("Nothing found for “nobody wrote this”");
    await search("");
    expect([find(root, ".lists", HTMLElement).style.display, root.querySelector(".results")]).toEqual(["", null]);
  });

  it("asks once for words that are typed letter by letter, one search at a time", async () => {
    ask("cnv_1", "hello");
    for (const words of ["h", "he", "hel"]) {
      fill(root, "[type=search]", words);
      await pass(100);
    }
    server.faults.latency = () => 1000;
    await pass(400);
    expect(searches()).toEqual(["hel"]);
    for (const words of ["hell", "hello"]) await search(words);
    expect([searches(), status()]).toEqual([["hel"], "Searching…"]);
    await pass(4000);
    expect([searches(), snippets()]).toEqual([["hel", "hello"], ["hello"]]);
  });

  it("shows more when somebody asks for it", async () => {
    for (let n = 0; n < 70; n++) ask("cnv_1", `hello ${n}`);
    await search("hello");
    expect([hits().length, status()]).toEqual([30, expect.stringContaining("The newest 30 messages")]);
    press(root, "Show more");
    await pass(100);
    expect(hits()).toHaveLength(60);
    const results = find(root, ".results", HTMLElement);
    results.dispatchEvent(new Event("scroll"));
    await pass(100);
    expect([hits().length, new Set(snippets()).size, root.querySelector(".results .older")]).toEqual([70, 70, null]);
  });

  it.each([
    [429, "hello", "Too many searches", true],
    [503, "hello", "cannot be reached", true],
    [400, "***", "nothing to search for", false],
    [400, "x".repeat(201), "at most 200 characters", false],
    [400, "a b c d e f g h i j k l m n o p q", "fewer words", false],
  ])("says why it failed (%i, %s)", async (code, words, text, again) => {
    ask("cnv_1", words);
    server.faults.onRequest = (_, path) => (path.includes("/v1/search") ? code : undefined);
    await search(words);
    expect(find(root, ".results [role=alert]", HTMLElement).textContent).toContain(text);
    expect(root.querySelector(".results .plain") !== null).toBe(again);
    server.faults = {};
    if (again) press(find(root, ".results", HTMLElement), "Try again");
    else await search("a");
    await pass(500);
    expect(root.querySelector(".results [role=alert]")).toBeNull();
  });

  it("is done with the keyboard", async () => {
    for (const text of ["hello 1", "hello 2"]) ask("cnv_1", text);
    await pass(200);
    key(root.querySelector(".row"), "/");
    expect(document.activeElement).toBe(field());
    await search("hello");
    key(field(), "ArrowDown");
    expect(document.activeElement).toBe(hits()[0]);
    key(document.activeElement, "ArrowDown");
    key(document.activeElement, "ArrowDown");
    expect(document.activeElement).toBe(hits()[1]);
    for (let n = 0; n < 2; n++) key(document.activeElement, "ArrowUp");
    expect(document.activeElement).toBe(field());
    find(root, ".search", HTMLFormElement).dispatchEvent(new Event("submit"));
    await nextTick();
    expect(document.activeElement).toBe(hits()[0]);
    key(document.activeElement, "Escape");
    await nextTick();
    expect([field().value, document.activeElement, root.querySelector(".results")]).toEqual(["", field(), null]);
    key(field(), "Escape");
    expect(document.activeElement).not.toBe(field());
  });
});

describe("a message far back", () => {
  beforeEach(async () => {
    ask("cnv_1", "a needle");
    for (let n = 1; n <= 150; n++) ask("cnv_1", `hay ${n}`);
    await pass(100);
    choose(root, "Ann");
    await pass(200);
    press(root, "Claim");
    await pass(200);
    await search("needle");
    await open(0);
  });

  it("is shown among what stands around it", async () => {
    expect([found(), bubbles(root)[0], bubbles(root).length]).toEqual(["a needle", "a needle", 49]);
    expect(root.querySelector(".message .more")).toBeNull();
    press(root, "Show later messages");
    await pass(200);
    expect([bubbles(root).length, root.querySelector(".jump") !== null]).toEqual([99, true]);
    press(root, "Show later messages");
    await pass(200);
    expect([bubbles(root).length, bubbles(root).at(-1), root.querySelector(".jump"), found()]).toEqual([151, "hay 150", null, "a needle"]);
  });

  it("is left for the newest ones, by a press or by writing", async () => {
    press(root, "To the newest messages");
    dispatchEvent(new Event("hashchange"));
    await pass(200);
    expect([location.hash, found(), bubbles(root).at(-1)]).toEqual(["#cnv_1", "", "hay 150"]);
    await open(0);
    expect(found()).toBe("a needle");
    await write(root, "found it");
    dispatchEvent(new Event("hashchange"));
    await pass(200);
    expect([found(), bubbles(root).at(-1)]).toEqual(["", "found it"]);
  });

  it("is asked for until it comes, and not marked as read meanwhile", async () => {
    server.faults.onRequest = (_, path) => (path.includes("around=") ? 503 : undefined);
    press(root, "To the newest messages");
    dispatchEvent(new Event("hashchange"));
    await open(0);
    expect([bubbles(root), find(root, "main [role=alert]", HTMLElement).textContent]).toEqual([[], expect.stringContaining("cannot be reached")]);
    server.faults = {};
    await pass(3000);
    expect([found(), root.querySelector("main [role=alert]")]).toEqual(["a needle", null]);
    const c = server.store.conversations.get("cnv_1");
    const read = (): number => c?.marks.get("agt_li")?.read ?? 0;
    const before = read();
    ask("cnv_1", "one more");
    await pass(2000);
    expect([found(), read()]).toEqual(["a needle", before]);
    press(root, "To the newest messages");
    dispatchEvent(new Event("hashchange"));
    await pass(2000);
    expect(read()).toBe(c?.entries.length);
  });
});

it("says where history starts, when its beginning was removed", async () => {
  for (let n = 1; n <= 80; n++) ask("cnv_1", `hay ${n}`);
  const c = server.store.conversations.get("cnv_1");
  if (c) c.first = 12;
  await pass(100);
  choose(root, "Ann");
  await pass(200);
  const notice = (): boolean => (root.querySelector(".messages")?.firstElementChild?.textContent ?? "").includes("no longer available");
  expect(notice()).toBe(false);
  press(root, "Show earlier messages");
  await pass(200);
  expect([notice(), bubbles(root)[0]]).toEqual([true, "hay 11"]);
});

describe("what was found", () => {
  const store = (): Store => server.store;
  const change = (type: "edit" | "delete", target: number, text = ""): unknown => store().record("cnv_1", visitor, makeDraft(`msg_${type}_${target}`, type, text, target));
  beforeEach(async () => {
    ask("cnv_1", "hello one");
    ask("cnv_1", "hello two");
    ask("cnv_2", "hello three");
    await pass(100);
    await search("hello");
    expect(snippets()).toEqual(["hello three", "hello two", "hello one"]);
  });

  it("goes at once when the open conversation's message is deleted, and says the new words of one that is edited", async () => {
    await open(1);
    server.faults.onRequest = (_, path) => (path.includes("/v1/search") ? 503 : undefined);
    change("delete", 3);
    change("edit", 2, "something else");
    await pass(600);
    expect(snippets()).toEqual(["hello three", "something else"]);
    expect(root.querySelector(".results [role=alert]")).toBeNull();
  });

  it("is searched for anew when something else happened to a message of another conversation, and not for new messages", async () => {
    const before = searches().length;
    ask("cnv_1", "nothing of interest");
    await pass(3000);
    expect(searches()).toHaveLength(before);
    change("delete", 2);
    change("delete", 3);
    await pass(3000);
    expect([searches().length, snippets()]).toEqual([before + 1, ["hello three"]]);
  });

  it("goes, and what is open of it too, when a colleague has claimed the conversation", async () => {
    await open(1);
    expect(bubbles(root)).toEqual(["hello one", "hello two"]);
    const c = store().conversations.get("cnv_1");
    server.faults.onRequest = (_, path) => (path.includes("/v1/search") ? 503 : undefined);
    if (c) store().claim(c, { user: "agt_han", device: "dev_h", role: "agent", name: "Han" });
    await pass(500);
    expect([snippets(), bubbles(root), find(root, ".head .dim", HTMLElement).textContent]).toEqual([["hello three"], [], "With a colleague now, or removed"]);
    if (c) store().close(c, { user: "agt_han", device: "dev_h", role: "agent", name: "Han" });
    ask("cnv_1", "again");
    await pass(1000);
    expect(bubbles(root)).toEqual(["hello one", "hello two", "again"]);
    server.faults = {};
    await pass(6000);
    expect(snippets()).toEqual(["hello three", "hello two", "hello one"]);
  });
});
