/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What happens to TCP sockets, one record each, in a ring buffer that user space empties; what finds it full is counted. */
#ifndef FLOWGAUGE_EVENTS_H
#define FLOWGAUGE_EVENTS_H

#include "attribution.h"
#include "pods.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* bytes */
} socket_events SEC(".maps");

/* So that the object's type information has the record, which no map names. */
const struct socket_event *const record_of_socket_events SEC(".rodata.record");

/* Whether what happens to a socket with these ends is told; netns: as loopback_elsewhere. */
static __always_inline bool is_told(const struct flow_key *key, struct sock *sk, __u32 netns)
{
	if (!netns)
		return !flow_left_out(key, false);
	return !ruled_out(key, false) && is_pod_told(BPF_CORE_READ(sk, __sk_common.skc_net.net));
}

static __always_inline void emit(struct sock *sk, __u32 kind, __u32 state)
{
	struct socket_owner *socket = bpf_sk_storage_get(&socket_owners, sk, 0, 0);
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct socket_event *event;
	struct flow_key key = {};
	__u32 netns;

	if (!tcp || !ends_of_socket(&key, &sk->__sk_common, bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport)))
		return;
	if (!key.src_port || (!key.dst_port && kind != SOCKET_LISTENING))
		return; /* never connected */
	netns = loopback_elsewhere(&key, &sk->__sk_common);
	if (!is_told(&key, sk, netns))
		return;
	event = bpf_ringbuf_reserve(&socket_events, sizeof(*event), 0);
	if (!event) {
		COUNT_SIGNAL(events_full);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->key = key;
	event->netns = netns;
	event->at_ns = bpf_ktime_get_ns();
	if (socket) {
		event->began_ns = socket->began_ns;
		event->owner = socket->owner;
		event->initiator = socket->initiator;
	}
	event->rtt_us = tcp->srtt_us >> 3;
	event->retransmits = tcp->total_retrans;
	event->kind = kind;
	event->state = state;
	bpf_ringbuf_submit(event, 0);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_event, struct sock *sk, int before, int now)
{
	switch (now) {
	case BPF_TCP_LISTEN:
		emit(sk, SOCKET_LISTENING, SOCKET_UNKNOWN);
		break;
	case BPF_TCP_ESTABLISHED:
		emit(sk, before == BPF_TCP_SYN_SENT ? SOCKET_CONNECTED : SOCKET_ACCEPTED, SOCKET_ESTABLISHED);
		break;
	case BPF_TCP_CLOSE:
		if (before != BPF_TCP_LISTEN)
			emit(sk, before == BPF_TCP_SYN_SENT ? SOCKET_FAILED : SOCKET_ENDED, end_of(before, sk));
		break;
	}
	return 0;
}

/* Nobody answered yet: the connection is tried again, a second after the first time and then ever more rarely. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_connect_again, struct sock *sk, const struct sk_buff *skb)
{
	if (was_sent_again(ctx) && sk->__sk_common.skc_state == BPF_TCP_SYN_SENT)
		emit(sk, SOCKET_RETRYING, SOCKET_UNKNOWN);
	return 0;
}

#endif
