import type { JSX, RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { useWords } from "./context";
import { SendIcon } from "./icons";

const tallest = 140;

export interface ComposerProps {
  field: RefObject<HTMLTextAreaElement | null>;
  /** Where it survives what was begun and not sent. */
  kept: { draft: string };
  /** Takes the text; false means that it is too long. */
  send(text: string): boolean;
}

/** Where the visitor writes. Enter sends, Shift+Enter breaks the line, and Enter that picks a Chinese word does neither. */
export function Composer({ field, kept, send }: ComposerProps): JSX.Element {
  const { texts } = useWords();
  const [text, setText] = useState(kept.draft);
  const [tooLong, setTooLong] = useState(false);
  const blank = text.trim() === "";

  useLayoutEffect(() => {
    const at = field.current;
    if (!at) return;
    at.style.height = "auto";
    at.style.height = `${Math.min(at.scrollHeight, tallest)}px`;
  }, [text]);

  const write = (text: string): void => {
    setText((kept.draft = text));
  };

  const submit = (event: Event): void => {
    event.preventDefault();
    if (blank) return;
    const taken = send(text.trim());
    setTooLong(!taken);
    if (taken) write("");
    field.current?.focus();
  };

  const onKeyDown = (event: KeyboardEvent): void => {
    // 229: Safari has ended the composition by the time its last Enter arrives.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !event.shiftKey && !composing) submit(event);
  };

  return (
    <form class="composer" onSubmit={submit}>
      {tooLong && (
        <p class="problem" role="alert">
          {texts.tooLong}
        </p>
      )}
      <div class="field">
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          value={text}
          placeholder={texts.placeholder}
          aria-label={texts.placeholder}
          enterkeyhint="send"
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <button type="submit" class="send" aria-label={texts.send} disabled={blank}>
          <SendIcon />
        </button>
      </div>
    </form>
  );
}
