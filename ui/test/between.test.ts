// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { between } from "../src/format/between";
import { parseView } from "../src/state/view";
import { BATCH, DJANGO, DNS, edge, POSTGRES } from "./scene";

describe("traffic between namespaces", () => {
  it("is what the server says crosses; infrastructure is counted apart", () => {
    const edges = [edge(DJANGO, POSTGRES, 5432), { ...edge(DJANGO, DNS, 53, 17), crossing: "infra" as const }, { ...edge(BATCH, POSTGRES, 5432), crossing: "app" as const }];
    const found = between({ edges });
    expect(found.edges.map((one) => one.src)).toEqual([BATCH.id]);
    expect(found.infra).toBe(1);
  });

  it("has a tab of its own in the address", () => {
    expect(parseView("?tab=between").tab).toBe("between");
    expect(parseView("?tab=nonsense").tab).toBe("flows");
  });
});
