/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How long an answer took: of DNS, by port, name and message id; of TCP, from SYN to SYN/ACK. */
#ifndef FLOWGAUGE_QUESTIONS_H
#define FLOWGAUGE_QUESTIONS_H

#include "notes.h"
#include "signals.h"

#define DNS_HEADER 12
#define DNS_RESPONSE 0x8000
#define DNS_OPCODE 0x7800
#define DNS_RCODE 0x000f
#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* A question that waits longer is forgotten when it is asked again: resolvers ask up to 5 s apart (resolv.conf(5)). */
#define FORGET_NS 10000000000ull

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct question_key);
	__type(value, struct question_value);
} questions SEC(".maps");

/* What the questions of DNS among them ask: told when no answer comes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct question_key);
	__type(value, struct answer_value);
} asked_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct answer_key);
	__type(value, struct answer_value);
} answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer_value);
} answer_room SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* bytes */
} answer_pieces SEC(".maps");

const struct answer_piece *const record_of_answer_pieces SEC(".rodata.record");

/* What a packet asks or answers; at: offset of the DNS message; records: how many answers that says to hold. */
struct exchange {
	struct question_key key;
	__u32 at;
	__u16 flags;
	__u16 records;
	bool answers;
	bool bare; /* an answer that does not repeat its question, as some servers say that they cannot read it */
};

/* Ports that are not set cost nothing: the verifier knows the settings. */
static __always_inline bool is_dns_port(__u16 port)
{
#pragma unroll
	for (int i = 0; i < DNS_PORTS; i++) {
		if (settings.dns_ports[i] && port == settings.dns_ports[i])
			return true;
	}
	return false;
}

/* Over TCP a message follows its length (RFC 1035 4.2.2), which some send in a segment of its own. start: room, for 6.1's stack. */
static __always_inline bool find_in_segment(struct __sk_buff *skb, const struct packet *p, struct exchange *x, __be16 *start)
{
	if (bpf_skb_load_bytes(skb, p->l4 + 12, start, 1))
		return false;
	x->at = p->l4 + (*(__u8 *)start >> 4) * 4;
	if (bpf_skb_load_bytes(skb, x->at, start, 3 * sizeof(*start)))
		return false;
	if (start[2] == bpf_htons(1)) /* one question; behind a length here are flags, and none has these */
		return true;
	x->at += sizeof(*start);
	if (bpf_ntohs(*start) < DNS_HEADER)
		return false;
	/* Of a question that goes on in the next segment the name may be cut off, which no answer has. */
	return start[2] & bpf_htons(DNS_RESPONSE) || skb->len - x->at >= bpf_ntohs(*start);
}

static __always_inline bool read_dns(struct __sk_buff *skb, const struct packet *p, struct exchange *x)
{
	__be16 header[4];

	x->at = p->l4 + sizeof(struct udphdr);
	if (p->key.proto == IPPROTO_TCP) {
		if (!find_in_segment(skb, p, x, header))
			return false;
	} else if (p->key.proto != IPPROTO_UDP) {
		return false;
	}
	if (bpf_skb_load_bytes(skb, x->at, header, sizeof(header)))
		return false;
	x->flags = bpf_ntohs(header[1]);
	x->bare = header[2] == 0 && x->flags & DNS_RESPONSE && x->flags & DNS_RCODE;
	if (!x->bare && header[2] != bpf_htons(1))
		return false;
	x->records = bpf_ntohs(header[3]);
	x->answers = x->flags & DNS_RESPONSE;
	x->key.id = bpf_ntohs(header[0]);
	x->key.kind = QUESTION_DNS;
	if (!x->answers && is_multicast(p->key.dst_addr))
		return false; /* multicast DNS: whoever knows answers to all, and many questions nobody */
	/* Only plain queries; and only what the ports say, too: servers ask each other from port 53. */
	return !(x->flags & DNS_OPCODE) && is_dns_port(x->answers ? p->key.src_port : p->key.dst_port);
}

static __always_inline bool read_syn(struct __sk_buff *skb, const struct packet *p, struct exchange *x)
{
	__be32 numbers[2];

	if (bpf_skb_load_bytes(skb, p->l4 + 4, numbers, sizeof(numbers)))
		return false;
	x->answers = p->tcp_flags & TCP_ACK;
	x->key.id = x->answers ? bpf_ntohl(numbers[1]) : bpf_ntohl(numbers[0]) + 1;
	x->key.kind = QUESTION_SYN;
	return true;
}

static __always_inline bool read_exchange(struct __sk_buff *skb, const struct packet *p, struct exchange *x)
{
	if (!p->l4)
		return false;
	if (p->tcp_flags & TCP_SYN ? !settings.rtt || !read_syn(skb, p, x) : !settings.dns || !read_dns(skb, p, x))
		return false;
	set_address_v6(x->key.asker, x->answers ? p->key.dst_addr : p->key.src_addr);
	x->key.port = x->answers ? p->key.dst_port : p->key.src_port;
	x->key.proto = p->key.proto;
	return true;
}

