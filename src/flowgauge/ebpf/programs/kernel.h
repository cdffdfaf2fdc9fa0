/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's own structures, only the members that are read: libbpf moves each access to where the running kernel has the
 * member (CO-RE), so neither their order nor their size matters here.
 */
#ifndef FLOWGAUGE_KERNEL_H
#define FLOWGAUGE_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct list_head {
	struct list_head *next;
};

struct net {
	struct ns_common ns;
	struct list_head dev_base_head;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in_ifaddr {
	__be32 ifa_local;
};

struct in_device {
	struct in_ifaddr *ifa_list;
};

struct inet6_ifaddr {
	struct in6_addr addr;
	struct list_head if_list;
};

struct inet6_dev {
	struct list_head addr_list;
};

struct rtnl_link_ops {
	const char *kind;
};

struct net_device {
	possible_net_t nd_net;
	struct list_head dev_list;
	struct in_device *ip_ptr;
	struct inet6_dev *ip6_ptr;
	const struct rtnl_link_ops *rtnl_link_ops; /* NULL of those that are no software's */
};

struct sk_buff {
	unsigned long _nfct; /* pointer to nf_conn, with ip_conntrack_info in the low 3 bits */
	unsigned int len;
	unsigned char *head, *data;
	__u32 end; /* offset of skb_shared_info from head, on 64-bit machines */
	__u16 network_header; /* offset from head */
	__be16 protocol;
	int skb_iif;
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
};

struct skb_shared_info {
	unsigned short gso_size, gso_segs;
};

struct tcp_skb_cb {
	__u16 tcp_gso_segs;
};

/* As in ftrace's buffer: tells what arguments the hook has. */
struct trace_event_raw_tcp_retransmit_skb {
	int err;
};

/* skc_rcv_saddr and skc_daddr are the local and the remote address. */
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err, sk_err_soft;
	__u16 sk_protocol;
};

struct request_sock {
	struct sock_common __req_common;
};

struct inet_sock {
	__be16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 srtt_us; /* smoothed round-trip time, times 8 */
	__u32 total_retrans;
};

enum skb_drop_reason {
	SKB_NOT_DROPPED_YET,
	SKB_CONSUMED,
	SKB_DROP_REASON_NOT_SPECIFIED,
	SKB_DROP_REASON_QUEUE_PURGE,
	SKB_DROP_REASON_OTHERHOST,
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
