// src/backoff.ts
var e = class {
	#e = 0;
	#t;
	constructor(e = Math.random) {
		this.#t = e;
	}
	next() {
		let e = Math.min(2e4, 2e3 * 2 ** this.#e++);
		return 500 + this.#t() * (e - 500);
	}
	reset() {
		this.#e = 0;
	}
}, t = class extends Error {};
function n(e) {
	try {
		return JSON.parse(e);
	} catch {
		return;
	}
}
function r(e) {
	return typeof e == "object" && !!e && !Array.isArray(e);
}
function i(e) {
	if (!r(e)) throw new t("not a JSON object");
	return e;
}
var a = {
	text(e, n, r) {
		let i = e[n] ?? r;
		if (typeof i != "string") throw new t(n);
		return i;
	},
	integer(e, n, r) {
		let i = e[n] ?? r;
		if (!Number.isSafeInteger(i) || typeof i != "number") throw new t(n);
		return i;
	},
	object(e, t) {
		return i(e[t]);
	},
	list(e, n, r) {
		let i = e[n] ?? [];
		if (!Array.isArray(i)) throw new t(n);
		return i.map(r);
	},
	oneOf(e, n, r) {
		let i = r.find((t) => t === e[n]);
		if (i === void 0) throw new t(n);
		return i;
	}
}, o = [
	"invalid",
	"too_large",
	"unauthenticated",
	"forbidden",
	"not_found",
	"conflict",
	"closed",
	"rate_limited",
	"unavailable",
	"internal"
], s = [
	"rate_limited",
	"unavailable",
	"internal"
], c = class extends Error {
	code;
	retry;
	constructor(e, t, n = s.includes(e)) {
		super(t), this.name = "ParleyError", this.code = e, this.retry = n;
	}
};
function l(e) {
	return o.find((t) => t === e) ?? "internal";
}
var u = {
	401: "unauthenticated",
	403: "forbidden",
	404: "not_found",
	409: "conflict",
	413: "too_large",
	429: "rate_limited"
};
function d(e, t) {
	let i = n(t);
	return r(i) && typeof i.code == "string" ? new c(l(i.code), a.text(i, "detail", a.text(i, "title", "")), typeof i.retry == "boolean" ? i.retry : void 0) : new c(u[e] ?? (e < 500 ? "invalid" : "unavailable"), `HTTP ${e}`);
}
function f(e) {
	return e instanceof c ? e : new c("internal", String(e));
}
// src/entry.ts
function p(e) {
	let n = i(e), r = {
		seq: a.integer(n, "seq"),
		epoch: a.text(n, "epoch"),
		id: a.text(n, "id"),
		sender: a.text(n, "sender"),
		device: a.text(n, "device", ""),
		role: a.text(n, "role"),
		type: a.text(n, "type"),
		body: a.object(n, "body"),
		at: a.integer(n, "at"),
		count: a.integer(n, "count")
	};
	if (r.seq < 1) throw new t("seq");
	return r;
}
function ee(e) {
	let t = e.body.text;
	return e.type === "text" && typeof t == "string" ? t : void 0;
}
function te(e) {
	let t = i(e);
	return {
		epoch: a.text(t, "epoch"),
		head: a.integer(t, "head"),
		first: a.integer(t, "first"),
		entries: a.list(t, "entries", p)
	};
}
function ne(e) {
	return {
		id: a.text(e.body, "id", ""),
		topic: a.text(e.body, "topic", ""),
		code: l(e.body.code),
		retry: e.body.retry === !0,
		message: a.text(e.body, "message", "")
	};
}
// src/platform.ts
var re = () => WebSocket, ie = (e, t) => fetch(e, t);
function m(e, t) {
	let n = setTimeout(t, e);
	return () => clearTimeout(n);
}
function ae(e) {
	let t = new AbortController();
	return {
		signal: t.signal,
		stop: m(e, () => t.abort())
	};
}
var oe = (e) => crypto.getRandomValues(new Uint8Array(e)), h = (e) => new TextEncoder().encode(e), g = (e) => new TextDecoder("utf-8", {
	fatal: !0,
	ignoreBOM: !0
}).decode(e), se = class {
	#e = {};
	on(e, t) {
		let n = this.#e[e] ??= /* @__PURE__ */ new Set();
		return n.add(t), () => n.delete(t);
	}
	emit(e, t) {
		for (let n of [...this.#e[e] ?? []]) try {
			n(t);
		} catch (e) {
			m(0, () => {
				throw e;
			});
		}
	}
}, _ = {
	epoch: "",
	first: 1,
	have: 0,
	head: 0,
	entries: [],
	waiting: []
}, v = 512, y = (e) => e.head > e.have, ce = (e) => (e.entries[0]?.seq ?? e.have + 1) > e.first && e.first > 0;
function le(e, t) {
	return e.epoch === "" ? x(e, t) : t.epoch === e.epoch ? b({
		...e,
		head: Math.max(e.head, t.seq)
	}, [t]) : {
		...x(_, t),
		head: t.seq
	};
}
function ue(e, t, n) {
	return e.epoch !== "" && t !== e.epoch ? {
		..._,
		head: n
	} : n > e.head ? {
		...e,
		head: n
	} : e;
}
function de(e, t) {
	let n = t.entries.at(-1)?.seq ?? t.head, r = e.waiting.filter((e) => e.epoch === t.epoch), i = Math.max(t.head, r.at(-1)?.seq ?? 0);
	return b({
		epoch: t.epoch,
		first: t.first,
		have: n,
		head: i,
		entries: t.entries,
		waiting: []
	}, r);
}
function fe(e, t, n = 0) {
	if (t.epoch !== e.epoch || t.head < n) return {
		..._,
		head: t.head
	};
	let r = {
		...e,
		first: t.first,
		head: Math.max(e.head, t.head)
	};
	return t.first > e.have + 1 ? b({
		...r,
		have: t.first - 1,
		entries: []
	}, t.entries) : b(r, t.entries);
}
function pe(e, t) {
	let n = e.entries[0]?.seq ?? e.have + 1;
	return t.epoch !== e.epoch || t.entries.at(-1)?.seq !== n - 1 ? {
		...e,
		first: Math.max(e.first, t.first)
	} : {
		...e,
		first: t.first,
		entries: [...t.entries, ...e.entries]
	};
}
function b(e, t) {
	let n = [...e.entries], r = e.have, i = [];
	for (let a of S(e.waiting, t)) a.seq === r + 1 ? (n.push(a), r++) : a.seq > r && i.push(a);
	return {
		...e,
		entries: n,
		have: r,
		waiting: i.slice(0, v)
	};
}
function x(e, t) {
	return {
		...e,
		head: Math.max(e.head, t.seq),
		waiting: S(e.waiting, [t]).slice(0, v)
	};
}
function S(e, t) {
	return [...new Map([...e, ...t].map((e) => [e.seq, e])).values()].sort((e, t) => e.seq - t.seq);
}
// src/conversation.ts
var me = 50, he = 200, ge = 500, _e = class {
	id;
	#e;
	#t;
	#n = new se();
	#r = new e();
	#i = _;
	#a;
	#o;
	#s;
	#c = !1;
	#l = !1;
	#u = !1;
	#d;
	constructor(e, t, n) {
		this.id = e, this.#t = n, this.#e = t;
	}
	items() {
		return this.#o ??= [...this.#i.entries.map((e) => ({
			kind: "entry",
			entry: e
		})), ...this.#e.outbox.rows(this.id).map((e) => ({
			kind: "own",
			message: e
		}))], this.#o;
	}
	get state() {
		return this.#a;
	}
	get loaded() {
		return this.#i.epoch !== "" || this.#m || this.#s?.code === "not_found";
	}
	get hasOlder() {
		return ce(this.#i);
	}
	get first() {
		return this.#i.first;
	}
	get error() {
		return this.#s;
	}
	subscribe(e) {
		return this.#n.on("change", e);
	}
	send(e) {
		let t = this.#e.outbox.add(this.id, e);
		return this.#e.kick(), t;
	}
	retry(e) {
		this.#e.outbox.retry(e), this.#e.kick();
	}
	discard(e) {
		this.#e.outbox.discard(e);
	}
	async loadOlder() {
		let e = this.#i.entries[0]?.seq;
		if (!(this.#l || !this.hasOlder || e === void 0)) {
			this.#l = !0;
			try {
				let t = await this.#v(`before=${e}&limit=${me}`);
				this.#f(pe(this.#i, t));
			} finally {
				this.#l = !1;
			}
		}
	}
	receive(e) {
		this.#f(le(this.#i, e));
	}
	learn(e) {
		this.#a = e, this.#f(ue(this.#i, e.epoch, e.head)), this.#s?.retry === !1 && this.resync();
	}
	refreshed() {
		this.#p(), this.#o = void 0, this.#n.emit("change", void 0);
	}
	resync() {
		this.#r.reset(), this.#h(0);
	}
	release() {
		this.#d?.(), this.#u = !0;
	}
	#f(e) {
		let t = this.#i;
		this.#i = e;
		let n = e.epoch === t.epoch, r = e.entries.slice(n ? Math.min(0, t.have - e.have) || e.entries.length : 0);
		if (this.#p(r), n) for (let e of r) this.#e.entered(this.id, e);
		y(e) && !this.#d && !this.#c && this.#h(this.#e.delivered(this.id) && e.epoch !== "" ? ge : 0), this.refreshed();
	}
	#p(e = []) {
		let t = this.#e.outbox.rows(this.id);
		if (t.length === 0) return;
		let n = new Set(e.filter((e) => e.sender === this.#e.me()).map((e) => e.id));
		for (let { draft: e, state: r, seq: i } of t) (r === "acked" && i > 0 && i <= this.#i.have || n.has(e.id)) && this.#e.outbox.settle(e.id);
	}
	get #m() {
		return this.#t && this.#i.head === 0;
	}
	#h(e) {
		this.#d?.(), this.#d = m(e, () => {
			this.#d = void 0, this.#g();
		});
	}
	async #g() {
		if (!(this.#c || this.#m || !this.#e.online())) {
			this.#c = !0;
			try {
				do
					await this.#_();
				while (y(this.#i));
				this.#s = void 0, this.#r.reset();
			} catch (e) {
				this.#s = f(e);
			}
			this.#c = !1, this.refreshed(), this.#u || (this.#s ? this.#s.retry : y(this.#i)) && this.#h(this.#r.next());
		}
	}
	async #_() {
		let { epoch: e, have: t, head: n } = this.#i;
		if (e === "") {
			let e = await this.#v(`limit=${me}`);
			this.#i.epoch === "" && this.#f(de(this.#i, e));
			return;
		}
		let r = await this.#v(`after=${t}&limit=${he}`);
		if (this.#i.epoch !== e) return;
		let i = fe(this.#i, r, n), a = i.have === t && y(i);
		if (this.#f(i), a) throw f("the server announces more than it gives");
	}
	#v(e) {
		return this.#e.get(`/v1/conversations/${this.id}/messages?${e}`, te);
	}
}, ve = "abcdefghijklmnopqrstuvwxyz234567";
function C(e) {
	let t = e, n = 0, r = 0;
	for (let e of oe(16)) {
		for (r = r << 8 | e, n += 8; n >= 5;) n -= 5, t += ve.charAt(r >> n & 31);
		r &= 31;
	}
	return t + ve.charAt(r << 5 - n & 31);
}
var w = (e) => /^[\w-]{1,64}$/.test(e), ye = (e) => /^[\w-]{8,64}$/.test(e), T = class extends Error {}, E = class {
	#e;
	#t = 0;
	constructor(e) {
		this.#e = e;
	}
	get left() {
		return this.#e.length - this.#t;
	}
	take(e) {
		if (e > this.left) throw new T("cut short");
		return this.#e.subarray(this.#t, this.#t += e);
	}
	byte() {
		return this.number(1);
	}
	number(e) {
		return this.take(e).reduce((e, t) => e * 256 + t, 0);
	}
	varint() {
		let e = 0;
		for (let t = 1; t <= 128 ** 3; t *= 128) {
			let n = this.byte();
			if (e += (n & 127) * t, n < 128) return e;
		}
		throw new T("malformed length");
	}
	binary() {
		return this.take(this.number(2));
	}
	text() {
		let e = this.binary();
		if (e.includes(0)) throw new T("NUL in a string");
		try {
			return g(e);
		} catch {
			throw new T("not UTF-8");
		}
	}
	rest() {
		return this.take(this.left);
	}
}, be = class e {
	#e = [];
	length = 0;
	add(e) {
		return this.#e.push(Uint8Array.from(e)), this.length += e.length, this;
	}
	number(e, t) {
		return this.add(Array.from({ length: t }, (n, r) => Math.floor(e / 256 ** (t - 1 - r)) & 255));
	}
	varint(e) {
		let t = [];
		do {
			let n = e % 128;
			e = Math.floor(e / 128), t.push(e > 0 ? n | 128 : n);
		} while (e > 0);
		return this.add(t);
	}
	binary(e) {
		if (e.length > 65535) throw new T("string is too long");
		return this.number(e.length, 2).add(e);
	}
	text(e) {
		return this.binary(h(e));
	}
	counted(t) {
		let n = new e();
		return t(n), this.varint(n.length).add(n.bytes());
	}
	bytes() {
		let e = new Uint8Array(this.length), t = 0;
		for (let n of this.#e) e.set(n, t), t += n.length;
		return e;
	}
}, D = {
	sessionExpiry: 17,
	serverKeepAlive: 19,
	reason: 31,
	receiveMaximum: 33,
	maximumPacketSize: 39
}, xe = [
	[1, [
		1,
		23,
		25,
		36,
		37,
		40,
		41,
		42
	]],
	[2, [
		19,
		33,
		34,
		35
	]],
	[4, [
		2,
		17,
		24,
		39
	]],
	["varint", [11]],
	["text", [
		3,
		8,
		18,
		21,
		26,
		28,
		31
	]],
	["binary", [9, 22]]
];
function Se(e) {
	let t = xe.find(([, t]) => t.includes(e));
	if (!t) throw new T("unknown property");
	return t[0];
}
function Ce(e, t) {
	let n = /* @__PURE__ */ new Map(), r = [], i = t(e.take(e.varint()));
	for (; i.left > 0;) {
		let e = i.varint();
		if (e === 38) r.push([i.text(), i.text()]);
		else {
			if (n.has(e)) throw new T("property twice");
			n.set(e, we(i, Se(e)));
		}
	}
	return {
		values: n,
		user: r
	};
}
function we(e, t) {
	switch (t) {
		case "varint": return e.varint();
		case "text": return e.text();
		case "binary": return e.binary();
	}
	return e.number(t);
}
function Te(e, t, n) {
	let r = e.values?.get(t);
	return typeof r == "number" ? r : n;
}
function O(e, t) {
	return e.user?.find(([e]) => e === t)?.[1];
}
// src/mqtt/codec.ts
var k = {
	connect: 1,
	connack: 2,
	publish: 3,
	puback: 4,
	subscribe: 8,
	suback: 9,
	unsubscribe: 10,
	unsuback: 11,
	pingreq: 12,
	pingresp: 13,
	disconnect: 14
}, Ee = 64, A = [0];
function j(e, t, n) {
	return new be().number(e << 4 | t, 1).counted(n).bytes();
}
var M = {
	connect: (e) => j(k.connect, 0, (t) => {
		t.text("MQTT").add([5, Ee]).number(e.keepAlive, 2).counted((t) => {
			t.add([D.sessionExpiry]).number(e.sessionExpiry, 4), t.add([D.receiveMaximum]).number(e.receiveMaximum, 2), t.add([D.maximumPacketSize]).number(e.maximumPacketSize, 4);
		}), t.text(e.clientId).text(e.password);
	}),
	publish: (e, t, n) => j(k.publish, 2, (r) => r.text(e).number(n, 2).add(A).add(t)),
	puback: (e) => j(k.puback, 0, (t) => t.number(e, 2)),
	subscribe: (e, t) => j(k.subscribe, 2, (n) => {
		n.number(e, 2).add(A);
		for (let e of t) n.text(e).add([1]);
	}),
	unsubscribe: (e, t) => j(k.unsubscribe, 2, (n) => {
		n.number(e, 2).add(A);
		for (let e of t) n.text(e);
	}),
	pingreq: () => j(k.pingreq, 0, () => {}),
	disconnect: (e) => j(k.disconnect, 0, (t) => t.number(e, 1))
};
function De(e, t) {
	let n = new E(t), r = Oe[e >> 4];
	if (!r) throw new T("unknown packet");
	let i = r(n, e & 15);
	if (n.left > 0) throw new T("bytes left");
	return i;
}
var Oe = {
	[k.connack]: (e, t) => {
		let n = e.byte();
		if (t !== 0 || n > 1) throw new T("reserved flags are set");
		return {
			type: "connack",
			sessionPresent: n === 1,
			code: e.byte(),
			properties: P(e)
		};
	},
	[k.publish]: ke,
	[k.puback]: (e, t) => (L(t), {
		type: "puback",
		packetId: R(e),
		code: I(e),
		properties: F(e)
	}),
	[k.suback]: N("suback"),
	[k.unsuback]: N("unsuback"),
	[k.pingresp]: (e, t) => (L(t), { type: "pingresp" }),
	[k.disconnect]: (e, t) => {
		L(t);
		let n = I(e);
		return F(e), {
			type: "disconnect",
			code: n
		};
	}
};
function ke(e, t) {
	let n = t >> 1 & 3;
	if (n !== 0 && n !== 1) throw new T("QoS 2, not asked for");
	let r = e.text(), i = n ? R(e) : 0;
	return {
		type: "publish",
		topic: r,
		qos: n,
		retain: (t & 1) == 1,
		packetId: i,
		properties: P(e),
		payload: e.rest()
	};
}
function N(e) {
	return (t, n) => {
		L(n);
		let r = R(t);
		return P(t), {
			type: e,
			packetId: r,
			codes: [...t.rest()]
		};
	};
}
var P = (e) => Ce(e, (e) => new E(e)), F = (e) => e.left > 0 ? P(e) : {}, I = (e) => e.left > 0 ? e.byte() : 0;
function L(e) {
	if (e !== 0) throw new T("reserved flags are set");
}
function R(e) {
	let t = e.number(2);
	if (t === 0) throw new T("packet identifier 0");
	return t;
}
// src/mqtt/frames.ts
var Ae = 4, je = class {
	#e;
	#t = /* @__PURE__ */ new Uint8Array();
	#n = 0;
	constructor(e) {
		this.#e = e;
	}
	push(e, t) {
		this.#a(e);
		let n = 0;
		for (;;) {
			let e = this.#r(n);
			if (!e || this.#n - n < e.start + e.length) break;
			let r = n + e.start;
			n = r + e.length, t(e.first, this.#t.slice(r, n));
		}
		this.#t.copyWithin(0, n, this.#n), this.#n -= n;
	}
	#r(e) {
		let t = this.#i(e), n = 0;
		for (let r = 0; r < Ae; r++) {
			let i = this.#i(e + 1 + r);
			if (t === void 0 || i === void 0) return;
			if (n += (i & 127) * 128 ** r, n > this.#e) throw new T("packet is too long");
			if (i < 128) return {
				first: t,
				start: r + 2,
				length: n
			};
		}
		throw new T("malformed length");
	}
	#i(e) {
		return e < this.#n ? this.#t[e] : void 0;
	}
	#a(e) {
		let t = this.#n + e.length;
		if (t > this.#t.length) {
			let e = new Uint8Array(Math.max(t, 2 * this.#t.length));
			e.set(this.#t.subarray(0, this.#n)), this.#t = e;
		}
		this.#t.set(e, this.#n), this.#n = t;
	}
}, z = 262144, Me = 4500, Ne = 3e3, B = 2e4, Pe = 1e3, Fe = 131072, Ie = 50, Le = 50, Re = 60, ze = class {
	opened;
	closed;
	#e;
	#t;
	#n = new je(z);
	#r = /* @__PURE__ */ new Map();
	#i = /* @__PURE__ */ new Map();
	#a = 0;
	#o = 0;
	#s = 0;
	#c = 0;
	#l = !1;
	#u = !1;
	#d;
	#f;
	#p;
	#m;
	#h;
	#g = 0;
	#_;
	constructor(e) {
		this.#e = e, this.opened = new Promise((e) => this.#d = e), this.closed = new Promise((e) => this.#f = e);
		let t = new e.socket(e.url, ["mqtt"]);
		this.#p = m(e.patience, () => this.close("silence")), t.binaryType = "arraybuffer", t.onopen = () => this.#v(), t.onmessage = (e) => this.#y(e.data), t.onclose = (e) => this.#M("network", e.code), t.onerror = () => m(Le, () => this.close("network")), this.#t = t;
	}
	get room() {
		return this.#u || this.#m ? 0 : (this.#t.bufferedAmount ?? 0) > Fe ? (this.#m = m(Ie, () => {
			this.#m = void 0, this.#e.onRoom();
		}), 0) : this.#a - this.#r.size;
	}
	publish(e, t) {
		if (this.#u) return Promise.resolve(void 0);
		let n = this.#D();
		return new Promise((r) => {
			this.#r.set(n, r), this.#A(), this.#j(M.publish(e, t, n));
		});
	}
	subscribe(e) {
		return this.#E(e, M.subscribe);
	}
	unsubscribe(e) {
		return this.#E(e, M.unsubscribe);
	}
	check() {
		if (this.#l) return;
		let e = this.#s, t = Date.now();
		this.#l = !0, this.#j(M.pingreq()), this.#k(Ne, () => {
			this.#l = !1, this.#s === e ? Date.now() - t > 4e3 ? this.check() : this.close("silence") : this.#O();
		});
	}
	close(e = "local") {
		this.#u || (e === "local" && this.#j(M.disconnect(0)), this.#t.close(), this.#M(e, 1006));
	}
	#v() {
		this.#j(M.connect({
			clientId: this.#e.clientId,
			password: this.#e.password,
			keepAlive: Re,
			sessionExpiry: 86400,
			receiveMaximum: 128,
			maximumPacketSize: z
		}));
	}
	#y(e) {
		if (!this.#u) {
			this.#s++, this.#c = Date.now();
			try {
				if (!(e instanceof ArrayBuffer)) throw new T("not a binary frame");
				this.#n.push(new Uint8Array(e), (e, t) => {
					this.#u || this.#b(De(e, t));
				});
			} catch (e) {
				if (this.close("malformed"), !(e instanceof T)) throw e;
			}
		}
	}
	#b(e) {
		switch (e.type) {
			case "connack": return this.#x(e);
			case "publish": return this.#C(e);
			case "puback": return this.#w(e);
			case "suback":
			case "unsuback": return this.#T(e.packetId, e.codes);
			case "disconnect": return this.#S(e.code, "server");
		}
	}
	#x(e) {
		if (this.#a > 0) throw new T("second CONNACK");
		if (e.code >= 128) return this.#S(e.code, "refused");
		this.#a = Te(e.properties, D.receiveMaximum, 64), this.#O(), this.#d(e);
	}
	#S(e, t) {
		this.#g = e, this.#_ = t, this.#a = 0, this.#k(Pe, () => this.close(t));
	}
	#C(e) {
		this.#e.onPublish(e), e.qos > 0 && this.#j(M.puback(e.packetId));
	}
	#w(e) {
		let t = this.#r.get(e.packetId);
		t && (this.#r.delete(e.packetId), this.#h?.(), this.#h = void 0, this.#r.size > 0 && this.#A(), t(e), this.#e.onRoom());
	}
	#T(e, t) {
		this.#i.get(e)?.(t), this.#i.delete(e);
	}
	#E(e, t) {
		let n = this.#D();
		return new Promise((r) => {
			let i = m(B, () => this.close("timeout"));
			this.#i.set(n, (e) => {
				i(), r(e);
			}), this.#j(t(n, e));
		});
	}
	#D() {
		do
			this.#o = this.#o % 65535 + 1;
		while (this.#r.has(this.#o) || this.#i.has(this.#o));
		return this.#o;
	}
	#O() {
		let e = this.#c + Me - Date.now();
		e <= 0 ? this.check() : this.#k(e, () => this.#O());
	}
	#k(e, t) {
		this.#p(), this.#u || (this.#p = m(e, t));
	}
	#A() {
		this.#h ??= m(B, () => this.close("timeout"));
	}
	#j(e) {
		this.#u || this.#t.send(e);
	}
	#M(e, t) {
		if (!this.#u) {
			this.#u = !0, this.#p(), this.#m?.(), this.#h?.();
			for (let e of this.#r.values()) e(void 0);
			this.#f({
				socketCode: t,
				reasonCode: this.#g,
				cause: this.#_ ?? e
			});
		}
	}
}, V = 1e3, Be = 8e3, Ve = 5e3, He = 5e3, Ue = [142, 4408], We = [
	134,
	135,
	4401
], H = (e, { reasonCode: t, socketCode: n }) => e.includes(t) || e.includes(n), Ge = class {
	#e;
	#t = new e();
	#n = "offline";
	#r;
	#i = 0;
	#a = 0;
	#o = !1;
	#s = 0;
	#c = "";
	#l;
	constructor(e) {
		this.#e = e;
	}
	get state() {
		return this.#n;
	}
	get open() {
		return this.#n === "online" ? this.#r : void 0;
	}
	start() {
		this.#u(++this.#i);
	}
	stop() {
		this.#i++, this.#e.keeper.stop(), this.#r?.close(), this.#l?.(), this.#b("offline");
	}
	networkChanged() {
		this.#t.reset(), this.#o = !0, this.open ? this.open.check() : this.#r && Date.now() - this.#a > V && this.#r.close("network"), this.#l?.();
	}
	async #u(e) {
		for (this.#b("connecting");;) {
			let t = await this.#d(e);
			if (this.#i !== e) return;
			if (t === "replaced" || t === "signed-out") return this.#b(t);
			if (t === "wait" && await this.#y(this.#t.next()), this.#i !== e) return;
		}
	}
	async #d(e) {
		this.#a = Date.now();
		let { keeper: t } = this.#e, n;
		try {
			n = await (this.#c ? t.refused(this.#c) : t.fresh());
		} catch (e) {
			return this.#f(e);
		}
		if (this.#i !== e) return "wait";
		let r = this.#p(n);
		if (!r) return "wait";
		let i = await r.closed;
		if (this.#r !== r) return "wait";
		this.#r = void 0;
		let a = this.#n === "online";
		return this.#i === e && this.#b(a ? "connecting" : "offline"), this.#e.onLost(), a && this.#g(i), this.#_(i, n);
	}
	#f(e) {
		if (!(e instanceof c)) throw e;
		this.#e.onError(e);
		let t = e.code === "forbidden";
		return !e.retry && !t ? "signed-out" : (this.#b(t && (!e.retry || this.#n !== "connecting") ? "refused" : "offline"), e.code === "unavailable" ? this.#v() : "wait");
	}
	#p(e) {
		let t = this.#e;
		try {
			this.#r = new ze({
				url: t.urlOf(e),
				clientId: `${e.user}.${e.device}`,
				password: e.token,
				socket: t.socket,
				patience: this.#o && ++this.#s % 8 ? Ve : Be,
				onPublish: (e) => t.onPublish(e),
				onRoom: () => t.onRoom()
			});
		} catch (e) {
			t.onError(new c("forbidden", `no WebSocket to this address: ${String(e)}`)), this.#b("offline");
			return;
		}
		return this.#m(this.#r, e), this.#r;
	}
	async #m(e, t) {
		await e.opened, await this.#e.onOpen(e, t), this.#r === e && (this.#b("online"), this.#e.onRoom(), this.#h(t, e));
	}
	#h(e, t) {
		let { keeper: n } = this.#e;
		n.whenDue(e, () => {
			n.fresh().then(() => t.close(), () => {});
		});
	}
	#g({ cause: e }) {
		this.#o = e === "silence", this.#s = 0, Date.now() - this.#a > He && this.#t.reset();
	}
	#_(e, t) {
		let { cause: n } = e;
		if (H(Ue, e)) return "replaced";
		let r = H(We, e), i = this.#c;
		return this.#c = r ? t.token : "", r && !i || n === "local" ? "again" : n === "silence" || n === "network" ? this.#v() : "wait";
	}
	#v() {
		return this.#o && Date.now() - this.#a > V ? "again" : "wait";
	}
	async #y(e) {
		let t = await new Promise((t) => {
			let n = m(e, () => t(!1));
			this.#l = () => {
				n(), t(!0);
			};
		});
		this.#l = void 0;
		let n = this.#a + V - Date.now();
		t && n > 0 && await new Promise((e) => m(n, e));
	}
	#b(e) {
		e !== this.#n && (this.#n = e, this.#e.onState(e));
	}
};
// src/state.ts
function U(e) {
	let t = i(e);
	return {
		conversation: a.text(t, "conversation"),
		epoch: a.text(t, "epoch"),
		head: a.integer(t, "head"),
		first: a.integer(t, "first"),
		count: a.integer(t, "count"),
		status: a.oneOf(t, "status", [
			"queued",
			"open",
			"closed"
		]),
		visitor: W(t.visitor),
		assignee: t.assignee == null ? null : W(t.assignee),
		openedAt: a.integer(t, "openedAt"),
		updatedAt: a.integer(t, "updatedAt"),
		lastText: a.text(t, "lastText", "")
	};
}
function W(e) {
	let t = i(e);
	return {
		id: a.text(t, "id"),
		name: a.text(t, "name", "")
	};
}
function Ke(e) {
	let t = i(e);
	return {
		conversations: a.list(t, "conversations", U),
		nextCursor: a.text(t, "nextCursor", "")
	};
}
// src/list.ts
var qe = 100, Je = 10, Ye = class {
	states = /* @__PURE__ */ new Map();
	learn(e) {
		let t = this.states.get(e.conversation);
		return t && t.epoch === e.epoch && t.head > e.head ? !1 : (this.states.set(e.conversation, e), !0);
	}
	forget(e) {
		this.states.delete(e);
	}
	async refresh(e, t) {
		let n = new Map(this.states), r = [], i = !0;
		for (let n of t ? ["queued", "open"] : [void 0]) {
			let t = "";
			for (let i = 0; i < Je; i++) {
				let i = await this.page(e, {
					cursor: t,
					...n && { status: n }
				});
				if (r.push(...i.conversations), t = i.nextCursor, !t) break;
			}
			i &&= !t;
		}
		let a = new Map(r.map((e) => [e.conversation, e.head]));
		for (let [e, t] of n) {
			if (this.states.get(e) !== t) continue;
			let n = i && t.status !== "closed" && !a.has(e), r = (a.get(e) ?? t.head) < t.head;
			(n || r) && this.states.delete(e);
		}
		return r;
	}
	page(e, { status: t, cursor: n }) {
		let r = [`limit=${qe}`];
		return t && r.push(`status=${t}`), n && r.push(`cursor=${encodeURIComponent(n)}`), e(`/v1/conversations?${r.join("&")}`, Ke);
	}
}, Xe = 65536;
function G(e, t) {
	let n = t.replace(/[\ud800-\udfff]/gu, "�");
	if (n === "") throw new c("invalid", "the text is empty");
	let r = {
		id: e,
		type: "text",
		text: n
	};
	if (h(K(r)).length > 65536) throw new c("too_large", "the text is too long");
	return r;
}
function K(e) {
	return JSON.stringify({ text: e.text }).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
var q = (e) => `{"id":"${e.id}","type":"text","body":${K(e)}}`, Ze = class {
	#e;
	#t;
	#n;
	#r = /* @__PURE__ */ new Map();
	constructor(e, t, n) {
		this.#e = e, this.#t = t + ".out.", this.#n = n;
	}
	load() {
		for (let e of this.rows()) e.state === "failed" && !this.#e.get(this.#t + e.draft.id) && this.settle(e.draft.id);
		for (let e of this.#e.keys()) {
			let t = e.slice(this.#t.length);
			if (!e.startsWith(this.#t) || this.#r.has(t)) continue;
			let n = $e(t, this.#e.get(e));
			n && this.#a(n);
		}
	}
	add(e, t) {
		let n = this.rows(), r = Math.max(Date.now(), (n.at(-1)?.order ?? 0) + 1), i = {
			conversation: e,
			draft: G(C("msg_"), t),
			state: "queued",
			seq: 0,
			order: r
		};
		return this.#i(i), i;
	}
	rows(e) {
		return [...this.#r.values()].filter((t) => e === void 0 || t.conversation === e).sort((e, t) => e.order - t.order || (e.draft.id < t.draft.id ? -1 : 1));
	}
	take(e) {
		if (e <= 0) return [];
		let t = this.rows().filter((e) => e.state === "queued").slice(0, e);
		for (let e of t) this.#a({
			...e,
			state: "sent"
		});
		return t;
	}
	requeue() {
		for (let e of this.#r.values()) e.state === "sent" && this.#a({
			...e,
			state: "queued"
		});
	}
	acked(e, t) {
		let n = this.#r.get(e);
		this.#e.remove(this.#t + e), n && this.#a({
			...n,
			state: "acked",
			seq: t
		});
	}
	settle(e) {
		let t = this.#r.get(e);
		t && this.#o(t);
	}
	refused(e, t) {
		let n = this.#r.get(e);
		return !n || n.state === "acked" || n.state === "failed" ? !1 : (this.#i({
			...n,
			state: "failed",
			code: t
		}), !0);
	}
	retry(e) {
		let t = this.#r.get(e);
		t?.state === "failed" && (this.#o(t), this.add(t.conversation, t.draft.text));
	}
	discard(e) {
		let t = this.#r.get(e);
		t?.state === "failed" && this.#o(t);
	}
	#i(e) {
		this.#e.set(this.#t + e.draft.id, Qe(e)), this.#a(e);
	}
	#a(e) {
		this.#r.set(e.draft.id, e), this.#n(e.conversation);
	}
	#o(e) {
		this.#e.remove(this.#t + e.draft.id), this.#r.delete(e.draft.id), this.#n(e.conversation);
	}
}, Qe = ({ conversation: e, draft: t, order: n, code: r }) => JSON.stringify({
	conversation: e,
	draft: q(t),
	order: n,
	code: r
});
function $e(e, t = "") {
	if (ye(e)) try {
		let r = i(n(t)), { body: o } = i(n(a.text(r, "draft"))), s = G(e, a.text(i(o), "text")), c = {
			conversation: a.text(r, "conversation"),
			draft: s,
			seq: 0,
			order: a.integer(r, "order")
		}, u = r.code;
		return u === void 0 ? {
			...c,
			state: "queued"
		} : {
			...c,
			state: "failed",
			code: l(u)
		};
	} catch {
		return;
	}
}
var et = {
	131: "conflict",
	135: "forbidden",
	151: "too_large",
	153: "invalid"
}, tt = (e, t) => l(t ?? et[e]), J = (e) => !new c(e, "").retry && e !== "unauthenticated", nt = 15e3, rt = 8e3, it = "/widget.js", at = class {
	#e;
	#t;
	constructor(e, t) {
		this.#e = e, this.#t = t;
	}
	async call(e, t, r, i = {}) {
		let a = { Accept: "application/json" };
		i.token && (a.Authorization = `Bearer ${i.token}`), i.body && (a["Content-Type"] = "application/json");
		let { signal: o, stop: s } = ae(i.token ? nt : rt), l, u;
		try {
			let n = await this.#t(this.#e + t, {
				method: e,
				headers: a,
				signal: o,
				...i.body && { body: JSON.stringify(i.body) }
			});
			l = n.status, u = await n.text();
		} catch {
			throw await this.#n(o) ? new c("forbidden", "the server does not answer this origin", !0) : new c("unavailable", "the server cannot be reached");
		} finally {
			s();
		}
		if (l < 200 || l > 299) throw d(l, u);
		try {
			return r(n(u));
		} catch {
			throw new c("internal", "the server's answer cannot be read");
		}
	}
	async #n(e) {
		try {
			return (await this.#t(this.#e + it, {
				method: "HEAD",
				headers: {},
				cache: "no-store",
				signal: e
			})).status === 200;
		} catch {
			return !1;
		}
	}
}, ot = 256, st = [
	"send",
	"messages",
	"notes/send",
	"notes",
	"marks",
	"state",
	"signals"
], ct = ["events", "set"], lt = ["errors", "auth"], ut = ["presence", "visits"], Y = (e, t, n) => `p1/${t}/c/${n}/${e}`, dt = (e, t, n, r) => `p1/${t}/d/${n}.${r}/${e}`;
function ft(e) {
	let t = mt(e);
	return t && !pt(t) ? t : void 0;
}
var pt = (e) => e.conversation === "+" || e.user === "+";
function mt(e) {
	let [t, n = "", r, i = "", ...a] = e.split("/");
	if (e.length > ot || t !== "p1" || !w(n)) return;
	let o = a.join("/");
	switch (r) {
		case "c": return X(st, o, Z(i), (e) => ({
			kind: e,
			site: n,
			conversation: i
		}));
		case "u": return X(ct, o, Z(i), (e) => ({
			kind: e,
			site: n,
			user: i
		}));
		case "d": return ht(n, o, i);
	}
	if (!(a.length > 0)) return X(ut, r ?? "", Z(i), (e) => ({
		kind: e,
		site: n,
		user: i
	}));
}
function ht(e, t, n) {
	let [r = "", i = "", a] = n.split(".");
	return X(lt, t, a === void 0 && w(r) && w(i), (t) => ({
		kind: t,
		site: e,
		user: r,
		device: i
	}));
}
function X(e, t, n, r) {
	let i = e.find((e) => e === t);
	return n && i !== void 0 ? r(i) : void 0;
}
var Z = (e) => e === "+" || w(e), gt = 8, _t = class {
	#e;
	constructor(e) {
		this.#e = e;
	}
	pump() {
		let { outbox: e } = this.#e, t = this.#e.open(), n = this.#e.site();
		if (t && n !== void 0) for (;;) {
			let r = e.take(Math.min(t.room, gt));
			if (r.length === 0) return;
			for (let e of r) {
				let r = Y("send", n, e.conversation);
				t.publish(r, h(q(e.draft))).then((n) => n && this.#t(e, r, n, t));
			}
		}
	}
	refused(e) {
		!e.retry && J(e.code) && (!e.id || this.#e.outbox.refused(e.id, e.code)) && this.#e.refused(e);
	}
	#t({ conversation: e, draft: { id: t } }, n, r, i) {
		let { outbox: a } = this.#e;
		if (r.code < 128) {
			a.acked(t, Number(O(r.properties, "seq") ?? 0)), this.#e.shown(e) || a.settle(t);
			return;
		}
		let o = tt(r.code, O(r.properties, "code"));
		J(o) ? this.refused({
			id: t,
			topic: n,
			code: o,
			retry: !1,
			message: ""
		}) : i.close("refused");
	}
};
// src/session.ts
function Q(e) {
	let t = i(e), n = a.integer(t, "tokenExpiresAt") - a.integer(t, "serverTime");
	return {
		site: a.text(t, "site"),
		user: a.text(t, "user"),
		device: a.text(t, "device"),
		role: a.text(t, "role"),
		name: a.text(t, "name", ""),
		token: a.text(t, "token"),
		refreshToken: a.text(t, "refreshToken"),
		mqttPath: a.text(a.object(t, "mqtt"), "path"),
		expiresAt: Date.now() + n,
		lifetime: n
	};
}
function vt(e, t) {
	switch (t.as) {
		case "visitor": return yt(e, t);
		case "agent": {
			let { site: n, email: r, password: i, device: a } = t;
			return e.call("POST", "/v1/agent-sessions", Q, { body: {
				site: n,
				email: r,
				password: i,
				...a && { device: a }
			} });
		}
		case "remembered": return bt(e, t.refreshToken);
	}
}
async function yt(e, t) {
	let n = (n) => e.call("POST", "/v1/visitor-sessions", Q, { body: {
		siteKey: t.siteKey,
		...t.name && { name: t.name },
		...n
	} }), r = t.remembered?.();
	if (!r) return n({});
	let { refreshToken: i, device: a } = r;
	try {
		return await n({
			refreshToken: i,
			...a && { device: a }
		});
	} catch (e) {
		if (!(e instanceof c) || e.retry) throw e;
		return n({});
	}
}
var bt = (e, t) => e.call("POST", "/v1/tokens/refresh", Q, { body: { refreshToken: t } }), xt = class {
	#e;
	#t;
	#n;
	#r;
	#i;
	#a;
	constructor(e, t, n) {
		this.#e = e, this.#t = t, this.#n = n;
	}
	get current() {
		return this.#r;
	}
	fresh() {
		let e = this.#r;
		return e && e.expiresAt - Date.now() > St(e) ? Promise.resolve(e) : this.#o();
	}
	refused(e) {
		return this.#r && this.#r.token !== e ? this.fresh() : this.#o();
	}
	whenDue(e, t) {
		this.stop(), this.#a = m(Math.min(Math.max(e.expiresAt - Date.now() - St(e), 0), 2 ** 31 - 1), t);
	}
	stop() {
		this.#a?.();
	}
	#o() {
		return this.#i ??= this.#s().finally(() => this.#i = void 0), this.#i;
	}
	async #s() {
		let e = await (this.#r ? this.#c(this.#r) : vt(this.#e, this.#t));
		return this.#r = e, this.#n(e), e;
	}
	async #c({ refreshToken: e }) {
		try {
			return await bt(this.#e, e);
		} catch (e) {
			if (this.#t.as === "visitor" && e instanceof c && !e.retry) return vt(this.#e, this.#t);
			throw e;
		}
	}
}, St = (e) => Math.min(6e4, e.lifetime / 5);
// src/storage.ts
function $() {
	let e = /* @__PURE__ */ new Map();
	return {
		get: (t) => e.get(t),
		set: (t, n) => e.set(t, n) === void 0,
		remove: (t) => void e.delete(t),
		keys: () => [...e.keys()]
	};
}
function Ct(e) {
	let t = $(), n = (t) => {
		try {
			return t(e());
		} catch {
			return;
		}
	};
	return {
		get: (e) => t.get(e) ?? n((t) => t.getItem(e)) ?? void 0,
		set(e, r) {
			let i = n((t) => (t.setItem(e, r), !0)) ?? !1;
			return i ? t.remove(e) : t.set(e, r), i;
		},
		remove(e) {
			t.remove(e), n((t) => t.removeItem(e));
		},
		keys() {
			let e = new Set(t.keys());
			return n((t) => {
				for (let n = 0; n < t.length; n++) e.add(t.key(n) ?? "");
			}), [...e];
		}
	};
}
// src/client.ts
var wt = class {
	#e;
	#t;
	#n;
	#r;
	#i;
	#a = new se();
	#o = new Ye();
	#s = /* @__PURE__ */ new Map();
	#c = /* @__PURE__ */ new Set();
	#l;
	constructor(e) {
		let { server: t } = e;
		this.#e = new at(t, e.fetch ?? ie), this.#t = new xt(this.#e, e.signIn, (e) => this.#a.emit("session", e)), this.#r = new Ze(e.storage ?? $(), e.namespace, (e) => this.#s.get(e)?.refreshed()), this.#r.load(), this.#n = new Ge({
			keeper: this.#t,
			socket: e.webSocket ?? re(),
			urlOf: (e) => t.replace(/^http/, "ws") + e.mqttPath,
			onState: (e) => this.#a.emit("state", e),
			onOpen: (e, t) => this.#h(e, t),
			onPublish: (e) => this.#_(e),
			onRoom: () => this.#i.pump(),
			onLost: () => this.#r.requeue(),
			onError: (e) => this.#a.emit("error", e)
		}), this.#i = new _t({
			outbox: this.#r,
			open: () => this.#n.open,
			site: () => this.session?.site,
			shown: (e) => this.#s.has(e),
			refused: (e) => this.#a.emit("refused", e)
		}), this.#l = this.#u();
	}
	get state() {
		return this.#n.state;
	}
	get session() {
		return this.#t.current;
	}
	get conversations() {
		return this.#o.states;
	}
	on(e, t) {
		return this.#a.on(e, t);
	}
	start() {
		this.#n.start();
	}
	stop() {
		this.#n.stop();
	}
	networkChanged() {
		if (this.#r.load(), this.#n.networkChanged(), this.#i.pump(), this.#n.open) for (let e of this.#s.values()) e.resync();
	}
	takeOver() {
		this.state === "replaced" && this.#n.start();
	}
	conversation(e) {
		let t = this.#s.get(e);
		if (t) return t;
		let n = new _e(e, this.#l, this.#c.delete(e));
		this.#s.set(e, n);
		let r = this.#o.states.get(e);
		r && n.learn(r);
		let i = this.#n.open;
		return i && (this.#d() && i.subscribe([this.#f(e)]), n.resync()), n;
	}
	release(e) {
		this.#s.has(e) && (this.#s.get(e)?.release(), this.#s.delete(e), this.#d() && this.#n.open?.unsubscribe([this.#f(e)]));
	}
	newConversation() {
		let e = C("cnv_");
		return this.#c.add(e), e;
	}
	unsent() {
		return [...new Set(this.#r.rows().map((e) => e.conversation))];
	}
	claim(e) {
		return this.#m(e, "claim");
	}
	close(e) {
		return this.#m(e, "close");
	}
	async refresh() {
		for (let e of await this.#o.refresh(this.#l.get, this.#d())) this.#y(e);
		this.#a.emit("conversations", this.conversations);
	}
	async page(e) {
		let t = await this.#o.page(this.#l.get, e);
		for (let e of t.conversations) this.#y(e);
		return this.#a.emit("conversations", this.conversations), t;
	}
	#u() {
		return {
			outbox: this.#r,
			me: () => this.session?.user ?? "",
			online: () => this.#n.open !== void 0,
			get: (e, t) => this.#p("GET", e, t),
			delivered: (e) => !this.#d() || this.#o.states.get(e)?.assignee?.id === this.session?.user,
			entered: (e, t) => this.#a.emit("entry", {
				conversation: e,
				entry: t
			}),
			kick: () => this.#i.pump()
		};
	}
	#d() {
		return (this.session?.role ?? "visitor") !== "visitor";
	}
	#f(e) {
		return Y("state", this.session?.site ?? "", e);
	}
	async #p(e, t, n) {
		let { token: r } = await this.#t.fresh();
		try {
			return await this.#e.call(e, t, n, { token: r });
		} catch (i) {
			if (f(i).code !== "unauthenticated") throw i;
			let a = await this.#t.refused(r);
			return this.#e.call(e, t, n, { token: a.token });
		}
	}
	async #m(e, t) {
		let n = await this.#p("POST", `/v1/conversations/${e}/${t}`, U);
		return this.#y(n), this.#a.emit("conversations", this.conversations), n;
	}
	async #h(e, t) {
		let { site: n, user: r, device: i } = t;
		await this.#g(e, [
			Y("messages", n, "+"),
			Y("state", n, "+"),
			dt("errors", n, r, i),
			...this.#d() ? [...this.#s.keys()].map((e) => this.#f(e)) : []
		]), this.#r.load(), m(0, () => {
			for (let e of this.#s.values()) e.resync();
			this.refresh().catch((e) => this.#a.emit("error", f(e)));
		});
	}
	async #g(t, n, r = new e()) {
		let i = await t.subscribe(n), a = n.filter((e, t) => (i[t] ?? 128) >= 128);
		if (a.length === 0) return;
		this.#a.emit("error", new c("unavailable", `not subscribed: ${a.join(" ")}`));
		let o = m(r.next(), () => void this.#g(t, a, r));
		t.closed.then(o);
	}
	#_({ topic: e, payload: t }) {
		let r = ft(e);
		try {
			if (r?.kind === "state") return this.#v(r.conversation ?? "", t);
			let e = n(g(t));
			r?.kind === "messages" && this.#s.get(r.conversation ?? "")?.receive(p(e)), r?.kind === "errors" && this.#i.refused(ne(p(e)));
		} catch (t) {
			this.#a.emit("error", new c("internal", `cannot read what came on ${e}: ${String(t)}`));
		}
	}
	#v(e, t) {
		t.length > 0 ? this.#y(U(n(g(t)))) : (this.#o.forget(e), this.#s.get(e)?.resync()), this.#a.emit("conversations", this.conversations);
	}
	#y(e) {
		let t = this.#s.get(e.conversation);
		this.#o.learn(e) ? t?.learn(e) : t?.resync();
	}
}, Tt = 3e5, Et = [
	"opened",
	"assigned",
	"closed",
	"reopened"
];
function Dt(e, t, n, r = []) {
	let i = new Map(r.flatMap((e) => e ? [[e.id, e.name]] : [])), a = [], o = "";
	for (let r of e) {
		let e = r.kind === "own" ? Ot(r.message, n) : kt(r.entry, t, i);
		if (!e) continue;
		let s = r.kind === "own" ? r.message.order : r.entry.at, c = new Date(s).toDateString();
		c !== o && (r.kind === "entry" || o === "") && a.push({
			kind: "day",
			key: c,
			at: s
		}), (r.kind === "entry" || o === "") && (o = c), a.push(e);
	}
	return a.map((e, t) => e.kind === "bubble" ? {
		...e,
		starts: !At(a[t - 1], e),
		ends: !At(e, a[t + 1])
	} : e);
}
function Ot(e, t) {
	let { draft: n, order: r, seq: i } = e;
	return {
		kind: "bubble",
		key: n.id,
		text: n.text,
		seq: i,
		at: r,
		own: !0,
		role: t,
		name: "",
		starts: !0,
		ends: !0,
		pending: e
	};
}
function kt(e, t, n) {
	let { body: r, sender: i, id: a, seq: o, at: s, role: c } = e, l = String(r.agent ?? "");
	if (e.type === "assigned" && n.set(l, String(r.name ?? "")), e.type === "opened" && n.set(String(r.visitor), String(r.name ?? "")), Et.includes(e.type)) return {
		kind: "notice",
		key: `seq ${o}`,
		entry: e,
		name: n.get(l) ?? ""
	};
	let u = ee(e);
	if (u === void 0) return;
	let d = i === t;
	return {
		kind: "bubble",
		key: d ? a : `${i} ${a}`,
		text: u,
		seq: o,
		at: s,
		own: d,
		role: c,
		name: n.get(i) ?? "",
		starts: !0,
		ends: !0
	};
}
function At(e, t) {
	return e?.kind === "bubble" && t?.kind === "bubble" && e.own === t.own && e.role === t.role && (e.own || e.name === t.name) && Math.abs(t.at - e.at) < Tt;
}
export { wt as Client, _e as Conversation, c as ParleyError, r as isObject, Xe as maxBodyBytes, $ as memoryStorage, n as parseJson, Dt as rowsOf, ee as textOf, Ct as webStorage };
