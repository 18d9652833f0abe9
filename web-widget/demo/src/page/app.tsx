import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Language } from "../protocol";
import type { Device } from "./control";
import { DeviceFrame } from "./device";
import { counts, type Picture } from "./picture";
import type { Relay } from "./relay";
import { Scoreboard } from "./scoreboard";
import { ServerPanel, TerminalPanel } from "./server";
import { textsOf } from "./texts";

export interface AppProps {
  /** This load of the page. */
  run: string;
  devices: readonly Device[];
  relay: Relay;
  picture: Picture;
  stopped: boolean;
  language: Language;
  speak(language: Language): void;
}

export function App({ run, devices, relay, picture, stopped, language, speak }: AppProps): JSX.Element {
  const texts = textsOf(language);
  useEffect(() => {
    document.documentElement.lang = language;
    document.title = `Parley · ${texts.title}`;
  }, [language]);
  const counted = counts(picture, run);
  const end = stopped ? "stopped" : relay.superseded ? "superseded" : "";
  return (
    <>
      <header class="top">
        <img src="/demo/icon.svg" alt="" width="44" height="44" />
        <div class="who">
          <h1>{texts.title}</h1>
          <p>{texts.intro}</p>
        </div>
        <LanguageSwitch language={language} speak={speak} label={texts.language} />
      </header>
      <Scoreboard picture={picture} counted={counted} texts={texts} end={end} />
      <main class={end ? "ended" : ""}>
        {devices.map((device) => (
          <DeviceFrame
            key={device.name}
            device={device}
            plugged={picture.cables.get(device.name) ?? true}
            score={picture.score.run === run ? picture.score.devices.get(device.name) : undefined}
            counted={counted}
            relay={relay}
            language={language}
            texts={texts}
          />
        ))}
      </main>
      <div class="panels">
        <ServerPanel server={picture.server} texts={texts} />
        <TerminalPanel texts={texts} />
      </div>
      <p class="judged">{texts.judged}</p>
    </>
  );
}

const languages = [
  ["en", "English"],
  ["zh", "中文"],
] as const;

function LanguageSwitch({ language, speak, label }: { language: Language; speak(language: Language): void; label: string }): JSX.Element {
  return (
    <div class="languages" role="group" aria-label={label}>
      {languages.map(([code, name]) => (
        <button key={code} type="button" lang={code} aria-pressed={code === language} onClick={() => speak(code)}>
          {name}
        </button>
      ))}
    </div>
  );
}
