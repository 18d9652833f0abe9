package sqlite

// migrations returns the steps from an empty database to the present schema.
// The n-th brings version n-1 to version n. A step that has been released is
// never edited; a change is a new step at the end, and a folder from before it
// is kept for the tests: see cmd/parley/testdata/kept.
func migrations() []migration {
	return []migration{
		{statements: schema1},
		{statements: schema2},
		{statements: schema3, fill: fillSums},
		{statements: schema4},
		{statements: schema5},
		{statements: schema6},
		{statements: schema7},
		{statements: schema8},
		{statements: schema9},
		{statements: schema10},
	}
}

// schema10 brings attachments. The columns beside value are those of it that are asked
// for.
const schema10 = `
CREATE TABLE attachments (
	site         TEXT NOT NULL,
	id           TEXT NOT NULL,
	conversation TEXT NOT NULL,
	uploader     TEXT NOT NULL,
	state        TEXT NOT NULL,
	changed_at   INTEGER NOT NULL, -- Unix milliseconds
	version      INTEGER NOT NULL,
	value        BLOB NOT NULL,    -- JSON
	PRIMARY KEY (site, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachments_uploader     ON attachments (site, uploader) WHERE state IN ('taking', 'ready');
CREATE INDEX attachments_conversation ON attachments (site, conversation);
CREATE INDEX attachments_unsent       ON attachments (state, changed_at) WHERE state <> 'sent';
`

// schema9 changes no table. Since then sites may be sealed (see bridge/seal), and a
// Parley that knows nothing of that would show ciphertexts, and write plain texts
// beside them.
const schema9 = `SELECT 1`

// schema8 brings cuts: what was written before first is gone.
const schema8 = `
ALTER TABLE streams ADD COLUMN first INTEGER NOT NULL DEFAULT 0;       -- seq where history begins, 0 if it was never cut
ALTER TABLE conversations ADD COLUMN first INTEGER NOT NULL DEFAULT 0; -- of the messages
`

// schema7 brings the search index. Its terms are hashes; see terms.go. To take a
// row from it, SQLite has to be told what is in it, so that documents keep that;
// secure-delete has it taken out at once instead of being noted as gone. (With
// detail = none, which would be a sixth smaller, SQLite 3.53 loses rows when one
// transaction takes out some and puts in others.)
const schema7 = `
CREATE TABLE documents (
	id     INTEGER PRIMARY KEY, -- from 1 up in the order of at; those that came too late for it from -1 down
	stream INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	text   INTEGER NOT NULL,    -- seq of the entry that has the text
	at     INTEGER NOT NULL,    -- Unix milliseconds
	terms  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX documents_entry ON documents (stream, seq);
CREATE INDEX documents_at ON documents (at);
CREATE VIRTUAL TABLE document_terms USING fts5 (terms, content = '', columnsize = 0, detail = column, tokenize = ascii);
INSERT INTO document_terms (document_terms, rank) VALUES ('secure-delete', 1);
`

// schema6 brings edits and deletes. What the list shows of a conversation is that
// of the message last_seq.
const schema6 = `
ALTER TABLE entries ADD COLUMN target INTEGER;                       -- of edits and deletes: seq of the message
ALTER TABLE entries ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0;  -- whether the body was taken away
CREATE INDEX entries_target ON entries (stream, target) WHERE target IS NOT NULL;
ALTER TABLE conversations ADD COLUMN last_seq INTEGER NOT NULL DEFAULT 0;
UPDATE conversations AS c SET last_seq = coalesce((
	SELECT e.seq FROM streams s JOIN entries e ON e.stream = s.id
	WHERE s.name = c.site || '/c/' || c.id || '/messages' AND e.type = 'text' ORDER BY e.seq DESC LIMIT 1), 0);
`

// schema5 brings marks, which change a conversation without being entries of it,
// personal registers, and the signing out of devices.
const schema5 = `
ALTER TABLE conversations ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0; -- of the newest entry or mark
ALTER TABLE conversations ADD COLUMN agent_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN marks TEXT NOT NULL DEFAULT 'null';    -- JSON
UPDATE conversations SET changed_at = updated_at;
CREATE INDEX conversations_visitor_changed  ON conversations (site, visitor, changed_at);
CREATE INDEX conversations_assignee_changed ON conversations (site, assignee, changed_at);
CREATE INDEX conversations_status_changed   ON conversations (site, status, changed_at);

CREATE TABLE revocations (
	site   TEXT NOT NULL,
	user   TEXT NOT NULL,
	device TEXT NOT NULL,    -- empty: all of the user
	before INTEGER NOT NULL, -- Unix milliseconds
	PRIMARY KEY (site, user, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE registers (
	site    TEXT NOT NULL,
	user    TEXT NOT NULL,
	key     TEXT NOT NULL,
	value   TEXT NOT NULL, -- JSON
	version INTEGER NOT NULL,
	PRIMARY KEY (site, user, key)
) STRICT, WITHOUT ROWID;
`

