/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side and user space share: map keys, values and settings. abi.py says the same as numpy types and a
 * unit test compares both, so a change here is a change there.
 *
 * Numbers are in host byte order, addresses in network order. No implicit padding: the hash map compares all bytes of a key.
 */
#ifndef FLOWGAUGE_ABI_H
#define FLOWGAUGE_ABI_H

/* Observation points kept for each flow: ifindex, with this bit set for egress; 0 is unused. */
#define OBSERVED_MAX 4
#define OBSERVED_EGRESS 0x80000000u

/*
 * A flow of this node: the 5-tuple before this node translated it, for ICMP type and code instead of ports (the echo
 * identifier is no part of it, so that a ping run is one flow). Interface, VLAN and direction are no part of it either:
 * they are values, so that a packet crossing several interfaces stays in one flow.
 */
struct flow_key {
	__u8 src_addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 dst_addr[16];
	__u16 src_port; /* 0 without ports, and in a fragment whose first fragment was not seen */
	__u16 dst_port;
	__u8 proto; /* after IPv6 extension headers */
	__u8 icmp_type; /* 0 unless proto is ICMP or ICMPv6 */
	__u8 icmp_code;
	__u8 epoch; /* which filling of the table; 0 in a key of translations */
};

struct flow_value {
	__u64 packets; /* on the wire: a GSO super-packet is gso_segs packets */
	__u64 bytes; /* of layer 3 on the wire, with the headers of each segment */
	__u64 last_tick; /* jiffies: a load, where reading a clock costs as much as all the parsing */
	__u32 tcp_flags; /* all nine bits (RFC 9293 3.1 and NS), OR-ed */
	__u32 reserved;
	/* From here on as struct cache_start. */
	__u64 first_tick;
	__u32 observed[OBSERVED_MAX]; /* the first is the hook that counted first */
	__u16 vlan_id; /* outermost, 0 without */
	__u8 ip_tos; /* of the first packet */
	__u8 rule; /* which took it, from 1; 0 for none */
	__u32 handshake_us; /* from SYN to SYN/ACK, 0 when it was not seen */
};

/* What one CPU has counted of a flow, so adding needs no lock: 64 bytes, one line of its cache. Free when packets is 0. */
struct cache_slot {
	struct flow_key key;
	__u64 bytes;
	__u64 last_tick;
	__u32 packets;
	__u32 tcp_flags;
};

/* The end of the flow's value, which later packets need not touch. */
struct cache_start {
	__u64 first_tick;
	__u32 observed[OBSERVED_MAX];
	__u16 vlan_id;
	__u8 ip_tos;
	__u8 rule;
	__u32 handshake_us;
};

#define CACHE_WAYS 2

/* The slots in which a flow may be, and of each what its flow began with. */
struct cache_set {
	struct cache_slot slots[CACHE_WAYS];
	struct cache_start starts[CACHE_WAYS];
};

/* Where a flow's packets went after this node translated their addresses; an end that was not translated is as in the key. */
struct translation {
	__u8 src_addr[16];
	__u8 dst_addr[16];
	__u16 src_port;
	__u16 dst_port;
};

/* The same moment by two clocks, so that user space can tell the time of a tick. */
struct clock_reading {
	__u64 tick;
	__u64 monotonic_ns; /* CLOCK_MONOTONIC_COARSE, which moves with the ticks */
};

/* Packets after GSO segmentation, at a hook: seen is the sum of all others. One set per CPU. */
struct kernel_counters {
	__u64 seen;
	__u64 in_flows;
	__u64 seen_before;
	__u64 sampled_out;
	__u64 filtered;
	__u64 not_ip;
	__u64 parse_error;
	__u64 table_full;
};

/* Frames that are not IP, by observation point (as in flow_value.observed). */
struct not_ip_value {
	__u64 packets;
	__u64 bytes; /* of layer 2 */
};

#define DNS_PORTS 8

/* Settings, fixed when the program is loaded: a branch that is switched off costs nothing. */
struct settings {
	__u32 sample_below; /* a packet is taken when a random number is below; 0 takes all */
	__u32 sample_flows; /* 1: the number is the flow's hash, the same for both directions and on every node */
	__u32 nat; /* 1: look for this node's address translation */
	__u32 rtt; /* 1: time handshakes, too */
	__u32 dns; /* 1: follow questions and answers */
	__u32 netns; /* inode of the node's network namespace */
	__u32 cache_sets; /* for each CPU, a power of two; 0 without cache */
	__u16 dns_ports[DNS_PORTS]; /* of servers; 0 is none */
	__u32 turns; /* places of TCP connections whose replies are timed, a power of two; 0 times none */
	__u32 choice; /* CHOICE_ bits that the map of addresses may hold; 0 without */
	__u32 rules; /* how many */
	__u32 hellos; /* 1: copy the hello messages of TLS and QUIC */
	__u32 icmp_errors; /* 1: follow the errors that ICMP reports */
	__u32 tunnels; /* 1: of a packet in a tunnel the one within counts */
	__u32 owners; /* 1: tell which process sends datagrams */
	__u32 macs; /* 1: keep the addresses of the frame with which a flow began */
	__u32 stores_reorder; /* 1: this machine may show a store before an earlier one (ARM) */
	__u32 shares_kernel; /* 1: other nodes are on this machine, each in a network namespace */
};

