/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which process sends datagrams of UDP: the one that last sent or received by the packet's socket.
 *
 * A packet that is sent carries its socket as far as the first hook, but not who runs; the kernel tells of a process only when
 * its call ends, which is after its packet was seen. So a young flow leaves its key with the socket, where the end of the call
 * finds it. Who answers has received before, and is known at once.
 */
#ifndef FLOWGAUGE_DATAGRAMS_H
#define FLOWGAUGE_DATAGRAMS_H

#include "attribution.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct datagram_socket);
} datagram_sockets SEC(".maps");

/* For the interval: there is no end of a flow of UDP that could be seen, and the next interval's first packet tells again. */
static __always_inline void tell_sender(const struct flow_key *flow, struct owner *owner)
{
	struct flow_key key = *flow;

	key.epoch = 0;
	owner->ended = 1;
	bpf_map_update_elem(&owners, &key, owner, BPF_ANY);
}

/* The first packet of a flow in an epoch. */
__noinline int follow_sender(struct __sk_buff *skb, const struct flow_key *flow)
{
	struct datagram_socket *socket;
	struct bpf_sock *sk = skb->sk;

	if (!sk || !flow)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		return 0;
	socket->waits = *flow;
	if (socket->owner.pid)
		tell_sender(flow, &socket->owner);
	return 0;
}

/* A process has sent or received by the socket. */
static __always_inline void use_socket(struct sock *sk)
{
	struct datagram_socket *socket;

	if (sk->sk_protocol != IPPROTO_UDP || (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return;
	socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket || (!socket->waits.proto && socket->owner.pid == bpf_get_current_pid_tgid() >> 32))
		return;
	set_owner(&socket->owner);
	if (socket->waits.proto)
		tell_sender(&socket->waits, &socket->owner);
	socket->waits.proto = 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_datagram_sent, struct sock *sk, int result, int flags)
{
	use_socket(sk);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_datagram_received, struct sock *sk, int result, int flags)
{
	use_socket(sk);
	return 0;
}

#endif
