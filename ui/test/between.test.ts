// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { between, pairsOf } from "../src/format/between";
import { parseView } from "../src/state/view";
import { BATCH, DJANGO, DNS, edge, FLOW_DEMO, POSTGRES, topologyOf } from "./scene";

describe("traffic between namespaces", () => {
  it("is of workloads of different namespaces; infrastructure is counted apart", () => {
    const infra = { ...DNS, layer: "infra" };
    const scene = topologyOf([DJANGO, POSTGRES, infra, BATCH], [edge(DJANGO, POSTGRES, 5432), edge(DJANGO, infra, 53, 17), edge(BATCH, POSTGRES, 5432)]);
    const found = between(scene);
    expect(found.edges.map((one) => one.src)).toEqual([BATCH.id]);
    expect(found.infra).toBe(1);
  });

  it("does not know nodes, the outside and addresses without a name", () => {
    expect(between(FLOW_DEMO).edges.map((one) => [one.src, one.dst])).toEqual([[DJANGO.id, DNS.id], [BATCH.id, POSTGRES.id]]);
  });

  it("is named by its namespaces, each pair once", () => {
    const edges = [edge(BATCH, POSTGRES, 5432), edge(BATCH, DJANGO, 8080), edge(DJANGO, DNS, 53, 17)];
    expect(pairsOf(FLOW_DEMO, edges)).toEqual(["other-team → flow-demo", "flow-demo → openshift-dns"]);
  });

  it("has a tab of its own in the address", () => {
    expect(parseView("?tab=between").tab).toBe("between");
    expect(parseView("?tab=nonsense").tab).toBe("flows");
  });
});
