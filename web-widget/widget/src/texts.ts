import type { Code } from "@parley-chat/client";

const en = {
  open: "Open chat",
  close: "Close chat",
  title: "Chat with us",
  subtitle: "Write to us, we answer here",
  waiting: "We will be with you soon",
  agent: "Your contact",
  emptyTitle: "Hello! How can we help?",
  emptyText: "Ask anything. Your messages are kept, even if the connection drops.",
  placeholder: "Write a message…",
  send: "Send",
  log: "Messages",
  you: "You",
  older: "Show earlier messages",
  loading: "Loading…",
  newMessages: "New messages",
  historyStarts: "Earlier messages are no longer available",
  today: "Today",
  yesterday: "Yesterday",
  sending: "Sending…",
  kept: "Not sent yet",
  sent: "Sent",
  read: "Read",
  retry: "Try again",
  discard: "Delete",
  connecting: "Connecting…",
  offline: "Offline – your messages are kept and will be sent",
  notHere: (origin: string) => `This page’s address is not allowed for this site. Its owner can add ${origin} to the site’s origins.`,
  replaced: "This chat is open in another window",
  takeOver: "Continue here",
  unavailable: "Chat is not available on this page",
  joined: (name: string) => `${name} has joined`,
  closed: "This conversation was closed. Write again to reopen it.",
  unread: (n: number) => (n === 1 ? "1 unread message" : `${n} unread messages`),
  tooLong: "This message is too long. Please send it in parts.",
  refused: {
    invalid: "could not be read by the server",
    too_large: "is too long",
    forbidden: "is not allowed here",
    not_found: "belongs to a conversation that is gone",
    conflict: "was already sent with other words",
    closed: "came after the conversation was closed",
  },
  failed: (why: string) => `Not sent: the message ${why}`,
};

export type Texts = Omit<typeof en, "refused"> & { readonly refused: Partial<Record<Code, string>> };

const zh: Texts = {
  open: "打开聊天",
  close: "关闭聊天",
  title: "在线咨询",
  subtitle: "给我们留言，在这里回复您",
  waiting: "客服马上就来",
  agent: "您的客服",
  emptyTitle: "您好！有什么可以帮您？",
  emptyText: "想问什么都可以。即使网络中断，您的消息也会保留。",
  placeholder: "输入消息…",
  send: "发送",
  log: "消息",
  you: "您",
  older: "查看更早的消息",
  loading: "加载中…",
  newMessages: "新消息",
  historyStarts: "更早的消息已不再保留",
  today: "今天",
  yesterday: "昨天",
  sending: "发送中…",
  kept: "尚未发送",
  sent: "已发送",
  read: "已读",
  retry: "重试",
  discard: "删除",
  connecting: "正在连接…",
  offline: "网络已断开，您的消息已保留，恢复后会自动发送",
  notHere: (origin) => `此网页的地址未获允许，请站点管理员将 ${origin} 加入站点的来源（origins）。`,
  replaced: "此聊天已在另一个窗口打开",
  takeOver: "在此继续",
  unavailable: "此页面暂不提供在线咨询",
  joined: (name) => `${name} 已加入对话`,
  closed: "对话已结束，再次发送消息即可重新开始。",
  unread: (n) => `${n} 条未读消息`,
  tooLong: "消息太长，请分几次发送。",
  refused: {
    invalid: "服务器无法识别此消息",
    too_large: "消息太长",
    forbidden: "此处不允许发送",
    not_found: "对话已不存在",
    conflict: "此消息已用其他内容发送过",
    closed: "对话已结束",
  },
  failed: (why) => `未发送：${why}`,
};

const known: Readonly<Record<string, Texts>> = { en, zh };

/** The language to use: the first of those wished for that exists, else English. */
export function chooseLocale(wished: readonly string[]): { locale: string; texts: Texts } {
  for (const locale of wished) {
    const texts = known[locale.toLowerCase().split("-")[0] ?? ""];
    if (texts) return { locale, texts };
  }
  return { locale: "en", texts: en };
}
