/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The tunnels in which this node saw flows: kept for young flows of each epoch, so that a known flow's packets cost nothing. */
#ifndef FLOWGAUGE_TUNNEL_LINKS_H
#define FLOWGAUGE_TUNNEL_LINKS_H

#include "parse_any.h"
#include "signals.h"

/* By the flow as it is within the tunnel: perhaps behind this node's translation. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

/* Keeps in what tunnel the packet came that this CPU has parsed last, by its flow. */
__noinline int record_tunnel(struct packet *p)
{
	struct tunnel *room;
	struct flow_key key;
	__u32 zero = 0;

	if (!p)
		return 0;
	key = p->key;
	room = bpf_map_lookup_elem(&tunnel_room, &zero);
	if (room && bpf_map_update_elem(&tunnels, &key, room, BPF_ANY))
		COUNT_SIGNAL(tunnels_full);
	return 0;
}

#endif
