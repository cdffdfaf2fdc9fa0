/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What all signals beside packets and bytes share: which flows are theirs, and what they count when a table is full. */
#ifndef FLOWGAUGE_SIGNALS_H
#define FLOWGAUGE_SIGNALS_H

#include "account.h"
#include "choice.h"
#include "kernel.h"
#include "packet.h"
#include "rules.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct signal_counters);
} signal_counts SEC(".maps");

#define COUNT_SIGNAL(member)                                                             \
	do {                                                                             \
		__u32 zero = 0;                                                          \
		struct signal_counters *count = bpf_map_lookup_elem(&signal_counts, &zero); \
											 \
		if (count)                                                               \
			count->member++;                                                 \
	} while (0)

static __always_inline bool is_loopback(const struct flow_key *key)
{
	const __u32 *word = (const __u32 *)key->src_addr;

	return word[0] == 0 && word[1] == 0 &&
	       ((word[2] == V4_MAPPED && key->src_addr[12] == 127) || (word[2] == 0 && word[3] == bpf_htonl(1)));
}

/*
 * Sampling of whole flows leaves out their signals as well, that of packets does not; rules leave out theirs.
 *
 * dropped: whether the signal is a dropped packet, for which some rules are.
 */
static __always_inline bool ruled_out(const struct flow_key *key, bool dropped)
{
	__u32 below = settings.sample_below;

	if (settings.rules) {
		int number = first_match(key, NO_PACKET, NO_PACKET);

		if (number) {
			if (rule_of(number)->action == RULE_REJECT || (rule_of(number)->action == RULE_DROPS_ONLY && !dropped))
				return true;
			below = rule_of(number)->sample_below;
		}
	}
	return below && settings.sample_flows && symmetric_hash(key) >= below;
}

/* As ruled_out, or by the choice of pods. */
static __always_inline bool flow_left_out(const struct flow_key *key, bool dropped)
{
	return !is_chosen(key) || ruled_out(key, dropped);
}

#endif
