/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Any IP packet: VLAN tags in the frame, IP options, IPv6 extension headers, fragments, headers that are not in one piece.
 *
 * The global functions are verified once, not at each call: inlined they make the verifier's work twenty times as long.
 */
#ifndef FLOWGAUGE_PARSE_IP_H
#define FLOWGAUGE_PARSE_IP_H

#include "packet.h"

#define MAX_VLAN_TAGS 2
#define MAX_EXTENSION_HEADERS 6
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_BITS 0x1fff
#define IP6_MORE_FRAGMENTS 0x0001
#define IP6_OFFSET_BITS 0xfff8
#define IPPROTO_HIP 139
#define IPPROTO_SHIM6 140
#define SCTP_COMMON_HEADER 12

/* Ports of a fragmented datagram, kept from its first fragment for the later ones (RFC 791 3.2, RFC 8200 4.5). */
struct fragment_key {
	__u8 src_addr[16];
	__u8 dst_addr[16];
	__u32 id;
	__u32 proto; /* 0 in IPv6 */
};

struct fragment_value {
	__u16 src_port;
	__u16 dst_port;
	__u8 proto; /* after the extension headers that only the first fragment has */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} fragments SEC(".maps");

/* Where the parser stands in the frame. */
struct cursor {
	__u32 l3; /* offset of the IP header */
	__u32 l3_length; /* as it says, 0 when it cannot */
	__u32 l4; /* offset of what follows IP and its extensions */
	__u32 id; /* of the fragmented datagram */
	__u16 protocol; /* EtherType, network order */
	bool fragmented, later_fragment;
};

/* Ports live in the first fragment only: keeps them, or finds them for a later one. */
__noinline int join_fragment(struct flow_key *flow, __u32 id, __u32 later)
{
	struct fragment_key key = {};
	struct fragment_value *kept, found = {};

	if (!flow)
		return 0;
	set_address_v6(key.src_addr, flow->src_addr);
	set_address_v6(key.dst_addr, flow->dst_addr);
	key.id = id;
	/* An IPv4 identification belongs to a protocol; in IPv6 the first fragment may hold more extension headers. */
	key.proto = is_v4(flow) ? flow->proto : 0;
	if (later) {
		kept = bpf_map_lookup_elem(&fragments, &key);
		if (!kept)
			return 0;
		flow->src_port = kept->src_port;
		flow->dst_port = kept->dst_port;
		flow->proto = kept->proto;
		flow->icmp_type = kept->icmp_type;
		flow->icmp_code = kept->icmp_code;
		return 0;
	}
	found.src_port = flow->src_port;
	found.dst_port = flow->dst_port;
	found.proto = flow->proto;
	found.icmp_type = flow->icmp_type;
	found.icmp_code = flow->icmp_code;
	bpf_map_update_elem(&fragments, &key, &found, BPF_ANY);
	return 0;
}

static __always_inline bool is_extension(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS || header == IPPROTO_AH ||
	       header == IPPROTO_FRAGMENT || header == IPPROTO_MH || header == IPPROTO_HIP || header == IPPROTO_SHIM6;
}

static __always_inline void skip_extensions(struct __sk_buff *skb, struct packet *p, struct cursor *at)
{
	struct {
		__u8 next, length;
		__be16 fragment;
		__be32 id;
	} header;

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		if (!is_extension(p->key.proto) || bpf_skb_load_bytes(skb, at->l4, &header, sizeof(header)))
			return;
		if (p->key.proto == IPPROTO_FRAGMENT) {
			__u16 fragment = bpf_ntohs(header.fragment);

			at->id = header.id;
			at->fragmented = fragment & (IP6_OFFSET_BITS | IP6_MORE_FRAGMENTS);
			at->later_fragment = fragment & IP6_OFFSET_BITS;
			at->l4 += 8;
		} else if (p->key.proto == IPPROTO_AH) {
			at->l4 += (header.length + 2) * 4; /* RFC 4302 2.2: in words of 32 bits, minus 2 */
		} else {
			at->l4 += (header.length + 1) * 8; /* RFC 8200 4.3: in words of 64 bits, without the first */
		}
		p->key.proto = header.next;
		if (at->later_fragment)
			return;
	}
}

static __always_inline int read_ipv4(struct __sk_buff *skb, struct packet *p, struct cursor *at)
{
	struct iphdr ip;
	__u32 header;

	if (bpf_skb_load_bytes(skb, at->l3, &ip, sizeof(ip)))
		return MALFORMED;
	header = ip.ihl * 4;
	at->l3_length = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip) || at->l3 + header > skb->len)
		return MALFORMED;
	if (at->l3_length && at->l3_length < header)
		return MALFORMED;
	set_address_v4(p->key.src_addr, ip.saddr);
	set_address_v4(p->key.dst_addr, ip.daddr);
	p->key.proto = ip.protocol;
	p->ip_tos = ip.tos;
	at->l4 = at->l3 + header;
	at->id = ip.id;
	at->fragmented = ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_BITS);
	at->later_fragment = ip.frag_off & bpf_htons(IP_OFFSET_BITS);
	return PARSED;
}

