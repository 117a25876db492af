#!/usr/bin/env node
// SPDX-License-Identifier: BSD-2-Clause
//
// A connector box in Node.js with npm's protobufjs, made from bus.proto alone
// (hopyard-protocol(7)).  Its carrier is nobody: each message is taken at once.
// What the bus has not settled is kept in memory and repeated.
'use strict';

const crypto = require('crypto');
const net = require('net');
const path = require('path');
const protobuf = require('protobufjs');

const WINDOW = 256, BYTES = 1 << 20;	// what we take on at a time
const MAX_FRAME = 1 << 18, MAY_SKIP = 1;
const { HOPYARD_BUS: BUS, HOPYARD_NAME: NAME, HOPYARD_TYPE: TYPE } = process.env;
const pb = protobuf.loadSync(path.join(process.env.HOPYARD_PROTO ||
    path.join(__dirname, '../../proto'), 'hopyard/v1/bus.proto'))
    .lookup('hopyard.v1');
const T = pb.FrameType;
const instance = crypto.randomBytes(16);

let epoch;			// of the last WELCOME
let outbox = [];		// items that the bus has not settled, in order
let stopping = false;
let box;			// the connection

// int64 may come as Long where that package is there.
const number = (x) => Number(x || 0);

class Link {
	constructor() {
		this.input = Buffer.alloc(0);
		this.sent = 0;		// items of the outbox that went out here
		this.settled = 0;
		this.used = 0;
		this.got = { items: 0, bytes: 0 };
		this.credit = { items: 0, bytes: 0 };
		this.welcome = false;
		this.inHand = false;
		this.socket = net.connect(BUS);
		this.socket.on('connect', () => this.send(T.HELLO, pb.Hello, {
			protoMin: 1, protoMax: 1, name: NAME, type: TYPE, instance,
			pid: process.pid, lastEpoch: epoch }));
		this.socket.on('data', (data) => this.read(data));
		this.socket.on('error', () => {});
		this.socket.on('close', () => {
			if (!stopping)
				setTimeout(() => { box = new Link(); }, 200);
		});
	}

	send(type, message, fields, correlation = 0) {
		const data = message ? message.encode(fields).finish() : [];
		const header = Buffer.alloc(16);

		header.writeUInt32LE(data.length, 0);
		header.writeUInt16LE(type, 4);
		header.writeBigUInt64LE(BigInt(correlation), 8);
		this.socket.write(Buffer.concat([header, Buffer.from(data)]));
	}

	read(data) {
		this.input = Buffer.concat([this.input, data]);
		while (this.input.length >= 16) {
			const size = this.input.readUInt32LE(0);

			if (size > MAX_FRAME)
				return this.socket.destroy();
			if (this.input.length < 16 + size)
				return undefined;
			const frame = this.input.subarray(0, 16 + size);
			this.input = this.input.subarray(16 + size);
			try {
				this.frame(frame.readUInt16LE(4), frame.readUInt16LE(6),
				    frame.readBigUInt64LE(8), frame.subarray(16));
			} catch (error) {	// it does not parse
				console.error('echo_connector:', error.message);
				return this.socket.destroy();
			}
		}
		return undefined;
	}

	frame(type, flags, correlation, data) {
		switch (type) {
		case T.WELCOME:
			epoch = number(pb.Welcome.decode(data).epoch);
			this.welcome = true;
			outbox.sort((a, b) => a.type - b.type);	// results first
			break;
		case T.CREDIT: {
			const c = pb.Credit.decode(data);
			this.credit = { items: number(c.items), bytes: number(c.bytes) };
			break;
		}
		case T.DELIVER:
			pb.Items.decode(data).item.forEach((item) => this.deliver(item));
			break;
		case T.ACK:
			// One that is refused would be an error of ours.
			for (const a = pb.Ack.decode(data); this.settled < number(a.upto);
			    this.settled++)
				outbox.shift();
			break;
		case T.PING:
			this.send(T.PONG, null, null, correlation);
			break;
		case T.PONG: case T.BYE: case T.RECALL: case T.NAK:
			break;
		default:
			if (!(flags & MAY_SKIP))
				this.send(T.NAK, pb.Nak, { type,
					correlation: number(correlation),
					code: pb.Nak.Code.UNKNOWN_TYPE }, correlation);
		}
		this.flush();
	}

	deliver(item) {
		const message = pb.Envelope.decode(item.envelope);
		const ref = pb.Dispatch.decode(item.context).ref;
		const smscId = Buffer.from(Buffer.from(message.id).toString('hex'));

		this.got.items++;
		for (const field of ['envelope', 'body', 'report', 'context'])
			this.got.bytes += item[field] ? item[field].length : 0;
		outbox.push({ type: T.RESULT, envelope: pb.Result.encode({ ref,
			id: message.id, code: pb.Result.Code.OK, parts: 1,
			part: [{ part: 1, smscId }] }).finish() });
	}

	// Send what the bus takes, then grant it what we can take.
	flush() {
		if (!this.welcome)
			return;
		for (const item of outbox.slice(this.sent - this.settled)) {
			this.used += item.envelope.length;
			if (this.sent === this.credit.items || this.used > this.credit.bytes) {
				this.used -= item.envelope.length;
				break;
			}
			this.send(item.type, pb.Items, { first: ++this.sent,
				item: [{ envelope: item.envelope }] });
		}
		if (!this.inHand && this.sent - this.settled < outbox.length)
			return;		// those of the connection before go first
		if (!this.inHand) {
			this.inHand = true;
			this.send(T.IN_HAND, pb.InHand, {});
			this.send(T.LINK_STATE, pb.LinkState, { state: pb.LinkState.Link.UP });
			this.granted = 0;
		}
		if (stopping && outbox.length === 0) {
			this.send(T.BYE, pb.Bye, { reason: 'asked to stop' });
			this.socket.end();
		} else if (!stopping) {
			this.granted = Math.max(this.granted,
			    this.got.items + WINDOW - outbox.length);
			this.send(T.CREDIT, pb.Credit, { items: this.granted,
				bytes: this.got.bytes + BYTES });
		}
	}
}

process.on('SIGTERM', () => {
	stopping = true;
	box.flush();
	if (!box.welcome)
		process.exit(0);
});
box = new Link();
