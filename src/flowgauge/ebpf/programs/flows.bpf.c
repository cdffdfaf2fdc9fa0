// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts each packet of a node once, in the flow it belongs to.
 *
 * The first hook that sees a packet stamps it (skb->tc_index, which survives routing, NAT, encapsulation and veth pairs) and
 * counts it; later hooks find the stamp and leave it alone. The first packets of a flow get another stamp, at which later
 * hooks add where they saw the flow and, behind this node's address translation, what became of its addresses. Other agents
 * in this network namespace do the same with the same packets, each with bits of its own (stamp.h).
 *
 * Life of a packet: hook -> (stamp) -> parse_fast, else parse_any -> rules -> sampling -> cache, else chosen pods -> cache or,
 * without room there, flow table. User space drains and joins both.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "account.h"
#include "cache.h"
#include "choice.h"
#include "datagrams.h"
#include "drops.h"
#include "events.h"
#include "hellos.h"
#include "icmp_errors.h"
#include "macs.h"
#include "nat.h"
#include "notes.h"
#include "parse_any.h"
#include "parse_fast.h"
#include "questions.h"
#include "rules.h"
#include "server_time.h"
#include "sockets.h"
#include "stamp.h"
#include "tunnel_links.h"

#define NEXT (-1) /* TCX_NEXT and TC_ACT_UNSPEC: whatever else is attached has its turn */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384); /* two for each device, those that are gone included */
	__type(key, __u32);
	__type(value, struct not_ip_value);
} not_ip SEC(".maps");

/* What is told of a flow once in an epoch, beside its packets; key: as it is in the table. */
static __always_inline void tell_of_new(struct __sk_buff *skb, struct packet *p, const struct flow_key *key, __u32 ethernet)
{
	if (p->tunnel)
		record_tunnel(p);
	if (settings.owners && p->key.proto == IPPROTO_UDP)
		follow_sender(skb, key);
	if (settings.macs && ethernet)
		record_macs(skb, key);
}

/* What the kernel knows of a packet's connection is about the outer one. */
static __always_inline bool may_be_translated(struct __sk_buff *skb, const struct packet *p)
{
	return settings.nat && !p->tunnel && is_tracked(skb);
}

/* Adds a packet to the flow of a key that is not the packet's own. */
static __always_inline int account_translated(const struct packet *p, const struct flow_key *key, __u32 point)
{
	struct cache_set *set = cache_set_of(key);
	int result = add_to_cache(set, key, p);

	if (result != NOT_ADDED)
		return result;
	return begin_in_cache(set, key, p, point) ? ADDED_TRACE : add_or_insert(p, key, point);
}

/*
 * A flow that is not where it would be under the packet's own key: perhaps it is known as it was before translation.
 */
__noinline int account_new(struct __sk_buff *skb, struct packet *p, __u32 ethernet, __u32 point)
{
	struct flow_key key = {};
	int result, translated;

	if (!p)
		return TABLE_FULL;
	/* What the kernel knows of the packet's connection is about the outer one. */
	translated = settings.nat && !p->tunnel ? before_translation(skb, p, &key) : UNTRANSLATED;
	if (translated) {
		result = account_translated(p, &key, point);
	} else {
		key = p->key; /* Linux 6.1 takes no map key out of an argument's memory */
		result = begin_in_cache(cache_set_of(&key), &key, p, point) ? ADDED_TRACE : insert(p, &key, point);
	}
	if (result == ADDED_TRACE) {
		if (translated)
			record_translation(&key, &p->key);
		if (translated == TRANSLATED_REPLY)
			record_request(&key, p);
		tell_of_new(skb, p, &key, ethernet);
	}
	return result;
}

/* A later hook sees a packet of a young flow. */
__noinline int trace(struct __sk_buff *skb, __u32 ethernet, __u32 point)
{
	struct flow_key before = {};
	struct packet p = {};
	bool translated;

	if (parse_any(skb, &p, ethernet) != PARSED)
		return 0;
	p.key.epoch = epoch;
	if (p.tunnel)
		record_tunnel(&p);
	if (observe(&p.key, point))
		return 0;
	translated = settings.nat && !p.tunnel && before_translation(skb, &p, &before) != UNTRANSLATED;
	if (!translated)
		before = p.key;
	if (!translated || !observe(&before, point))
		note(&before, point, 0);
	if (translated) {
		record_translation(&before, &p.key);
		if (may_ask(&p))
			follow_translated(skb, &p, &before);
	}
	return 0;
}

