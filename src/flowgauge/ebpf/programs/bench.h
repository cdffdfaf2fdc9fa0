/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Programs that only bench/ebpf_packet.py runs, by PROG_TEST_RUN. Behind see(), which they measure. */
#ifndef FLOWGAUGE_BENCH_H
#define FLOWGAUGE_BENCH_H

/* Run by the benchmark, never attached: a packet that no hook has seen yet, and what a program costs that does nothing. */
SEC("tc")
int bench_unseen(struct __sk_buff *skb)
{
	skb->tc_index = 0;
	return see(skb, 1, 0);
}

/* Another source address each time: that costs some 20 ns beside. */
static __always_inline bool from_anywhere(struct __sk_buff *skb, __u32 addresses)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return false;
	ip->saddr = bpf_htonl(0x0a000000 | (bpf_get_prandom_u32() & addresses));
	skb->tc_index = 0;
	return true;
}

/* Of 16,384 flows in turn. */
SEC("tc")
int bench_many(struct __sk_buff *skb)
{
	return from_anywhere(skb, 0x3fff) ? see(skb, 1, 0) : NEXT;
}

/* Nearly each packet of a flow that was not there. */
SEC("tc")
int bench_new(struct __sk_buff *skb)
{
	return from_anywhere(skb, 0xffffffff) ? see(skb, 1, 0) : NEXT;
}

/* The least that a program which begins flows in a hash map does: the same parser, then one update. */
SEC("tc")
int bench_update(struct __sk_buff *skb)
{
	struct flow_value fresh = {};
	struct packet p = {};

	if (from_anywhere(skb, 0xffffffff) && parse_fast(skb, &p, ETH_HLEN))
		add_flow(&p.key, &fresh);
	return NEXT;
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return NEXT;
}

#endif
