package main

import (
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// samples turns the rooms' counters into what /metrics shows.
func (n *node) samples() []func() []api.Sample {
	return []func() []api.Sample{n.brokerSamples, n.bridgeSamples, n.stored, n.sealSamples, n.accessSamples, n.attachmentSamples}
}

func (n *node) attachmentSamples() []api.Sample {
	if n.keeper == nil {
		return nil
	}
	s := n.keeper.Stats()
	return []api.Sample{
		counter("attachments_taken", "Uploads completed.", s.Taken),
		counter("attachments_refused", "Uploads refused because of what they are.", s.Refused),
		counter("attachments_unscanned", "Examinations of uploads that failed for now, because of the scanner or the disk.", s.Unscanned),
		counter("attachments_removed", "Attachments removed with their bytes.", s.Removed),
	}
}

func counter(name, help string, value int64) api.Sample {
	return api.Sample{Name: "parley_" + name + "_total", Help: help, Counter: true, Value: float64(value)}
}

func gauge(name, help string, value int64) api.Sample {
	return api.Sample{Name: "parley_" + name, Help: help, Value: float64(value)}
}

func (n *node) brokerSamples() []api.Sample {
	s := n.broker.Stats()
	return []api.Sample{
		gauge("mqtt_connections", "MQTT connections that are logged in.", s.Connected),
		gauge("mqtt_tunnels", "Connections that come through an HTTP tunnel.", s.Tunnels),
		counter("mqtt_connects", "MQTT logins.", s.Connects),
		counter("mqtt_connects_refused", "CONNECT packets refused.", s.RefusedConnects),
		counter("mqtt_connects_limited", "CONNECT packets refused because their user or address connects too often.", s.LimitedConnects),
		gauge("mqtt_connections_silent", "Connections that have not said CONNECT.", s.Silent),
		gauge("mqtt_connections_waiting", "Connections whose turn to log in has not come.", s.Waiting),
		counter("mqtt_connections_turned_away", "Connections closed because too many had not logged in.", s.TurnedAway),
		counter("mqtt_connections_abandoned", "Connections that their clients ended before their turn to log in came.", s.Abandoned),
		counter("mqtt_takeovers", "Connections closed because their device connected again.", s.Takeovers),
		counter("mqtt_publishes", "Publishes acknowledged, refusals included.", s.Published),
		counter("mqtt_publishes_refused", "Publishes refused for good.", s.RefusedPublishes),
		counter("mqtt_slowed", "Publishes that waited because their user sent too many.", s.Slowed),
		counter("mqtt_record_retries", "Tries to record a publish that failed and were made again.", s.RecordRetries),
		counter("mqtt_deliveries", "Entries sent to devices.", s.Delivered),
		counter("mqtt_deliveries_acknowledged", "Deliveries acknowledged by devices.", s.Acknowledged),
		counter("mqtt_deliveries_too_big", "Entries not sent because the device takes no packet of that size.", s.TooBig),
		counter("mqtt_signals", "Signals told to devices.", s.Signals),
		counter("mqtt_signals_dropped", "Signals that vanished: too many, too late, or a device that reads slowly.", s.SignalsDropped),
		counter("mqtt_panics", "Connections ended by a panic.", s.Panics),
	}
}

func (n *node) bridgeSamples() []api.Sample {
	s := n.bridge.Stats()
	return []api.Sample{
		counter("messages_recorded", "Messages stored.", s.Recorded),
		counter("messages_duplicate", "Repeats answered with the first one's position.", s.Duplicates),
		counter("messages_refused", "Messages refused for good.", s.Refused),
		counter("conversations_limited", "Tries to open a conversation that came too fast.", s.Limited),
		counter("decisions_retried", "Decisions taken again because somebody was faster.", s.Retries),
		counter("reads_from_memory", "Delivery reads answered from memory.", s.TailReads),
		counter("reads_from_store", "Delivery reads answered by the store.", s.StoreReads),
		gauge("conversations_in_memory", "Conversations held in memory.", s.Conversations),
		counter("searches", "Pages of search results.", s.Searches),
		counter("searches_limited", "Searches refused because too many ran.", s.SearchesLimited),
		counter("searches_partial", "Searches cut off after a second.", s.SearchesPartial),
		counter("index_documents", "Messages written to the search index, or removed from it.", s.Indexed),
		gauge("index_waiting", "Messages in memory that wait for the search index.", s.IndexWaiting),
		gauge("index_behind_seconds", "How far the search index is behind the log; 0: nothing is missing.", int64(s.IndexBehind.Seconds())),
	}
}

func sqliteSamples(s sqlite.Stats) []api.Sample {
	return []api.Sample{
		counter("store_batches", "Batches of appends made durable with one fsync.", s.Batches),
		counter("store_jobs", "Appends served by them.", s.Jobs),
		counter("store_writes", "Writes of sessions, cursors and rows.", s.Writes),
		counter("store_applied", "Entries brought from the journal into the database.", s.Applied),
		gauge("store_pending", "Entries that are durable in the journal only.", int64(s.Pending)),
		gauge("store_pending_bytes", "Bytes of the journal that the database has not fsynced.", int64(s.PendingBytes)),
		gauge("store_journal_segments", "Files of the journal that hold them.", int64(s.Segments)),
		counter("store_entries", "Entries appended.", s.Entries),
		counter("store_duplicates", "Appends answered with the first one.", s.Duplicates),
		counter("store_conflicts", "Appends refused because the id had other content.", s.Conflicts),
		counter("store_failures", "Transactions and checkpoints that failed.", s.Failures),
		counter("store_recoveries", "Times the database was opened again after a disk error.", s.Recoveries),
		gauge("store_queue", "Writes that wait for the store now.", int64(s.Queued)),
	}
}

func mongoSamples(s mongo.Stats) []api.Sample {
	return []api.Sample{
		counter("store_batches", "Inserts of entries sent to the database.", s.Batches),
		counter("store_jobs", "Appends served by them.", s.Jobs),
		counter("store_writes", "Writes of sessions, cursors and rows.", s.Writes),
		counter("store_entries", "Entries appended.", s.Entries),
		counter("store_duplicates", "Appends answered with the first one.", s.Duplicates),
		counter("store_conflicts", "Appends refused because the id had other content.", s.Conflicts),
		counter("store_failures", "Commands that failed or had no answer.", s.Failures),
		counter("store_resolved", "Entries whose outcome was unknown for a while.", s.Resolved),
		gauge("store_queue", "Appends that wait for the store now.", int64(s.Queued)),
	}
}

func (n *node) accessSamples() []api.Sample {
	s := n.access.Stats()
	return []api.Sample{
		counter("sign_ins", "Agents signed in by password.", s.SignIns),
		counter("sign_in_failures", "Sign-ins with a wrong e-mail address or password.", s.SignInFailures),
		counter("sign_ins_limited", "Sign-ins refused because of too many failures.", s.SignInsLimited),
		counter("password_hashes", "Passwords hashed.", s.PasswordHashes),
	}
}

func (n *node) sealSamples() []api.Sample {
	s := n.seal.Stats()
	return []api.Sample{
		gauge("sealed_sites", "Sites whose entries are encrypted in the store.", s.Sites),
		gauge("sealed_keys_waiting", "Data keys that are not wrapped with the newest master key yet.", s.Waiting),
		counter("sealed_rotations", "Times that the data keys were wrapped with a new master key.", s.Rotation),
		counter("sealed_entries", "Entries that were encrypted.", s.Sealed),
		counter("sealed_damaged", "Entries, rows and registers that could not be decrypted.", s.Damaged),
	}
}
