/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How long a server takes: from the last packet with data that a client sent to the first one that comes back, as this node
 * sees both. No payload is read, only whether there is some.
 *
 * Every packet with data asks who the client is, so this must cost next to nothing: an array in which a connection has its
 * place by the client's address and port, which this node's translation of the server's address does not change. Two
 * connections that meet in a place push each other out, and the reply that comes then is not timed.
 */
#ifndef FLOWGAUGE_SERVER_TIME_H
#define FLOWGAUGE_SERVER_TIME_H

#include "signals.h"

#define TCP_SYN_OF(p) ((p)->tcp_flags & 0x02)
#define TCP_ACK_OF(p) ((p)->tcp_flags & 0x10)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* a power of two */
	__type(key, __u32);
	__type(value, struct turn);
} turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, struct server_time);
} server_times SEC(".maps");

static __always_inline struct turn *turn_of(const __u8 *addr, __u16 port)
{
	const __u64 *word = (const __u64 *)addr;
	__u64 hash = (word[0] ^ word[1] ^ (__u64)port << 16) * 0x9e3779b97f4a7c15ull;
	__u32 at = (hash >> 32) & (settings.turns - 1);

	return bpf_map_lookup_elem(&turns, &at);
}

static __always_inline bool is_client(const struct turn *turn, const __u8 *addr, __u16 port)
{
	const __u64 *a = (const __u64 *)turn->to_server.src_addr, *b = (const __u64 *)addr;

	return turn->to_server.src_port == port && a[1] == b[1] && a[0] == b[0];
}

static __always_inline void add_reply(struct turn *turn, __u64 took_ns)
{
	struct flow_key key = turn->to_server;
	struct server_time fresh = {.min_ns = ~0ull}, *value;

	key.epoch = epoch;
	value = bpf_map_lookup_elem(&server_times, &key);
	if (!value) {
		bpf_map_update_elem(&server_times, &key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&server_times, &key);
	}
	if (!value) {
		COUNT_SIGNAL(replies_full);
		return;
	}
	/* One reply of a connection after the other: only its packets on several CPUs at once could meet here. */
	__sync_fetch_and_add(&value->sum_ns, took_ns);
	__sync_fetch_and_add(&value->count, 1);
	if (took_ns < value->min_ns)
		value->min_ns = took_ns;
	if (took_ns > value->max_ns)
		value->max_ns = took_ns;
	value->last_tick = bpf_jiffies64();
}

/* A packet with data of a connection whose client is not known: the end with the higher port is taken for it. */
__noinline int meet(struct packet *p)
{
	struct turn *turn;

	if (!p || p->key.src_port <= p->key.dst_port)
		return 0;
	turn = turn_of(p->key.src_addr, p->key.src_port);
	if (turn) {
		turn->to_server = p->key;
		turn->asked_ns = p->payload ? bpf_ktime_get_ns() : 0;
	}
	return 0;
}

/* A client opens a connection. */
__noinline int open_turn(struct packet *p)
{
	struct turn *turn;

	if (!p)
		return 0;
	turn = turn_of(p->key.src_addr, p->key.src_port);
	if (turn) {
		turn->to_server = p->key;
		turn->asked_ns = 0;
	}
	return 0;
}

/* The server's first packet after a request. */
__noinline int replied(struct packet *p)
{
	struct turn *turn;
	__u64 asked_ns;

	if (!p)
		return 0;
	turn = turn_of(p->key.dst_addr, p->key.dst_port);
	if (!turn)
		return 0;
	asked_ns = __sync_lock_test_and_set(&turn->asked_ns, 0);
	if (asked_ns)
		add_reply(turn, bpf_ktime_get_ns() - asked_ns);
	return 0;
}

/* The first time that this node sees a packet of TCP. */
static __always_inline void take_turn(struct packet *p)
{
	struct turn *turn;

	if (!p->payload) {
		if (TCP_SYN_OF(p) && !TCP_ACK_OF(p))
			open_turn(p);
		return;
	}
	turn = turn_of(p->key.src_addr, p->key.src_port);
	if (turn && is_client(turn, p->key.src_addr, p->key.src_port)) {
		turn->asked_ns = bpf_ktime_get_ns();
		return;
	}
	turn = turn_of(p->key.dst_addr, p->key.dst_port);
	if (turn && is_client(turn, p->key.dst_addr, p->key.dst_port)) {
		if (turn->asked_ns)
			replied(p);
		return;
	}
	meet(p);
}

#endif