static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *p, struct cursor *at)
{
	struct ipv6hdr ip6;

	if (bpf_skb_load_bytes(skb, at->l3, &ip6, sizeof(ip6)) || ip6.version != 6)
		return MALFORMED;
	set_address_v6(p->key.src_addr, &ip6.saddr);
	set_address_v6(p->key.dst_addr, &ip6.daddr);
	p->key.proto = ip6.nexthdr;
	p->ip_tos = ip6.priority << 4 | ip6.flow_lbl[0] >> 4;
	at->l4 = at->l3 + sizeof(ip6);
	/* A payload length of 0 is a jumbogram's (RFC 2675 3), or a packet of headers only: then present is right as well. */
	at->l3_length = ip6.payload_len ? bpf_ntohs(ip6.payload_len) + sizeof(ip6) : 0;
	skip_extensions(skb, p, at);
	return PARSED;
}

/* Reads size bytes of layer 4, unless the IP packet ends before (what follows is padding). */
static __always_inline bool read_l4(struct __sk_buff *skb, const struct cursor *at, void *to, __u32 size)
{
	if (at->l3_length && at->l4 + size > at->l3 + at->l3_length)
		return false;
	return bpf_skb_load_bytes(skb, at->l4, to, size) == 0;
}

/* Ports, ICMP type and code, TCP flags, as far as the packet goes; the length of the layer 4 header, 0 if unknown. */
static __always_inline __u32 read_layer4(struct __sk_buff *skb, struct packet *p, const struct cursor *at)
{
	__be16 ports[2], offset_flags;

	if (p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6) {
		__u8 type_code[2];

		if (read_l4(skb, at, type_code, sizeof(type_code))) {
			p->key.icmp_type = type_code[0];
			p->key.icmp_code = type_code[1];
		}
		return 0;
	}
	if (!has_ports(p->key.proto) || !read_l4(skb, at, ports, sizeof(ports)))
		return 0;
	p->key.src_port = bpf_ntohs(ports[0]);
	p->key.dst_port = bpf_ntohs(ports[1]);
	if (p->key.proto == IPPROTO_SCTP)
		return SCTP_COMMON_HEADER;
	if (p->key.proto != IPPROTO_TCP)
		return sizeof(struct udphdr);
	struct cursor flags = *at;

	flags.l4 += 12;
	if (!read_l4(skb, &flags, &offset_flags, sizeof(offset_flags)))
		return 0;
	p->tcp_flags = bpf_ntohs(offset_flags) & TCP_FLAG_BITS;
	return (bpf_ntohs(offset_flags) >> 12) * 4;
}

/* Reads the EtherType of the frame where the cursor stands behind up to two VLAN tags; then it stands at the packet. */
static __always_inline bool read_ethernet(struct __sk_buff *skb, __u16 *vlan_id, struct cursor *at)
{
	struct {
		__be16 tci, protocol;
	} tag;

	if (bpf_skb_load_bytes(skb, at->l3 + offsetof(struct ethhdr, h_proto), &at->protocol, sizeof(at->protocol)))
		return false;
	at->l3 += ETH_HLEN;
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		if (at->protocol != bpf_htons(ETH_P_8021Q) && at->protocol != bpf_htons(ETH_P_8021AD))
			return true;
		if (bpf_skb_load_bytes(skb, at->l3, &tag, sizeof(tag)))
			return false;
		if (*vlan_id == 0)
			*vlan_id = bpf_ntohs(tag.tci) & VLAN_ID_BITS;
		at->protocol = tag.protocol;
		at->l3 += sizeof(tag);
	}
	return true;
}

/* Reads the IP packet where the cursor stands; as enum parsed says. */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *p, struct cursor *at)
{
	__u32 l4_header = 0;
	int result;

	if (at->protocol == bpf_htons(ETH_P_IP))
		result = read_ipv4(skb, p, at);
	else if (at->protocol == bpf_htons(ETH_P_IPV6))
		result = read_ipv6(skb, p, at);
	else
		return NOT_IP;
	if (result != PARSED)
		return result;
	if (!at->later_fragment) {
		l4_header = read_layer4(skb, p, at);
		p->l4 = at->l4;
	}
	if (at->fragmented)
		join_fragment(&p->key, at->id, at->later_fragment);
	measure(skb, p, at->l3, at->l3_length, at->l4 + l4_header - at->l3);
	return at->fragmented ? PARSED_FRAGMENT : PARSED;
}

/*
 * Fills p from the frame (ethernet 1) or packet (0) in skb; as enum parsed says. An IP packet whose layer 4 is cut off still
 * has a flow: what could not be read is 0.
 */
__noinline int parse_ip(struct __sk_buff *skb, struct packet *p, __u32 ethernet)
{
	struct cursor at = {};

	if (!p)
		return MALFORMED;
	__builtin_memset(p, 0, sizeof(*p));
	if (skb->vlan_present)
		p->vlan_id = skb->vlan_tci & VLAN_ID_BITS;
	at.protocol = skb->protocol;
	if (ethernet && !read_ethernet(skb, &p->vlan_id, &at))
		return NOT_IP;
	return read_packet(skb, p, &at);
}

#endif