__noinline int count_not_ip(struct __sk_buff *skb, __u32 point)
{
	struct not_ip_value first = {.packets = 1, .bytes = skb->len}, *there = bpf_map_lookup_elem(&not_ip, &point);

	if (!there) {
		if (bpf_map_update_elem(&not_ip, &point, &first, BPF_NOEXIST) == 0)
			return 0;
		there = bpf_map_lookup_elem(&not_ip, &point);
	}
	if (there) {
		__sync_fetch_and_add(&there->packets, 1);
		__sync_fetch_and_add(&there->bytes, skb->len);
	}
	return 0;
}

/* Segments of a super-packet that does not say how many it has. */
__noinline int count_segments(struct __sk_buff *skb, __u32 ethernet)
{
	struct packet p = {};

	return parse_any(skb, &p, ethernet) == PARSED ? p.segments : 1;
}

static __always_inline __u32 segments_of(struct __sk_buff *skb, __u32 ethernet)
{
	__u32 segments = skb->gso_segs;

	if (segments)
		return segments;
	return skb->gso_size ? count_segments(skb, ethernet) : 1;
}

/* More segments than a super-packet has, unless it is of BIG TCP with small segments: then several share a number. */
#define DRAWS_MAX 512

/* Of how many segments chance takes, each having a number of its own: a super-packet is so many packets here, too. */
__noinline int draw(__u32 segments, __u32 below)
{
	__u32 each = segments / DRAWS_MAX + 1, taken = 0;

	for (__u32 i = 0; i < DRAWS_MAX && i * each < segments; i++)
		if (bpf_get_prandom_u32() < below)
			taken += each;
	return taken < segments ? taken : segments;
}

/* How many of a packet's segments chance takes; those whose number is below. */
static __always_inline __u32 taken_of(const struct flow_key *key, __u32 segments, __u32 below)
{
	if (!below)
		return segments;
	if (settings.sample_flows)
		return symmetric_hash(key) < below ? segments : 0;
	if (segments == 1)
		return bpf_get_prandom_u32() < below;
	return draw(segments, below);
}

/*
 * Whether chance can decide before the packet is parsed: not when it might turn out not to be IP, which is counted exactly,
 * nor when a rule may have a chance of its own.
 */
static __always_inline bool decide_early(const struct __sk_buff *skb)
{
	return settings.sample_below && !settings.sample_flows && !settings.rules &&
	       (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6));
}

/* Leaves of a packet the segments that were taken, each with its share of the bytes. */
static __always_inline void thin(struct packet *p, __u32 taken)
{
	if (taken < p->segments) {
		p->bytes = (__u64)p->bytes * taken / p->segments;
		p->segments = taken;
	}
}

/* Whether the rules leave a packet out; then, or else, below is by which its segments are chosen. */
static __always_inline bool rejected(struct packet *p, __u32 point, __u32 *below)
{
	*below = settings.sample_below;

	if (settings.rules) {
		int number = first_match(&p->key, p->tcp_flags, point);

		if (number) {
			if (rule_of(number)->action != RULE_ACCEPT)
				return true;
			*below = rule_of(number)->sample_below;
			p->rule = number;
		}
	}
	return false;
}

/* Adds a packet to its flow, or makes that; FILTERED when it is of no chosen pod. */
static __always_inline int account(struct __sk_buff *skb, struct packet *p, __u32 ethernet, __u32 point)
{
	struct cache_set *set = cache_set_of(&p->key);
	int result = add_to_cache(set, &p->key, p);
	struct flow_value *flow;

	if (result != NOT_ADDED)
		return result;
	if (!is_chosen(&p->key))
		return FILTERED;
	/* With room in the cache it begins there, also when the table has it: user space joins them. */
	if (!may_be_translated(skb, p) && begin_in_cache(set, &p->key, p, point)) {
		tell_of_new(skb, p, &p->key, ethernet);
		return ADDED_TRACE;
	}
	flow = has_room(set) ? NULL : flow_of(&p->key);
	if (flow)
		return add_packet(flow, p) ? ADDED_TRACE : ADDED;
	return account_new(skb, p, ethernet, point);
}

