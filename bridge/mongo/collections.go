package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// collections are those of a store; see SCHEMA.md.
type collections struct {
	db *driver.Database

	meta, secrets                *driver.Collection
	entries, deletes             *driver.Collection
	conversations, registers     *driver.Collection
	readers, cuts, documents     *driver.Collection
	sessions, cursors            *driver.Collection
	sites, accounts, revocations *driver.Collection
	attachments                  *driver.Collection
}

func collectionsOf(db *driver.Database) collections {
	return collections{
		db:   db,
		meta: db.Collection("meta"), secrets: db.Collection("secrets"),
		entries: db.Collection("entries"), deletes: db.Collection("deletes"),
		conversations: db.Collection("conversations"), registers: db.Collection("registers"),
		readers: db.Collection("readers"), cuts: db.Collection("cuts"), documents: db.Collection("documents"),
		sessions: db.Collection("sessions"), cursors: db.Collection("cursors"),
		sites: db.Collection("sites"), accounts: db.Collection("accounts"), revocations: db.Collection("revocations"),
		attachments: db.Collection("attachments"),
	}
}

// index is one that the store makes at its start. Without a required one the
// store cannot work; the others make it faster.
type index struct {
	collection *driver.Collection
	name       string
	keys       bson.D
	unique     bool
	required   bool
}

func (c collections) indexes() []index {
	up := func(names ...string) bson.D {
		keys := bson.D{}
		for _, name := range names {
			direction := 1
			if name[0] == '-' {
				name, direction = name[1:], -1
			}
			keys = append(keys, bson.E{Key: name, Value: direction})
		}
		return keys
	}
	return []index{
		{c.entries, "position", up("stream", "seq"), true, true},
		{c.entries, "identity", up("stream", "sender", "id"), true, true},
		{c.entries, "time", up("at", "stream", "seq"), false, false},
		{c.entries, "target", up("stream", "target"), false, false},
		{c.conversations, "updated", up("site", "-updated", "-id"), false, false},
		{c.conversations, "visitor", up("site", "visitor", "-updated", "-id"), false, false},
		{c.conversations, "assignee", up("site", "assignee", "-updated", "-id"), false, false},
		{c.conversations, "status", up("site", "status", "-updated", "-id"), false, false},
		{c.conversations, "changed", up("site", "changed"), false, false},
		{c.conversations, "visitor_changed", up("site", "visitor", "changed"), false, false},
		{c.conversations, "assignee_changed", up("site", "assignee", "changed"), false, false},
		{c.conversations, "status_changed", up("site", "status", "changed"), false, false},
		{c.documents, "tokens", up("tokens", "scope", "-_id"), false, false},
		{c.documents, "entry", up("stream", "seq"), false, false},
		{c.registers, "user", up("site", "user", "-version"), false, false},
		{c.sessions, "ends", up("ends"), false, false},
		{c.attachments, "uploader", up("site", "uploader", "state"), false, false},
		{c.attachments, "conversation", up("site", "conversation"), false, false},
		{c.attachments, "state", up("state", "changed"), false, false},
		{c.sites, "key", up("key"), true, true},
		{c.accounts, "email", up("site", "email"), true, true},
	}
}

// prepare makes the indexes that are missing. Those that exist cost nothing.
func (s *Store) prepare(ctx context.Context) error {
	for _, ix := range s.c.indexes() {
		_, err := ix.collection.Indexes().CreateOne(ctx, driver.IndexModel{
			Keys: ix.keys, Options: options.Index().SetName(ix.name).SetUnique(ix.unique),
		})
		switch {
		case err == nil:
		case ix.required:
			return fmt.Errorf("make the unique index %s of %s, without which nothing can be stored: %w", ix.name, ix.collection.Name(), err)
		default:
			s.logger.Warn("an index could not be made, some queries will be slow", "collection", ix.collection.Name(), "index", ix.name, "error", err)
		}
	}
	return nil
}
