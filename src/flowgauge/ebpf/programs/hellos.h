/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Copies the hello messages of TLS, and the first packets of QUIC, to user space, which reads them. Nothing that follows a
 * hello is copied. Looked for only among the first packets of a flow, so that a busy one costs nothing.
 */
#ifndef FLOWGAUGE_HELLOS_H
#define FLOWGAUGE_HELLOS_H

#include "signals.h"

#define TLS_RECORD_HEADER 5
#define TLS_HANDSHAKE_HEADER 4
#define TLS_HANDSHAKE 22 /* RFC 8446 5.1 */
#define TLS_CLIENT_HELLO 1
#define TLS_SERVER_HELLO 2
#define QUIC_LONG_HEADER 0xc0 /* RFC 9000 17.2: with the fixed bit */
#define QUIC_TYPE 0x30
#define QUIC_V1 0x00000001
#define QUIC_V2 0x6b3343cf /* RFC 9369 */
#define QUIC_DRAFTS 0xff0000
#define HELLO_CHUNKS (HELLO_BYTES / CHUNK_BYTES)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* bytes */
} hellos SEC(".maps");

/* Bytes that a hello still lacks whose beginning was copied. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, __u32);
} unfinished_hellos SEC(".maps");

const struct hello_chunk *const record_of_hellos SEC(".rodata.record");

/* Where a packet's payload is, and what of it belongs to a hello. */
struct hello {
	__u32 at;
	__u32 length; /* of the payload, then of what is copied */
	__u32 seq;
	__u8 kind;
};

/* Copies in pieces; false when there is no more room. */
static __always_inline bool copy_hello(struct __sk_buff *skb, const struct flow_key *flow, const struct hello *h)
{
	struct hello_chunk *chunk;
	__u32 done = 0, n;

	for (int i = 0; i < HELLO_CHUNKS && done < h->length; i++) {
		chunk = bpf_ringbuf_reserve(&hellos, sizeof(*chunk), 0);
		if (!chunk)
			return false;
		/* In this form every verifier since 6.1 sees that the length is 1 to CHUNK_BYTES. */
		n = h->length - done - 1;
		if (n > CHUNK_BYTES - 1)
			n = CHUNK_BYTES - 1;
		barrier_var(n);
		n = (n & (CHUNK_BYTES - 1)) + 1;
		chunk->flow = *flow;
		chunk->seq = h->seq + done;
		chunk->length = n;
		chunk->kind = i ? HELLO_GOES_ON : h->kind;
		chunk->datagram = h->kind == HELLO_QUIC;
		if (bpf_skb_load_bytes(skb, h->at + done, chunk->data, n)) {
			bpf_ringbuf_discard(chunk, 0);
			return true;
		}
		bpf_ringbuf_submit(chunk, 0);
		done += n;
	}
	return true;
}

/* Bytes from the record's header to the end of the hello, 0 when there is none; of a beginning of a beginning, as many as can be. */
static __always_inline __u32 whole_hello(struct __sk_buff *skb, const struct hello *h)
{
	__u8 head[TLS_RECORD_HEADER + TLS_HANDSHAKE_HEADER] = {};
	__u32 record, message;

	if (h->length < sizeof(head)) {
		if (h->length < 3 || bpf_skb_load_bytes(skb, h->at, head, 3))
			return 0;
		return head[0] == TLS_HANDSHAKE && head[1] == 3 ? HELLO_BYTES : 0;
	}
	if (bpf_skb_load_bytes(skb, h->at, head, sizeof(head)) || head[0] != TLS_HANDSHAKE || head[1] != 3)
		return 0;
	if (head[5] != TLS_CLIENT_HELLO && head[5] != TLS_SERVER_HELLO)
		return 0;
	record = head[3] << 8 | head[4];
	message = TLS_HANDSHAKE_HEADER + (head[6] << 16 | head[7] << 8 | head[8]);
	if (!record || message > HELLO_BYTES)
		return HELLO_BYTES;
	message += (message + record - 1) / record * TLS_RECORD_HEADER; /* a hello may lie in several records */
	return message < HELLO_BYTES ? message : HELLO_BYTES;
}

static __always_inline void follow_tls(struct __sk_buff *skb, const struct flow_key *flow, struct hello *h)
{
	__u32 left = whole_hello(skb, h), *unfinished;

	h->kind = HELLO_BEGINS;
	if (!left) {
		unfinished = bpf_map_lookup_elem(&unfinished_hellos, flow);
		if (!unfinished)
			return;
		left = *unfinished;
		h->kind = HELLO_GOES_ON;
	}
	if (h->length >= left) {
		h->length = left;
		if (h->kind == HELLO_GOES_ON)
			bpf_map_delete_elem(&unfinished_hellos, flow);
	} else {
		left -= h->length;
		bpf_map_update_elem(&unfinished_hellos, flow, &left, BPF_ANY);
	}
	if (!copy_hello(skb, flow, h))
		COUNT_SIGNAL(hellos_full);
}

static __always_inline bool is_quic_initial(struct __sk_buff *skb, const struct hello *h)
{
	__u8 head[5];
	__u32 version;

	if (h->length < sizeof(head) || bpf_skb_load_bytes(skb, h->at, head, sizeof(head)))
		return false;
	if ((head[0] & QUIC_LONG_HEADER) != QUIC_LONG_HEADER)
		return false;
	version = (__u32)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
	if (version == QUIC_V2)
		return (head[0] & QUIC_TYPE) == 0x10;
	return (version == QUIC_V1 || version >> 8 == QUIC_DRAFTS) && !(head[0] & QUIC_TYPE);
}

/* One of the first packets of a flow that has payload. */
__noinline int follow_hello(struct __sk_buff *skb, struct packet *p)
{
	struct hello h = {};
	__u8 offset;
	__be32 seq;
	struct flow_key flow;

	if (!p || !p->l4)
		return 0;
	flow = p->key;
	flow.epoch = 0;
	h.at = p->l4 + sizeof(struct udphdr);
	if (flow.proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, p->l4 + 12, &offset, sizeof(offset)) ||
		    bpf_skb_load_bytes(skb, p->l4 + 4, &seq, sizeof(seq)))
			return 0;
		h.at = p->l4 + (offset >> 4) * 4;
		h.seq = bpf_ntohl(seq);
	}
	if (skb->len <= h.at)
		return 0;
	h.length = skb->len - h.at;
	if (flow.proto == IPPROTO_TCP) {
		follow_tls(skb, &flow, &h);
	} else if (is_quic_initial(skb, &h)) {
		h.kind = HELLO_QUIC;
		if (!copy_hello(skb, &flow, &h))
			COUNT_SIGNAL(hellos_full);
	}
	return 0;
}

static __always_inline bool may_greet(const struct packet *p)
{
	return settings.hellos && p->payload && (p->key.proto == IPPROTO_TCP || p->key.proto == IPPROTO_UDP);
}

#endif
