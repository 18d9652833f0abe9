import type { Problem } from "@parley-chat/client/uploads";

const en = {
  attach: "Attach files",
  drop: "Drop files here",
  tray: "Files to send",
  remove: (name: string) => `Remove ${name}`,
  waiting: "Waiting",
  sending: (size: string, percent: number) => `${percent}% of ${size}`,
  checking: "Being checked…",
  offline: "Waiting for the connection, then it goes on",
  stalled: "The server cannot take it now. Trying again…",
  ready: (size: string) => `${size} · ready`,
  holding: "Sends when the files are there",
  hold: "Do not send yet",
  removeFirst: "Remove what cannot be sent, then send.",
  tooMany: (most: number) => `At most ${most} files go with one message. Send the others with the next one.`,
  problems: {
    too_large: "Too large to be sent here. Try a smaller version.",
    type: "This kind of file is not taken, or it is damaged. Send a picture, PDF, office document or ZIP.",
    infected: "The virus scanner says that it is infected. It was not sent.",
    unreadable: "Empty, or it cannot be read. Choose it again.",
    refused: "Files cannot be sent here now.",
  },
  show: (name: string) => `Show ${name}`,
  save: (name: string) => `Save ${name}`,
  gone: "This file is no longer there.",
  unavailable: "It cannot be fetched now. Try again in a moment.",
};

export type Texts = { readonly [K in keyof typeof en]: (typeof en)[K] } & { readonly problems: Readonly<Record<Problem, string>> };

const zh: Texts = {
  attach: "添加文件",
  drop: "将文件拖放到此处",
  tray: "待发送的文件",
  remove: (name) => `移除 ${name}`,
  waiting: "等待上传",
  sending: (size, percent) => `${percent}%，共 ${size}`,
  checking: "正在检查…",
  offline: "等待网络恢复后继续上传",
  stalled: "服务器暂时无法接收，正在重试…",
  ready: (size) => `${size} · 已就绪`,
  holding: "文件上传完成后自动发送",
  hold: "暂不发送",
  removeFirst: "请先移除无法发送的文件，然后再发送。",
  tooMany: (most) => `一条消息最多可附 ${most} 个文件，其余请随下一条消息发送。`,
  problems: {
    too_large: "文件太大，无法发送，请换用较小的版本。",
    type: "不支持此类文件或文件已损坏，请发送图片、PDF、办公文档或 ZIP。",
    infected: "病毒扫描发现此文件已感染，未发送。",
    unreadable: "文件为空或无法读取，请重新选择。",
    refused: "现在无法在此发送文件。",
  },
  show: (name) => `查看 ${name}`,
  save: (name) => `保存 ${name}`,
  gone: "此文件已不存在。",
  unavailable: "暂时无法获取，请稍后再试。",
};

/** What is said in a language. */
export const textsOf = (locale: string): Texts => (/^zh\b/i.test(locale) ? zh : en);

/** A size as people say it. */
export function sizeOf(bytes: number, locale: string): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return new Intl.NumberFormat(locale, { style: "unit", unit: units[power] ?? "byte", unitDisplay: power ? "short" : "long", maximumFractionDigits: power > 1 && value < 10 ? 1 : 0 }).format(value);
}
