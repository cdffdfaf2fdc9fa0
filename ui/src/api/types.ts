// SPDX-License-Identifier: Apache-2.0
// What the API answers. Column names inside a row are those of columns.generated.ts.

/** Value of one column in JSON; absent columns are left out. */
export type Value = string | number | boolean | string[] | number[] | null;

/** One flow, or one group: public column name → value. */
export type Row = Record<string, Value | Record<string, number | null> | undefined>;

export interface WindowMs {
  from_ms: number;
  to_ms: number;
}

/** One place where flows were lost, thinned or delayed. */
export interface Loss {
  component: string;
  instance: string;
  counter: string;
  unit: string;
  count: number;
  /** The cause, as a sentence. */
  cause: string;
}

/** How complete a window is, read from the ledger: records from the agents to the store, packets in the kernels. */
export interface Completeness {
  /** Whether any part reported its counters in the window. */
  known: boolean;
  /** Share of what should be there that is there, 0 to 100; null: nothing is known. */
  percent: number | null;
  words: string;
  offered: number;
  stored: number;
  options: number;
  lost: number;
  in_flight: number;
  packets_seen: number;
  packets_kept: number;
  packets_lost: number;
  losses: Loss[];
  /** Counters that explain losses and are part of no sum. */
  notes: Loss[];
}

export interface Flows {
  rows: Row[];
  matched: number;
  sampling: string;
  window: WindowMs;
  completeness: Completeness;
}

export interface Series {
  key: Row;
  values: number[];
  approx: boolean;
}

export interface SeriesAnswer {
  times_ms: number[];
  step_ms: number;
  series: Series[];
  others: number[];
  group_count: number;
  sampling: string;
  window: WindowMs;
}

export interface NodePort {
  port: number;
  proto: number;
  service: string;
  /** What clients ask for where that is another port, as a Service's; several where several lead here. */
  asked_ports: number[];
}

export interface TopologyNode {
  id: string;
  namespace: string;
  owner: string;
  owner_kind: string;
  kind: string;
  layer: string;
  ports: NodePort[];
}

/** What goes wrong on an edge; `words` is a sentence. */
export interface Trouble {
  kind: "refused" | "unanswered" | "turned_back" | "silent" | "slow_reader" | "drops" | "retransmits" | "rtt" | "dns_unanswered" | "dns" | "server_time";
  words: string;
  cause: string;
  /** How many connections, packets or questions; of a latency, its milliseconds. */
  count: number;
  /** Where to look next. */
  advice: string;
  /** When it was seen first and last, ms since 1970; a latency that still is long has no last time. 0: not known. */
  since_ms: number;
  last_ms: number;
  /** Something does not arrive, is late, or it is too small to be felt (`query/gravity.py`). */
  gravity: "failing" | "slow" | "small";
  /** Not seen any more at the end of the time range. */
  over: boolean;
}

/** From client `src` to server `dst` (node ids), both directions together. */
export interface TopologyEdge {
  src: string;
  dst: string;
  /** Where the server listens. */
  dst_port: number | null;
  /** What clients were seen to ask for where that is another port, as a Service's; in ascending order. */
  asked_ports: number[];
  dst_service: string;
  proto: number;
  bytes: number;
  packets: number;
  flows: number;
  rate_bps: number;
  bytes_to_server: number;
  bytes_to_client: number;
  retransmits: number;
  drop_packets: number;
  rtt_avg_ns: number | null;
  approx: boolean;
  /** Relative 95 % error of `bytes`; null: none can be given. */
  error: number | null;
  /** The gravest first. */
  troubles: Trouble[];
  /** Between two namespaces: of applications, or to or from infrastructure. */
  crossing: "" | "app" | "infra";
  /** Addresses of ends without a name. */
  src_addrs: Addresses;
  dst_addrs: Addresses;
}

/** Of an end without a name: those with most bytes, of about `count`; 0: it has a name. */
export interface Addresses {
  largest: string[];
  count: number;
}

export interface Topology {
  nodes: TopologyNode[];
  edges: TopologyEdge[];
  edge_count: number;
  /** What the further edges hold together. */
  others: { bytes?: number; packets?: number; flows?: number };
  /** Places in `edges` of those that have troubles, the gravest first. */
  troubled: number[];
  /** What goes on between namespaces, in words; empty: nothing. */
  crossing: string;
  /** Why no trouble can be seen, in words; empty: it can. */
  unseen: string;
  window: WindowMs;
}