/* The bits of a stamp that agents have; those above are the node's. */
#define STAMP_AGENTS 0x3f

/* What this agent writes to packets. */
struct stamp {
	__u16 node; /* the same for all agents in this network namespace */
	__u16 counted; /* one bit: a packet was dealt with */
	__u16 trace; /* another instead: the same, and later hooks add where they saw it */
};

#define CHOICE_INCLUDE 1 /* only flows of which an end has this bit */
#define CHOICE_EXCLUDE 2

/* Key of the map of chosen addresses. */
struct address {
	__u8 bytes[16];
};

#define RULES_MAX 64

#define RULE_PROTO 1
#define RULE_ICMP_TYPE 2
#define RULE_ICMP_CODE 4
#define RULE_TCP_FLAGS 8
#define RULE_DIRECTION 16
#define RULE_IPV6 32 /* a block such as ::/0 holds the addresses of IPv4, too, as they are kept here */

enum rule_action { RULE_ACCEPT, RULE_REJECT, RULE_DROPS_ONLY };

/* What a packet must be like: all members hold that criteria names; blocks and port ranges always do. */
struct rule {
	__u64 block[2], mask[2]; /* of one end, in network order; a mask of 0 takes every address */
	__u64 peer_block[2], peer_mask[2]; /* of the other */
	__u32 sample_below; /* as in settings, for the packets that this rule takes */
	__u16 src_ports[2], dst_ports[2], ports[2]; /* first and last; ports: of either end */
	__u16 tcp_mask, tcp_flags; /* of the flags in the mask, those that are set */
	__u8 criteria;
	__u8 proto;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 egress;
	__u8 action; /* enum rule_action */
	__u16 reserved[3];
};

/* Round-trip times by powers of two: of 2^i to 2^(i+1) microseconds in place i, of 8.4 s and more in the last. */
#define RTT_BUCKETS 24

/* How a TCP connection stands or ended: the codes of the column tcp_state_final. */
enum socket_state {
	SOCKET_UNKNOWN,
	SOCKET_ESTABLISHED,
	SOCKET_RESET,
	SOCKET_REFUSED,
	SOCKET_TIMEOUT,
	SOCKET_CLOSED,
	SOCKET_UNREACHABLE,
};

/* What a TCP socket of this machine knows of the flow that it sends, by flow_key. */
struct socket_value {
	__u64 rtt_sum_us; /* of the smoothed round-trip times */
	__u64 last_tick;
	__u32 rtt_count;
	__u32 rtt_min_us;
	__u32 rtt_max_us;
	__u32 retransmits; /* segments */
	__u32 rtt_histogram[RTT_BUCKETS];
	__u32 state; /* enum socket_state */
	__u32 reserved;
};

/* Where a packet was dropped: in the node's own network namespace; elsewhere, on its way out or in. */
enum drop_place { DROP_AT_NODE, DROP_SENT, DROP_RECEIVED };

struct drop_key {
	struct flow_key flow; /* as the packet was where it was dropped: perhaps after translation */
	__u32 reason; /* enum skb_drop_reason of the running kernel */
	__u8 tcp_state; /* of its socket, 0 without */
	__u8 place;
	__u16 reserved;
};

struct drop_value {
	__u64 packets; /* on the wire, as in flow_value */
	__u64 bytes;
	__u64 first_tick;
	__u64 last_tick;
};

/* QUESTION_TALKS: none, but when a server last sent data to an asker over TCP; id 0. */
enum question_kind { QUESTION_DNS, QUESTION_SYN, QUESTION_TALKS };

/* Something that is to be answered. Whom it asks is no part of it: translation may change that, but not who asks. */
struct question_key {
	__u8 asker[16];
	__u32 id; /* of the DNS message; the sequence number that the SYN/ACK acknowledges */
	__u16 port; /* of the asker */
	__u8 proto;
	__u8 kind;
};

struct question_value {
	__u64 at_ns; /* CLOCK_MONOTONIC */
	struct flow_key flow;
};

struct answer_key {
	struct flow_key flow; /* of the question */
	__u32 id;
	__u32 reserved;
};

#define QUESTION_BYTES 256 /* a name has at most 255 (RFC 1035 3.1); type and class of a shorter one follow */
#define QUESTION_END 3 /* bytes of type and class that the longest name leaves no room for */

struct answer_value {
	__u64 latency_ns;
	__u64 tick;
	__u16 flags; /* of the DNS header; of a question that waits: without the bit of a response */
	__u16 length; /* of question */
	__u32 reserved;
	__u8 question[QUESTION_BYTES + 8]; /* as in the answer: name, type, class; 8: QUESTION_END, aligned */
};

#define ANSWER_BYTES 4096 /* of one message: what resolvers take over UDP at most (RFC 6891 6.2.5) */
#define ANSWER_PIECE_BYTES 512

