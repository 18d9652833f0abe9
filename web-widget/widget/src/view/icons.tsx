import type { JSX } from "preact";

const stroke = {
  viewBox: "0 0 24 24",
  fill: "none",
  stroke: "currentColor",
  "stroke-width": "1.8",
  "stroke-linecap": "round",
  "stroke-linejoin": "round",
  "aria-hidden": "true",
} as const;

export const ChatIcon = (): JSX.Element => (
  <svg {...stroke}>
    <path d="M20.5 11.6c0 4.3-3.8 7.7-8.5 7.7-1.2 0-2.4-.2-3.4-.6L4 20l1.3-3.8a7.2 7.2 0 0 1-1.8-4.6c0-4.3 3.8-7.7 8.5-7.7s8.5 3.4 8.5 7.7Z" />
    <path d="M8.6 11.7h.01M12 11.7h.01M15.4 11.7h.01" stroke-width="2.4" />
  </svg>
);

export const CloseIcon = (): JSX.Element => (
  <svg {...stroke}>
    <path d="m6.5 9.5 5.5 5.5 5.5-5.5" />
  </svg>
);

export const SendIcon = (): JSX.Element => (
  <svg {...stroke}>
    <path d="M12 19V5.5M6 11.2l6-6 6 6" stroke-width="2.2" />
  </svg>
);

export const DownIcon = (): JSX.Element => (
  <svg {...stroke}>
    <path d="M12 5v13.5M6 12.8l6 6 6-6" />
  </svg>
);

export const ClockIcon = (): JSX.Element => (
  <svg {...stroke}>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M12 7.5V12l3 2" />
  </svg>
);

export const CheckIcon = (): JSX.Element => (
  <svg {...stroke}>
    <path d="m5 12.8 4.4 4.4L19 7.4" />
  </svg>
);
