import { beforeEach, describe, expect, it, vi } from "vitest";
import { stored } from "../../client/test/fake/world";
import { ask, badges, bubbles, choose, closeLast, fill, find, freshWorld, lists, page, pass, press, server, signIn, visitor, write } from "./page";

freshWorld();

describe("the agent page", () => {
  it("says when the password is wrong, and lets in with the right one", async () => {
    const root = page();
    await signIn(root, "li", "wrong");
    expect(find(root, "[role=alert]", HTMLElement).textContent).toContain("not right");
    await signIn(root);
    expect(find(root, ".me strong", HTMLElement).textContent).toBe("li");
  });

  it("shows who waits, and answers after claiming", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    expect(lists(root)).toEqual(["", "Ann"]);
    choose(root, "Ann");
    await pass(200);
    expect(bubbles(root)).toEqual(["hello"]);
    expect(root.querySelector("textarea")).toBeNull();
    press(root, "Claim");
    await pass(200);
    expect(lists(root)).toEqual(["Ann", ""]);
    await write(root, "hi Ann");
    expect(stored(server, "cnv_1")).toEqual(["hello", "hi Ann"]);
    await write(root, "nihao", { isComposing: true });
    expect(stored(server, "cnv_1")).toHaveLength(2);
    press(root, "Close");
    await pass(200);
    expect(server.store.conversations.get("cnv_1")?.status).toBe("closed");
  });

  it("sends files, which go on while another conversation is open", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    ask("cnv_2", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    press(root, "Claim");
    await pass(200);
    const first = location.hash.slice(1);
    const input = find(root, ".attach input", HTMLInputElement);
    Object.defineProperty(input, "files", { value: [new File(["x".repeat(600_000)], "a.txt")] });
    server.faults.latency = () => 200;
    input.dispatchEvent(new Event("change"));
    await pass(300);
    location.hash = first === "cnv_1" ? "#cnv_2" : "#cnv_1";
    dispatchEvent(new Event("hashchange"));
    await pass(8000);
    expect(root.querySelector(".tray li")).toBeNull();
    location.hash = `#${first}`;
    dispatchEvent(new Event("hashchange"));
    await pass(1000);
    expect(root.querySelectorAll(".tray li.done")).toHaveLength(1);
    press(root, "Send");
    await pass(1000);
    expect(server.store.conversations.get(first)?.entries.at(-1)?.body).toMatchObject({ text: "", attachments: [{ id: "att_1", name: "a.txt" }] });
    expect(root.querySelectorAll(".message .attached")).toHaveLength(1);
    expect(root.querySelector(".tray li")).toBeNull();
  });

  it("says when a colleague was faster", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    const c = server.store.conversations.get("cnv_1");
    if (c) server.store.claim(c, { user: "agt_han", device: "dev_h", role: "agent", name: "Han" });
    press(root, "Claim");
    await pass(200);
    expect(find(root, "main [role=alert]", HTMLElement).textContent).toContain("not yours to see");
    expect(lists(root)).toEqual(["", ""]);
  });

  it.each([
    ["404", undefined],
    ["409", 409],
  ])("a claim that was lost (%s) is forgotten when the conversation waits again", async (_, status) => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    const c = server.store.conversations.get("cnv_1");
    if (!c) throw new Error("no conversation");
    if (status) server.faults.onRequest = (method, path) => (method === "POST" && path.endsWith("/claim") ? status : undefined);
    server.store.claim(c, { user: "agt_han", device: "dev_h", role: "agent", name: "Han" });
    press(root, "Claim");
    await pass(1000);
    expect(root.querySelector("main [role=alert]")).not.toBeNull();
    server.store.close(c, { user: "agt_han", device: "dev_h", role: "agent", name: "Han" });
    ask("cnv_1", "again");
    server.faults = {};
    await pass(1000);
    expect(root.querySelector("main [role=alert]")).toBeNull();
    press(root, "Claim");
    await pass(200);
    expect(lists(root)).toEqual(["Ann", ""]);
  });

  it("keeps what was begun to write for each conversation, until the agent signs out", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    press(root, "Claim");
    await pass(200);
    fill(root, "textarea", "half a sent");
    await pass(20);
    closeLast();
    const again = page();
    await pass(400);
    expect(find(again, "textarea", HTMLTextAreaElement).value).toBe("half a sent");
    press(again, "Sign out");
    await pass(50);
    expect(sessionStorage.length).toBe(0);
  });

  it("draws only what can be seen of a long list, and draws it once for many states", async () => {
    for (let n = 0; n < 1500; n++) ask(`cnv_${n}`, "hello");
    const root = page();
    await signIn(root);
    let drawn = 0;
    const list = find(root, ".lists", HTMLElement);
    const watcher = new MutationObserver((all) => (drawn += all.length));
    watcher.observe(list, { subtree: true, childList: true, characterData: true, attributes: true });
    for (let n = 0; n < 1500; n++) ask(`cnv_${n}`, "again");
    await pass(1000);
    watcher.disconnect();
    expect(find(root, ".lists section:nth-of-type(2) .count", HTMLElement).textContent).toBe("1500");
    expect(root.querySelectorAll("button.row").length).toBeLessThan(40);
    expect(drawn).toBeLessThan(2000);
    const first = find(root, "button.row", HTMLButtonElement);
    first.focus();
    first.dispatchEvent(new KeyboardEvent("keydown", { key: "End", cancelable: true }));
    await pass(100);
    expect(document.activeElement?.closest("li")?.getAttribute("aria-posinset")).toBe("1500");
    expect(document.activeElement?.closest("li")?.getAttribute("aria-setsize")).toBe("1500");
  }, 60_000);

  it("stays signed in over a reload, with the conversation that was open", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    closeLast();
    const again = page();
    await pass(400);
    expect(bubbles(again)).toEqual(["hello"]);
    expect(server.requests.filter((path) => path.includes("agent-sessions"))).toHaveLength(1);
    press(again, "Sign out");
    await pass(50);
    expect(again.querySelector(".sign-in")).not.toBeNull();
    expect(sessionStorage.length).toBe(0);
  });

  it("stops when its device is used in another window, until it is told to go on", async () => {
    const first = page();
    await signIn(first);
    const second = page(); // a duplicated tab has the same sessionStorage
    await pass(200);
    expect(first.textContent).toContain("in use in another window");
    await pass(60_000);
    expect(first.textContent).toContain("in use in another window");
    press(first, "Continue");
    await pass(300);
    expect(first.querySelector(".desk")).not.toBeNull();
    expect(second.textContent).toContain("in use in another window");
  });

  it("shows visitors' markup as text", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "<img src=x onerror=alert(1)><b>x</b>");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    expect(bubbles(root)).toEqual(["<img src=x onerror=alert(1)><b>x</b>"]);
    expect(root.querySelector(".bubble b, .row b")).toBeNull();
  });

  it("counts what is unread until it is read, on whichever device", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    ask("cnv_1", "are you there?");
    ask("cnv_2", "another");
    await pass(200);
    expect(badges(root)).toEqual(["2", "1"]);
    expect(document.title).toBe("(2) Parley");
    choose(root, "are you there?");
    await pass(200);
    press(root, "Claim");
    await pass(1500);
    expect(badges(root)).toEqual(["1"]);

    const focus = vi.spyOn(document, "hasFocus").mockReturnValue(false);
    ask("cnv_1", "one more");
    await pass(200);
    expect(badges(root)).toEqual(["1", "1"]);
    expect(document.title).toBe("(2) Parley");
    focus.mockRestore();
    dispatchEvent(new Event("focus"));
    await pass(200);
    expect(badges(root)).toEqual(["1"]);

    sessionStorage.clear();
    const other = page();
    await signIn(other);
    expect(badges(other)).toEqual(["1"]);
    for (let n = 0; n < 120; n++) ask("cnv_2", `more ${n}`);
    await pass(200);
    expect(badges(other)).toEqual(["99+"]);
  });

  it("says what the visitor has got of the agent's words, and what was read", async () => {
    const root = page();
    await signIn(root);
    ask("cnv_1", "hello");
    await pass(200);
    choose(root, "Ann");
    await pass(200);
    press(root, "Claim");
    await pass(200);
    await write(root, "one");
    await write(root, "two");
    const c = server.store.conversations.get("cnv_1");
    if (!c) throw new Error("no conversation");
    const progress = (): string[] => [...root.querySelectorAll(".message")].map((m) => m.querySelector(".progress")?.textContent?.replace(/\W/g, "") ?? "");
    expect(progress()).toEqual(["", "", ""]);
    const one = c.entries.length - 1;
    server.store.mark(c, visitor, { epoch: server.store.epoch, delivered: one + 1, read: one });
    await pass(200);
    expect(progress()).toEqual(["", "Read", "Delivered"]);
    server.store.mark(c, visitor, { epoch: server.store.epoch, delivered: one + 1, read: one + 1 });
    await pass(200);
    expect(progress()).toEqual(["", "", "Read"]);
    await write(root, "three");
    expect(progress()).toEqual(["", "", "Read", ""]);
  });

  describe("a message", () => {
    let root: HTMLElement;
    beforeEach(async () => {
      root = page();
      await signIn(root);
      ask("cnv_1", "hello");
      await pass(200);
      choose(root, "Ann");
      await pass(200);
      press(root, "Claim");
      await pass(200);
      await write(root, "hi Ann");
    });
    const field = (): HTMLTextAreaElement => find(root, "textarea", HTMLTextAreaElement);
    const openMenu = async (): Promise<string[]> => {
      find(root, ".message .more", HTMLButtonElement).click();
      await pass(20);
      return [...root.querySelectorAll("[role=menuitem]")].map((one) => one.textContent ?? "");
    };

    it("of one's own can be edited, while what was begun waits", async () => {
      fill(root, "textarea", "half");
      await pass(1000);
      expect(await openMenu()).toEqual(["Edit", "Delete for everybody"]);
      press(root, "Edit");
      await pass(20);
      expect(field().value).toBe("hi Ann");
      await write(root, "hi, Ann!");
      expect([bubbles(root), field().value]).toEqual([["hello", "hi, Ann!"], "half"]);
      expect(find(root, ".message.ours .meta", HTMLElement).textContent).toContain("edited");
      await openMenu();
      press(root, "Edit");
      await pass(20);
      field().dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
      await pass(20);
      expect([field().value, root.querySelector(".editing")]).toEqual(["half", null]);
    });

    it("of one's own can be deleted; too late is said", async () => {
      server.store.editStaff = -1;
      await openMenu();
      press(root, "Delete for everybody");
      await pass(200);
      expect(bubbles(root)).toEqual(["hello", "hi Ann"]);
      expect(find(root, ".failure", HTMLElement).textContent).toContain("it is too late for that");
      press(root, "Dismiss");
      server.store.editStaff = 86_400_000;
      await pass(20);
      await openMenu();
      press(root, "Delete for everybody");
      await pass(200);
      expect([bubbles(root), root.querySelector(".message .more")]).toEqual([["hello", "This message was deleted"], null]);
    });

    it("whose edit is refused gives the words back for a new message, behind what was begun", async () => {
      fill(root, "textarea", "begun");
      await openMenu();
      press(root, "Edit");
      await pass(20);
      server.store.editStaff = -1;
      await write(root, "other words");
      expect(find(root, ".failure q", HTMLElement).textContent).toBe("other words");
      press(root, "Use as a new message");
      await pass(100);
      expect([field().value, bubbles(root), root.querySelector(".failure")]).toEqual(["begun\nother words", ["hello", "hi Ann"], null]);
    });

    it("has its web addresses as links, and nothing else; one with nothing to see says so", async () => {
      ask("cnv_1", "see https://example.org/a?b=1. javascript:alert(1) <a href=x>y</a>");
      ask("cnv_1", " \n\u200b");
      await pass(200);
      const links = [...root.querySelectorAll<HTMLAnchorElement>(".bubble a")];
      expect(links.map(({ href, rel, target }) => [href, rel, target])).toEqual([["https://example.org/a?b=1", "noopener noreferrer nofollow", "_blank"]]);
      const [, , linked, blank] = [...root.querySelectorAll(".bubble")].map((one) => one.textContent ?? "");
      expect(linked).toContain("see https://example.org/a?b=1. javascript:alert(1) <a href=x>y</a>");
      expect(blank).toContain("Empty message");
      await write(root, " \u200b ");
      expect(stored(server, "cnv_1")).toHaveLength(4);
    });

    it("of anybody can be deleted by who moderates, and edited by nobody else", async () => {
      sessionStorage.clear();
      const c = server.store.conversations.get("cnv_1");
      if (c) c.assignee = { user: "agt_boss", device: "", role: "admin", name: "boss" };
      root = page();
      await signIn(root, "boss");
      expect(await openMenu()).toEqual(["Delete for everybody"]);
      press(root, "Delete for everybody");
      await pass(200);
      expect(bubbles(root)).toEqual(["This message was deleted", "hi Ann"]);
    });
  });

  describe("on two devices of an agent", () => {
    let pc: HTMLElement;
    let tablet: HTMLElement;
    beforeEach(async () => {
      pc = page();
      await signIn(pc);
      for (const id of ["cnv_1", "cnv_2"]) ask(id, `hello ${id}`);
      await pass(200);
      choose(pc, "Ann");
      await pass(200);
      press(pc, "Claim");
      await pass(200);
      sessionStorage.clear();
      tablet = page();
      await signIn(tablet);
      await pass(1000);
    });
    const field = (root: HTMLElement): HTMLTextAreaElement => find(root, "textarea", HTMLTextAreaElement);

    const rest = (root: HTMLElement): unknown => field(root).dispatchEvent(new Event("blur"));

    it("a draft is the same, and gone when it is sent", async () => {
      fill(pc, "textarea", "half a sent");
      rest(pc);
      await pass(1000);
      expect(field(tablet).value).toBe("half a sent");
      await write(tablet, "half a sentence");
      await pass(1000);
      expect([field(pc).value, field(tablet).value, stored(server, "cnv_1")]).toEqual(["", "", ["hello cnv_1", "half a sentence"]]);
    });

    it("nothing is put in where somebody writes: the other text is offered", async () => {
      fill(pc, "textarea", "of the pc");
      await pass(100);
      fill(tablet, "textarea", "of the tablet");
      await pass(2000);
      expect([field(pc).value, field(tablet).value]).toEqual(["of the pc", "of the tablet"]);
      const [asked] = [pc, tablet].filter((root) => root.querySelector(".other"));
      if (!asked) throw new Error("nobody is asked");
      const other = asked === pc ? "of the tablet" : "of the pc";
      const mine = field(asked).value;
      expect(find(asked, ".other q", HTMLElement).textContent).toBe(other);
      fill(asked, "textarea", `${mine}!`);
      await pass(1000);
      expect(find(asked, ".other q", HTMLElement).textContent).toBe(other);
      press(asked, "Keep this");
      await pass(6000);
      expect(asked.querySelector(".other")).toBeNull();
      const [late] = [pc, tablet].filter((root) => root.querySelector(".other")); // who was still writing then
      if (late) press(late, "Use that");
      await pass(1000);
      expect([field(pc).value, field(tablet).value]).toEqual([`${mine}!`, `${mine}!`]);
    });

    it("who sends a text of this device alone leaves the draft of the other", async () => {
      fill(pc, "textarea", "of the pc");
      await pass(1000);
      rest(pc);
      server.faults.down = true;
      server.cut();
      fill(tablet, "textarea", "of the tablet");
      await pass(100);
      server.faults = {};
      server.store.set({ user: "agt_li", device: "d", role: "agent", name: "" }, { id: "set_elsewhere", key: "draft:cnv_1", value: { text: "of the phone" }, basedOn: server.store.registers("agt_li")[0]?.version ?? 0 });
      await pass(10_000);
      expect([field(pc).value, field(tablet).value]).toEqual(["of the phone", "of the tablet"]);
      await write(tablet, "of the tablet");
      await pass(1000);
      expect([field(pc).value, field(tablet).value, stored(server, "cnv_1").at(-1)]).toEqual(["of the phone", "of the phone", "of the tablet"]);
    });

    it("what is pinned, muted and marked unread is so on both", async () => {
      const flag = async (label: string, index: number): Promise<void> => {
        const more = pc.querySelectorAll<HTMLButtonElement>(".lists .more")[index];
        more?.click();
        await pass(20);
        press(pc, label);
        await pass(1000);
      };
      ask("cnv_3", "hello cnv_3");
      await pass(1000);
      const queued = (root: HTMLElement): string => [...root.querySelectorAll(".lists section:nth-of-type(2) .last")].map((one) => one.textContent).join();
      expect([queued(tablet), document.title]).toEqual(["hello cnv_2,hello cnv_3", "(2) Parley"]);
      await flag("Pin", 2);
      expect(queued(tablet)).toBe("hello cnv_3,hello cnv_2");
      await flag("Mute", 1);
      expect([tablet.querySelectorAll("[aria-label=Pinned], [aria-label=Muted]").length, document.title]).toEqual([2, "(1) Parley"]);
      await flag("Mark as unread", 0);
      expect(tablet.querySelectorAll("[aria-label='Marked as unread']")).toHaveLength(1);
      location.hash = "";
      dispatchEvent(new Event("hashchange"));
      choose(tablet, "Ann");
      await pass(1000);
      expect(pc.querySelector("[aria-label='Marked as unread']")).toBeNull();
    });
  });
});
