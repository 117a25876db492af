/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands.c - the table of all commands, from which the help is made.
 */
#include <stddef.h>

#include "tools/hopctl/certs.h"
#include "tools/hopctl/config.h"
#include "tools/hopctl/message.h"
#include "tools/hopctl/move.h"
#include "tools/hopctl/request.h"
#include "tools/hopctl/restart.h"
#include "tools/hopctl/secret.h"
#include "tools/hopctl/session.h"
#include "tools/hopctl/tap.h"
#include "tools/hopctl/view.h"

#define NONE                                                                   \
	{                                                                      \
		OPTIONS                                                        \
	}

/* clang-format off */
const struct command commands[] = {
	{ "status", NULL, "", 0, 0, view_status,
	  "the bus, the store and all counts on one page", NULL,
	  { OPTION_EVERY, OPTIONS } },

	{ "boxes", NULL, "", 0, 0, view_boxes,
	  "boxes of the configuration, and which are connected", NULL,
	  { OPTION_EVERY, OPTIONS } },

	{ "links", NULL, "", 0, 0, view_links,
	  "links to carriers: state, binds, window, queue", NULL,
	  { OPTION_EVERY, OPTIONS } },
	{ "links", "show", "NAME", 1, 1, view_link,
	  "everything that a connector says of its link and binds", NULL,
	  { OPTION_EVERY, OPTIONS } },
	{ "links", "drain", "NAME...", 1, -1, link_drain,
	  "routes avoid it; its queue is still sent", NULL, NONE },
	{ "links", "ready", "NAME...", 1, -1, link_ready,
	  "in use again", NULL, NONE },
	{ "links", "maint", "NAME...", 1, -1, link_maint,
	  "nothing is sent on it, its binds stay", NULL, NONE },
	{ "links", "rebind", "NAME...", 1, -1, link_rebind,
	  "unbind and bind again, one session after the other", NULL, NONE },

	{ "queues", NULL, "", 0, 0, view_queues,
	  "queues, one for each box, class and account", NULL,
	  { OPTION_EVERY, OPTIONS } },
	{ "queues", "hold", "[QUEUE]", 0, 1, queue_hold,
	  "send nothing from it until it is released",
	  "QUEUE is box/class/account, as \"hopctl queues\" shows it.  "
	  "Without it all queues are\nmeant that the options describe.",
	  { OPTION_TARGET, OPTION_CLASS, OPTION_ACCOUNT, OPTIONS } },
	{ "queues", "release", "[QUEUE]", 0, 1, queue_release,
	  "go on with what is held", "As hold.",
	  { OPTION_TARGET, OPTION_CLASS, OPTION_ACCOUNT, OPTIONS } },

	{ "bus", "handover", "", 0, 0, bus_handover,
	  "give the cell to the bus that stands by",
	  "To be asked of the bus that has the cell.  It hands out nothing "
	  "more, waits until\nall that is on its way is on disk, and lets go; "
	  "the boxes go to the other bus.", NONE },

	{ "cell", "accept-rewind", "", 0, 0, cell_accept_rewind,
	  "go on with a database that has lost records",
	  "When the database was found to lack records that it had confirmed, "
	  "and the bus has\nnot all of them any more, nothing is accepted.  "
	  "This gives the records up; the bus\nends and is started again with "
	  "what the database has.", NONE },

	{ "routes", NULL, "", 0, 0, view_routes,
	  "routes in their order", NULL, NONE },
	{ "routes", "test", "", 0, 0, view_routes_test,
	  "each rule that is tried for a number, and the link",
	  "Needs --to.  Sends nothing.",
	  { OPTION_TO, OPTION_FROM, OPTION_ACCOUNT, OPTIONS } },

	{ "accounts", NULL, "", 0, 0, view_accounts,
	  "accounts with limits and counts", NULL, NONE },
	{ "accounts", "move", "NAME CELL", 2, 2, accounts_move,
	  "an account goes to another cell, and nothing of it is lost",
	  "To be asked of the cell that has it; the other one must have it in its "
	  "configuration\nalready.  Sets moved in the file and reloads the bus.  "
	  "Front ends that serve both cells\nhand new messages to the other one; "
	  "what was accepted here is brought to its end here.", NONE },
	{ "customers", NULL, "", 0, 0, view_customers,
	  "who is bound by SMPP and where, and what waits for whom",
	  "One line for each account and server.  QUEUED and IN-FLIGHT are of "
	  "the account, at\nall servers; CREDIT is what it takes more at this "
	  "one.",
	  { OPTION_EVERY, OPTIONS } },
	{ "sessions", NULL, "[BOX]", 0, 1, session_list,
	  "sessions of SMPP customers, of all servers or of one",
	  "WINDOW is what we have sent and what the customer has sent without "
	  "an answer, of as\nmany each way.",
	  { OPTION_ACCOUNT, OPTIONS } },
	{ "sessions", "kick", "[BOX/NUMBER...]", 0, -1, session_kick,
	  "unbind sessions; their customers may bind again",
	  "With --account all sessions of the account.  To keep it out, set "
	  "disabled or smpp =\nfalse in the configuration and reload.",
	  { OPTION_ACCOUNT, OPTIONS } },

	{ "messages", "find", "", 0, 0, message_find,
	  "search, newest first",
	  "All options narrow it down.  A search is cheap in a short range of "
	  "time, and for\na whole week of a busy system it may be refused.  "
	  "-o json has \"next\" for --cursor.",
	  { OPTION_TO, OPTION_FROM, OPTION_STATUS, OPTION_KIND,
	    OPTION_ACCOUNT, OPTION_CLIENT_REF, OPTION_SINCE, OPTION_UNTIL,
	    OPTION_LIMIT, OPTION_CURSOR, OPTION_TEXT, OPTIONS } },
	{ "messages", "show", "ID...", 1, -1, message_show,
	  "one message and all that became of it",
	  "Times are local; the second column is the time since the line "
	  "before.  \"-\" reads\nids from standard input.",
	  { OPTION_TEXT, OPTIONS } },
	{ "messages", "cancel", "ID...", 1, -1, message_cancel,
	  "while it has not gone out", "\"-\" reads ids from standard input.",
	  NONE },
	{ "messages", "replay", "ID...", 1, -1, message_replay,
	  "submit again what has failed, under a new id",
	  "Prints the new id.  What has reached the carrier before is refused "
	  "without --force.\n\"-\" reads ids from standard input.",
	  { OPTION_FORCE, OPTIONS } },
	{ "trace", NULL, "ID...", 1, -1, message_trace,
	  "the stored records of a message, decoded",
	  "What show makes its sentences of: with seq, epoch and all fields.",
	  { OPTION_TEXT, OPTIONS } },
	{ "receipts", "orphans", "", 0, 0, receipts_orphans,
	  "receipts for which no message is known", NULL,
	  { OPTION_SINCE, OPTION_UNTIL, OPTION_LIMIT, OPTIONS } },

	{ "send", NULL, "TEXT", 1, -1, message_send,
	  "send a message, and with --wait follow it",
	  "Needs --to.  TEXT \"-\" is read from standard input.  Without "
	  "--account the first one\nof the configuration pays.  Prints the id.",
	  { OPTION_TO, OPTION_FROM, OPTION_ACCOUNT, OPTION_CLASS, OPTION_WAIT,
	    OPTIONS } },

	{ "tap", NULL, "[BOX]", 0, 1, tap,
	  "watch frames go by: kinds and sizes, no content",
	  "Until Ctrl-C.  One at a time; who cannot keep up misses frames.",
	  { OPTION_COUNT, OPTION_FOR, OPTIONS } },

	{ "config", "check", "[FILE]", 0, 1, config_check,
	  "is it right?  Complaints have file and line", NULL, NONE },
	{ "config", "show", "[FILE]", 0, 1, config_show,
	  "all settings in force, secrets hidden", NULL,
	  { OPTION_CHANGED, OPTION_RUNNING, OPTIONS } },
	{ "config", "default", "", 0, 0, config_default,
	  "all settings with their defaults", NULL, NONE },
	{ "config", "doc", "SETTING...", 1, -1, config_doc,
	  "what a setting means: boxes.smppc.window", NULL, NONE },
	{ "config", "diff", "[OLD NEW]", 0, 2, config_diff,
	  "what a reload would change; or between two files", NULL, NONE },
	{ "reload", NULL, "[BOX...]", 0, -1, reload,
	  "take the configuration file again",
	  "The bus first, then every box.  A file that the bus refuses "
	  "changes nothing.  Says\nwhat has changed, and what takes a "
	  "restart.",
	  { OPTION_BUS_ONLY, OPTIONS } },

	{ "restart", NULL, "BOX...", 1, -1, restart,
	  "end boxes in good order and wait until they are back",
	  "One after the other, for an upgrade.  \"bus\" is the bus.  Each "
	  "answers what is under\nway; systemd or hopyard(1) starts it again.  "
	  "One that does not come back ends it.", NONE },

	{ "certs", "init", "", 0, 0, certs_init,
	  "a new certificate authority, for boxes on other hosts",
	  "In the folder of --certs, valid for ten years unless --days says "
	  "otherwise.  Whoever\nhas its ca.key can make a box: keep it where "
	  "nothing else runs.",
	  { OPTION_DAYS, OPTIONS } },
	{ "certs", "issue", "NAME", 1, 1, certs_issue,
	  "a key and a certificate for a box, a bus or hopctl",
	  "NAME is that of the box in the configuration, --type its type; "
	  "\"bus\" is a bus, which\nneeds --host, and \"ctl\" is hopctl on "
	  "another host.  Copy NAME.crt, NAME.key and\nca.crt there.",
	  { OPTION_TYPE, OPTION_HOST, OPTION_DAYS, OPTIONS } },
	{ "certs", "renew", "NAME...", 1, -1, certs_renew,
	  "the same name, type, hosts and key, for longer",
	  "The certificate before it stays valid to its end.  Copy NAME.crt; a "
	  "box takes it at its\nnext connection, a bus at a reload.",
	  { OPTION_DAYS, OPTIONS } },
	{ "certs", "revoke", "NAME...", 1, -1, certs_revoke,
	  "no certificate of this name is good any more",
	  "Writes ca.crl: name it in bus.tls_crl and reload.", NONE },
	{ "certs", "list", "", 0, 0, certs_list,
	  "all certificates with the days that are left", NULL, NONE },

	{ "password", "hash", "", 0, 0, password_hash,
	  "a yescrypt hash of a password from standard input", NULL, NONE },
	{ "key", "new", "", 0, 0, key_new,
	  "a new API key and its SHA-256 for the configuration", NULL, NONE },
	{ "version", NULL, "", 0, 0, view_version,
	  "version of hopctl, and of the bus if there is one", NULL, NONE },
	{ .noun = NULL },
};
