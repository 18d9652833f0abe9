// A stranger's web page that embeds the widget, on an origin of its own and
// under a strict Content-Security-Policy.

import { once } from "node:events";
import { createServer, type Server as HTTPServer } from "node:http";
import { agent } from "./server";

export class Shop {
  private server: HTTPServer | undefined;
  origin = "";
  /** Where widget.js comes from; set before a page is opened. */
  parley = "";
  locale = "en";

  async open(): Promise<void> {
    this.server = createServer((_, answer) => {
      answer.setHeader("content-type", "text/html; charset=utf-8");
      answer.setHeader("content-security-policy", `default-src 'none'; script-src ${this.parley}; connect-src ${this.parley} ${this.parley.replace("http", "ws")}; style-src 'self'; img-src 'self'`);
      answer.end(`<!doctype html><html lang="en"><title>Shop</title><h1>Shop</h1><script async src="${this.parley}/widget.js" data-site="${agent.siteKey}" data-locale="${this.locale}" data-name="Ann" data-open></script></html>`);
    }).listen(0, "127.0.0.1");
    await once(this.server, "listening");
    const address = this.server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    this.origin = `http://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}
