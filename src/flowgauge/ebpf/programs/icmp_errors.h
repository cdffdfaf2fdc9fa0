/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Errors that ICMP reports, by the flow of the packet that they are about, whose beginning they carry (RFC 792, RFC 4443). */
#ifndef FLOWGAUGE_ICMP_ERRORS_H
#define FLOWGAUGE_ICMP_ERRORS_H

#include "parse_ip.h"
#include "signals.h"

#define ICMP_HEADER 8
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_LAST_ERROR 4 /* of those that are assigned; informational ones begin at 128 */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct icmp_error_key);
	__type(value, struct icmp_error_value);
} icmp_errors SEC(".maps");

static __always_inline bool is_icmp_error(const struct flow_key *key)
{
	if (key->proto == IPPROTO_ICMP)
		return key->icmp_type == ICMP_UNREACHABLE || key->icmp_type == ICMP_TIME_EXCEEDED ||
		       key->icmp_type == ICMP_PARAMETER_PROBLEM;
	return key->proto == IPPROTO_ICMPV6 && key->icmp_type && key->icmp_type <= ICMPV6_LAST_ERROR;
}

/* The first time that this node sees an error. */
__noinline int follow_icmp_error(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_error_value fresh = {}, *value;
	struct icmp_error_key key = {};
	struct packet inner = {};
	struct cursor at = {};
	int result;

	if (!p || !p->l4)
		return 0;
	at.l3 = p->l4 + ICMP_HEADER;
	result = p->key.proto == IPPROTO_ICMP ? read_ipv4(skb, &inner, &at) : read_ipv6(skb, &inner, &at);
	if (result != PARSED)
		return 0;
	if (!at.later_fragment)
		read_layer4(skb, &inner, &at);
	else /* ICMPv6 reports also what is wrong with these (RFC 4443 2.4) */
		join_fragment(&inner.key, at.id, true);
	if (flow_left_out(&inner.key, false))
		return 0;
	key.flow = inner.key;
	key.flow.epoch = epoch;
	key.type = p->key.icmp_type;
	key.code = p->key.icmp_code;
	key.v6 = p->key.proto == IPPROTO_ICMPV6;
	value = bpf_map_lookup_elem(&icmp_errors, &key);
	if (!value) {
		fresh.first_tick = bpf_jiffies64();
		bpf_map_update_elem(&icmp_errors, &key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&icmp_errors, &key);
	}
	if (!value) {
		COUNT_SIGNAL(icmp_errors_full);
		return 0;
	}
	__sync_fetch_and_add(&value->packets, 1);
	value->last_tick = bpf_jiffies64();
	return 0;
}

#endif