/* Reads name, type and class into this CPU's room; NULL when there are none. */
static __always_inline struct answer_value *read_question(struct __sk_buff *skb, const struct exchange *x)
{
	__u32 zero = 0, at = x->at + DNS_HEADER, length = skb->len - at;
	struct answer_value *answer = bpf_map_lookup_elem(&answer_room, &zero);

	if (!answer || skb->len <= at)
		return NULL;
	answer->latency_ns = 0;
	answer->tick = bpf_jiffies64();
	answer->flags = x->flags;
	answer->length = QUESTION_BYTES + QUESTION_END;
	if (length >= QUESTION_BYTES + QUESTION_END)
		return bpf_skb_load_bytes(skb, at, answer->question, QUESTION_BYTES + QUESTION_END) ? NULL : answer;
	/* In this form every verifier since 6.1 sees that the length is 1 to QUESTION_BYTES. */
	length--;
	if (length > QUESTION_BYTES - 1)
		length = QUESTION_BYTES - 1;
	barrier_var(length);
	length = (length & (QUESTION_BYTES - 1)) + 1;
	answer->length = length;
	return bpf_skb_load_bytes(skb, at, answer->question, length) ? NULL : answer;
}

#define NOT_CASE 0xdfdfdfdfdfdfdfdfull /* of letters the bit that is not looked at (RFC 4343) */

/* The rest of same_question, where the name ends: its last bytes from at on, type and class. */
__noinline int same_end(const struct answer_value *one, const struct answer_value *other, __u32 at)
{
	__u32 left = 0, here; /* left: bytes behind the name */
	__u8 differs;

	if (!one || !other)
		return false;
	for (__u32 i = 0; i < sizeof(__u64) + 4; i++, at++) {
		if (at >= QUESTION_BYTES)
			return true; /* of the longest names the end is not kept */
		if (at >= one->length || at >= other->length)
			return false;
		here = at;
		barrier_var(here); /* the verifier does not see what was just compared */
		here &= QUESTION_BYTES - 1;
		differs = one->question[here] ^ other->question[here];
		if (left ? differs : differs & (__u8)NOT_CASE)
			return false;
		if (left && !--left)
			return true;
		if (!left && !one->question[here])
			left = 4;
	}
	return false;
}

/* Whether two messages ask the same: name, whatever its case, type and class. */
__noinline int same_question(const struct answer_value *one, const struct answer_value *other)
{
	if (!one || !other)
		return false;
	for (__u32 i = 0; i < QUESTION_BYTES / sizeof(__u64); i++) {
		__u64 word = ((const __u64 *)one->question)[i], its = ((const __u64 *)other->question)[i];

		if ((word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull) /* a byte of it is 0 */
			return same_end(one, other, i * sizeof(__u64));
		if ((word ^ its) & NOT_CASE)
			return false;
	}
	return true;
}

/* Whether a message asks what is being asked under its key; if that is not known any more, it does. */
static __always_inline bool as_asked(const struct exchange *x, const struct answer_value *message)
{
	const struct answer_value *asked = bpf_map_lookup_elem(&asked_names, &x->key);

	return !message || !asked || same_question(message, asked);
}

static __always_inline void ask(struct __sk_buff *skb, const struct exchange *x, const struct flow_key *flow)
{
	struct question_value fresh = {.at_ns = bpf_ktime_get_ns(), .flow = *flow};
	struct question_value *there = bpf_map_lookup_elem(&questions, &x->key);
	struct answer_value *name = x->key.kind == QUESTION_DNS ? read_question(skb, x) : NULL;

	/* Asked again: who asks has been waiting since the first time. */
	if (there && fresh.at_ns - there->at_ns <= FORGET_NS && as_asked(x, name))
		return;
	bpf_map_update_elem(&questions, &x->key, &fresh, BPF_ANY);
	if (name)
		bpf_map_update_elem(&asked_names, &x->key, name, BPF_ANY);
}

/* Copies an answer's message to user space, which reads the addresses in it. */
static __always_inline void copy_answer(struct __sk_buff *skb, const struct exchange *x, const struct flow_key *flow)
{
	__u32 done = 0, length = skb->len - x->at, n;
	__u64 now = bpf_ktime_get_ns();
	struct answer_piece *piece;

	for (int i = 0; i < ANSWER_BYTES / ANSWER_PIECE_BYTES && done < length; i++) {
		piece = bpf_ringbuf_reserve(&answer_pieces, sizeof(*piece), 0);
		if (!piece) {
			COUNT_SIGNAL(answer_pieces_full);
			return;
		}
		/* In this form every verifier since 6.1 sees that the length is 1 to ANSWER_PIECE_BYTES. */
		n = length - done - 1;
		if (n > ANSWER_PIECE_BYTES - 1)
			n = ANSWER_PIECE_BYTES - 1;
		barrier_var(n);
		n = (n & (ANSWER_PIECE_BYTES - 1)) + 1;
		piece->flow = *flow;
		piece->flow.epoch = 0;
		piece->at_ns = now;
		piece->at = done;
		piece->length = n;
		piece->reserved = 0;
		if (bpf_skb_load_bytes(skb, x->at + done, piece->data, n)) {
			bpf_ringbuf_discard(piece, 0);
			return;
		}
		bpf_ringbuf_submit(piece, 0);
		done += n;
	}
}

static __always_inline void keep_answer(struct __sk_buff *skb, const struct exchange *x, const struct flow_key *flow,
					struct answer_value *answer, __u64 latency_ns)
{
	struct answer_key key = {.flow = *flow, .id = x->key.id};

	if (!answer)
		return;
	key.flow.epoch = epoch;
	answer->latency_ns = latency_ns;
	if (bpf_map_update_elem(&answers, &key, answer, BPF_ANY))
		COUNT_SIGNAL(answers_full);
	if (x->records && !(x->flags & DNS_RCODE))
		copy_answer(skb, x, flow);
}

/* The question that waits, in this CPU's room, for an answer that does not repeat it; NULL when that is not known any more. */
static __always_inline struct answer_value *repeat_question(const struct exchange *x)
{
	struct answer_value *asked = bpf_map_lookup_elem(&asked_names, &x->key), *answer;
	__u32 zero = 0;

	answer = bpf_map_lookup_elem(&answer_room, &zero);
	if (!asked || !answer)
		return NULL;
	*answer = *asked;
	answer->tick = bpf_jiffies64();
	answer->flags = x->flags;
	return answer;
}

/* A server sends data over TCP: of its answers only one that begins a segment is read, others are not to be missed. */
__noinline int note_talk(struct packet *p)
{
	struct question_key key = {.proto = IPPROTO_TCP, .kind = QUESTION_TALKS};
	struct question_value talk = {};

	if (!p)
		return 0;
	set_address_v6(key.asker, p->key.dst_addr);
	key.port = p->key.dst_port;
	talk.at_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&questions, &key, &talk, BPF_ANY);
	return 0;
}

