/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The usual packet, read in place: IP without options, extension headers or fragments, then TCP or UDP. */
#ifndef FLOWGAUGE_PARSE_FAST_H
#define FLOWGAUGE_PARSE_FAST_H

#include "packet.h"

#define IP_VERSION_IHL 0x45
#define IP_FRAGMENT_BITS 0x3fff /* more fragments, and the offset */

static __always_inline bool fast_ports(const struct __sk_buff *skb, struct packet *p, void *l4, void *end, __u8 proto,
				       __u32 l3_offset, __u32 l3_length, __u32 l3_header)
{
	__u32 l4_header;

	if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return false;
		p->key.src_port = bpf_ntohs(tcp->source);
		p->key.dst_port = bpf_ntohs(tcp->dest);
		p->tcp_flags = bpf_ntohs(((__be16 *)tcp)[6]) & TCP_FLAG_BITS;
		l4_header = tcp->doff * 4;
		if (l4_header < sizeof(*tcp)) /* then l3_length says nothing about what was just read */
			return false;
	} else if (proto == IPPROTO_UDP) {
		struct udphdr *udp = l4;

		if ((void *)(udp + 1) > end)
			return false;
		p->key.src_port = bpf_ntohs(udp->source);
		p->key.dst_port = bpf_ntohs(udp->dest);
		if (opens_tunnels(skb) && is_tunnel_port(p->key.dst_port))
			return false;
		l4_header = sizeof(*udp);
	} else {
		return false;
	}
	if (l3_length < l3_header + l4_header)
		return false;
	p->key.proto = proto;
	p->l4 = l3_offset + l3_header;
	measure(skb, p, l3_offset, l3_length, l3_header + l4_header);
	return true;
}

/* False when the packet needs parse_any, which then starts anew; true has filled p as parse_any would. */
static __always_inline bool parse_fast(const struct __sk_buff *skb, struct packet *p, __u32 l3_offset)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + l3_offset;

		if ((void *)(ip + 1) > end || *(__u8 *)ip != IP_VERSION_IHL || ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
			return false;
		set_address_v4(p->key.src_addr, ip->saddr);
		set_address_v4(p->key.dst_addr, ip->daddr);
		p->ip_tos = ip->tos;
		if (!fast_ports(skb, p, ip + 1, end, ip->protocol, l3_offset, bpf_ntohs(ip->tot_len), sizeof(*ip)))
			return false;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = data + l3_offset;

		if ((void *)(ip6 + 1) > end || ip6->version != 6)
			return false;
		set_address_v6(p->key.src_addr, &ip6->saddr);
		set_address_v6(p->key.dst_addr, &ip6->daddr);
		p->ip_tos = bpf_ntohs(*(__be16 *)ip6) >> 4;
		if (!fast_ports(skb, p, ip6 + 1, end, ip6->nexthdr, l3_offset,
				bpf_ntohs(ip6->payload_len) + sizeof(*ip6), sizeof(*ip6)))
			return false;
	} else {
		return false;
	}
	if (skb->vlan_present)
		p->vlan_id = skb->vlan_tci & VLAN_ID_BITS;
	return true;
}

#endif
