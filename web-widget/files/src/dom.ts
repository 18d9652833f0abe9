/** Makes an element with a class, attributes and children. Text is text: nothing becomes markup. */
export function el<K extends keyof HTMLElementTagNameMap>(name: K, className: string, attributes: Record<string, string> = {}, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A button with an icon, and what it says to those who do not see it. */
export function iconButton(className: string, label: string, shape: string, act: () => void): HTMLButtonElement {
  const made = el("button", className, { type: "button", "aria-label": label, title: label }, icon(shape));
  made.addEventListener("click", act);
  return made;
}

const svg = "http://www.w3.org/2000/svg";

/** A drawing of one line. */
export function icon(path: string): SVGElement {
  const made = document.createElementNS(svg, "svg");
  made.setAttribute("viewBox", "0 0 24 24");
  made.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg, "path");
  line.setAttribute("d", path);
  made.append(line);
  return made;
}

export const shapes = {
  clip: "m20 11.5-8.3 8.3a5 5 0 0 1-7-7l8.6-8.7a3.3 3.3 0 0 1 4.7 4.8l-8.6 8.6a1.7 1.7 0 0 1-2.4-2.4l7.9-7.8",
  cross: "M7 7l10 10M17 7 7 17",
  file: "M13.5 3.5H7A1.5 1.5 0 0 0 5.5 5v14A1.5 1.5 0 0 0 7 20.5h10a1.5 1.5 0 0 0 1.5-1.5V8.5zM13.5 3.5v5h5",
  picture: "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5ZM4.5 16.5l4.5-4.5 3.5 3.5 2.5-2.5 4.5 4.5M15.5 9.300h.01",
  sound: "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0ZM19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0Z",
  video: "M5.5 6h9A1.5 1.5 0 0 1 16 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 16.5v-9A1.5 1.5 0 0 1 5.5 6ZM16 10.5l4.5-2.5v8L16 13.5",
  save: "M12 4.5V15M7.5 11l4.5 4.5 4.5-4.5M5 19.5h14",
} as const;

/** The drawing for a media type. */
export const shapeOf = (type: string): string =>
  ({ image: shapes.picture, audio: shapes.sound, video: shapes.video })[type.split("/")[0] ?? ""] ?? shapes.file;
