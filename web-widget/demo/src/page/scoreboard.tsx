import type { JSX } from "preact";
import { Icon, type IconName } from "./icons";
import type { Picture } from "./picture";
import type { Texts } from "./texts";

type Mood = "calm" | "busy" | "good" | "bad";

interface Verdict {
  readonly mood: Mood;
  readonly icon: IconName;
  readonly title: string;
  readonly hint: string;
}

/** What the page says of the picture, in one sentence and what to do next. */
export function verdictOf({ server, cables, score }: Picture, texts: Texts, end: "" | "superseded" | "stopped"): Verdict {
  const { verdict, hint } = texts;
  if (end) return { mood: "calm", icon: "alert", title: verdict[end], hint: hint[end] };
  const faults = score.lost + score.doubled + score.reordered + score.wrong;
  if (faults > 0) return { mood: "bad", icon: "alert", title: verdict.wrong, hint: score.examples[0] ?? "" };
  if (score.inFlight > 0) {
    const why = !server.up ? hint.server : [...cables.values()].includes(false) ? hint.cable : score.waiting.length > 0 ? whoWaits(score.waiting, texts) : hint.flight;
    return { mood: "busy", icon: "flight", title: verdict.flight(score.inFlight), hint: why };
  }
  if (score.agreed) return { mood: "good", icon: "check", title: verdict.agreed(score.messages), hint: hint.agreed };
  if (score.messages > 0) return { mood: "calm", icon: "chat", title: verdict.waiting(score.messages), hint: server.up ? whoWaits(score.waiting, texts) : hint.server };
  if (score.devices.size === 0) return { mood: "calm", icon: "chat", title: verdict.starting, hint: hint.starting };
  return { mood: "calm", icon: "chat", title: verdict.empty, hint: hint.empty };
}

/** What to do for the devices that have not opened the conversation: all of the agent's have not while nobody has claimed it. */
function whoWaits(devices: readonly string[], { hint, devices: names, and }: Texts): string {
  return devices.length > 1 ? hint.queued : hint.waiting(devices.map((device) => names[device] ?? device).join(and));
}

export function Scoreboard({ picture, texts, end }: { picture: Picture; texts: Texts; end: "" | "superseded" | "stopped" }): JSX.Element {
  const { score } = picture;
  const { mood, icon, title, hint } = verdictOf(picture, texts, end);
  return (
    <section class={`score ${mood}`} aria-label={texts.score}>
      <div class="verdict" role="status">
        <span class="badge">
          <Icon name={icon} />
        </span>
        <div>
          <h2>{title}</h2>
          <p>{hint}</p>
        </div>
      </div>
      <dl class="numbers" title={texts.judged}>
        <Tally name="sent" words={texts.sent} value={score.sent} />
        <Tally name="acked" words={texts.acked} value={score.acked} />
        <Tally name="stored" words={texts.stored} value={score.stored} title={score.elsewhere > 0 ? texts.elsewhere(score.elsewhere) : ""} />
        <Tally name="flight" words={texts.inFlight} value={score.inFlight} mood={score.inFlight > 0 ? "busy" : "calm"} />
        <Tally name="lost" words={texts.lost} value={score.lost} mood={score.lost > 0 ? "bad" : "good"} />
        <Tally name="doubled" words={texts.doubled} value={score.doubled} mood={score.doubled > 0 ? "bad" : "good"} />
        <Tally name="reordered" words={texts.reordered} value={score.reordered} mood={score.reordered > 0 ? "bad" : "good"} />
      </dl>
    </section>
  );
}

interface TallyProps {
  name: string;
  words: string;
  value: number;
  mood?: Mood;
  title?: string;
}

function Tally({ name, words, value, mood = "calm", title = "" }: TallyProps): JSX.Element {
  return (
    <div class={`tally ${mood}`} title={title || undefined} data-tally={name}>
      <dt>{words}</dt>
      <dd>{value}</dd>
    </div>
  );
}
