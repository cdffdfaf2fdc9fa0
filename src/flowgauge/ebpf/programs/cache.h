/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The cache of busy flows in front of the flow table, for each CPU its own part: finding a flow takes one multiplication a
 * word, adding to it neither a call nor a locked instruction.
 *
 * A flow begins in the table, where later hooks add where they saw it; from its ninth packet on what a CPU counts goes to
 * a slot, if one of its set is free, until the epoch ends. User space adds the slots to the table's flows: it takes slots of
 * an epoch that is over, which no program touches, and frees them by setting packets to 0.
 */
#ifndef FLOWGAUGE_CACHE_H
#define FLOWGAUGE_CACHE_H

#include "account.h"

/* Beyond this the table counts, so that no interval is long enough for packets to overflow. */
#define CACHE_MAX_PACKETS 0x40000000u

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cache_set);
} cache SEC(".maps");

static __always_inline struct cache_set *cache_set_of(const struct flow_key *key)
{
	const __u64 *word = (const __u64 *)key;
	__u64 hash = (word[0] ^ word[1]) * 0x9e3779b97f4a7c15ull ^ (word[2] ^ word[3]) * 0xbf58476d1ce4e5b9ull ^
		     word[4] * 0x94d049bb133111ebull;
	__u32 index = bpf_get_smp_processor_id() * settings.cache_sets + ((hash >> 40) & (settings.cache_sets - 1));

	return bpf_map_lookup_elem(&cache, &index);
}

static __always_inline bool is_key(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[4] == y[4] && x[3] == y[3] && x[1] == y[1] && x[2] == y[2] && x[0] == y[0];
}

/* Adds a packet to its flow when this CPU has a slot for it. */
static __always_inline bool add_to_cache(struct cache_set *set, const struct packet *p)
{
	if (!set)
		return false;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++) {
		struct cache_slot *slot = &set->slots[way];

		if (!is_key(&slot->key, &p->key))
			continue;
		if (slot->packets - 1 >= CACHE_MAX_PACKETS) /* free, too */
			return false;
		slot->packets += p->segments;
		slot->bytes += p->bytes;
		slot->last_tick = bpf_jiffies64();
		slot->tcp_flags |= p->tcp_flags;
		return true;
	}
	return false;
}

/* Counts a packet of a flow that became busy in a free slot; false when there is none. */
static __always_inline bool begin_in_cache(struct cache_set *set, const struct packet *p)
{
	if (!set)
		return false;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++) {
		struct cache_slot *slot = &set->slots[way];

		if (slot->packets)
			continue;
		slot->key = p->key;
		slot->bytes = p->bytes;
		slot->last_tick = bpf_jiffies64();
		slot->tcp_flags = p->tcp_flags;
		/* Last, and behind a barrier: user space looks at slots that are not free. */
		__sync_lock_test_and_set(&slot->packets, p->segments);
		return true;
	}
	return false;
}

#endif
