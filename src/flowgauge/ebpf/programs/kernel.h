/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's own structures, only the members that are read: libbpf moves each access to where the running kernel has the
 * member (CO-RE), so neither their order nor their size matters here.
 */
#ifndef FLOWGAUGE_KERNEL_H
#define FLOWGAUGE_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
	unsigned long _nfct; /* pointer to nf_conn, with ip_conntrack_info in the low 3 bits */
};

union nf_inet_addr {
	__u32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	__u16 l3num;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
		__u8 protonum;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2]; /* original, reply */
	unsigned long status;
};

#pragma clang attribute pop

/* enum ip_conntrack_info, in the low bits of _nfct; what is not named here (related, untracked) is left alone. */
#define NFCT_INFO_MASK 7UL
#define NFCT_ESTABLISHED 0
#define NFCT_NEW 2
#define NFCT_ESTABLISHED_REPLY 3

#define IPS_NAT_MASK 0x30UL /* IPS_SRC_NAT | IPS_DST_NAT */

/* Since Linux 6.2; without it there is no translation, and nothing else changes. */
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

#endif