export interface FilterProblem {
  message: string;
  at?: number;
  length?: number;
  suggestion?: string;
}

/** One part of a filter that can be taken away: its text, and the filter without it. */
export interface Chip {
  text: string;
  without: string;
}

export interface FilterCheck {
  ok: boolean;
  error: FilterProblem | null;
  canonical: string;
  chips: Chip[];
}

/** A completion: `insert` replaces the characters from `at` to `at + length`. */
export interface Completion {
  insert: string;
  label: string;
  kind: string;
  help: string;
  share?: number | null;
  at: number;
  length: number;
}

export interface LedgerComponent {
  component: string;
  instance: string;
  counters: { name: string; unit: string; side: string; help: string; change: number; value: number }[];
}

export interface Ledger {
  components: LedgerComponent[];
  window: WindowMs;
  completeness: Completeness;
}

export interface Status {
  version: string;
  now_ms: number;
  cluster: string;
  store: { answers: boolean; engine?: string; rows?: number; disk_bytes?: number; oldest_ms?: number; newest_ms?: number; problem: string };
  collector: { answers: boolean; silent: boolean; problem?: string; exporters?: Exporter[] };
}

/** Who sends flows to the collector: one exporter and observation domain; null where its protocol does not say (`collector/exporter_report.py` has each field). */
export interface Exporter {
  exporter_addr: string;
  obs_domain_id: number;
  name: string;
  flow_format: string;
  socket_addrs: string[];
  flows: number;
  flows_per_s: number;
  last_seen_ms: number;
  /** One of how many packets it looks at; 0: not known. */
  sampling: number;
  sampling_source: string;
  /** The same as its own counts of packets say. */
  effective_sampling: number | null;
  rates: { of: string; rate: number; source: string; effective: number }[];
  sampler_drops: number | null;
  lost_records: number | null;
  lost_datagrams: number | null;
  /** What those datagrams probably held, where only datagrams are numbered (NetFlow v9). */
  lost_records_estimated: number | null;
  late_datagrams: number | null;
  duplicate_datagrams: number | null;
  restarts: number | null;
  /** + is behind. */
  clock_skew_ms: number | null;
  templates: number | null;
  provisional_templates: number;
  template_refresh_s: number | null;
  /** Sets of data whose template has not come yet. */
  waiting_sets: number;
  waiting_s: number;
  interface_names: number;
  said: Record<string, number>;
  /** One sentence, or empty. */
  advice: string;
}

/** Something that a node's kernel had no room for, dropped or found damaged (`query/nodes.py`, Sign). */
export interface NodeSign {
  counter: string;
  /** Of which device; empty: of the node. */
  device: string;
  count: number;
  /** A sentence. */
  words: string;
  /** What it comes from and what to do. */
  advice: string;
  last_ms: number;
  /** Whether the node told of itself since, and nothing more of this. */
  over: boolean;
}

/** One node within a time range; `counters` and `devices` are by how much each went up. */
export interface NodeCongestion {
  node: string;
  conntrack_entries: number;
  conntrack_entries_max: number;
  counters: Record<string, number>;
  devices: Record<string, Record<string, number>>;
  signs: NodeSign[];
  told_ms: number;
}

export interface Nodes {
  nodes: NodeCongestion[];
  window: WindowMs;
}

/** One node step by step (`query/node_history.py`); null: nothing was heard of it then. */
export interface NodeHistory {
  node: string;
  counters: Record<string, (number | null)[]>;
  tracked: (number | null)[];
  heard: boolean[];
  first_ms: number;
}

export interface NodesHistory {
  nodes: NodeHistory[];
  times_ms: number[];
  step_ms: number;
  window: WindowMs;
}

/** Flows that stay until they are removed, whatever their age. */
export interface Dataset {
  name: string;
  flows: number;
  disk_bytes: number;
  oldest_ms: number;
  newest_ms: number;
}

export interface Exporters {
  now_ms: number;
  exporters: Exporter[];
}

/** What a node keeps of packet heads (`agent/heads.py`, Standing); all but `node` and `problem` are missing when it does not answer. */
export interface HeadsNode {
  node: string;
  problem: string;
  kept?: boolean;
  refused?: string;
  frozen?: boolean;
  size_bytes?: number;
  packets?: number;
  oldest_ms?: number | null;
}