/* A piece of an answer of DNS that holds records, as it was on the wire. */
struct answer_piece {
	struct flow_key flow; /* of the question, of epoch 0 */
	__u64 at_ns; /* CLOCK_MONOTONIC; the same in all pieces of one message */
	__u16 at; /* offset in the message */
	__u16 length;
	__u32 reserved;
	__u8 data[ANSWER_PIECE_BYTES];
};

/* Events of signals that found their table full, or were not believed. One set per CPU. */
struct signal_counters {
	__u64 sockets_full;
	__u64 drops_full;
	__u64 answers_full;
	__u64 replies_full;
	__u64 events_full;
	__u64 hellos_full;
	__u64 icmp_errors_full;
	__u64 tunnels_full;
	__u64 answer_pieces_full;
	__u64 notes_full;
	__u64 answers_not_asked;
	__u64 macs_full;
};

/* Of a TCP connection, found by the client's address and port: the flow to the server, and since when it waits for a reply. */
struct turn {
	struct flow_key to_server; /* of any epoch */
	__u64 asked_ns; /* CLOCK_MONOTONIC, of the last packet of the request; 0 when the server has replied */
	__u64 reserved[2]; /* one line of the processor's cache */
};

/* How long a server took, by the flow that asks it. */
struct server_time {
	__u64 sum_ns;
	__u64 min_ns;
	__u64 max_ns;
	__u64 last_tick;
	__u32 count;
	__u32 reserved;
};

/* Who uses a socket. */
struct owner {
	__u64 cgroup; /* inode of its folder in the version 2 hierarchy */
	__u32 pid; /* of the process, as this machine's first pid namespace counts */
	__u32 uid;
	__u8 process[16]; /* its name, ending in 0 */
	__u32 ended; /* 1: the connection is closed */
	__u32 reserved;
};

enum socket_initiator { INITIATOR_UNKNOWN, INITIATOR_HERE, INITIATOR_THERE };

/* Kept with a socket. */
struct socket_owner {
	struct owner owner;
	__u64 began_ns; /* CLOCK_MONOTONIC; 0: before this program ran */
	__u32 initiator; /* enum socket_initiator */
	__u32 reserved;
};

/* Kept with a socket of UDP. */
struct datagram_socket {
	struct flow_key waits; /* that was seen before it was known who sends; proto 0: none */
	struct owner owner;
};

/* What happened to a socket: the codes of the column socket_event. */
enum socket_event_kind {
	SOCKET_NO_EVENT,
	SOCKET_CONNECTED,
	SOCKET_ACCEPTED,
	SOCKET_FAILED,
	SOCKET_ENDED,
	SOCKET_LISTENING,
	SOCKET_RETRYING,
};

struct socket_event {
	struct flow_key key; /* of the flow that the socket sends, of epoch 0; without another end when it listens */
	struct owner owner; /* pid 0: not known */
	__u64 at_ns; /* CLOCK_MONOTONIC */
	__u64 began_ns;
	__u32 rtt_us; /* smoothed, 0 when not measured */
	__u32 retransmits; /* segments, of the whole connection */
	__u8 kind; /* enum socket_event_kind */
	__u8 state; /* enum socket_state */
	__u8 initiator; /* enum socket_initiator */
	__u8 reserved;
	__u32 netns; /* inode of the network namespace on whose loopback it is; 0 when that is the node's, or none's */
};

#define HELLO_BYTES 4096 /* of one hello, and of one packet */
#define CHUNK_BYTES 512

enum hello_kind { HELLO_BEGINS, HELLO_GOES_ON, HELLO_QUIC };

/* A piece of a hello message as it was on the wire. */
struct hello_chunk {
	struct flow_key flow; /* of the packet, of epoch 0: perhaps behind translation */
	__u32 seq; /* of the first byte in the TCP connection; in a datagram of QUIC its place there */
	__u16 length;
	__u8 kind; /* enum hello_kind */
	__u8 datagram; /* 1: of QUIC */
	__u8 data[CHUNK_BYTES];
};

struct icmp_error_key {
	struct flow_key flow; /* that of the packet which the error is about: perhaps behind translation */
	__u8 type;
	__u8 code;
	__u8 v6; /* 1: of ICMPv6 */
	__u8 reserved;
};

struct icmp_error_value {
	__u64 packets; /* that report it */
	__u64 first_tick;
	__u64 last_tick;
};

/* What a packet came in: the codes of the column tunnel_kind. */
enum tunnel_kind { TUNNEL_NONE, TUNNEL_VXLAN, TUNNEL_GENEVE, TUNNEL_GRE, TUNNEL_IPIP };

/* Of a flow that this node saw in a tunnel: the outermost one, by the flow within. */
struct tunnel {
	__u8 src_addr[16]; /* of its ends */
	__u8 dst_addr[16];
	__u32 id; /* network identifier of VXLAN and Geneve, key of GRE; 0 without */
	__u8 kind; /* enum tunnel_kind */
	__u8 reserved[3];
};

/* Of the frame with which a flow began, by the flow as it is in the table. */
struct macs {
	__u8 dst[6];
	__u8 src[6];
};

/* Result bits of the program probe_features. */
#define FEATURE_NAT 1

#endif
