/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets in tunnels: VXLAN, Geneve, GRE, IP in IP. Where the settings say so the packet within is what counts, and the
 * outermost tunnel is kept beside its flow; else the outer packet counts, and only super-packets are looked into, since each
 * of their segments has all the headers.
 *
 * What is within and no IP packet, or cut off, stays outside: then the outer packet counts.
 */
#ifndef FLOWGAUGE_TUNNELS_H
#define FLOWGAUGE_TUNNELS_H

#include "parse_ip.h"
#include "settings.h"

#define MAX_TUNNELS 2 /* one in the other; encrypted ones show nothing */
#define GRE_CHECKSUM 0x8000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION 0x0007
#define VXLAN_HAS_ID 0x08
#define GENEVE_VERSION 0xc0
#define GENEVE_OPTION_WORDS 0x3f
#define ETH_P_BRIDGED 0x6558 /* Ethernet within GRE and Geneve */

/* The tunnel of the packet that this CPU has parsed last, if it has one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tunnel);
} tunnel_room SEC(".maps");

/* The packet within, while it is read: the stack has no room for two. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} inner_room SEC(".maps");

/* GRE (RFC 2784, 2890), the cursor at its header; then at what it carries. */
static __always_inline int read_gre(struct __sk_buff *skb, struct cursor *at, __u32 *id)
{
	__be16 header[2];
	__be32 key;
	__u16 flags;

	if (bpf_skb_load_bytes(skb, at->l3, header, sizeof(header)))
		return TUNNEL_NONE;
	flags = bpf_ntohs(header[0]);
	if (flags & GRE_VERSION)
		return TUNNEL_NONE;
	at->protocol = header[1];
	at->l3 += flags & GRE_CHECKSUM ? 8 : 4;
	if (flags & GRE_KEY) {
		if (bpf_skb_load_bytes(skb, at->l3, &key, sizeof(key)))
			return TUNNEL_NONE;
		*id = bpf_ntohl(key);
		at->l3 += 4;
	}
	at->l3 += flags & GRE_SEQUENCE ? 4 : 0;
	return TUNNEL_GRE;
}

/* VXLAN (RFC 7348 5) or Geneve (RFC 8926 3.4), the cursor behind UDP; then at what it carries. */
static __always_inline int read_udp_tunnel(struct __sk_buff *skb, struct cursor *at, __u16 port, __u32 *id)
{
	__u8 header[8] __attribute__((aligned(8)));

	if (bpf_skb_load_bytes(skb, at->l3, header, sizeof(header)))
		return TUNNEL_NONE;
	*id = header[4] << 16 | header[5] << 8 | header[6];
	at->l3 += sizeof(header);
	if (port != GENEVE_PORT) {
		at->protocol = bpf_htons(ETH_P_BRIDGED);
		return header[0] & VXLAN_HAS_ID ? TUNNEL_VXLAN : TUNNEL_NONE;
	}
	at->protocol = bpf_htons(header[2] << 8 | header[3]);
	at->l3 += (header[0] & GENEVE_OPTION_WORDS) * 4;
	return header[0] & GENEVE_VERSION ? TUNNEL_NONE : TUNNEL_GENEVE;
}

/* Which tunnel the packet is; then the cursor is at what it carries. */
static __always_inline int enter(struct __sk_buff *skb, const struct packet *outer, struct cursor *at, __u32 *id)
{
	__u16 vlan_id = 0;
	int kind = TUNNEL_NONE;

	at->l3 = outer->l4;
	if (outer->key.proto == IPPROTO_IPIP || outer->key.proto == IPPROTO_IPV6) {
		at->protocol = outer->key.proto == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
		return TUNNEL_IPIP;
	}
	if (outer->key.proto == IPPROTO_GRE) {
		kind = read_gre(skb, at, id);
	} else if (outer->key.proto == IPPROTO_UDP && is_tunnel_port(outer->key.dst_port)) {
		at->l3 += sizeof(struct udphdr);
		kind = read_udp_tunnel(skb, at, outer->key.dst_port, id);
	}
	if (kind && at->protocol == bpf_htons(ETH_P_BRIDGED) && !read_ethernet(skb, &vlan_id, at))
		return TUNNEL_NONE;
	return kind;
}

static __always_inline void keep_tunnel(const struct packet *outer, __u8 kind, __u32 id)
{
	__u32 zero = 0;
	struct tunnel *room = bpf_map_lookup_elem(&tunnel_room, &zero);

	if (!room)
		return;
	set_address_v6(room->src_addr, outer->key.src_addr);
	set_address_v6(room->dst_addr, outer->key.dst_addr);
	room->id = id;
	room->kind = kind;
}

/* What find_inside says in one number: offset of the IP packet within, whether it is IPv6, and enum tunnel_kind. */
#define OUTSIDE (-1) /* there is no tunnel, or none that is to be entered */
#define PLACE_OFFSET 0xffff
#define PLACE_V6 0x10000
#define PLACE_KIND 20

/* Where the IP packet within a tunnel is. */
__noinline int find_inside(struct __sk_buff *skb, struct packet *p)
{
	struct cursor at = {};
	__u32 id = 0;
	int kind;

	if (!p || !p->l4)
		return OUTSIDE;
	kind = enter(skb, p, &at, &id);
	if (!kind || (at.protocol != bpf_htons(ETH_P_IP) && at.protocol != bpf_htons(ETH_P_IPV6)))
		return OUTSIDE;
	if (!p->tunnel)
		keep_tunnel(p, kind, id);
	return (at.l3 & PLACE_OFFSET) | (at.protocol == bpf_htons(ETH_P_IPV6) ? PLACE_V6 : 0) | kind << PLACE_KIND;
}

/* Makes p the packet within, or measures it anew by what that has of headers; as read_packet of what is within, or OUTSIDE. */
__noinline int parse_inside(struct __sk_buff *skb, struct packet *p, __u32 place)
{
	struct cursor at = {.l3 = place & PLACE_OFFSET};
	struct packet *inner;
	__u32 zero = 0;
	int result;

	inner = bpf_map_lookup_elem(&inner_room, &zero);
	if (!p || !inner)
		return OUTSIDE;
	__builtin_memset(inner, 0, sizeof(*inner));
	at.protocol = place & PLACE_V6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	result = read_packet(skb, inner, &at);
	if (result != PARSED && result != PARSED_FRAGMENT)
		return OUTSIDE;
	if (!settings.tunnels) {
		p->segments = inner->segments;
		p->bytes = inner->bytes + inner->segments * (inner->l3 - p->l3);
		return OUTSIDE;
	}
	inner->tunnel = p->tunnel ? p->tunnel : place >> PLACE_KIND;
	inner->vlan_id = p->vlan_id;
	__builtin_memcpy(p, inner, sizeof(*p));
	return result;
}

#endif
