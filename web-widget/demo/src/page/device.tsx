import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Language } from "../protocol";
import { setCable, type Device } from "./control";
import { Icon } from "./icons";
import type { DeviceScore } from "./picture";
import type { Relay } from "./relay";
import type { Texts } from "./texts";

const icons = { visitor: "visitor", pc: "pc", tablet: "tablet" } as const;

export interface DeviceFrameProps {
  device: Device;
  plugged: boolean;
  score: DeviceScore | undefined;
  /** Whether the numbers of the score belong together. */
  counted: boolean;
  relay: Relay;
  language: Language;
  texts: Texts;
}

/** A device: what it shows, how it is doing, and its cable. */
export function DeviceFrame({ device, plugged, score, counted, relay, language, texts }: DeviceFrameProps): JSX.Element {
  const { name } = device;
  const frame = useRef<HTMLIFrameElement>(null);
  const wanted = `${device.origin}/demo/${name === "visitor" ? "shop" : "agent"}.html?locale=${language}`;
  const [source, setSource] = useState(wanted);
  // A page cannot come through a pulled cable: another language waits.
  useEffect(() => {
    if (plugged) setSource(wanted);
  }, [plugged, wanted]);
  useEffect(() => {
    if (frame.current) relay.attach(device, frame.current);
  }, [device, relay]);

  const canSend = relay.canSend.has(name);
  const title = texts.devices[name] ?? name;
  return (
    <article class={`device ${name} ${plugged ? "plugged" : "unplugged"}`} data-device={name}>
      <header>
        <span class="badge">
          <Icon name={name in icons ? icons[name as keyof typeof icons] : "chat"} />
        </span>
        <div class="who">
          <h3>{title}</h3>
          <p>
            <Dot plugged={plugged} online={score?.online ?? false} texts={texts} /> · {texts.about[name]}
          </p>
        </div>
      </header>
      <iframe ref={frame} src={source} title={title} />
      <footer>
        <Counts score={counted && score?.told ? score : undefined} texts={texts} />
        <div class="buttons">
          <button type="button" data-action="flood" disabled={!canSend} title={canSend ? undefined : texts.floodNeedsClaim} onClick={() => relay.flood(name, 200)}>
            <Icon name="flood" />
            <span>
              {texts.flood[0]}
              <span class="more">{texts.flood[1]}</span>
            </span>
          </button>
          <button type="button" class={plugged ? "pull" : "plug"} data-action="cable" aria-pressed={!plugged} onClick={() => void setCable(name, !plugged)}>
            <Icon name={plugged ? "pulled" : "plug"} />
            {plugged ? texts.pull : texts.plug}
          </button>
        </div>
      </footer>
    </article>
  );
}

/** What the device shows and has sent; of one that has not told yet, nothing. */
function Counts({ score, texts }: { score: DeviceScore | undefined; texts: Texts }): JSX.Element {
  return (
    <p class="counts">
      <b data-count="shown">{score?.shown ?? texts.unknown}</b> {texts.shown}
      {score && score.behind > 0 && (
        <span class="busy">
          {" "}
          · <b>{score.behind}</b> {texts.behind}
        </span>
      )}
      {score && score.sent > 0 && (
        <span>
          {" "}
          ·{" "}
          <b>
            {score.acked}/{score.sent}
          </b>{" "}
          {texts.deviceAcked}
        </span>
      )}
      {score && score.wrong > 0 && (
        <span class="bad">
          {" "}
          · <b>{score.wrong}</b> {texts.wrongHere}
        </span>
      )}
    </p>
  );
}

function Dot({ plugged, online, texts }: { plugged: boolean; online: boolean; texts: Texts }): JSX.Element {
  const [kind, words] = !plugged ? ["bad", texts.pulled] : online ? ["good", texts.online] : ["busy", texts.offline];
  return <span class={`dot ${kind}`}>{words}</span>;
}
