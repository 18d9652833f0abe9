import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { killServer, terminalLine } from "./control";
import { Icon } from "./icons";
import type { Picture } from "./picture";
import type { Texts } from "./texts";

const copiedFor = 2_000;

/** The server and how to kill it. */
export function ServerPanel({ server, texts }: { server: Picture["server"]; texts: Texts }): JSX.Element {
  return (
    <section class={`server ${server.up ? "up" : "down"}`} aria-label={texts.server}>
      <div class="who">
        <h3>{texts.server}</h3>
        <p>
          <span class={`dot ${server.up ? "good" : "bad"}`}>{server.up ? texts.running(server.pid) : texts.dead}</span>
          {server.up && server.starts > 1 && (
            <span class="after">
              {texts.back(server.backAfter)} · {texts.kills(server.starts - 1)}
            </span>
          )}
        </p>
      </div>
      <button type="button" class="kill" data-action="kill" disabled={!server.up} onClick={() => void killServer()}>
        <Icon name="kill" />
        {texts.kill}
      </button>
    </section>
  );
}

/** Hands out a line to paste. Where the clipboard is closed, it is shown to be copied by hand. */
export function TerminalPanel({ texts }: { texts: Texts }): JSX.Element {
  const [line, setLine] = useState("");
  const [note, setNote] = useState("");
  useEffect(() => {
    if (!note) return;
    const timer = setTimeout(() => setNote(""), copiedFor);
    return () => clearTimeout(timer);
  }, [note]);

  const copy = async (): Promise<void> => {
    const fresh = await terminalLine();
    setLine("");
    if (fresh === undefined) return setNote(texts.notNow);
    try {
      await navigator.clipboard.writeText(fresh);
      setNote(texts.copied);
    } catch {
      setLine(fresh);
    }
  };

  return (
    <section class="terminal" aria-label={texts.terminal}>
      <div class="who">
        <h3>{texts.terminal}</h3>
        <p>{texts.terminalText}</p>
      </div>
      <button type="button" data-action="terminal" onClick={() => void copy()}>
        <Icon name={note === texts.copied ? "check" : "copy"} />
        {note || texts.copy}
      </button>
      {line && <textarea readOnly rows={4} value={line} aria-label={texts.terminal} onFocus={(event) => event.currentTarget.select()} />}
    </section>
  );
}
