// What is open on an agent's device. The desk keeps it in the address.

import type { Client, State, webStorage } from "@parley-chat/client";

const retryAfter = 500;

/** Opens what was open here before, and keeps it for the next time. Resolves when that is decided. */
export async function keepOpen(client: Client, local: ReturnType<typeof webStorage>, key: string): Promise<void> {
  const before = local.get(key);
  addEventListener("hashchange", () => local.set(key, /^#([\w-]+)/.exec(location.hash)?.[1] ?? ""));
  await listed(client);
  if (before && !location.hash && client.conversations.has(before)) location.hash = before;
}

/**
 * Opens on this device what the agent claims on another one. What has been the
 * agent's for longer is left alone: while the list is fetched, or comes anew,
 * it is told in no order that would mean anything.
 */
export function followAlong(client: Client): void {
  const known = new Set<string>();
  const claimed = (): State[] => {
    const me = client.session?.user;
    const mine = [...client.conversations.values()].filter(({ status, assignee }) => status === "open" && assignee?.id === me);
    const news = mine.filter(({ conversation }) => !known.has(conversation)).sort((a, b) => a.updatedAt - b.updatedAt);
    for (const { conversation } of news) known.add(conversation);
    return news;
  };
  const open = (news: State | undefined): void => {
    if (news) location.hash = news.conversation;
  };
  const sinceLoaded = claimed().filter(({ updatedAt }) => updatedAt >= performance.timeOrigin);
  if (!location.hash) open(sinceLoaded.at(-1));
  client.on("conversations", () => open(claimed().at(-1)));
}

/** Resolves when the list of conversations is here as a whole: single ones come earlier. */
async function listed(client: Client): Promise<void> {
  for (;;) {
    await online(client);
    try {
      return await client.refresh();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, retryAfter));
    }
  }
}

function online(client: Client): Promise<void> {
  return new Promise((resolve) => {
    if (client.state === "online") return resolve();
    const stop = client.on("state", (state) => {
      if (state !== "online") return;
      stop();
      resolve();
    });
  });
}
