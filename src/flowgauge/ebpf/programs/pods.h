/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose pod a network namespace is, asked of its devices: a pod's cable (veth, netkit) has its other end in the node's own.
 *
 * Addresses do not tell: every pod has the same ones on its loopback. Sought where that matters only, at events of sockets.
 */
#ifndef FLOWGAUGE_PODS_H
#define FLOWGAUGE_PODS_H

#include "signals.h"

/* Devices that are looked at: a new namespace may begin with a dozen of the kernel's own (tunl0, gre0, sit0 ...). */
#define DEVICES_MAX 24
#define PRIVATE_ALIGNED 32 /* NETDEV_ALIGN */

union kind_of_device {
	char name[8];
	__u64 word;
};

/* Whether a device is a cable. Of others nothing is to be read: what is a driver's own may begin with a card's registers. */
static __always_inline bool is_cable(struct net_device *device)
{
	const union kind_of_device veth = {.name = "veth"}, netkit = {.name = "netkit"};
	const char *name = BPF_CORE_READ(device, rtnl_link_ops, kind);
	union kind_of_device kind = {};

	if (!name || bpf_probe_read_kernel_str(kind.name, sizeof(kind.name), name) < 0)
		return false;
	return kind.word == veth.word || kind.word == netkit.word;
}

/*
 * The device at the other end of a cable, NULL for other devices. Drivers of cables keep it at the beginning of what is their
 * own, behind the device; where that is so, each of both ends names the other.
 */
static __always_inline struct net_device *other_end(struct net_device *device)
{
	__u32 own = (bpf_core_type_size(struct net_device) + PRIVATE_ALIGNED - 1) & -PRIVATE_ALIGNED;
	struct net_device *peer = NULL, *back = NULL;

	if (!is_cable(device))
		return NULL;
	if (bpf_probe_read_kernel(&peer, sizeof(peer), (void *)device + own) || !peer)
		return NULL;
	if (bpf_probe_read_kernel(&back, sizeof(back), (void *)peer + own) || back != device)
		return NULL;
	return peer;
}

/* One of a device's addresses; false when it has none. */
static __always_inline bool address_of(__u8 *address, struct net_device *device)
{
	__be32 v4 = BPF_CORE_READ(device, ip_ptr, ifa_list, ifa_local);
	struct inet6_dev *v6 = BPF_CORE_READ(device, ip6_ptr);
	struct list_head *first;

	if (v4) {
		set_address_v4(address, v4);
		return true;
	}
	if (!v6)
		return false;
	first = BPF_CORE_READ(v6, addr_list.next); /* link-local ones come last */
	if (first == (void *)v6 + bpf_core_field_offset(struct inet6_dev, addr_list))
		return false;
	return !bpf_probe_read_kernel(address, 16,
				      (void *)first - bpf_core_field_offset(struct inet6_ifaddr, if_list) +
					      bpf_core_field_offset(struct inet6_ifaddr, addr));
}

/* The device that is listed at a place of a namespace's list of devices; NULL at its end. */
static __always_inline struct net_device *listed(struct net *net, struct list_head *at)
{
	if (!at || at == (void *)net + bpf_core_field_offset(struct net, dev_base_head))
		return NULL;
	return (void *)at - bpf_core_field_offset(struct net_device, dev_list);
}

/* Whether a cable leads from a namespace to this node. */
static __always_inline bool is_pod_here(struct net *net)
{
	struct list_head *at = BPF_CORE_READ(net, dev_base_head.next);

	for (int i = 0; i < DEVICES_MAX; i++) {
		struct net_device *device = listed(net, at), *peer;

		if (!device)
			return false;
		peer = other_end(device);
		if (peer && BPF_CORE_READ(peer, nd_net.net, ns.inum) == settings.netns)
			return true;
		at = BPF_CORE_READ(at, next);
	}
	return false;
}

/* Whether traffic of the pod that a namespace is is chosen: one of its addresses says it. */
static __always_inline bool is_pod_chosen(struct net *net)
{
	struct list_head *at = BPF_CORE_READ(net, dev_base_head.next);
	struct flow_key own = {};

	if (!settings.choice)
		return true;
	for (int i = 0; i < DEVICES_MAX; i++) {
		struct net_device *device = listed(net, at);

		if (!device || (address_of(own.src_addr, device) && !is_loopback(&own)))
			break;
		at = BPF_CORE_READ(at, next);
	}
	return is_chosen(&own);
}

/* Whether this node tells of the loopback of another network namespace. */
static __always_inline bool is_pod_told(struct net *net)
{
	return (!settings.shares_kernel || is_pod_here(net)) && is_pod_chosen(net);
}

#endif
