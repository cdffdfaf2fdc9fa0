/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is told of a flow beside its packets: where later hooks saw it, how long its handshake took.
 *
 * The flow may have its slot at another CPU. Then the note is an entry of the table without packets, which user space joins
 * with the flow, and leaves out when no packets were counted in the epoch.
 */
#ifndef FLOWGAUGE_NOTES_H
#define FLOWGAUGE_NOTES_H

#include "cache.h"
#include "signals.h"

/* What this CPU's slot of a flow began with; NULL without slot. */
static __always_inline struct cache_start *start_of(const struct flow_key *key)
{
	struct cache_set *set = cache_set_of(key);

	if (!set)
		return NULL;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++) {
		if (set->slots[way].packets && same_key(&set->slots[way].key, key))
			return &set->starts[way];
	}
	return NULL;
}

__noinline int note(const struct flow_key *flow, __u32 point, __u32 handshake_us)
{
	struct flow_value fresh = {};
	struct flow_key key;

	if (!flow)
		return 0;
	key = *flow; /* Linux 6.1 takes no map key out of an argument's memory */
	fresh.first_tick = bpf_jiffies64();
	fresh.observed[0] = point;
	fresh.handshake_us = handshake_us;
	if (!add_flow(&key, &fresh))
		COUNT_SIGNAL(notes_full);
	return 0;
}

/* Adds an observation point, unless it is there or four others are. */
static __always_inline void add_point(__u32 *observed, __u32 point)
{
	for (int i = 0; i < OBSERVED_MAX; i++) {
		__u32 there = __sync_val_compare_and_swap(&observed[i], 0, point);

		if (there == 0 || there == point)
			return;
	}
}

/* Adds an observation point to a flow that this CPU has, or that is in the table; false when neither is so. */
static __always_inline bool observe(const struct flow_key *key, __u32 point)
{
	struct cache_start *start = start_of(key);
	struct flow_value *flow;

	if (start) {
		add_point(start->observed, point);
		return true;
	}
	flow = flow_of(key);
	if (flow)
		add_point(flow->observed, point);
	return flow;
}

static __always_inline void tell_handshake(const struct flow_key *key, __u32 us)
{
	struct cache_start *start = start_of(key);
	struct flow_value *flow;

	if (start) {
		start->handshake_us = us;
		return;
	}
	flow = flow_of(key);
	if (flow)
		flow->handshake_us = us;
	else
		note(key, 0, us);
}

#endif
