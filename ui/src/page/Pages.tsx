// SPDX-License-Identifier: Apache-2.0
// Which page an address is of; what nobody knows is the traffic.
import { useAddress } from "../state/address";
import { ExportersPage } from "./ExportersPage";
import { TrafficPage } from "./TrafficPage";

export function Pages() {
  return useAddress().startsWith("/exporters") ? <ExportersPage /> : <TrafficPage />;
}
