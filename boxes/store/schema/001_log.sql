-- The record of one cell.  Everything on the path of a message is insert-only;
-- partitions (one a UTC day, made and dropped by partition.c) end it.
-- Times are milliseconds since 1970 as the bus stamped them; `rec` is the
-- bus's Record as it came (protobuf, bus.proto), so nothing is ever lost that
-- has no column of its own.

-- Who may write.  One row; the epoch grows with every new bus.
CREATE TABLE cell (
	cell int PRIMARY KEY,
	epoch bigint NOT NULL,
	instance bytea,
	node text,
	at bigint NOT NULL
);

-- One row a transaction: the highest last_seq is where the record ends.
CREATE TABLE batch (
	last_seq bigint NOT NULL,
	first_seq bigint NOT NULL,
	epoch bigint NOT NULL,
	attempt int NOT NULL,
	at bigint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX batch_last ON batch (last_seq);

-- queue is NULL where a due row, not the queue, holds the item.
CREATE TABLE message (
	id uuid NOT NULL,
	seq bigint NOT NULL,
	expires_at bigint,
	queue int,
	parts smallint NOT NULL,
	kind "char" NOT NULL,
	class "char" NOT NULL,
	account text,
	dst text,
	src text,
	client_ref text,
	rec bytea NOT NULL,
	envelope bytea NOT NULL,
	body bytea,
	report bytea,
	PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX message_queue ON message (queue, seq) WHERE queue IS NOT NULL;

-- ref: seq of the item that this is about.  queue: this row is itself an item,
-- a notice to the customer.  key: hash of link scope and SMSC id, one row a
-- part (type 64 for the parts after the first).
CREATE TABLE event (
	seq bigint NOT NULL,
	at bigint NOT NULL,
	ref bigint,
	key bigint,
	id uuid,
	queue int,
	part smallint,
	type "char" NOT NULL,
	state "char" NOT NULL,
	closes boolean NOT NULL,
	rec bytea,
	body bytea
) PARTITION BY RANGE (at);
CREATE INDEX event_ref ON event (ref);
CREATE INDEX event_queue ON event (queue, seq) WHERE queue IS NOT NULL;

-- Scheduled messages and long retries.
CREATE TABLE due (
	due_at bigint NOT NULL,
	seq bigint NOT NULL,
	ref bigint NOT NULL,
	id uuid NOT NULL
) PARTITION BY RANGE (due_at);
CREATE INDEX due_at ON due (due_at, seq);

-- Receipts for which no message was known when they came.
CREATE TABLE orphan (
	at bigint NOT NULL,
	seq bigint NOT NULL,
	key bigint NOT NULL,
	link text,
	body bytea NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX orphan_seq ON orphan (seq);
-- The orphans for which one was found later.
CREATE TABLE orphan_done (
	at bigint NOT NULL,
	seq bigint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX orphan_done_seq ON orphan_done (seq);

-- Where to look for messages whose time is over: the ids and seqs of some
-- seconds that end in this slot of 20 s since 1970.  upto: all that have a
-- smaller seq are in the table.
CREATE TABLE wheel (
	slot int NOT NULL,
	upto bigint NOT NULL,
	lo_id uuid NOT NULL,
	hi_id uuid NOT NULL,
	lo_seq bigint NOT NULL,
	hi_seq bigint NOT NULL
);
CREATE INDEX wheel_slot ON wheel (slot);
CREATE INDEX wheel_upto ON wheel (upto);

CREATE TABLE queue (
	queue int PRIMARY KEY,
	target text NOT NULL,
	class smallint NOT NULL,
	account text NOT NULL,
	seq bigint NOT NULL
);

CREATE TABLE checkpoint (
	seq bigint PRIMARY KEY,
	at bigint NOT NULL,
	rec bytea NOT NULL
);

CREATE TABLE idem (
	at bigint NOT NULL,
	account text NOT NULL,
	key text NOT NULL,
	fingerprint text NOT NULL,
	ids text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX idem_key ON idem (account, key);

-- Records that did not parse, kept as they came.
CREATE TABLE quarantine (
	seq bigint NOT NULL,
	at bigint NOT NULL,
	why text NOT NULL,
	context bytea,
	envelope bytea,
	body bytea,
	report bytea
);

-- For people with psql.
CREATE VIEW message_log AS
SELECT id, seq,
	to_timestamp((('x' || substr(translate(id::text, '-', ''), 1, 12))::bit(48)::bigint) / 1000.0) AS accepted,
	(ARRAY['mt', 'mo', 'dlr', 'receipt'])[kind::int] AS kind,
	(ARRAY['otp', 'alert', 'txn', 'bulk'])[class::int] AS class,
	account, src, dst, parts, client_ref, queue,
	to_timestamp(expires_at / 1000.0) AS expires
FROM message;
CREATE VIEW event_log AS
SELECT seq, to_timestamp(at / 1000.0) AS at, id, ref,
	CASE type::int WHEN 1 THEN 'attempt' WHEN 2 THEN 'submitted' WHEN 3 THEN 'retry'
	WHEN 4 THEN 'rerouted' WHEN 5 THEN 'cancelled' WHEN 6 THEN 'final' WHEN 7 THEN 'notified'
	WHEN 8 THEN 'receipt' WHEN 9 THEN 'dead' WHEN 10 THEN 'replayed' WHEN 11 THEN 'matched'
	WHEN 64 THEN 'part' END AS event,
	CASE state::int WHEN 1 THEN 'accepted' WHEN 2 THEN 'scheduled' WHEN 3 THEN 'queued'
	WHEN 4 THEN 'sending' WHEN 5 THEN 'sent' WHEN 6 THEN 'buffered' WHEN 16 THEN 'delivered'
	WHEN 17 THEN 'undelivered' WHEN 18 THEN 'expired' WHEN 19 THEN 'rejected'
	WHEN 20 THEN 'canceled' WHEN 21 THEN 'unknown' WHEN 22 THEN 'sent' WHEN 23 THEN 'failed' END AS state,
	part, key, queue, closes
FROM event;
