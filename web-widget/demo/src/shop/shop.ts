import type { Language } from "../protocol";

const words = {
  en: {
    tagline: "Loose leaf tea, sent the same day",
    items: [
      ["🍵", "Longjing", "Spring harvest, 50 g", "€ 14"],
      ["🌺", "Osmanthus oolong", "Taiwan, 75 g", "€ 18"],
      ["🫖", "Clay pot", "Yixing, 160 ml", "€ 59"],
      ["🍋", "Lemon verbena", "Organic, 40 g", "€ 7"],
    ],
  },
  zh: {
    tagline: "好茶当天发货",
    items: [
      ["🍵", "西湖龙井", "明前，50 克", "¥ 108"],
      ["🌺", "桂花乌龙", "台湾，75 克", "¥ 138"],
      ["🫖", "紫砂壶", "宜兴，160 毫升", "¥ 459"],
      ["🍋", "柠檬马鞭草", "有机，40 克", "¥ 56"],
    ],
  },
} as const;

/** Draws the page that the visitor is on. */
export function drawShop(language: Language): void {
  const { tagline, items } = words[language];
  document.documentElement.lang = language;
  const header = element("header", "", element("h1", "Leaf & Cup"), element("p", tagline));
  const cards = items.map(([picture, name, about, price]) =>
    element("article", "", element("span", picture), element("h2", name), element("p", about), element("strong", price)),
  );
  document.body.querySelector("main")?.remove();
  document.body.prepend(element("main", "", header, element("section", "", ...cards)));
}

function element(name: string, text: string, ...children: HTMLElement[]): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}
