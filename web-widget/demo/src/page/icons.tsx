import type { JSX } from "preact";

const paths = {
  plug: "M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4",
  pulled: "M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4M4 4l16 16",
  flood: "M4 7h10M4 12h16M4 17h12M17 4l3 3-3 3",
  kill: "M13 2 5 13.5h6L10 22l8-11.5h-6z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "m5 12.5 4.5 4.5L19 7.5",
  alert: "M12 8v5M12 16.5v.5M12 3 2.5 20h19z",
  flight: "M3 12h13M12 6l6 6-6 6M21 5v14",
  chat: "M5 5h14v10H10l-5 4z",
  visitor: "M4 20a8 8 0 0 1 16 0M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
  pc: "M3 4h18v12H3zM8 20h8M12 16v4",
  tablet: "M6 2.5h12v19H6zM11 18.5h2",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
