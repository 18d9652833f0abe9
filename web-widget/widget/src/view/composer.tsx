import { Component, type JSX, type RefObject } from "preact";
import { isBlank } from "@parley-chat/client";
import type { Files } from "@parley-chat/files";
import { SendIcon } from "./icons";
import type { Words } from "./words";

const tallest = 140;

export interface ComposerProps {
  field: RefObject<HTMLTextAreaElement | null>;
  /** Where it survives what was begun and not sent. */
  kept: { draft: string };
  /** Takes the text; false means that it is too long. */
  send(text: string): boolean;
  /** Gives up the message that is being edited, if one is. */
  cancel: (() => void) | undefined;
  /** What goes with the message, where it can have files. */
  files: Files | undefined;
}

/** Where the visitor writes. Enter sends, Shift+Enter breaks the line, and Enter that picks a Chinese word does neither. */
export class Composer extends Component<ComposerProps> {
  #tooLong = false;

  override componentDidMount(): void {
    const at = this.props.field.current;
    if (!at) return;
    at.style.height = "auto";
    at.style.height = `${Math.min(at.scrollHeight, tallest)}px`;
  }

  override componentDidUpdate(): void {
    this.componentDidMount();
  }

  #write(text: string): void {
    this.props.kept.draft = text;
    this.setState({});
  }

  /** Without an event it is the files that were waited for. */
  #submit(event?: Event): void {
    event?.preventDefault();
    const { field, kept, send, files } = this.props;
    const text = kept.draft.trim();
    if ((isBlank(text) && !files?.count) || files?.hold(() => this.#submit())) return;
    this.#tooLong = !send(text);
    if (!this.#tooLong) kept.draft = "";
    this.setState({});
    if (event) field.current?.focus();
  }

  #onKeyDown(event: KeyboardEvent): void {
    // 229: Safari has ended the composition by the time its last Enter arrives.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !event.shiftKey && !composing) this.#submit(event);
  }

  override render({ field, kept, cancel, files }: ComposerProps, _: unknown, { texts }: Words): JSX.Element {
    return (
      <form class="composer" onSubmit={(event) => this.#submit(event)}>
        {this.#tooLong && (
          <p class="problem" role="alert">
            {texts.tooLong}
          </p>
        )}
        {cancel && (
          <p class="editing">
            {texts.editing}
            <button type="button" onClick={cancel}>
              {texts.cancel}
            </button>
          </p>
        )}
        {files && <div ref={files.tray} />}
        <div class="field">
          {files && <span ref={files.button} />}
          <textarea
            ref={field}
            rows={1}
            dir="auto"
            value={kept.draft}
            placeholder={texts.placeholder}
            aria-label={texts.placeholder}
            enterkeyhint="send"
            onInput={(event) => this.#write(event.currentTarget.value)}
            onKeyDown={(event) => this.#onKeyDown(event)}
          />
          <button type="submit" class="send" aria-label={texts.send} disabled={isBlank(kept.draft) && !files?.count}>
            <SendIcon />
          </button>
        </div>
      </form>
    );
  }
}
