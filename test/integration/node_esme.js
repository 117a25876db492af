// SPDX-License-Identifier: BSD-2-Clause
//
// node_esme.js URL - a customer made of node-smpp.  Orders come as lines of
// JSON on stdin, each with the name of a PDU and its fields; a line of JSON on
// stdout says what the answer was, and what came unasked:
//
//	{"send": "bind_transceiver", "as": "b1", "pdu": {"system_id": "x"}}
//	{"ev": "answer", "as": "b1", "command": "bind_transceiver_resp", ...}
//
// "times": N sends it so often, with %n counting in short_message.  deliver_sm
// is answered with the status of the latest {"status": N}, or not at all after
// {"mute": true}.
'use strict';

const readline = require('readline');
const smpp = require('smpp');

let status = smpp.ESME_ROK;
let mute = false;

function say(event, more) {
	process.stdout.write(JSON.stringify({ ev: event, ...more }) + '\n');
}

function plain(value) {
	if (Buffer.isBuffer(value))
		return value.toString('hex');
	if (value instanceof Date)
		return value.toISOString();
	if (Array.isArray(value))
		return value.map(plain);
	if (value && typeof value === 'object')
		return Object.fromEntries(Object.entries(value)
		    .map(([k, v]) => [k, plain(v)]));
	return value;
}

// The fields of a PDU that are worth a line.
function fields(pdu) {
	const out = {};

	for (const key of Object.keys(pdu))
		if (!key.startsWith('_') && key !== 'command_length')
			out[key] = plain(pdu[key]);
	return out;
}

const session = smpp.connect({ url: process.argv[2],
	rejectUnauthorized: false }, () => say('connected'));

session.on('deliver_sm', (pdu) => {
	say('deliver_sm', fields(pdu));
	if (!mute)
		session.send(pdu.response({ command_status: status }));
});
session.on('enquire_link', (pdu) => {
	say('enquire_link');
	session.send(pdu.response());
});
session.on('unbind', (pdu) => {
	say('unbind');
	session.send(pdu.response());
	session.close();
});
session.on('unknown', (pdu) => say('unknown', fields(pdu)));
session.on('error', (e) => say('error', { message: e.message }));
session.on('close', () => say('closed'));

function send(order, n) {
	const pdu = JSON.parse(JSON.stringify(order.pdu || {}), (k, v) =>
	    typeof v === 'string' && v.startsWith('hex:') ?
	    Buffer.from(v.slice(4), 'hex') : v);

	if (typeof pdu.short_message === 'string')
		pdu.short_message = pdu.short_message.replace('%n', n);
	session[order.send](pdu, (answer) => say('answer',
	    { as: order.as, n, ...fields(answer) }));
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	const order = JSON.parse(line);

	if (order.status !== undefined)
		status = order.status;
	if (order.mute !== undefined)
		mute = order.mute;
	for (let n = 0; order.send && n < (order.times || 1); n++)
		send(order, n);
	if (order.close)
		session.close();
}).on('close', () => process.exit(0));
