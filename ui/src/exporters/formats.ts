// SPDX-License-Identifier: Apache-2.0
// Names of the formats in which flows arrive, as people write them.
const NAMES: Record<string, string> = {
  netflow1: "NetFlow v1",
  netflow5: "NetFlow v5",
  netflow7: "NetFlow v7",
  netflow9: "NetFlow v9",
  ipfix: "IPFIX",
  sflow5: "sFlow",
  agent: "agent (IPFIX)",
};

export const formatName = (format: string): string => NAMES[format] ?? format;
