/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Any packet of any device, tunnels opened as the settings say. */
#ifndef FLOWGAUGE_PARSE_ANY_H
#define FLOWGAUGE_PARSE_ANY_H

#include "parse_ip.h"
#include "tunnels.h"

/* As parse_ip; then goes into tunnels, step by step because the stack holds no more at a time; PARSED, NOT_IP or MALFORMED. */
static __always_inline int parse_any(struct __sk_buff *skb, struct packet *p, __u32 ethernet)
{
	int result = parse_ip(skb, p, ethernet), place;

	for (int i = 0; i < MAX_TUNNELS && result == PARSED && opens_tunnels(skb); i++) {
		place = find_inside(skb, p);
		result = place == OUTSIDE ? OUTSIDE : parse_inside(skb, p, place);
	}
	return result == PARSED_FRAGMENT || result == OUTSIDE ? PARSED : result;
}

#endif
