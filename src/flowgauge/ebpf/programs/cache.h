/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where flows begin: in slots of the CPU that sees them, beside which the flow table is for those that find no slot. Finding
 * a flow takes one multiplication a word, adding to it neither a call nor a locked instruction, and beginning one touches
 * three lines of memory where a hash map touches ten.
 *
 * A flow that two CPUs see has a slot at each, and perhaps an entry of the table beside; user space joins them. It takes
 * slots of an epoch that is over, which no program touches, and frees them by setting packets to 0.
 */
#ifndef FLOWGAUGE_CACHE_H
#define FLOWGAUGE_CACHE_H

#include "account.h"

/* Beyond this another slot or the table counts, so that no interval is long enough for packets to overflow. */
#define CACHE_MAX_PACKETS 0x40000000u

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cache_set);
} cache SEC(".maps");

/* This CPU's set for a flow; NULL without cache. */
static __always_inline struct cache_set *cache_set_of(const struct flow_key *key)
{
	const __u64 *word = (const __u64 *)key;
	__u64 hash = (word[0] ^ word[1]) * 0x9e3779b97f4a7c15ull ^ (word[2] ^ word[3]) * 0xbf58476d1ce4e5b9ull ^
		     word[4] * 0x94d049bb133111ebull;
	__u32 index;

	/* The last byte of an address is the highest of its word: without this it would change only the highest bits. */
	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ull;
	index = bpf_get_smp_processor_id() * settings.cache_sets + ((hash >> 40) & (settings.cache_sets - 1));
	return settings.cache_sets ? bpf_map_lookup_elem(&cache, &index) : NULL;
}

/* Adds a packet to its flow when this CPU has a slot for it; else NOT_ADDED. */
static __always_inline int add_to_cache(struct cache_set *set, const struct flow_key *key, const struct packet *p)
{
	if (!set)
		return NOT_ADDED;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++) {
		struct cache_slot *slot = &set->slots[way];
		__u32 before = slot->packets;

		if (before - 1 >= CACHE_MAX_PACKETS || !same_key(&slot->key, key)) /* free, too */
			continue;
		slot->packets = before + p->segments;
		slot->bytes += p->bytes;
		slot->last_tick = bpf_jiffies64();
		slot->tcp_flags |= p->tcp_flags;
		return before < TRACED_PACKETS ? ADDED_TRACE : ADDED;
	}
	return NOT_ADDED;
}

static __always_inline bool has_room(const struct cache_set *set)
{
	bool room = false;

	if (!set)
		return false;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++)
		room |= !set->slots[way].packets;
	return room;
}

/*
 * User space looks at slots that are not free, so this store must be seen last. A machine that may show it before the others
 * needs a barrier; elsewhere that would wait for the memory which the others go to.
 */
static __always_inline void occupy(struct cache_slot *slot, __u32 packets)
{
	if (settings.stores_reorder) {
		__sync_lock_test_and_set(&slot->packets, packets);
	} else {
		barrier();
		*(volatile __u32 *)&slot->packets = packets;
	}
}

/* Begins a flow in a free slot; false when there is none. */
static __always_inline bool begin_in_cache(struct cache_set *set, const struct flow_key *key, const struct packet *p,
					   __u32 point)
{
	if (!set)
		return false;
#pragma unroll
	for (int way = 0; way < CACHE_WAYS; way++) {
		struct cache_slot *slot = &set->slots[way];
		struct cache_start *start = &set->starts[way];
		__u64 now;

		if (slot->packets)
			continue;
		now = bpf_jiffies64();
		start->first_tick = now;
		start->observed[0] = point;
		for (int i = 1; i < OBSERVED_MAX; i++)
			start->observed[i] = 0;
		start->vlan_id = p->vlan_id;
		start->ip_tos = p->ip_tos;
		start->rule = p->rule;
		start->handshake_us = 0;
		slot->key = *key;
		slot->bytes = p->bytes;
		slot->last_tick = now;
		slot->tcp_flags = p->tcp_flags;
		occupy(slot, p->segments);
		return true;
	}
	return false;
}

#endif
