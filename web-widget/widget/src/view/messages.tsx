import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { newestOwn, rowsOf } from "@parley-chat/client";
import type { View } from "../chat";
import { useWords } from "./context";
import { DownIcon } from "./icons";
import { MessageRow, type MessageActions } from "./message";

const nearEnd = 80;

export interface MessagesProps {
  view: View;
  actions: MessageActions;
  loadOlder(): Promise<void>;
  seen(): void;
}

/** The list of messages. It stays at its end unless the reader has scrolled away from it. */
export function Messages({ view, actions, loadOlder, seen }: MessagesProps): JSX.Element {
  const { texts } = useWords();
  const list = useRef<HTMLDivElement>(null);
  const fromEnd = useRef(0);
  const scrolling = useRef(0);
  const [away, setAway] = useState(false);
  const [loading, setLoading] = useState(false);
  const rows = useMemo(() => rowsOf(view.items, view.me, "visitor", [view.assignee]), [view.items, view.me, view.assignee]);
  const first = rows.find((row) => row.kind !== "day")?.key;
  const last = rows.at(-1);
  const read = newestOwn(rows, view.agentRead);

  // Nobody sees what is added to a page in the background.
  const look = (isAway: boolean): void => {
    if (!isAway && document.visibilityState === "visible") seen();
  };
  // Once a frame: measuring the list after each of many messages would be most of the work.
  const toEnd = (): void => {
    scrolling.current ||= requestAnimationFrame(() => {
      scrolling.current = 0;
      list.current?.scrollTo({ top: list.current.scrollHeight });
    });
  };

  // Whatever was added, above or below: the reader keeps the place, the end keeps the end.
  useLayoutEffect(() => {
    const at = list.current;
    if (!at) return;
    if (!away || (last?.kind === "bubble" && last.pending)) toEnd();
    look(away);
  }, [last?.key]);
  useLayoutEffect(() => {
    const at = list.current;
    if (at && away) at.scrollTop = at.scrollHeight - fromEnd.current;
  }, [first]);

  useEffect(() => {
    const visible = (): void => look(away);
    document.addEventListener("visibilitychange", visible);
    return () => document.removeEventListener("visibilitychange", visible);
  }, [away]);

  const onScroll = (): void => {
    const at = list.current;
    if (!at) return;
    fromEnd.current = at.scrollHeight - at.scrollTop;
    const isAway = fromEnd.current - at.clientHeight > nearEnd;
    setAway(isAway);
    look(isAway);
  };

  const older = async (): Promise<void> => {
    setLoading(true);
    setAway(true);
    await loadOlder().catch(() => {}); // the button stays, to be pressed again
    setLoading(false);
  };

  return (
    <div class="middle">
      <div class="list" ref={list} onScroll={onScroll} role="log" aria-label={texts.log} aria-live="polite" tabIndex={0}>
        {view.hasOlder && (
          <button type="button" class="older" disabled={loading} onClick={() => void older()}>
            {loading ? texts.loading : texts.older}
          </button>
        )}
        {view.loaded && !view.hasOlder && view.first > 1 && <p class="notice">{texts.historyStarts}</p>}
        {rows.length === 0 && <Empty />}
        {rows.map((row, i) => (
          <MessageRow key={row.key} row={row} last={i === rows.length - 1} read={row.key === read} actions={actions} />
        ))}
      </div>
      {away && view.unread > 0 && (
        <button type="button" class="jump" onClick={toEnd}>
          <DownIcon />
          {texts.newMessages}
        </button>
      )}
    </div>
  );
}

function Empty(): JSX.Element {
  const { texts } = useWords();
  return (
    <div class="empty">
      <span class="wave" aria-hidden="true">
        👋
      </span>
      <h2>{texts.emptyTitle}</h2>
      <p>{texts.emptyText}</p>
    </div>
  );
}