// schema4 changes no table. Since then pages have checksums (see pages), and a
// Parley that knows nothing of them must not write here.
const schema4 = `SELECT 1`

// schema2 lets sessions end. Those that were to be kept before there was an end
// get thirty days from now.
const schema2 = `
ALTER TABLE sessions ADD COLUMN expiry INTEGER NOT NULL DEFAULT 0;     -- seconds that it outlives its connection
ALTER TABLE sessions ADD COLUMN away_since INTEGER NOT NULL DEFAULT 0; -- Unix milliseconds, 0 while connected
ALTER TABLE sessions ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;       -- see parley.CursorSave
ALTER TABLE sessions ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;    -- newest packet identifier of a delivery
ALTER TABLE sessions ADD COLUMN epoch TEXT NOT NULL DEFAULT '';        -- of seen
UPDATE sessions SET expiry = 2592000 WHERE keeps;
ALTER TABLE sessions DROP COLUMN keeps;
CREATE INDEX sessions_away ON sessions (away_since + expiry * 1000) WHERE away_since > 0;
`

const schema1 = `
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	control INTEGER NOT NULL DEFAULT 0 -- seq of the newest control entry
) STRICT;

-- The primary key is the table: a page of a stream lies together on the disk.
CREATE TABLE entries (
	stream INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	id     TEXT NOT NULL,
	sender TEXT NOT NULL,
	device TEXT NOT NULL,
	role   TEXT NOT NULL,
	type   TEXT NOT NULL,
	body   BLOB NOT NULL,
	at     INTEGER NOT NULL, -- Unix milliseconds
	count  INTEGER NOT NULL,
	digest BLOB NOT NULL,
	PRIMARY KEY (stream, seq),
	UNIQUE (stream, sender, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_at ON entries (at, stream, seq);

CREATE TABLE conversations (
	site          TEXT NOT NULL,
	id            TEXT NOT NULL,
	status        TEXT NOT NULL,
	visitor       TEXT NOT NULL,
	assignee      TEXT NOT NULL,
	visitor_name  TEXT NOT NULL,
	assignee_name TEXT NOT NULL,
	head          INTEGER NOT NULL,
	control       INTEGER NOT NULL,
	count         INTEGER NOT NULL,
	opened_at     INTEGER NOT NULL,
	updated_at    INTEGER NOT NULL,
	last_text     TEXT NOT NULL,
	PRIMARY KEY (site, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_updated  ON conversations (site, updated_at DESC, id DESC);
CREATE INDEX conversations_visitor  ON conversations (site, visitor, updated_at DESC, id DESC);
CREATE INDEX conversations_assignee ON conversations (site, assignee, updated_at DESC, id DESC);
CREATE INDEX conversations_status   ON conversations (site, status, updated_at DESC, id DESC);

CREATE TABLE readers (
	name TEXT PRIMARY KEY,
	at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	device     TEXT PRIMARY KEY,
	generation INTEGER NOT NULL,
	keeps      INTEGER NOT NULL -- whether it outlives its connection
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
	device TEXT NOT NULL,
	filter TEXT NOT NULL,
	qos    INTEGER NOT NULL,
	PRIMARY KEY (device, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
	device TEXT NOT NULL,
	stream TEXT NOT NULL,
	epoch  TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	PRIMARY KEY (device, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE sites (
	id      TEXT PRIMARY KEY,
	key     TEXT NOT NULL UNIQUE,
	name    TEXT NOT NULL,
	origins TEXT NOT NULL -- JSON array
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
	site     TEXT NOT NULL,
	id       TEXT NOT NULL,
	email    TEXT NOT NULL,
	name     TEXT NOT NULL,
	role     TEXT NOT NULL,
	password TEXT NOT NULL, -- argon2id in PHC form
	PRIMARY KEY (site, id),
	UNIQUE (site, email)
) STRICT, WITHOUT ROWID;
`
