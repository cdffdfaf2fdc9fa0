/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What TCP sockets of this machine know of their flows: round-trip times, segments sent again, how the connection ended.
 *
 * Each value belongs to the flow that the socket sends. The kernel holds the socket's lock at these tracepoints, so no two
 * CPUs write to one value at once.
 */
#ifndef FLOWGAUGE_SOCKETS_H
#define FLOWGAUGE_SOCKETS_H

#include <bpf/bpf_tracing.h>

#include "signals.h"

#define AF_INET 2
#define AF_INET6 10
#define EPIPE 32
#define ENETUNREACH 101
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTUNREACH 113

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct socket_value);
} sockets SEC(".maps");

/* The ends of a socket as the flow that it sends; false when it is not IP. */
static __always_inline bool ends_of_socket(struct flow_key *key, const struct sock_common *common, __u16 local_port)
{
	if (common->skc_family == AF_INET) {
		set_address_v4(key->src_addr, common->skc_rcv_saddr);
		set_address_v4(key->dst_addr, common->skc_daddr);
	} else if (common->skc_family == AF_INET6) {
		BPF_CORE_READ_INTO(&key->src_addr, common, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&key->dst_addr, common, skc_v6_daddr);
	} else {
		return false;
	}
	key->src_port = local_port;
	key->dst_port = bpf_ntohs(common->skc_dport);
	key->proto = IPPROTO_TCP;
	return true;
}

/* The namespace, other than the node's, on whose loopback a socket with these ends is; 0 for all other sockets. */
static __always_inline __u32 loopback_elsewhere(const struct flow_key *key, const struct sock_common *common)
{
	__u32 netns = common->skc_net.net->ns.inum;

	return is_loopback(key) && netns != settings.netns ? netns : 0;
}

/* The flow that a socket sends; false when none is counted: not IP, left out, on the loopback of a pod. */
static __always_inline bool key_of_socket(struct flow_key *key, const struct sock_common *common, __u16 local_port)
{
	if (!ends_of_socket(key, common, local_port) || flow_left_out(key, false) || loopback_elsewhere(key, common))
		return false;
	key->epoch = epoch;
	return true;
}

static __always_inline struct socket_value *value_of_socket(const struct flow_key *key)
{
	struct socket_value fresh = {}, *value = bpf_map_lookup_elem(&sockets, key);

	if (!value) {
		bpf_map_update_elem(&sockets, key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&sockets, key);
	}
	if (value)
		value->last_tick = bpf_jiffies64();
	else
		COUNT_SIGNAL(sockets_full);
	return value;
}

static __always_inline __u32 bucket_of(__u32 us)
{
	__u32 bucket = 0;

#pragma unroll
	for (int shift = 16; shift; shift >>= 1) {
		if (us >> shift) {
			us >>= shift;
			bucket += shift;
		}
	}
	return bucket < RTT_BUCKETS ? bucket : RTT_BUCKETS - 1;
}

static __always_inline void add_rtt(struct socket_value *value, __u32 us)
{
	__u32 bucket = bucket_of(us);

	if (!value->rtt_count || us < value->rtt_min_us)
		value->rtt_min_us = us;
	if (us > value->rtt_max_us)
		value->rtt_max_us = us;
	value->rtt_sum_us += us;
	value->rtt_count++;
	barrier_var(bucket); /* else the compiler moves the bound away from where the verifier looks for it */
	if (bucket < RTT_BUCKETS)
		value->rtt_histogram[bucket]++;
}

/* An established socket received a packet. */
SEC("tp_btf/tcp_probe")
int BPF_PROG(on_tcp_receive, struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct flow_key key = {};
	struct socket_value *value;

	if (!tcp || !tcp->srtt_us)
		return 0;
	if (!key_of_socket(&key, &sk->__sk_common, sk->__sk_common.skc_num))
		return 0;
	value = value_of_socket(&key);
	if (value)
		add_rtt(value, tcp->srtt_us >> 3);
	return 0;
}

/*
 * Since Linux 6.17 this hook is called for attempts that failed too, with the error as its third argument: mostly because the
 * segment still waits in this machine's own queue. Older kernels have two arguments, and libbpf makes the reading of another
 * one code that is never reached, which their verifiers skip.
 */
static __always_inline bool was_sent_again(const unsigned long long *arguments)
{
	return !bpf_core_field_exists(struct trace_event_raw_tcp_retransmit_skb, err) || (int)arguments[2] == 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock *sk, const struct sk_buff *skb)
{
	struct tcp_skb_cb *control = (struct tcp_skb_cb *)skb->cb;
	__u16 segments = BPF_CORE_READ(control, tcp_gso_segs);
	struct flow_key key = {};
	struct socket_value *value;

	if (!was_sent_again(ctx))
		return 0;
	if (!key_of_socket(&key, &sk->__sk_common, sk->__sk_common.skc_num))
		return 0;
	value = value_of_socket(&key);
	if (value)
		value->retransmits += segments ? segments : 1;
	return 0;
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(on_retransmit_synack, const struct sock *sk, const struct request_sock *request)
{
	struct flow_key key = {};
	struct socket_value *value;

	if (!key_of_socket(&key, &request->__req_common, request->__req_common.skc_num))
		return 0;
	value = value_of_socket(&key);
	if (value)
		__sync_fetch_and_add(&value->retransmits, 1); /* a request has no lock of its own */
	return 0;
}

/* How a connection ended that was in state before. */
static __always_inline __u32 end_of(int before, const struct sock *sk)
{
	int error = sk->sk_err;

	if (!error && before == BPF_TCP_SYN_SENT)
		error = sk->sk_err_soft; /* an ICMP error that came while connect() held the socket */
	switch (error) {
	case 0:
		break;
	case ECONNREFUSED:
		return SOCKET_REFUSED;
	case ETIMEDOUT:
		return SOCKET_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
		return SOCKET_UNREACHABLE;
	case ECONNRESET:
	case ECONNABORTED: /* by who may close others' sockets (ss -K) */
	case EPIPE: /* reset when the other side had said that it sends no more */
		return SOCKET_RESET;
	default: /* ICMP has more errors than these, as EACCES where ICMPv6 says that a rule rejects it */
		return before == BPF_TCP_SYN_SENT ? SOCKET_UNREACHABLE : SOCKET_RESET;
	}
	if (before == BPF_TCP_SYN_SENT)
		return SOCKET_TIMEOUT; /* the application waited no longer */
	if (before == BPF_TCP_ESTABLISHED || before == BPF_TCP_CLOSE_WAIT || before == BPF_TCP_SYN_RECV)
		return SOCKET_RESET; /* closed with unread data, or without the exchange of FIN */
	return SOCKET_CLOSED;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, const struct sock *sk, int before, int now)
{
	struct tcp_sock *tcp;
	struct flow_key key = {};
	struct socket_value *value;

	if ((now != BPF_TCP_ESTABLISHED && now != BPF_TCP_CLOSE) || before == BPF_TCP_LISTEN)
		return 0;
	tcp = bpf_skc_to_tcp_sock((void *)sk);
	/* skc_num is 0 here already where the port was given back. */
	if (!tcp || !key_of_socket(&key, &sk->__sk_common, bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport)))
		return 0;
	if (!key.src_port || !key.dst_port)
		return 0; /* never connected */
	value = value_of_socket(&key);
	if (value)
		value->state = now == BPF_TCP_ESTABLISHED ? SOCKET_ESTABLISHED : end_of(before, sk);
	return 0;
}

#endif
