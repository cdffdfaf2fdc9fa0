/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which process uses a TCP socket: the one that connects or listens, then whichever reads from it (a server's worker).
 *
 * Only at connect, listen and read does the kernel run for the process itself; whoever it is then is kept with the socket.
 * A connection that was accepted begins with what its listening socket has.
 */
#ifndef FLOWGAUGE_ATTRIBUTION_H
#define FLOWGAUGE_ATTRIBUTION_H

#include "sockets.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_owner);
} socket_owners SEC(".maps");

/* By the flow that the socket sends, of epoch 0; user space takes those that have ended away. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, struct owner);
} owners SEC(".maps");

static __always_inline void set_owner(struct owner *owner)
{
	owner->cgroup = bpf_get_current_cgroup_id();
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(owner->process, sizeof(owner->process));
}

/* False as key_of_socket, or when the socket has no other end. */
static __always_inline bool key_of_connection(struct flow_key *key, struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	/* skc_num is 0 already where the port was given back. */
	if (!tcp || !key_of_socket(key, &sk->__sk_common, bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport)))
		return false;
	return key->src_port && key->dst_port;
}

static __always_inline void tell_owner(struct sock *sk, const struct owner *owner)
{
	struct flow_key key = {};

	if (!owner->pid || !key_of_connection(&key, sk))
		return;
	key.epoch = 0;
	bpf_map_update_elem(&owners, &key, owner, BPF_ANY);
}

static __always_inline void end_owner(struct sock *sk)
{
	struct flow_key key = {};
	struct owner *there;

	if (!key_of_connection(&key, sk))
		return;
	key.epoch = 0;
	there = bpf_map_lookup_elem(&owners, &key);
	if (there)
		there->ended = 1;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_owner_state, struct sock *sk, int before, int now)
{
	bool begins = now == BPF_TCP_SYN_SENT || now == BPF_TCP_LISTEN;
	struct socket_owner *socket;

	if (now != BPF_TCP_ESTABLISHED && now != BPF_TCP_CLOSE && !begins)
		return 0;
	if (now == BPF_TCP_CLOSE) {
		end_owner(sk);
		return 0;
	}
	socket = bpf_sk_storage_get(&socket_owners, sk, 0, begins ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!socket)
		return 0;
	if (begins) {
		set_owner(&socket->owner);
		socket->began_ns = bpf_ktime_get_ns();
		socket->initiator = now == BPF_TCP_SYN_SENT ? INITIATOR_HERE : INITIATOR_THERE;
	} else {
		if (socket->initiator == INITIATOR_THERE)
			socket->began_ns = bpf_ktime_get_ns(); /* until now the time of its listening socket */
		tell_owner(sk, &socket->owner);
	}
	return 0;
}

/* A process has read from the socket. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_tcp_read, struct sock *sk)
{
	struct socket_owner *socket = bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket || socket->owner.pid == bpf_get_current_pid_tgid() >> 32)
		return 0;
	set_owner(&socket->owner);
	tell_owner(sk, &socket->owner);
	return 0;
}

#endif
