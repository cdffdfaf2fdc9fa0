/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet as the parser leaves it: which flow, and what it adds to it. */
#ifndef FLOWGAUGE_PACKET_H
#define FLOWGAUGE_PACKET_H

#include "settings.h"

struct packet {
	struct flow_key key;
	__u32 bytes; /* of layer 3 on the wire, all segments */
	__u32 segments;
	__u16 tcp_flags;
	__u16 vlan_id;
	__u8 ip_tos;
	bool payload; /* behind the header of layer 4 */
	__u8 rule; /* as in flow_value */
	__u8 tunnel; /* enum tunnel_kind: what it came in */
	__u16 l4; /* offset of the layer 4 header in the frame; 0 where there is none */
	__u16 l3; /* offset of the IP header */
};

/* PARSED_FRAGMENT: one of several, of which only the first shows what it carries. */
enum parsed { PARSED, PARSED_FRAGMENT, NOT_IP, MALFORMED };

#define TCP_FLAG_BITS 0x01ff /* FIN SYN RST PSH ACK URG ECE CWR NS, in the 16 bits that hold the data offset too */
#define VLAN_ID_BITS 0x0fff
#define V4_MAPPED bpf_htonl(0x0000ffff)

static __always_inline void set_address_v4(__u8 *to, __be32 address)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = V4_MAPPED;
	word[3] = address;
}

static __always_inline void set_address_v6(__u8 *to, const void *address)
{
	__builtin_memcpy(to, address, 16);
}

static __always_inline bool is_v4(const struct flow_key *key)
{
	const __u32 *word = (const __u32 *)key->src_addr;

	return word[0] == 0 && word[1] == 0 && word[2] == V4_MAPPED;
}

static __always_inline bool is_multicast(const __u8 *addr)
{
	const __u32 *word = (const __u32 *)addr;

	return addr[0] == 0xff || (word[0] == 0 && word[1] == 0 && word[2] == V4_MAPPED && (addr[12] & 0xf0) == 0xe0);
}

/* Ports and addresses of the usual flows differ first. */
static __always_inline bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[4] == y[4] && x[3] == y[3] && x[1] == y[1] && x[2] == y[2] && x[0] == y[0];
}

static __always_inline bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_DCCP;
}

#define VXLAN_PORT 4789 /* RFC 7348 */
#define VXLAN_PORT_OF_LINUX 8472 /* its default, from before there was a standard */
#define GENEVE_PORT 6081 /* RFC 8926 */

static __always_inline bool is_tunnel_port(__u16 port)
{
	return port == VXLAN_PORT || port == VXLAN_PORT_OF_LINUX || port == GENEVE_PORT;
}

/* Whether to look into tunnels: for the packet within, or for the headers of each segment of a super-packet. */
static __always_inline bool opens_tunnels(const struct __sk_buff *skb)
{
	return settings.tunnels || skb->gso_size;
}

/* From here on Linux gives clients their ports (net.ipv4.ip_local_port_range). */
#define EPHEMERAL_PORTS 32768

static __always_inline __u32 mixed(__u64 a, __u64 b, __u64 c)
{
	__u64 hash = a * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ (hash >> 32) ^ b) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ (hash >> 29) ^ c) * 0x94d049bb133111ebull;
	return hash >> 32;
}

/*
 * The same for both directions of a flow and on every node, before and behind the translation of a service's address: where
 * just one end has a port of clients, that end tells the connection, and translation of the other end changes nothing.
 */
static __always_inline __u32 symmetric_hash(const struct flow_key *key)
{
	const __u64 *src = (const __u64 *)key->src_addr, *dst = (const __u64 *)key->dst_addr;
	bool from_client = key->src_port >= EPHEMERAL_PORTS, to_client = key->dst_port >= EPHEMERAL_PORTS;
	__u64 proto = (__u64)key->proto << 32;

	if (from_client && !to_client)
		return mixed(src[0], src[1], key->src_port | proto);
	if (to_client && !from_client)
		return mixed(dst[0], dst[1], key->dst_port | proto);
	return mixed(src[0] ^ dst[0], src[1] ^ dst[1], (key->src_port ^ key->dst_port) | proto);
}

/*
 * Sets segments and bytes. A super-packet stands for several packets on the wire, each with a copy of the headers.
 *
 * l3_offset: of the IP header in the frame; l3_length: as the header says, 0 when it cannot (jumbo); headers: bytes of the
 * headers of layers 3 and 4.
 */
static __always_inline void measure(const struct __sk_buff *skb, struct packet *p, __u32 l3_offset, __u32 l3_length,
				    __u32 headers)
{
	__u32 present = skb->len - l3_offset, gso_size = skb->gso_size;

	p->l3 = l3_offset;
	if (gso_size == 0) {
		p->segments = 1;
		/* What follows the IP packet is padding of a short Ethernet frame. */
		p->bytes = l3_length && l3_length < present ? l3_length : present;
		p->payload = p->bytes > headers;
		return;
	}
	p->payload = true;
	p->segments = skb->gso_segs;
	/* Packets from a virtual machine leave the number of segments to whoever cuts them. */
	if (p->segments == 0)
		p->segments = present > headers ? (present - headers + gso_size - 1) / gso_size : 1;
	p->bytes = present + (p->segments - 1) * headers;
}

#endif
