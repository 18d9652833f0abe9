// The visitor's device: a little shop with the real widget on it.

import { loadConfig } from "../device/config";
import { keepFocusPolite } from "../device/focus";
import { Reporter } from "../device/reporter";
import { drawShop } from "./shop";
import { WidgetFace } from "./widget";

const wished = new URLSearchParams(location.search).get("locale") === "zh" ? "zh" : "en";
keepFocusPolite();
drawShop(wished);

const config = await loadConfig();
const script = document.createElement("script");
script.src = "/widget.js";
script.dataset["site"] = config.siteKey;
script.dataset["locale"] = wished;
script.dataset["accent"] = "#1f7a5a";
script.dataset["open"] = "";
script.onload = () => {
  const { parley } = window;
  if (!parley) return;
  const face = new WidgetFace(parley, config.siteKey);
  const reporter = new Reporter(face, config.pages);
  face.onNews(() => reporter.look());
  reporter.start();
};
document.head.append(script);
