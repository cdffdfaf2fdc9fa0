/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which pods' traffic is counted: user space keeps the addresses of those that are chosen or left out in a map.
 *
 * Asked for packets of flows that this CPU does not have in its cache: a change of the map holds from the next epoch on at
 * the latest.
 */
#ifndef FLOWGAUGE_CHOICE_H
#define FLOWGAUGE_CHOICE_H

#include "account.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, __u32);
} chosen SEC(".maps");

/* Out when either end is left out, or when only some are chosen and neither end is. */
static __always_inline bool is_chosen(const struct flow_key *key)
{
	const __u32 *src, *dst;
	__u32 ends;

	if (!settings.choice)
		return true;
	src = bpf_map_lookup_elem(&chosen, key->src_addr);
	dst = bpf_map_lookup_elem(&chosen, key->dst_addr);
	ends = (src ? *src : 0) | (dst ? *dst : 0);
	return !(ends & CHOICE_EXCLUDE) && (!(settings.choice & CHOICE_INCLUDE) || ends & CHOICE_INCLUDE);
}

#endif
