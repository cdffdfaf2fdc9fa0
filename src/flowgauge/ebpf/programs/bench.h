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

static __always_inline int see_from_anywhere(struct __sk_buff *skb, __u32 addresses)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return NEXT;
	ip->saddr = bpf_htonl(0x0a000000 | (bpf_get_prandom_u32() & addresses));
	skb->tc_index = 0;
	return see(skb, 1, 0);
}

/* The same of 16,384 flows in turn: the source address is drawn anew, which costs some 20 ns beside. */
SEC("tc")
int bench_many(struct __sk_buff *skb)
{
	return see_from_anywhere(skb, 0x3fff);
}

/* Nearly each packet of a flow that was not there. */
SEC("tc")
int bench_new(struct __sk_buff *skb)
{
	return see_from_anywhere(skb, 0xffffffff);
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return NEXT;
}

#endif
