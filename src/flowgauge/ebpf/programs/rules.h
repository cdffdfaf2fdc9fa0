/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The exporter's rules: of those that match a packet the first decides. They are constants of the loaded program, which is
 * replaced as a whole when they change; without rules nothing of this is left after loading.
 */
#ifndef FLOWGAUGE_RULES_H
#define FLOWGAUGE_RULES_H

#include "account.h"

const volatile struct rule rules[RULES_MAX] SEC(".rodata.rules");

/* Where a signal tells of a flow, not of one of its packets: rules that look at such do not match. */
#define NO_PACKET 0xffffffffu

static __always_inline bool in_block(const __u8 *address, const volatile __u64 *block, const volatile __u64 *mask)
{
	const __u64 *word = (const __u64 *)address;

	return !((word[0] ^ block[0]) & mask[0]) && !((word[1] ^ block[1]) & mask[1]);
}

static __always_inline bool in_range(__u16 port, const volatile __u16 *range)
{
	return port >= range[0] && port <= range[1];
}

static __always_inline bool ends_match(const volatile struct rule *r, const struct flow_key *key)
{
	return (in_block(key->src_addr, r->block, r->mask) && in_block(key->dst_addr, r->peer_block, r->peer_mask)) ||
	       (in_block(key->dst_addr, r->block, r->mask) && in_block(key->src_addr, r->peer_block, r->peer_mask));
}

static __always_inline bool ports_match(const volatile struct rule *r, const struct flow_key *key)
{
	return in_range(key->src_port, r->src_ports) && in_range(key->dst_port, r->dst_ports) &&
	       (in_range(key->src_port, r->ports) || in_range(key->dst_port, r->ports));
}

static __always_inline bool packet_matches(const volatile struct rule *r, __u32 tcp_flags, __u32 point)
{
	if (r->criteria & RULE_TCP_FLAGS && (tcp_flags == NO_PACKET || (tcp_flags & r->tcp_mask) != r->tcp_flags))
		return false;
	if (r->criteria & RULE_DIRECTION && (point == NO_PACKET || !!(point & OBSERVED_EGRESS) != r->egress))
		return false;
	return true;
}

static __always_inline bool rule_matches(const volatile struct rule *r, const struct flow_key *key, __u32 tcp_flags,
					 __u32 point)
{
	if (r->criteria & RULE_PROTO && key->proto != r->proto)
		return false;
	if (r->criteria & RULE_IPV6 && is_v4(key))
		return false;
	if (r->criteria & RULE_ICMP_TYPE && key->icmp_type != r->icmp_type)
		return false;
	if (r->criteria & RULE_ICMP_CODE && key->icmp_code != r->icmp_code)
		return false;
	return packet_matches(r, tcp_flags, point) && ports_match(r, key) && ends_match(r, key);
}

/* The number of the first rule that matches, from 1; 0 when none does. */
__noinline int first_match(const struct flow_key *key, __u32 tcp_flags, __u32 point)
{
	if (!key)
		return 0;
	for (__u32 i = 0; i < RULES_MAX && i < settings.rules; i++)
		if (rule_matches(&rules[i], key, tcp_flags, point))
			return i + 1;
	return 0;
}

/* Of a number that is not 0. */
static __always_inline const volatile struct rule *rule_of(int number)
{
	__u32 index = number - 1;

	barrier_var(index);
	return &rules[index & (RULES_MAX - 1)];
}

#endif