/* Counts a packet that carries these stamps of others. */
static __always_inline void count_packet(struct __sk_buff *skb, struct kernel_counters *count, __u32 segments,
					 __u32 stamps, __u32 ethernet, __u32 point)
{
	struct packet p = {};
	bool early = decide_early(skb);
	__u32 taken = segments, below;
	int result = PARSED;

	if (early) {
		taken = taken_of(&p.key, segments, settings.sample_below);
		if (!taken) {
			put_stamp(skb, stamps, stamp.counted);
			count->sampled_out += segments;
			return;
		}
	}
	if (!parse_fast(skb, &p, ethernet ? ETH_HLEN : 0))
		result = parse_any(skb, &p, ethernet);
	if (result == NOT_IP) {
		count->not_ip += segments;
		count_not_ip(skb, point);
		return;
	}
	put_stamp(skb, stamps, stamp.counted);
	if (result != PARSED) {
		count->parse_error += segments;
		return;
	}
	if (rejected(&p, point, &below)) {
		count->filtered += segments;
		return;
	}
	if (!early)
		taken = taken_of(&p.key, segments, below);
	count->sampled_out += segments - taken;
	if (!taken)
		return;
	thin(&p, taken);
	p.key.epoch = epoch;
	result = account(skb, &p, ethernet, point);
	if (result == FILTERED) {
		count->filtered += taken;
		return;
	}
	if (result == TABLE_FULL) {
		count->table_full += taken;
		return;
	}
	if (result == ADDED_TRACE) {
		put_stamp(skb, stamps, stamp.trace);
		if (may_greet(&p))
			follow_hello(skb, &p);
	}
	count->in_flows += taken;
	if (may_ask(&p))
		follow(skb, &p);
	if (settings.icmp_errors && is_icmp_error(&p.key))
		follow_icmp_error(skb, &p);
	if (settings.turns && p.key.proto == IPPROTO_TCP)
		take_turn(&p);
}

static __always_inline int see(struct __sk_buff *skb, __u32 ethernet, __u32 egress)
{
	__u32 first = 0, segments, stamps = stamps_of(skb), point = skb->ifindex | egress;
	struct kernel_counters *count = bpf_map_lookup_elem(&counters, &first);

	if (!count || skb->pkt_type == PACKET_LOOPBACK) /* a copy for this node's own listeners of what it sent to a group */
		return NEXT;
	segments = segments_of(skb, ethernet);
	count->seen += segments;
	if (stamps & stamp.counted) {
		count->seen_before += segments;
	} else if (stamps & stamp.trace) {
		count->seen_before += segments;
		trace(skb, ethernet, point);
	} else {
		count_packet(skb, count, segments, stamps, ethernet, point);
	}
	return NEXT;
}

SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return see(skb, 1, 0);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return see(skb, 1, OBSERVED_EGRESS);
}

/* For devices without a link layer header: tun, WireGuard, IP tunnels. */
SEC("tc")
int flow_ingress_l3(struct __sk_buff *skb)
{
	return see(skb, 0, 0);
}

SEC("tc")
int flow_egress_l3(struct __sk_buff *skb)
{
	return see(skb, 0, OBSERVED_EGRESS);
}

/* Run once by user space, never attached: what this kernel lets the programs above see. */
SEC("tc")
int probe_features(struct __sk_buff *skb)
{
	return nat_is_readable() ? FEATURE_NAT : 0;
}

struct clock_reading clock SEC(".data.clock");

/* Run by user space at each eviction, never attached. */
SEC("tc")
int read_clock(struct __sk_buff *skb)
{
	clock.tick = bpf_jiffies64();
	clock.monotonic_ns = bpf_ktime_get_coarse_ns();
	return 0;
}

#include "bench.h"

char _license[] SEC("license") = "Dual BSD/GPL";
