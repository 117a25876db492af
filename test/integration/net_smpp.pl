#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# net_smpp.pl esme PORT | smsc PORT - both ends of SMPP by Net::SMPP; a line
# of JSON on standard output for each thing that happens.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Net::SMPP;

$| = 1;
my ($role, $port) = @ARGV;
my $json = JSON::PP->new->canonical->latin1;

sub say_event {
	my ($event, %more) = @_;
	print $json->encode({ ev => $event, %more }), "\n";
}

# Submits, waits for the receipts, asks for the link, leaves.
sub esme {
	my ($smpp, $answer) = Net::SMPP->new_transceiver('127.0.0.1',
	    port => $port, system_id => 'perl',
	    password => $ENV{SMPP_PASSWORD} || 'perl',
	    interface_version => 0x34, async => 0)
	    or die "bind: $!";
	say_event('bound', status => $answer->{status},
	    system_id => $answer->{system_id});
	for my $text ('Hello', 'second', 'a' x 254) {
		my $r = $smpp->submit_sm(source_addr => 'PERL',
		    source_addr_ton => 5, destination_addr => '4915144000001',
		    registered_delivery => 1, short_message => $text);
		say_event('submitted', status => $r->{status},
		    id => $r->{message_id});
	}
	my $r = $smpp->submit_sm(source_addr => '1234',
	    destination_addr => '4915144000001', short_message => '',
	    message_payload => 'long ' x 100);
	say_event('payload', status => $r->{status}, id => $r->{message_id});
	for (1 .. 3) {
		my $pdu = $smpp->read_pdu() or die 'no receipt';
		redo if $pdu->{cmd} != Net::SMPP::CMD_deliver_sm;
		say_event('receipt', text => $pdu->{short_message},
		    esm_class => $pdu->{esm_class});
		$smpp->deliver_sm_resp(seq => $pdu->{seq}, message_id => '');
	}
	$r = $smpp->enquire_link();
	say_event('enquired', status => $r->{status});
	$r = $smpp->query_sm(message_id => 'nonesuch');
	say_event('queried', status => $r->{status});
	$r = $smpp->unbind();
	say_event('unbound', status => $r->{status});
}

# One client after another.
sub smsc {
	my $listener = Net::SMPP->new_listen('127.0.0.1', port => $port)
	    or die "listen: $!";
	say_event('listening');
	while (my $smpp = $listener->accept) {
		my $ids = 0;
		while (my $pdu = $smpp->read_pdu()) {
			last unless answer($smpp, $pdu, \$ids);
		}
		$smpp->close;
		say_event('closed');
	}
}

sub answer {
	my ($smpp, $pdu, $ids) = @_;
	my $cmd = $pdu->{cmd};
	my $seq = $pdu->{seq};

	if ($cmd == Net::SMPP::CMD_bind_transceiver) {
		say_event('bind', system_id => $pdu->{system_id},
		    password => $pdu->{password},
		    version => $pdu->{interface_version});
		$smpp->bind_transceiver_resp(seq => $seq, system_id => 'perl');
	} elsif ($cmd == Net::SMPP::CMD_enquire_link) {
		say_event('enquire_link');
		$smpp->enquire_link_resp(seq => $seq);
	} elsif ($cmd == Net::SMPP::CMD_unbind) {
		say_event('unbind');
		$smpp->unbind_resp(seq => $seq);
		return 0;
	} elsif ($cmd == Net::SMPP::CMD_submit_sm) {
		my $id = sprintf 'perl-%d', ++$$ids;
		say_event('submit', id => $id,
		    map { $_ => $pdu->{$_} } qw(source_addr destination_addr
		    short_message data_coding esm_class registered_delivery));
		$smpp->submit_sm_resp(seq => $seq, message_id => $id);
		receipt($smpp, $pdu, $id) if $pdu->{registered_delivery};
	} elsif ($cmd == Net::SMPP::CMD_deliver_sm_resp) {
		say_event('receipt', status => $pdu->{status});
	} else {
		say_event('unknown', cmd => $cmd);
	}
	return 1;
}

sub receipt {
	my ($smpp, $pdu, $id) = @_;

	$smpp->deliver_sm(async => 1, esm_class => 4,
	    source_addr => $pdu->{destination_addr},
	    destination_addr => $pdu->{source_addr},
	    short_message => "id:$id sub:001 dlvrd:001 submit date:2611221900"
	    . " done date:2611221901 stat:DELIVRD err:000 text:");
}

if ($role eq 'esme') { esme() } else { smsc() }
