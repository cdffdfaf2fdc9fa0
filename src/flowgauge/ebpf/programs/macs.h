/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Ethernet addresses: those of the frame with which a flow begins in an epoch, so that a known flow's packets cost nothing. */
#ifndef FLOWGAUGE_MACS_H
#define FLOWGAUGE_MACS_H

#include "signals.h"

#define EEXIST 17

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, struct macs);
} macs SEC(".maps");

/* Keeps the addresses of an Ethernet frame for its flow, unless another CPU has seen an earlier one. */
__noinline int record_macs(struct __sk_buff *skb, const struct flow_key *flow)
{
	struct macs found;
	struct flow_key key;
	int refused;

	if (!flow || bpf_skb_load_bytes(skb, 0, &found, sizeof(found)))
		return 0;
	key = *flow; /* Linux 6.1 takes no map key out of an argument's memory */
	refused = bpf_map_update_elem(&macs, &key, &found, BPF_NOEXIST);
	if (refused && refused != -EEXIST)
		COUNT_SIGNAL(macs_full);
	return 0;
}

#endif
