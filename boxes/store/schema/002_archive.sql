-- Days whose texts are gone: `body` is NULL in their messages.
CREATE TABLE archived (
	day int PRIMARY KEY,
	at bigint NOT NULL
);