/* The first time that this node sees a packet that may ask or answer. */
__noinline int follow(struct __sk_buff *skb, struct packet *p)
{
	struct exchange x = {};
	struct answer_value *answer = NULL;
	struct question_value *asked;
	struct flow_key key;
	__u64 latency_ns;

	if (!p)
		return 0;
	if (settings.dns && p->key.proto == IPPROTO_TCP && p->payload && is_dns_port(p->key.src_port))
		note_talk(p);
	if (!read_exchange(skb, p, &x))
		return 0;
	if (!x.answers) {
		ask(skb, &x, &p->key);
		return 0;
	}
	asked = bpf_map_lookup_elem(&questions, &x.key);
	if (!asked)
		return 0;
	if (x.bare)
		answer = repeat_question(&x);
	else if (x.key.kind == QUESTION_DNS && !as_asked(&x, answer = read_question(skb, &x))) {
		COUNT_SIGNAL(answers_not_asked); /* the question waits on: who asks does not believe it, either */
		return 0;
	}
	key = asked->flow;
	latency_ns = bpf_ktime_get_ns() - asked->at_ns;
	bpf_map_delete_elem(&questions, &x.key);
	if (x.key.kind == QUESTION_DNS) {
		keep_answer(skb, &x, &key, answer, latency_ns);
		return 0;
	}
	key.epoch = epoch;
	tell_handshake(&key, latency_ns / 1000 ? latency_ns / 1000 : 1);
	return 0;
}

/* A later hook sees a question with another address of who asks: its answer will come to that one. */
__noinline int follow_translated(struct __sk_buff *skb, struct packet *p, struct flow_key *flow)
{
	const __u64 *was, *is;
	struct exchange x = {};

	if (!p || !flow || !read_exchange(skb, p, &x) || x.answers)
		return 0;
	ask(skb, &x, flow);
	was = (const __u64 *)flow->src_addr;
	is = (const __u64 *)x.key.asker;
	if (flow->src_port == x.key.port && was[0] == is[0] && was[1] == is[1])
		return 0;
	/* No answer will come to the first one. */
	set_address_v6(x.key.asker, flow->src_addr);
	x.key.port = flow->src_port;
	bpf_map_delete_elem(&questions, &x.key);
	return 0;
}

static __always_inline bool may_ask(const struct packet *p)
{
	if (settings.rtt && p->tcp_flags & TCP_SYN)
		return true;
	return settings.dns && (is_dns_port(p->key.src_port) || is_dns_port(p->key.dst_port));
}

#endif
