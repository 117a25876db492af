-- Who has the cell, and until when nobody else may take it: the owner makes
-- `beat` grow, and a successor takes the cell when it has seen it stand still
-- for lease_ms.  0: there is no lease, the advisory lock alone decides.
ALTER TABLE cell
	ADD beat bigint NOT NULL DEFAULT 0,
	ADD lease_ms bigint NOT NULL DEFAULT 0,
	ADD released boolean NOT NULL DEFAULT false,
	ADD boot text,
	ADD renewed timestamptz;

-- Who would succeed it.
CREATE TABLE standby (
	cell int NOT NULL,
	node text NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (cell, node)
);
