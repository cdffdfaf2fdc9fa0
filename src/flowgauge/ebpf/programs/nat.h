/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* This node's address translation, from the connection tracking entry that a packet carries once it was routed. */
#ifndef FLOWGAUGE_NAT_H
#define FLOWGAUGE_NAT_H

#include "kernel.h"
#include "packet.h"

enum translated { UNTRANSLATED, TRANSLATED_ORIGINAL, TRANSLATED_REPLY };

/*
 * Connection tracking may be a module that is not loaded, or not be built at all. Asking for the type would not do: kernels
 * also have a struct nf_conn___init, which counts as another flavour of it.
 */
static __always_inline bool conntrack_is_readable(void)
{
	return bpf_core_field_exists(struct nf_conn, status) && bpf_core_field_exists(struct nf_conn, tuplehash) &&
	       bpf_core_field_exists(struct sk_buff, _nfct);
}

static __always_inline bool nat_is_readable(void)
{
	return bpf_cast_to_kern_ctx && conntrack_is_readable();
}

struct tuple {
	union nf_inet_addr src, dst;
	__be16 src_port, dst_port;
	__u8 proto;
};

#define READ_TUPLE(to, conn, direction)                                                       \
	do {                                                                                  \
		BPF_CORE_READ_INTO(&(to)->src, conn, tuplehash[direction].tuple.src.u3);      \
		BPF_CORE_READ_INTO(&(to)->dst, conn, tuplehash[direction].tuple.dst.u3);      \
		BPF_CORE_READ_INTO(&(to)->src_port, conn, tuplehash[direction].tuple.src.u);  \
		BPF_CORE_READ_INTO(&(to)->dst_port, conn, tuplehash[direction].tuple.dst.u);  \
		BPF_CORE_READ_INTO(&(to)->proto, conn, tuplehash[direction].tuple.dst.protonum); \
	} while (0)

/* The key as it was before translation: the tuple's addresses and ports, the packet's ICMP type. */
static __always_inline void key_of_tuple(struct flow_key *key, const struct flow_key *now, const struct tuple *tuple)
{
	*key = *now;
	if (is_v4(now)) {
		set_address_v4(key->src_addr, tuple->src.all[0]);
		set_address_v4(key->dst_addr, tuple->dst.all[0]);
	} else {
		set_address_v6(key->src_addr, &tuple->src);
		set_address_v6(key->dst_addr, &tuple->dst);
	}
	if (has_ports(now->proto)) {
		key->src_port = bpf_ntohs(tuple->src_port);
		key->dst_port = bpf_ntohs(tuple->dst_port);
	}
}

/*
 * Whether the connection behind nfct (sk_buff._nfct) was translated, in which direction the packet goes, and its key before.
 * Only packets of the connection itself count: an ICMP error that relates to one carries another tuple.
 */
static __always_inline int key_before(struct flow_key *before, const struct flow_key *now, unsigned long nfct)
{
	struct tuple tuple = {};
	struct nf_conn *conn;
	unsigned long info = nfct & NFCT_INFO_MASK;

	conn = (struct nf_conn *)(nfct & ~NFCT_INFO_MASK);
	if (!conn || !(BPF_CORE_READ(conn, status) & IPS_NAT_MASK))
		return UNTRANSLATED;
	if (info == NFCT_ESTABLISHED || info == NFCT_NEW)
		READ_TUPLE(&tuple, conn, 0);
	else if (info == NFCT_ESTABLISHED_REPLY)
		READ_TUPLE(&tuple, conn, 1);
	if (tuple.proto != now->proto)
		return UNTRANSLATED;
	key_of_tuple(before, now, &tuple);
	if (same_key(before, now))
		return UNTRANSLATED;
	return info == NFCT_ESTABLISHED_REPLY ? TRANSLATED_REPLY : TRANSLATED_ORIGINAL;
}

/* Whether connection tracking has an entry for the packet, so that its addresses may have been translated. */
static __always_inline bool is_tracked(struct __sk_buff *skb)
{
	return nat_is_readable() && ((struct sk_buff *)bpf_cast_to_kern_ctx(skb))->_nfct & ~NFCT_INFO_MASK;
}

/* Whether this node translated the packet, and in which direction of its connection; then before is its key as it was. */
__noinline int before_translation(struct __sk_buff *skb, struct packet *p, struct flow_key *before)
{
	if (!p || !before || !nat_is_readable())
		return UNTRANSLATED;
	return key_before(before, &p->key, ((struct sk_buff *)bpf_cast_to_kern_ctx(skb))->_nfct);
}

#endif
