/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets that the kernel drops, wherever it does, by flow, reason and TCP state. */
#ifndef FLOWGAUGE_DROPS_H
#define FLOWGAUGE_DROPS_H

#include <bpf/bpf_tracing.h>

#include "nat.h"
#include "parse_ip.h"
#include "signals.h"

#define MAX_DROP_EXTENSIONS 4

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct drop_key);
	__type(value, struct drop_value);
} drops SEC(".maps");

/* A dropped packet: where its headers are. */
struct dropped {
	struct drop_key key;
	__u32 segments, bytes;
	__u32 headers; /* bytes of layers 3 and 4 */
	__u32 length; /* of layer 3 as the header says, 0 when it cannot */
	__u32 id; /* of a fragmented datagram */
	bool later_fragment;
};

/*
 * Reasons that are no loss: the packet was used; the kernel does not say; a queue was emptied with its socket, which every
 * connection does at its end; a frame was for another host, which a device that listens to all or a flooding bridge hands up.
 * Their numbers differ between kernels.
 */
static __always_inline bool is_no_loss(__u32 reason)
{
	if (reason <= bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED))
		return true;
	if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_OTHERHOST) &&
	    reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_OTHERHOST))
		return true;
	return bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_QUEUE_PURGE) &&
	       reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_QUEUE_PURGE);
}

static __always_inline bool read_dropped_v4(struct dropped *d, const void *at)
{
	struct iphdr ip;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), at) || ip.version != 4 || ip.ihl < 5)
		return false;
	set_address_v4(d->key.flow.src_addr, ip.saddr);
	set_address_v4(d->key.flow.dst_addr, ip.daddr);
	d->key.flow.proto = ip.protocol;
	d->headers = ip.ihl * 4;
	d->length = bpf_ntohs(ip.tot_len);
	d->id = ip.id;
	d->later_fragment = ip.frag_off & bpf_htons(IP_OFFSET_BITS);
	return true;
}

static __always_inline bool read_dropped_v6(struct dropped *d, const void *at)
{
	struct ipv6hdr ip6;
	__u8 extension[8];

	if (bpf_probe_read_kernel(&ip6, sizeof(ip6), at) || ip6.version != 6)
		return false;
	set_address_v6(d->key.flow.src_addr, &ip6.saddr);
	set_address_v6(d->key.flow.dst_addr, &ip6.daddr);
	d->key.flow.proto = ip6.nexthdr;
	d->headers = sizeof(ip6);
	d->length = ip6.payload_len ? bpf_ntohs(ip6.payload_len) + sizeof(ip6) : 0;
	for (int i = 0; i < MAX_DROP_EXTENSIONS && is_extension(d->key.flow.proto) && !d->later_fragment; i++) {
		if (bpf_probe_read_kernel(extension, sizeof(extension), at + d->headers))
			break;
		if (d->key.flow.proto == IPPROTO_FRAGMENT) {
			d->later_fragment = extension[2] || extension[3] & 0xf8;
			d->id = *(__u32 *)(extension + 4);
			d->headers += 8;
		} else if (d->key.flow.proto == IPPROTO_AH) {
			d->headers += (extension[1] + 2) * 4;
		} else {
			d->headers += (extension[1] + 1) * 8;
		}
		d->key.flow.proto = extension[0];
	}
	return true;
}

static __always_inline void read_dropped_l4(struct dropped *d, const void *at)
{
	__u8 proto = d->key.flow.proto, l4[4], offset = 0;

	if (d->later_fragment) {
		join_fragment(&d->key.flow, d->id, true);
		return;
	}
	if (bpf_probe_read_kernel(l4, sizeof(l4), at))
		return;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		d->key.flow.icmp_type = l4[0];
		d->key.flow.icmp_code = l4[1];
	} else if (has_ports(proto)) {
		d->key.flow.src_port = l4[0] << 8 | l4[1];
		d->key.flow.dst_port = l4[2] << 8 | l4[3];
		if (proto == IPPROTO_TCP)
			bpf_probe_read_kernel(&offset, sizeof(offset), at + 12);
		d->headers += proto == IPPROTO_TCP ? (offset >> 4) * 4 : sizeof(struct udphdr);
	}
}

/* Packets on the wire that a super-packet stands for, and their bytes. */
static __always_inline void measure_dropped(struct dropped *d, struct sk_buff *skb, const unsigned char *l3)
{
	const struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	__u32 size = BPF_CORE_READ(shared, gso_size), segments = BPF_CORE_READ(shared, gso_segs);
	/* Layers above may have moved the packet's beginning behind the header. */
	__u32 present = skb->len + (__u32)(skb->data - l3);

	d->segments = 1;
	d->bytes = d->length ? d->length : present;
	if (!size)
		return;
	if (!segments)
		segments = present > d->headers ? (present - d->headers + size - 1) / size : 1;
	d->segments = segments;
	d->bytes = present + (segments - 1) * d->headers;
}

static __always_inline void place_dropped(struct dropped *d, struct sk_buff *skb, const struct sock *sk)
{
	struct net_device *dev = skb->dev;
	__u32 netns = 0;

	if (dev)
		netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	else if (sk)
		netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (netns == settings.netns)
		d->key.place = DROP_AT_NODE;
	else
		d->key.place = skb->skb_iif ? DROP_RECEIVED : DROP_SENT;
	if (sk && d->key.flow.proto == IPPROTO_TCP)
		d->key.tcp_state = BPF_CORE_READ(sk, __sk_common.skc_state);
}

static __always_inline void add_dropped(const struct dropped *d)
{
	struct drop_value fresh = {}, *value = bpf_map_lookup_elem(&drops, &d->key);

	if (!value) {
		fresh.first_tick = bpf_jiffies64();
		bpf_map_update_elem(&drops, &d->key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&drops, &d->key);
	}
	if (!value) {
		COUNT_SIGNAL(drops_full);
		return;
	}
	__sync_fetch_and_add(&value->packets, d->segments);
	__sync_fetch_and_add(&value->bytes, d->bytes);
	value->last_tick = bpf_jiffies64();
}

static __always_inline int see_dropped(struct sk_buff *skb, __u32 reason, const struct sock *sk)
{
	struct dropped d = {};
	struct flow_key before = {};
	const unsigned char *l3;
	bool read = false;

	if (is_no_loss(reason))
		return 0;
	l3 = skb->head + skb->network_header;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		read = read_dropped_v4(&d, l3);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		read = read_dropped_v6(&d, l3);
	if (!read)
		return 0;
	read_dropped_l4(&d, l3 + d.headers);
	/* A packet dropped behind translation never reaches the hook that would have told how it was translated. */
	if (settings.nat && conntrack_is_readable() && key_before(&before, &d.key.flow, skb->_nfct) != UNTRANSLATED)
		d.key.flow = before;
	if (flow_left_out(&d.key.flow, true))
		return 0;
	measure_dropped(&d, skb, l3);
	place_dropped(&d, skb, sk ? sk : skb->sk);
	if (d.key.place != DROP_AT_NODE && is_loopback(&d.key.flow))
		return 0;
	d.key.reason = reason;
	d.key.flow.epoch = epoch;
	add_dropped(&d);
	return 0;
}

/* Since Linux 6.11 the tracepoint tells which socket was to receive the packet. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(on_drop_at_socket, struct sk_buff *skb, void *location, int reason, struct sock *sk)
{
	return see_dropped(skb, reason, sk);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(on_drop, struct sk_buff *skb, void *location, int reason)
{
	return see_dropped(skb, reason, NULL);
}

#endif
