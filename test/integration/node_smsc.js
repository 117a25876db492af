// SPDX-License-Identifier: BSD-2-Clause
//
// node_smsc.js PORT - an SMSC made of node-smpp.  A line of JSON on stdout for
// each PDU that comes in, orders as lines of JSON on stdin:
//
//	{"deliver": {"source_addr": "49...", "short_message": "..."}}
//	{"enquire": true}	{"unbind": true}
//
// Texts that start with "throttle" are throttled the first time.
'use strict';

const readline = require('readline');
const smpp = require('smpp');

const sessions = new Set();
const throttled = new Set();
let ids = 0;

function say(event, more) {
	process.stdout.write(JSON.stringify({ ev: event, ...more }) + '\n');
}

function text_of(pdu) {
	const m = pdu.short_message || {};

	return {
		text: typeof m.message === 'string' ? m.message : undefined,
		octets: Buffer.isBuffer(m.message) ? m.message.toString('hex')
		    : undefined,
		udh: (m.udh || []).map((x) => x.toString('hex')),
	};
}

function bind(session, pdu) {
	const good = pdu.password === 'secret';

	session.bound = good;
	say('bind', { command: pdu.command, system_id: pdu.system_id,
		interface_version: pdu.interface_version, good });
	session.send(pdu.response({ system_id: 'node', command_status:
	    good ? smpp.ESME_ROK : smpp.ESME_RINVPASWD }));
}

function receipt(session, pdu, id) {
	const stat = pdu.destination_addr.endsWith('9') ? 'UNDELIV' : 'DELIVRD';

	session.deliver_sm({
		esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
		source_addr: pdu.destination_addr,
		destination_addr: pdu.source_addr,
		receipted_message_id: id,
		message_state: smpp.MESSAGE_STATE[
		    stat === 'DELIVRD' ? 'DELIVERED' : 'UNDELIVERABLE'],
		short_message: `id:${id} sub:001 dlvrd:001 submit date:` +
		    `2611221900 done date:2611221901 stat:${stat} err:000 text:`,
	}, (answer) => say('receipt', { id, status: answer.command_status }));
}

function submit(session, pdu) {
	const what = text_of(pdu);
	const text = what.text || '';
	const id = (0xa0000 + ++ids).toString(16);
	let status = smpp.ESME_ROK;

	if (text.startsWith('throttle') && !throttled.has(text)) {
		throttled.add(text);
		status = smpp.ESME_RTHROTTLED;
	}
	say('submit', { ...what, status, id, source: pdu.source_addr,
		destination: pdu.destination_addr, source_ton:
		pdu.source_addr_ton, data_coding: pdu.data_coding,
		esm_class: pdu.esm_class, registered: pdu.registered_delivery });
	session.send(pdu.response(status === smpp.ESME_ROK ?
	    { message_id: id } : { command_status: status }));
	if (status === smpp.ESME_ROK && (pdu.registered_delivery & 3) === 1)
		receipt(session, pdu, id);
}

const server = smpp.createServer((session) => {
	sessions.add(session);
	session.on('bind_transceiver', (pdu) => bind(session, pdu));
	session.on('bind_transmitter', (pdu) => bind(session, pdu));
	session.on('bind_receiver', (pdu) => bind(session, pdu));
	session.on('submit_sm', (pdu) => submit(session, pdu));
	session.on('enquire_link', (pdu) => {
		say('enquire_link');
		session.send(pdu.response());
	});
	session.on('unbind', (pdu) => {
		say('unbind');
		session.send(pdu.response());
		session.close();
	});
	session.on('unknown', (pdu) => say('unknown', { pdu }));
	session.on('error', (e) => say('error', { message: e.message }));
	session.on('close', () => sessions.delete(session));
});

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	const order = JSON.parse(line);

	for (const session of sessions) {
		if (!session.bound)
			continue;
		if (order.deliver)
			session.deliver_sm(order.deliver, (pdu) => say('delivered',
			    { status: pdu.command_status }));
		else if (order.enquire)
			session.enquire_link({}, (pdu) => say('enquired',
			    { status: pdu.command_status }));
		else if (order.unbind)
			session.unbind({}, (pdu) => {
				say('unbound', { status: pdu.command_status });
				session.close();
			});
		break;
	}
}).on('close', () => process.exit(0));

server.listen(Number(process.argv[2]), '127.0.0.1',
    () => say('listening'));
