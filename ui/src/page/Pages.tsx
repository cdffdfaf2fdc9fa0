// SPDX-License-Identifier: Apache-2.0
// Which page an address is of; what nobody knows is the traffic.
import { useAddress } from "../state/address";
import { ExportersPage } from "./ExportersPage";
import { NodesPage } from "./NodesPage";
import { PacketsPage } from "./PacketsPage";
import { TrafficPage } from "./TrafficPage";

export function Pages() {
  const address = useAddress();
  if (address.startsWith("/exporters")) return <ExportersPage />;
  if (address.startsWith("/nodes")) return <NodesPage />;
  return address.startsWith("/packets") ? <PacketsPage /> : <TrafficPage />;
}
