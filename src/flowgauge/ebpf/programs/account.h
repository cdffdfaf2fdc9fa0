/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The flow table, for flows that find no slot in the cache: adds a packet to its flow, makes new flows; and remembers how a flow
 * was translated.
 *
 * Taking a flow out of the table while another CPU adds to it would lose what that CPU adds. So user space first begins a new
 * epoch, waits until no program that may know the old one runs any more, and takes the old epoch's flows, which nobody touches.
 * Epochs fill two tables in turn: the one that is over is emptied in one pass, entry by entry read and freed.
 */
#ifndef FLOWGAUGE_ACCOUNT_H
#define FLOWGAUGE_ACCOUNT_H

#include "packet.h"
#include "settings.h"

/* How many packets of a flow's slot or entry later hooks look at: one may be dropped on its way, not eight in a row. */
#define TRACED_PACKETS 8

/* Set by user space; part of the key of each flow that is counted from then on. */
volatile __u8 epoch SEC(".data.epoch");

struct flow_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
};

struct flow_table flows_even SEC(".maps"), flows_odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct translation);
} translations SEC(".maps");

/* Keeps the compiler from making one call of two: the kernel speeds up only lookups whose map it knows. */
#define APART() asm volatile("")

/* The flow of a key in its epoch's table. */
static __always_inline struct flow_value *flow_of(const struct flow_key *key)
{
	struct flow_value *flow;

	if (key->epoch & 1) {
		flow = bpf_map_lookup_elem(&flows_odd, key);
		APART();
	} else {
		flow = bpf_map_lookup_elem(&flows_even, key);
	}
	return flow;
}

/* Puts a flow into its epoch's table; false when it is there, or there is no room. */
static __always_inline bool add_flow(const struct flow_key *key, const struct flow_value *fresh)
{
	if (key->epoch & 1)
		return bpf_map_update_elem(&flows_odd, key, fresh, BPF_NOEXIST) == 0;
	return bpf_map_update_elem(&flows_even, key, fresh, BPF_NOEXIST) == 0;
}

/* Adds a packet to its flow; true while later hooks shall look at the flow's packets. Several CPUs may add at once. */
static __always_inline bool add_packet(struct flow_value *flow, const struct packet *p)
{
	bool trace = flow->packets < TRACED_PACKETS;

	__sync_fetch_and_add(&flow->packets, p->segments);
	__sync_fetch_and_add(&flow->bytes, p->bytes);
	flow->last_tick = bpf_jiffies64();
	if (p->tcp_flags & ~flow->tcp_flags)
		__sync_fetch_and_or(&flow->tcp_flags, p->tcp_flags);
	return trace;
}

static __always_inline void record_translation(const struct flow_key *before, const struct flow_key *after)
{
	struct flow_key key = *before;
	struct translation to;

	key.epoch = 0;
	set_address_v6(to.src_addr, after->src_addr);
	set_address_v6(to.dst_addr, after->dst_addr);
	to.src_port = after->src_port;
	to.dst_port = after->dst_port;
	bpf_map_update_elem(&translations, &key, &to, BPF_ANY);
}

static __always_inline void turn_around(struct flow_key *to, const struct flow_key *from)
{
	*to = *from;
	set_address_v6(to->src_addr, from->dst_addr);
	set_address_v6(to->dst_addr, from->src_addr);
	to->src_port = from->dst_port;
	to->dst_port = from->src_port;
}

/* What became of a request, where no hook saw it behind its translation, as of one to this node: its answer tells. */
__noinline int record_request(const struct flow_key *answer, struct packet *answered)
{
	struct flow_key before = {}, after = {};

	if (!answer || !answered || !has_ports(answer->proto))
		return 0;
	turn_around(&before, &answered->key);
	turn_around(&after, answer);
	record_translation(&before, &after);
	return 0;
}

/* What became of a packet. */
enum account { ADDED, ADDED_TRACE, TABLE_FULL, FILTERED, NOT_ADDED };

/* Begins a flow that the table does not have, as far as is known. */
static __always_inline int insert(const struct packet *p, const struct flow_key *key, __u32 point)
{
	struct flow_value fresh = {}, *flow;

	fresh.packets = p->segments;
	fresh.bytes = p->bytes;
	fresh.first_tick = fresh.last_tick = bpf_jiffies64();
	fresh.tcp_flags = p->tcp_flags;
	fresh.observed[0] = point;
	fresh.vlan_id = p->vlan_id;
	fresh.ip_tos = p->ip_tos;
	fresh.rule = p->rule;
	if (add_flow(key, &fresh))
		return ADDED_TRACE;
	/* Another CPU was first, or there is no room. */
	flow = flow_of(key);
	if (!flow)
		return TABLE_FULL;
	add_packet(flow, p);
	return ADDED_TRACE;
}

/* Adds a packet to its flow, or begins that. */
static __always_inline int add_or_insert(const struct packet *p, const struct flow_key *key, __u32 point)
{
	struct flow_value *flow = flow_of(key);

	if (flow)
		return add_packet(flow, p) ? ADDED_TRACE : ADDED;
	return insert(p, key, point);
}

#endif
