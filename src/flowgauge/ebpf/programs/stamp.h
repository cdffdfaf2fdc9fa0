/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What hooks leave at a packet that they counted. A stamp (skb->tc_index, 16 bits) names a node, since nodes may share a kernel
 * (network namespaces), and has two bits for each of the agents that may observe it at once, so that they share packets instead
 * of taking them from each other: neither set is a packet that this agent has not seen yet.
 */
#ifndef FLOWGAUGE_STAMP_H
#define FLOWGAUGE_STAMP_H

#include "abi.h"

/* Set by user space before the first hook, which is when it knows who else is there. */
volatile struct stamp stamp SEC(".data.stamp");

/* What this node's agents have left at a packet; 0 when it comes from elsewhere. */
static __always_inline __u32 stamps_of(const struct __sk_buff *skb)
{
	__u32 left = skb->tc_index ^ stamp.node;

#ifdef COUNTS_TWICE /* a mistake, built by the test that must notice it: no stamp is known again */
	left += 0x10000;
#endif
	return left <= STAMP_AGENTS ? left : 0;
}

/* Adds this agent's to those there were. */
static __always_inline void put_stamp(struct __sk_buff *skb, __u32 stamps, __u32 ours)
{
	skb->tc_index = stamp.node | stamps | ours;
}

#endif
