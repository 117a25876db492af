/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/conf_schema.h"

#include <string.h>

#include "common/attr.h"

#define MS(n)   ((int64_t)(n))
#define SEC(n)  (MS(n) * 1000)
#define HOUR(n) (SEC(n) * 3600)
#define DAY(n)  (HOUR(n) * 24)
#define KIB(n)  ((int64_t)(n)*1024)
#define MIB(n)  (KIB(n) * 1024)
#define GIB(n)  (MIB(n) * 1024)

#define TABLE(id, label, parent, text)                                         \
	const struct conf_table id = {                                         \
		.name = (label),                                               \
		.base = (parent),                                              \
		.rows = id##_rows,                                             \
		.count = ARRAY_LEN(id##_rows),                                 \
		.help = (text),                                                \
	}

const char *const conf_reload_names[] = {
	[CONF_LIVE] = "live",
	[CONF_REBIND] = "rebind",
	[CONF_RESTART] = "restart",
	[CONF_BUS] = "bus",
};

const char *const conf_type_names[] = {
	[CONF_STR] = "text",
	[CONF_INT] = "number",
	[CONF_BOOL] = "bool",
	[CONF_DURATION] = "duration",
	[CONF_SIZE] = "size",
	[CONF_RANGE] = "duration range",
	[CONF_SECRET] = "secret",
	[CONF_LIST] = "list",
	[CONF_DURATIONS] = "list of durations",
	[CONF_GROUP] = "group",
	[CONF_GROUPS] = "list of groups",
	[CONF_UNREAD] = "group",
};

/* clang-format off */

static const struct conf_row conf_table_log_rows[] = {
	{ "level", CONF_STR, CONF_CHOICE, .dflt = "info",
	  .choices = "error|warn|info|debug",
	  .help = "Lines below this level are not written." },
	{ "format", CONF_STR, CONF_CHOICE, .dflt = "auto",
	  .choices = "auto|text|json",
	  .help = "auto is text on a terminal and JSON lines elsewhere." },
	{ "pii", CONF_STR, CONF_CHOICE, .dflt = "mask", .choices = "mask|full",
	  .help = "Phone numbers in the log: 49151***678, or whole." },
	{ "messages", CONF_BOOL, .dflt = "true",
	  .help = "One line for each message and step." },
};
static TABLE(conf_table_log, "log", NULL, "The log of every process.");

static const struct conf_row conf_table_bus_rows[] = {
	{ "socket", CONF_STR, CONF_SOCKET, CONF_BUS,
	  .dflt = "/run/hopyard/bus.sock",
	  .help = "Unix socket on which boxes connect." },
	{ "control", CONF_STR, CONF_SOCKET, CONF_BUS,
	  .dflt = "/run/hopyard/ctl.sock",
	  .help = "Unix socket for hopctl and the admin box." },
	{ "lease", CONF_DURATION, CONF_ANY, CONF_BUS, .dflt = "0",
	  .max = HOUR(1),
	  .help = "Set where a second bus stands by, in the configuration of "
	      "both: the bus that has the cell renews its claim all the time, "
	      "and the other takes over when it has not done so for this long; "
	      "5s is a good value, 0 says that there is no other bus." },
	{ "connect", CONF_STR, CONF_ANY, CONF_RESTART, .dflt = "",
	  .help = "Where boxes find the bus, such as \"/run/hopyard/a/bus.sock\"; "
	      "several, separated by commas, are tried in turn; without it "
	      "bus.socket, which the store box always uses." },
	{ "listen", CONF_LIST, CONF_LISTEN, CONF_BUS, .dflt = "",
	  .help = "Addresses, such as \"0.0.0.0:7777\", on which boxes of "
	      "other hosts connect; TLS 1.3 with certificates on both sides, "
	      "see hopctl(1), certs." },
	{ "tls_cert", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Certificate of the bus and its chain, in PEM; one for "
	      "hopyard:bus; read again at each reload, and connected boxes "
	      "stay." },
	{ "tls_key", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Its private key, in PEM; read by nobody else." },
	{ "tls_ca", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Authority of the boxes' certificates, in PEM." },
	{ "tls_crl", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Certificates that it has revoked, in PEM; after a reload "
	      "a box that has one of them is disconnected." },
	{ "ready_items", CONF_INT, .dflt = "100000", .min = 100,
	  .max = 10000000,
	  .help = "Messages held in memory, over all queues; more wait in the "
	      "store." },
	{ "ready_bytes", CONF_SIZE, .dflt = "48MiB", .min = MIB(1),
	  .max = GIB(64), .help = "The same in bytes." },
	{ "queue_items", CONF_INT, .dflt = "4096", .min = 16, .max = 1000000,
	  .help = "Messages held in memory for one queue." },
	{ "checkpoint", CONF_DURATION, .dflt = "10s", .min = MS(100),
	  .max = HOUR(1),
	  .help = "How often the state of the queues is recorded; bounds the "
	      "work after a crash." },
	{ "tail", CONF_SIZE, .dflt = "32MiB", .max = GIB(4),
	  .help = "How much is kept, for a minute, of what the database has "
	      "confirmed: a standby that took over without its last records "
	      "gets them from there." },
	{ "starvation", CONF_INT, .dflt = "5", .min = 2, .max = 1000,
	  .help = "Each n-th dispatch goes to a lower class that waits." },
	{ "failover_after", CONF_DURATION, .dflt = "5s", .max = HOUR(1),
	  .help = "A link that is down this long is passed over where the "
	      "route has another." },
	{ "reclaim", CONF_DURATION, .dflt = "10s", .min = MS(100),
	  .max = HOUR(1),
	  .help = "How long a box that is gone keeps what was handed to it." },
	{ "join_timeout", CONF_DURATION, .dflt = "5m", .min = MS(100),
	  .max = DAY(1),
	  .help = "How long the parts of a message from a handset wait for "
	      "those that are missing; then it goes on without them." },
	{ "max_boxes", CONF_INT, CONF_ANY, CONF_BUS, .dflt = "1024", .min = 1,
	  .max = 100000, .help = "Connected boxes." },
};
static TABLE(conf_table_bus, "bus", NULL, "The message bus.");

static const struct conf_row conf_table_box_rows[] = {
	{ "name", CONF_STR, CONF_NAME, CONF_RESTART, .required = true,
	  .help = "Unique name, in logs, metrics and routes." },
	{ "type", CONF_STR, CONF_NAME, CONF_RESTART, .required = true,
	  .help = "Which program this is: http, smpps, admin, smppc, hook, "
	      "store, exec, lua, or a type of your own with exec." },
	{ "exec", CONF_STR, CONF_ANY, CONF_RESTART,
	  .help = "Command line of the program; known types have one of their "
	      "own." },
	{ "uid", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "-1", .min = -1,
	  .max = UINT32_MAX - INT64_C(1),
	  .help = "The user that this box runs as when it is not the user of "
	      "the bus; -1: the same user." },
	{ "role", CONF_STR, CONF_CHOICE, CONF_RESTART,
	  .choices = "connector|front|hook|filter",
	  .help = "What a box of an unknown type, or of type exec, may do on the "
	      "bus." },
	{ "remote", CONF_BOOL, CONF_ANY, CONF_RESTART, .dflt = "false",
	  .help = "It runs on another host: it is not started here, connects "
	      "to bus.listen with a certificate, and has its settings from "
	      "the bus; files are those of its own host." },
	{ "guest", CONF_BOOL, CONF_ANY, CONF_RESTART, .dflt = "false",
	  .help = "It belongs to another cell, which starts it and has its "
	      "settings, and only comes in here as well; a name, a type and, "
	      "of a connector, the same scope as there are enough." },
	{ "enabled", CONF_BOOL, CONF_ANY, CONF_RESTART, .dflt = "true",
	  .help = "false: not started, and refused by the bus." },
	{ "settings", CONF_UNREAD, CONF_ANY, CONF_RESTART,
	  .help = "Not looked at: a box of a type of your own reads it from "
	      "the file that HOPYARD_CONFIG names." },
};
TABLE(conf_table_box, "box", NULL, "Settings of every box.");

#define CELLS(what)                                                            \
	{                                                                      \
		"cells", CONF_LIST, CONF_NAME, CONF_RESTART, .dflt = "",       \
		    .help = "Further cells " what ", by their names in cells " \
			    "at the top level; each has an entry of this box " \
			    "with guest = true in its own configuration."      \
	}

static const struct conf_row conf_table_http_rows[] = {
	{ "listen", CONF_LIST, CONF_LISTEN, CONF_RESTART,
	  .dflt = "127.0.0.1:13013", .help = "Where to listen." },
	{ "kannel", CONF_BOOL, CONF_ANY, CONF_RESTART, .dflt = "true",
	  .help = "Offer /cgi-bin/sendsms and /sendsms as Kannel does." },
	{ "queued_reply", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "3",
	  .choices = "0|3", .max = 3,
	  .help = "What sendsms says for a link that is down: 3 "
	      "(\"3: Queued for later delivery\") or 0." },
	{ "default_sender", CONF_STR, CONF_ANY, CONF_RESTART,
	  .max = 20, .help = "Sender of a request that names none." },
	{ "max_body", CONF_SIZE, CONF_ANY, CONF_RESTART, .dflt = "1MiB",
	  .min = KIB(1), .max = MIB(64), .help = "Largest request body." },
	{ "hold", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "5s",
	  .min = MS(100), .max = SEC(600),
	  .help = "How long a request waits while the bus or the store is "
	      "away, before the answer is 503." },
	{ "max_connections", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "4096",
	  .min = 1, .max = 1000000, .help = "Open connections." },
	{ "auth_cache", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "10m",
	  .max = DAY(1),
	  .help = "How long a checked password is remembered." },
	{ "keepalive", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "75s",
	  .min = SEC(1), .max = HOUR(1),
	  .help = "An idle connection is closed after this time." },
	CELLS("whose accounts are served here as well"),
};
static TABLE(conf_table_http, "http", &conf_table_box,
    "HTTP front end: Kannel's sendsms and the JSON API.");

static const struct conf_row conf_table_smpps_rows[] = {
	{ "listen", CONF_LIST, CONF_LISTEN, CONF_RESTART,
	  .dflt = "127.0.0.1:2775", .help = "Where to listen, without TLS." },
	{ "tls_listen", CONF_LIST, CONF_LISTEN, CONF_RESTART, .dflt = "",
	  .help = "Where to listen with TLS; the usual port is 3550." },
	{ "tls_cert", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "File of the server's certificate and chain, in PEM; "
	      "tls_listen needs it." },
	{ "tls_key", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Its private key, in PEM; read by nobody else." },
	{ "tls_client_ca", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Authorities of client certificates, in PEM; with it a "
	      "client without a certificate is refused." },
	{ "tls_crl", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Client certificates that these authorities have revoked, in "
	      "PEM." },
	{ "proxy_protocol", CONF_LIST, CONF_CIDR, CONF_RESTART, .dflt = "",
	  .help = "Networks of proxies that send a PROXY protocol v2 header "
	      "with the client's address; from them it must be there." },
	{ "system_id", CONF_STR, CONF_ANY, CONF_RESTART, .dflt = "hopyard",
	  .max = 15, .help = "Our name in the answer to a bind." },
	{ "window", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "100", .min = 1,
	  .max = 1000,
	  .help = "Unanswered requests of one bind, either way, unless the "
	      "account says otherwise." },
	{ "hold", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "5s",
	  .min = MS(100), .max = SEC(600),
	  .help = "How long a submit_sm waits while the bus or the store is "
	      "away, before the answer is ESME_RMSGQFUL." },
	{ "bind_timeout", CONF_DURATION, CONF_ANY, CONF_RESTART,
	  .dflt = "10s", .min = MS(100), .max = SEC(600),
	  .help = "A connection without a bind is closed after this time." },
	{ "enquire_link", CONF_DURATION, CONF_ANY, CONF_RESTART,
	  .dflt = "30s", .min = MS(100), .max = HOUR(1),
	  .help = "Sent when nothing has come in for this long." },
	{ "response_timeout", CONF_DURATION, CONF_ANY, CONF_RESTART,
	  .dflt = "30s", .min = MS(100), .max = HOUR(1),
	  .help = "For the answer to deliver_sm; then it is sent again, on "
	      "another bind where there is one." },
	{ "max_connections", CONF_INT, CONF_ANY, CONF_RESTART,
	  .dflt = "10000", .min = 1, .max = 1000000,
	  .help = "Open connections." },
	{ "max_unbound", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "1024",
	  .min = 1, .max = 1000000,
	  .help = "Of them those without a bind." },
	{ "max_unbound_source", CONF_INT, CONF_ANY, CONF_RESTART,
	  .dflt = "10", .min = 1, .max = 1000000,
	  .help = "Of those as many from one address." },
	{ "auth_cache", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "10m",
	  .max = DAY(1),
	  .help = "How long a checked password is remembered, after its bind and "
	      "after the end of the session." },
	{ "unbind_rate", CONF_INT, CONF_ANY, CONF_LIVE, .dflt = "500",
	  .min = 1, .max = 1000000,
	  .help = "Sessions that are unbound in a second when the server stops, "
	      "so that not all of them come back at once; more where 15 "
	      "seconds would not do for all." },
	CELLS("whose accounts are served here as well"),
};
static TABLE(conf_table_smpps, "smpps", &conf_table_box,
    "SMPP server for customers.");

static const struct conf_row conf_table_admin_rows[] = {
	{ "listen", CONF_STR, CONF_LISTEN, CONF_RESTART,
	  .dflt = "127.0.0.1:13000", .help = "Where to listen." },
	{ "token", CONF_SECRET, CONF_ANY, CONF_RESTART,
	  .help = "Bearer token of the admin API; without one it answers only "
	      "health and metrics." },
};
static TABLE(conf_table_admin, "admin", &conf_table_box,
    "Health, metrics and the admin API.");

static const struct conf_row conf_table_errors_rows[] = {
	{ "retry", CONF_LIST, CONF_STATUS, CONF_REBIND,
	  .help = "Try again here later." },
	{ "reroute", CONF_LIST, CONF_STATUS, CONF_REBIND,
	  .help = "Try the next link of the route." },
	{ "fail", CONF_LIST, CONF_STATUS, CONF_REBIND, .help = "Final." },
	{ "throttle", CONF_LIST, CONF_STATUS, CONF_REBIND,
	  .help = "The bind pauses; not counted as an attempt." },
};
static TABLE(conf_table_errors, "errors", NULL,
    "What to do on a command_status of submit_sm_resp, by name "
    "(\"ESME_RTHROTTLED\") or number; others keep their built-in meaning.");

static const struct conf_row conf_table_coding_rows[] = {
	{ "encoding", CONF_STR, CONF_CHOICE, CONF_REBIND, .required = true,
	  .choices = "gsm7|latin1|ascii|ucs2|binary|cyrillic|hebrew",
	  .help = "What the octets are." },
	{ "value", CONF_INT, CONF_ANY, CONF_REBIND, .required = true,
	  .max = 255, .help = "The data_coding that this carrier means by it." },
};
static TABLE(conf_table_coding, "data_coding", NULL,
    "Values of data_coding that are not those of SMPP 3.4, in both directions; "
    "values with a message class or a waiting indication stay as they are.");

static const struct conf_row conf_table_tlv_rows[] = {
	{ "name", CONF_STR, CONF_NAME, CONF_REBIND, .required = true,
	  .help = "For people, in the answer when a required one is missing." },
	{ "tag", CONF_INT, CONF_ANY, CONF_REBIND, .required = true, .min = 1,
	  .max = 65535, .help = "The parameter, such as 0x1400." },
	{ "value", CONF_STR, CONF_ANY, CONF_REBIND, .max = 500,
	  .help = "Put in where the message has none; octets as \"hex:0a0b\"." },
	{ "required", CONF_BOOL, CONF_ANY, CONF_REBIND, .dflt = "false",
	  .help = "A message without it fails." },
	{ "account", CONF_LIST, CONF_NAME, CONF_REBIND, .dflt = "",
	  .help = "Only for messages of these accounts." },
	{ "drop", CONF_BOOL, CONF_ANY, CONF_REBIND, .dflt = "false",
	  .help = "Leave out what the message has." },
	{ "rename_to", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "0",
	  .max = 65535, .help = "Send it under this tag; 0: its own." },
};
static TABLE(conf_table_tlv, "tlv", NULL,
    "What is done with one optional parameter of a submit_sm; the rules are "
    "applied one after the other, each as drop, value, required, rename_to.");

static const struct conf_row conf_table_reason_rows[] = {
	{ "error", CONF_STR, CONF_ANY, CONF_REBIND, .required = true,
	  .max = 32,
	  .help = "err of a receipt as the carrier writes it, without leading "
	      "zeros, or the name of a command_status." },
	{ "reason", CONF_STR, CONF_ANY, CONF_REBIND, .required = true,
	  .max = 40,
	  .help = "The word that customers see: small letters, digits, \"_\"." },
};
static TABLE(conf_table_reason, "reason", NULL,
    "What a code of this carrier means; it wins over what is built in.");

static const struct conf_row conf_table_smppc_rows[] = {
	{ "host", CONF_LIST, CONF_PEER, CONF_REBIND, .required = true,
	  .help = "SMSC as \"host:port\"; further ones are used in this order "
	      "when the first is out of reach." },
	{ "system_id", CONF_STR, CONF_ANY, CONF_REBIND, .required = true,
	  .max = 15, .help = "Name to bind with." },
	{ "password", CONF_SECRET, CONF_ANY, CONF_REBIND,
	  .max = 8, .help = "Password to bind with." },
	{ "system_type", CONF_STR, CONF_ANY, CONF_REBIND, .dflt = "",
	  .max = 12, .help = "system_type of the bind." },
	{ "interface_version", CONF_STR, CONF_CHOICE, CONF_REBIND,
	  .dflt = "3.4", .choices = "3.3|3.4|5.0",
	  .help = "interface_version of the bind." },
	{ "bind", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "transceiver",
	  .choices = "transceiver|separate",
	  .help = "One bind for both directions, or a transmitter and a "
	      "receiver." },
	{ "sessions", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "1", .min = 1,
	  .max = 64, .help = "Binds at a time." },
	{ "window", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "10", .min = 1,
	  .max = 1000, .help = "Unanswered submit_sm of one bind." },
	{ "tps", CONF_INT, .dflt = "0", .max = 1000000,
	  .help = "Segments a second over all binds; 0: no limit." },
	{ "enquire_link", CONF_DURATION, CONF_ANY, CONF_REBIND, .dflt = "30s",
	  .min = MS(100), .max = HOUR(1),
	  .help = "Sent when nothing has come in for this long." },
	{ "response_timeout", CONF_DURATION, CONF_ANY, CONF_REBIND,
	  .dflt = "60s", .min = MS(100), .max = HOUR(1),
	  .help = "A bind that owes an answer for this long takes no more; it "
	      "has as long, but at most 10s, for enquire_link and unbind." },
	{ "late_limit", CONF_DURATION, CONF_ANY, CONF_REBIND, .dflt = "300s",
	  .min = MS(100), .max = DAY(1),
	  .help = "A bind that owes an answer for this long is closed and "
	      "the outcome is unknown." },
	{ "connect_timeout", CONF_DURATION, CONF_ANY, CONF_REBIND,
	  .dflt = "10s", .min = MS(100), .max = SEC(600),
	  .help = "For the connection and for the bind." },
	{ "reconnect", CONF_RANGE, CONF_ANY, CONF_REBIND, .dflt = "1s..60s",
	  .min = MS(10), .max = HOUR(1),
	  .help = "First and longest pause between two tries." },
	{ "source_ton", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "-1",
	  .min = -1, .max = 255,
	  .help = "source_addr_ton; -1: from the look of the sender." },
	{ "source_npi", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "-1",
	  .min = -1, .max = 255, .help = "source_addr_npi; -1: likewise." },
	{ "dest_ton", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "-1", .min = -1,
	  .max = 255,
	  .help = "dest_addr_ton; -1: from the look of the number." },
	{ "dest_npi", CONF_INT, CONF_ANY, CONF_REBIND, .dflt = "-1", .min = -1,
	  .max = 255, .help = "dest_addr_npi; -1: likewise." },
	{ "service_type", CONF_STR, CONF_ANY, CONF_REBIND, .dflt = "",
	  .max = 5, .help = "service_type of submit_sm." },
	{ "address_range", CONF_STR, CONF_ANY, CONF_REBIND, .dflt = "",
	  .max = 40, .help = "address_range of the bind." },
	{ "charset", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "gsm",
	  .choices = "gsm|latin1|utf8|ucs2",
	  .help = "What the SMSC means with data_coding 0." },
	{ "long_messages", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "udh",
	  .choices = "udh|payload|sar",
	  .help = "How a long message leaves: parts with a user data header, "
	      "one message_payload, or parts with sar TLVs." },
	{ "national", CONF_LIST, CONF_CHOICE, CONF_REBIND, .dflt = "",
	  .choices = "turkish|spanish|portuguese",
	  .help = "Languages whose shift tables a text may be sent in where "
	      "that takes fewer parts than UCS-2; needs charset \"gsm\" and "
	      "long_messages \"udh\"." },
	{ "msg_id_resp", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "string",
	  .choices = "string|hex|dec",
	  .help = "Form of message_id in submit_sm_resp." },
	{ "msg_id_dlr", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "string",
	  .choices = "string|hex|dec",
	  .help = "Form of the id in receipts." },
	{ "receipt_by_text", CONF_BOOL, CONF_ANY, CONF_REBIND,
	  .dflt = "false",
	  .help = "A deliver_sm that begins with \"id:\" and has a known stat "
	      "is a receipt even where neither esm_class nor TLVs say so." },
	{ "scope", CONF_STR, CONF_NAME, CONF_REBIND, .like = "name",
	  .help = "Links with the same scope match receipts for each other." },
	{ "schedule", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "hopyard",
	  .choices = "hopyard|smsc",
	  .help = "Who holds a message that is to be sent later; what the SMSC "
	      "holds was sent, and cannot be cancelled any more." },
	{ "data_coding", CONF_GROUPS, CONF_ANY, CONF_REBIND,
	  .sub = &conf_table_coding,
	  .help = "What values of data_coding mean to the SMSC." },
	{ "tlvs", CONF_GROUPS, CONF_ANY, CONF_REBIND, .sub = &conf_table_tlv,
	  .help = "Optional parameters that the SMSC wants or does not take; "
	      "others are passed on." },
	{ "errors", CONF_GROUP, CONF_ANY, CONF_REBIND, .always = true,
	  .sub = &conf_table_errors, .help = "What an error of the SMSC means." },
	{ "receipt_errors", CONF_STR, CONF_CHOICE, CONF_REBIND, .dflt = "smsc",
	  .choices = "smsc|gsm|smpp",
	  .help = "Whose numbers err of a receipt has: the SMSC's own, those "
	      "of MAP, or command_status." },
	{ "reasons", CONF_GROUPS, CONF_ANY, CONF_REBIND,
	  .sub = &conf_table_reason,
	  .help = "Words for the carrier's own error codes." },
	{ "throttle_hold", CONF_DURATION, .dflt = "10s", .min = MS(100),
	  .max = HOUR(1),
	  .help = "A message that is throttled keeps its place on the link for "
	      "this long; then it goes back to its queue." },
	{ "deliver_timeout", CONF_DURATION, .dflt = "8s", .min = MS(100),
	  .max = SEC(600),
	  .help = "A deliver_sm that is not stored in this time is answered "
	      "with nack_code; less than the carrier's own time-out." },
	{ "nack_code", CONF_STR, CONF_STATUS, CONF_REBIND,
	  .dflt = "ESME_RX_T_APPN",
	  .help = "Answer to a deliver_sm that cannot be stored now." },
	{ "our_host", CONF_STR, CONF_ANY, CONF_REBIND,
	  .help = "Local address to connect from, in numbers." },
	{ "source_autodetect", CONF_BOOL, CONF_ANY, CONF_REBIND,
	  .dflt = "true",
	  .help = "Letters in the sender make it alphanumeric." },
	{ "tls", CONF_BOOL, CONF_ANY, CONF_REBIND, .dflt = "false",
	  .help = "Connect with TLS, 1.2 or 1.3." },
	{ "tls_ca", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Authorities that may sign the SMSC's certificate, in PEM; "
	      "without it those of the system." },
	{ "tls_cert", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Our certificate and chain, in PEM, for an SMSC that asks "
	      "for one." },
	{ "tls_key", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Its private key, in PEM; read by nobody else." },
	{ "tls_crl", CONF_STR, CONF_ANY, CONF_LIVE,
	  .help = "Certificates that the authorities have revoked, in PEM." },
	{ "tls_name", CONF_STR, CONF_ANY, CONF_REBIND, .max = 253,
	  .help = "Name or address that must be in the SMSC's certificate; "
	      "without it the host that is dialled." },
	{ "tls_verify", CONF_BOOL, CONF_ANY, CONF_REBIND, .dflt = "true",
	  .help = "false: whoever answers is taken for the SMSC, and can read "
	      "the password and all messages." },
	CELLS("for which this link sends as well"),
};
static TABLE(conf_table_smppc, "smppc", &conf_table_box,
    "SMPP client: one carrier, which is called a link.");

static const struct conf_row conf_table_hook_rows[] = {
	{ "concurrency", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "1024",
	  .min = 1, .max = 65536, .help = "Requests at a time." },
	{ "per_endpoint", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "64",
	  .min = 1, .max = 65536,
	  .help = "Requests at a time to one host and port." },
	{ "timeout", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "15s",
	  .min = MS(100), .max = SEC(600), .help = "For one request." },
	{ "connect_timeout", CONF_DURATION, CONF_ANY, CONF_RESTART,
	  .dflt = "3s", .min = MS(100), .max = SEC(600),
	  .help = "For its connection." },
	{ "retry", CONF_DURATIONS, .dflt = "5s 30s 5m 30m 2h 5h 10h 10h",
	  .min = MS(100), .max = DAY(7),
	  .help = "Pauses between the attempts, more or less a fifth; after "
	      "the last the message is parked." },
	{ "allow", CONF_LIST, CONF_CIDR, CONF_RESTART, .dflt = "",
	  .help = "Networks that may be called although they are private, "
	      "such as \"127.0.0.1/32\"." },
	{ "ports", CONF_LIST, CONF_PORTS, CONF_RESTART, .dflt = "443 80 8443",
	  .help = "Ports that may be called." },
	{ "ca_file", CONF_STR, CONF_ANY, CONF_RESTART,
	  .help = "Certificates of authorities that are trusted besides those "
	      "of the system, in PEM." },
	{ "max_body", CONF_SIZE, CONF_ANY, CONF_RESTART, .dflt = "64KiB",
	  .min = KIB(1), .max = MIB(16),
	  .help = "How much of an answer is read." },
};
static TABLE(conf_table_hook, "hook", &conf_table_box,
    "HTTP to customers: delivery reports, incoming messages.");

static const struct conf_row conf_table_store_rows[] = {
	{ "dsn", CONF_SECRET, CONF_ANY, CONF_RESTART, .required = true,
	  .local = true,
	  .help = "PostgreSQL, as libpq reads it: \"host=/run/postgresql "
	      "dbname=hopyard\"; of a remote box \"file:\", \"env:\" or "
	      "\"cred:\", which it reads on its own host." },
	{ "durability", CONF_STR, CONF_CHOICE, CONF_RESTART, .dflt = "strict",
	  .choices = "strict|unsafe",
	  .help = "strict refuses a server that may lose commits." },
	{ "retention", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "400d",
	  .min = DAY(1), .max = DAY(36500),
	  .help = "How long the record of a message is kept." },
	{ "text_retention", CONF_DURATION, CONF_ANY, CONF_RESTART,
	  .dflt = "30d", .min = DAY(1), .max = DAY(36500),
	  .help = "How long its text is kept." },
	{ "batch_items", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "1024",
	  .min = 1, .max = 65536, .help = "Records of one commit." },
	{ "batch_bytes", CONF_SIZE, CONF_ANY, CONF_RESTART, .dflt = "1MiB",
	  .min = KIB(16), .max = MIB(64), .help = "Bytes of one commit." },
	{ "gather_us", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "500",
	  .max = 100000,
	  .help = "Microseconds to wait for more records when one commit is "
	      "already on its way; that an item was sent or told, for which "
	      "nobody waits, is committed with others within 5 ms." },
	{ "receipt_cache", CONF_INT, CONF_ANY, CONF_RESTART,
	  .dflt = "1000000", .min = 1000, .max = 100000000,
	  .help = "Sent parts kept in memory to match receipts." },
	{ "receipt_cache_bytes", CONF_SIZE, CONF_ANY, CONF_RESTART,
	  .dflt = "256MiB", .min = MIB(1), .max = GIB(64),
	  .help = "The same in bytes." },
	{ "sweep", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "10s",
	  .min = MS(100), .max = HOUR(1),
	  .help = "How often overdue messages are looked for." },
	{ "migrate", CONF_BOOL, CONF_ANY, CONF_RESTART, .dflt = "false",
	  .help = "Bring the schema up to date at the start." },
	{ "cell", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "1", .min = 1,
	  .max = 65535, .help = "Number of the cell that this store is of." },
	{ "witness", CONF_STR, CONF_ANY, CONF_RESTART,
	  .help = "File in which is noted how far records were confirmed, so "
	      "that a database without the last of them is found out by a bus "
	      "that was started since; on a disk of this host; empty: "
	      "NAME.witness beside the socket of the bus, where that is a Unix "
	      "socket, and none elsewhere." },
};
static TABLE(conf_table_store, "store", &conf_table_box,
    "The only box with database credentials.");

static const struct conf_row conf_table_exec_rows[] = {
	{ "program", CONF_LIST, CONF_ANY, CONF_RESTART, .required = true,
	  .help = "The program, with its whole path, and its arguments; no "
	      "shell is between." },
	{ "env", CONF_LIST, CONF_ANY, CONF_RESTART, .dflt = "",
	  .help = "What it has in its environment (\"KEY=value\") beside PATH, "
	      "LANG and HOPYARD_NAME; shown to operators: of a secret name the "
	      "file." },
	{ "processes", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "1", .min = 1,
	  .max = 256, .help = "So many copies of it run." },
	{ "window", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "16", .min = 1,
	  .max = 4096,
	  .help = "Messages that one copy has at a time; 1 for a program that "
	      "must have each answered before the next." },
	{ "timeout", CONF_DURATION, CONF_ANY, CONF_RESTART, .dflt = "30s",
	  .min = MS(50), .max = HOUR(1),
	  .help = "A copy that does not answer for so long is killed and "
	      "started again." },
	{ "restart", CONF_RANGE, CONF_ANY, CONF_RESTART, .dflt = "100ms..10s",
	  .min = MS(10), .max = HOUR(1),
	  .help = "Pause before a copy that has ended is started again: the "
	      "first, doubled up to the second." },
};
static TABLE(conf_table_exec, "exec", &conf_table_box,
    "Any program that speaks lines of JSON, as a filter or connector; role "
    "says which.");

static const struct conf_row conf_table_lua_rows[] = {
	{ "script", CONF_STR, CONF_ANY, CONF_LIVE, .required = true,
	  .help = "File with the script, with its whole path; a reload reads "
	      "it again, and keeps the old one when it does not fit." },
	{ "memory", CONF_SIZE, CONF_ANY, CONF_LIVE, .dflt = "16MiB",
	  .min = KIB(256), .max = GIB(1),
	  .help = "All that the script has, its own lists among it." },
	{ "instructions", CONF_INT, CONF_ANY, CONF_LIVE, .dflt = "1000000",
	  .min = 1000, .max = 1000000000,
	  .help = "Instructions of Lua's machine for one message." },
	{ "timeout", CONF_DURATION, CONF_ANY, CONF_LIVE, .dflt = "50ms",
	  .min = MS(1), .max = SEC(5),
	  .help = "Time for one message, as far as the deadline of its rule "
	      "leaves any." },
	{ "window", CONF_INT, CONF_ANY, CONF_RESTART, .dflt = "256", .min = 1,
	  .max = 8192, .help = "Messages that wait here at a time." },
};
static TABLE(conf_table_lua, "lua", &conf_table_box,
    "A filter that is a script in Lua 5.4, with limits.");

static const struct conf_row conf_table_webhook_rows[] = {
	{ "url", CONF_STR, CONF_URL, .required = true,
	  .help = "Where JSON events go." },
	{ "secret", CONF_SECRET,
	  .help = "Key of the signature, as Standard Webhooks write it: "
	      "\"whsec_\" and base64." },
	{ "events", CONF_LIST, CONF_NAME, .dflt = "",
	  .help = "Only these events; empty: all." },
};
static TABLE(conf_table_webhook, "webhook", NULL, "JSON events.");

static const struct conf_row conf_table_account_rows[] = {
	{ "id", CONF_STR, CONF_NAME, .required = true,
	  .help = "Unique name of the customer." },
	{ "username", CONF_STR, CONF_ANY,
	  .help = "For sendsms, and the system_id of a bind; without one "
	      "there is no login by password." },
	{ "password", CONF_SECRET,
	  .help = "As a hash of crypt(3) (\"$y$...\") or in clear." },
	{ "api_keys", CONF_LIST, CONF_SHA256, .dflt = "",
	  .help = "SHA-256 of each key, in hex." },
	{ "class", CONF_STR, CONF_CHOICE, .dflt = "txn",
	  .choices = "otp|alert|txn|bulk",
	  .help = "Traffic class, unless route or request say otherwise." },
	{ "tps", CONF_INT, .dflt = "0", .max = 1000000,
	  .help = "Messages a second; 0: no limit." },
	{ "from", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Senders that may be used, \"*\" at the end for a prefix; "
	      "empty: any." },
	{ "to", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Destinations that may be used, likewise; empty: any." },
	{ "default_from", CONF_STR, CONF_ANY,
	  .max = 20, .help = "Sender of a request that names none." },
	{ "max_parts", CONF_INT, .dflt = "10", .min = 1, .max = 255,
	  .help = "Longest message." },
	{ "dlr_url", CONF_STR, CONF_URL,
	  .help = "Delivery reports go here when a request names no URL." },
	{ "callbacks", CONF_LIST, CONF_URL, .dflt = "",
	  .help = "A dlr-url must start with one of these; empty: any that "
	      "the hook box may call." },
	{ "source", CONF_LIST, CONF_CIDR, .dflt = "",
	  .help = "Networks that requests may come from; empty: any." },
	{ "disabled", CONF_BOOL, .dflt = "false",
	  .help = "Every request is refused." },
	{ "moved", CONF_STR, CONF_NAME,
	  .help = "The cell that the account has gone to: front ends that serve "
	      "both ask for it there from now on, and what was accepted here "
	      "is brought to its end; see hopctl(1), accounts move." },
	{ "webhook", CONF_GROUP, .sub = &conf_table_webhook,
	  .help = "JSON events for reports and incoming messages." },
	{ "hook", CONF_STR, CONF_NAME,
	  .help = "Box that calls this customer; the first hook box." },
	{ "smpp", CONF_BOOL, .dflt = "true", .help = "May bind by SMPP." },
	{ "max_binds", CONF_INT, .dflt = "10", .max = 10000,
	  .help = "Binds at a time, over all SMPP servers; 0: no limit." },
	{ "window", CONF_INT, .dflt = "0", .max = 1000,
	  .help = "Unanswered requests of one bind, either way; 0: as the "
	      "box says." },
	{ "require_tls", CONF_BOOL, .dflt = "false",
	  .help = "A bind without TLS is refused." },
	{ "message_id", CONF_STR, CONF_CHOICE, .dflt = "uuid",
	  .choices = "uuid|hex|dec",
	  .help = "Form of message_id towards SMPP customers: as in our logs, "
	      "the same without dashes, or as a decimal number." },
	{ "charset", CONF_STR, CONF_CHOICE, .dflt = "gsm",
	  .choices = "gsm|latin1|utf8|ucs2",
	  .help = "What this customer means with data_coding 0." },
};
static TABLE(conf_table_account, "account", NULL,
    "Customers who may send messages.");

static const struct conf_row conf_table_route_rows[] = {
	{ "name", CONF_STR, CONF_NAME, .required = true,
	  .help = "Unique name, in logs and timelines." },
	{ "to", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Destinations: \"49*\" is a prefix; empty: any." },
	{ "from", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Senders, likewise." },
	{ "account", CONF_LIST, CONF_NAME, .dflt = "",
	  .help = "Accounts; empty: any." },
	{ "via", CONF_LIST, CONF_NAME, .required = true,
	  .help = "Links in the order in which they are tried." },
	{ "tag", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Words of filters, one of which it must have; empty: any "
	      "or none." },
	{ "class", CONF_STR, CONF_CHOICE, .choices = "otp|alert|txn|bulk",
	  .help = "Traffic class instead of the account's." },
};
static TABLE(conf_table_route, "route", NULL,
    "Where messages go; the first route that matches.");

static const struct conf_row conf_table_inbound_rows[] = {
	{ "name", CONF_STR, CONF_NAME, .required = true,
	  .help = "Unique name, in logs and timelines." },
	{ "link", CONF_LIST, CONF_NAME, .dflt = "",
	  .help = "Links that it came from; empty: any." },
	{ "to", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Our numbers: \"49*\" is a prefix; empty: any." },
	{ "from", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Senders, likewise." },
	{ "keyword", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "First word of the text, in either case; empty: any." },
	{ "account", CONF_STR, CONF_NAME, .required = true,
	  .help = "Whose message it is." },
	{ "url", CONF_STR, CONF_URL,
	  .help = "Called by GET, with the escapes of Kannel's sms-service." },
	{ "webhook", CONF_BOOL, .dflt = "false",
	  .help = "JSON event to the webhook of the account." },
	{ "smpp", CONF_BOOL, .dflt = "false",
	  .help = "deliver_sm to the receiver binds of the account." },
	{ "join", CONF_BOOL, .dflt = "true",
	  .help = "The parts of a long message are joined before it goes to a "
	      "URL or webhook; a bind gets them as they came." },
	{ "reply", CONF_BOOL, .dflt = "false",
	  .help = "The text of the answer goes back to the handset." },
	{ "hook", CONF_STR, CONF_NAME,
	  .help = "Box that makes the call; that of the account." },
};
static TABLE(conf_table_inbound, "inbound", NULL,
    "Where messages from handsets go; the first rule that matches.");

static const struct conf_row conf_table_filter_rows[] = {
	{ "name", CONF_STR, CONF_NAME, .required = true, .max = 63,
	  .help = "Unique name, in logs and metrics; the box is told it." },
	{ "box", CONF_STR, CONF_NAME, .required = true,
	  .help = "The box that is asked; its role is filter." },
	{ "direction", CONF_STR, CONF_CHOICE, .dflt = "mt",
	  .choices = "mt|mo|both",
	  .help = "mt: messages of customers; mo: those from handsets, each "
	      "part of a long one by itself." },
	{ "to", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Destinations: \"49*\" is a prefix; empty: any." },
	{ "from", CONF_LIST, CONF_PREFIX, .dflt = "",
	  .help = "Senders, likewise." },
	{ "account", CONF_LIST, CONF_NAME, .dflt = "",
	  .help = "Accounts; empty: any; a message from a handset has none." },
	{ "class", CONF_LIST, CONF_CHOICE, .dflt = "",
	  .choices = "otp|alert|txn|bulk",
	  .help = "Classes; empty: any; a message from a handset has none." },
	{ "deadline", CONF_DURATION, .dflt = "100ms", .min = MS(5),
	  .max = SEC(10),
	  .help = "How long a message waits for the verdict." },
	{ "default", CONF_STR, CONF_CHOICE, .dflt = "pass",
	  .choices = "pass|reject|later",
	  .help = "The verdict when there is none: pass, reject for good, or "
	      "later, which makes the sender try again." },
	{ "failures", CONF_INT, .dflt = "5", .min = 1, .max = 10000,
	  .help = "After so many messages in a row without a verdict the "
	      "default is taken at once, until the filter answers again; "
	      "what the filter itself gives up at one instant counts once." },
	{ "probe", CONF_DURATION, .dflt = "1s", .min = MS(20), .max = HOUR(1),
	  .help = "How often a filter that does not answer is asked whether it "
	      "does." },
	{ "cache", CONF_INT, .dflt = "10000", .min = 0, .max = 10000000,
	  .help = "Verdicts that the bus keeps where the filter allows it; "
	      "each takes up to 800 bytes. 0: none." },
	{ "content", CONF_BOOL, .dflt = "true",
	  .help = "Whether the filter is given the text." },
};
static TABLE(conf_table_filter, "filter", NULL,
    "Which messages a filter is asked about before they are accepted; all that "
    "match, in this order.");

static const struct conf_row conf_table_cell_rows[] = {
	{ "name", CONF_STR, CONF_NAME, CONF_RESTART, .required = true,
	  .help = "Unique name, for the boxes that serve it as well." },
	{ "bus", CONF_LIST, CONF_ANY, CONF_RESTART, .required = true,
	  .help = "Where its bus is, a Unix socket or \"host:port\"; those of a "
	      "pair are tried in turn." },
	{ "certs", CONF_STR, CONF_ANY, CONF_RESTART,
	  .help = "For a bus on TCP: folder with NAME.crt, NAME.key and ca.crt; "
	      "without it that of the box, /etc/hopyard/certs." },
	{ "inbound", CONF_LIST, CONF_PREFIX, CONF_RESTART, .dflt = "",
	  .help = "Messages from handsets to these numbers go from a connector "
	      "to this cell, \"*\" at the end for a prefix; all others stay "
	      "in the connector's own." },
};
static TABLE(conf_table_cell, "cell", NULL,
    "Other cells: buses with accounts and a store of their own, which boxes of "
    "this file serve as well.");

static const struct conf_row conf_table_root_rows[] = {
	{ "node", CONF_STR, CONF_NAME, CONF_BUS, .dflt = "hop1",
	  .help = "Name of this installation." },
	{ "include", CONF_LIST, CONF_ANY, CONF_LIVE, .dflt = "",
	  .help = "Further files, relative to this one, \"conf.d/*.cfg\"; "
	      "their lists are appended." },
	{ "log", CONF_GROUP, .always = true, .sub = &conf_table_log,
	  .help = "The log of every process." },
	{ "bus", CONF_GROUP, .always = true, .sub = &conf_table_bus,
	  .help = "The message bus." },
	{ "boxes", CONF_GROUPS, CONF_ANY, CONF_RESTART, .sub = &conf_table_box,
	  .help = "The processes around the bus." },
	{ "cells", CONF_GROUPS, CONF_ANY, CONF_RESTART, .sub = &conf_table_cell,
	  .help = "Other cells, which boxes of this file serve as well." },
	{ "accounts", CONF_GROUPS, .sub = &conf_table_account,
	  .help = "Customers who may send messages." },
	{ "routes", CONF_GROUPS, .sub = &conf_table_route,
	  .help = "Where messages go; the first route that matches." },
	{ "filters", CONF_GROUPS, .sub = &conf_table_filter,
	  .help = "Which messages a filter is asked about before they are "
	      "accepted; all that match, in this order." },
	{ "inbound", CONF_GROUPS, .sub = &conf_table_inbound,
	  .help = "Where messages from handsets go; the first rule that "
	      "matches." },
};
TABLE(conf_table_root, "top level", NULL, "The whole file.");

/* clang-format on */

const struct conf_table *const conf_box_tables[] = {
	&conf_table_http,
	&conf_table_smpps,
	&conf_table_admin,
	&conf_table_smppc,
	&conf_table_hook,
	&conf_table_store,
	&conf_table_exec,
	&conf_table_lua,
	NULL,
};

size_t
conf_table_len(const struct conf_table *t)
{
	return t->count + (t->base != NULL ? t->base->count : 0);
}

const struct conf_row *
conf_table_row(const struct conf_table *t, size_t i)
{
	size_t base = t->base != NULL ? t->base->count : 0;

	return i < base ? &t->base->rows[i] : &t->rows[i - base];
}

int
conf_table_find(const struct conf_table *t, const char *key, size_t len)
{
	size_t n = conf_table_len(t), i;

	for (i = 0; i < n; i++) {
		const char *k = conf_table_row(t, i)->key;

		if (strncmp(k, key, len) == 0 && k[len] == '\0')
			return (int)i;
	}
	return -1;
}

const struct conf_table *
conf_table_of_type(const char *type)
{
	size_t i;

	for (i = 0; conf_box_tables[i] != NULL; i++)
		if (strcmp(conf_box_tables[i]->name, type) == 0)
			return conf_box_tables[i];
	return NULL;
}
