-- Events that end an item and make no other, many to a row: all of one kind
-- that a batch holds about items of one block of numbers.  An event of this
-- kind is in here or in `event`, never in both.  block: ref >> 12.  at: of the
-- latest of them.
CREATE TABLE pack (
	at bigint NOT NULL,
	block bigint NOT NULL,
	type "char" NOT NULL,
	state "char" NOT NULL,
	ref bigint[] NOT NULL,
	seq bigint[] NOT NULL,
	ats bigint[] NOT NULL,
	id uuid[] NOT NULL,
	rec bytea[] NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX pack_block ON pack (block);
-- Numbers stay in the row, where they are looked for; the records need not be
-- read for that, and to compress either costs more than it saves.
ALTER TABLE pack ALTER ref SET STORAGE PLAIN, ALTER seq SET STORAGE PLAIN,
	ALTER ats SET STORAGE PLAIN, ALTER id SET STORAGE EXTERNAL,
	ALTER rec SET STORAGE EXTERNAL;

-- For people with psql.
CREATE OR REPLACE VIEW event_log AS
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
FROM (SELECT seq, at, id, ref, type, state, part, key, queue, closes FROM event
	UNION ALL
	SELECT u.seq, u.at, u.id, u.ref, p.type, p.state, NULL, NULL, NULL, true
	FROM pack p, unnest(p.seq, p.ats, p.id, p.ref) AS u(seq, at, id, ref)) e;
