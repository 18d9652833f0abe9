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

type End = "" | "superseded" | "stopped";

/** What the page says of the picture, in one sentence and what to do next. */
export function verdictOf({ server, cables, score }: Picture, counted: boolean, texts: Texts, end: End): Verdict {
  const { verdict, hint } = texts;
  const calm = (title: string, more: string): Verdict => ({ mood: "calm", icon: "chat", title, hint: more });
  const pulled = [...cables.values()].includes(false);
  if (end) return { mood: "calm", icon: "alert", title: verdict[end], hint: hint[end] };
  if (!counted) return calm(verdict.starting, server.up ? hint.starting : hint.server);
  const faults = score.lost + score.doubled + score.reordered + score.wrong;
  if (faults > 0) return { mood: "bad", icon: "alert", title: verdict.wrong, hint: score.examples[0] ?? "" };
  if (score.inFlight > 0) {
    const why = !server.up ? hint.server : pulled ? hint.cable : score.waiting.length > 0 ? whoWaits(score, texts) : hint.flight;
    return { mood: "busy", icon: "flight", title: verdict.flight(score.inFlight), hint: why };
  }
  if (score.agreed) return { mood: "good", icon: "check", title: verdict.agreed(score.messages), hint: hint.agreed };
  const earlier = score.earlier > 0 ? [hint.earlier(score.earlier)] : [];
  if (score.messages > 0) return calm(verdict.waiting(score.messages), [server.up ? whoWaits(score, texts) : hint.server, ...earlier].join(texts.space));
  if (!score.devices.get("visitor")?.told) return calm(verdict.starting, pulled ? hint.cable : hint.starting);
  return calm(verdict.empty, [hint.empty, ...earlier].join(texts.space));
}

/** What to do for the devices that do not show the conversation: all of the agent's do not while nobody has claimed it. */
function whoWaits({ waiting, loading }: Picture["score"], { hint, devices, and }: Texts): string {
  const names = (list: readonly string[]): string => list.map((device) => devices[device] ?? device).join(and);
  if (waiting.length > 1) return hint.queued;
  return waiting.length > 0 ? hint.waiting(names(waiting)) : hint.loading(names(loading));
}

export function Scoreboard({ picture, counted, texts, end }: { picture: Picture; counted: boolean; texts: Texts; end: End }): JSX.Element {
  const { score } = picture;
  const { mood, icon, title, hint } = verdictOf(picture, counted, texts, end);
  const tally = (name: string, words: string, value: number, its: Mood = "calm", more = ""): JSX.Element => (
    <Tally name={name} words={words} value={counted ? value : texts.unknown} mood={counted ? its : "calm"} title={counted ? more : ""} />
  );
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
        {tally("sent", texts.sent, score.sent)}
        {tally("acked", texts.acked, score.acked)}
        {tally("stored", texts.stored, score.stored, "calm", score.elsewhere > 0 ? texts.elsewhere(score.elsewhere) : "")}
        {tally("flight", texts.inFlight, score.inFlight, score.inFlight > 0 ? "busy" : "calm")}
        {tally("lost", texts.lost, score.lost, score.lost > 0 ? "bad" : "good")}
        {tally("doubled", texts.doubled, score.doubled, score.doubled > 0 ? "bad" : "good")}
        {tally("reordered", texts.reordered, score.reordered, score.reordered > 0 ? "bad" : "good")}
      </dl>
    </section>
  );
}

interface TallyProps {
  name: string;
  words: string;
  value: number | string;
  mood: Mood;
  title: string;
}

function Tally({ name, words, value, mood, title }: TallyProps): JSX.Element {
  return (
    <div class={`tally ${mood}`} title={title || undefined} data-tally={name}>
      <dt>{words}</dt>
      <dd>{value}</dd>
    </div>
  );
}
