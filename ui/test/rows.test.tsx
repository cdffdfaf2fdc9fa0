// SPDX-License-Identifier: Apache-2.0
import { renderHook } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { rowsOf } from "../src/api/live";
import type { Row } from "../src/api/types";
import { merged, useTail } from "../src/flows/rows";

const row = (ms: number, port = 1000, more: Row = {}): Row => ({ time_end_ns: ms * 1e6, src_addr: "10.0.0.1", dst_addr: "10.0.0.2", src_port: port, dst_port: 80, proto: 6, ...more });
const stored = (...rows: Row[]) => ({ rows, window: { from_ms: 1, to_ms: 10_000 } });
const ports = (rows: { row: Row }[]) => rows.map((one) => one.row.src_port);

describe("stored and live rows", () => {
  it("are newest first, each once, the stored one with all its columns", () => {
    const rows = merged(stored(row(2000, 2, { src_zone: "zone-1" }), row(1000, 1)), [row(3000, 3), row(2000, 2)]);
    expect(ports(rows)).toEqual([3, 2, 1]);
    expect(rows[1]!.row.src_zone).toBe("zone-1");
  });

  it("leave out other observations of counted packets", () => {
    expect(merged(undefined, [row(1, 1, { duplicate_of: "far_end" }), row(1, 2, { duplicate_of: "counted" })])).toHaveLength(1);
  });

  it("leave the table when they are older than its range", () => {
    expect(ports(merged({ rows: [], window: { from_ms: 2000, to_ms: 9000 } }, [row(1999, 1), row(2000, 2)]))).toEqual([2]);
  });

  it("of the stream may be lists beside their columns", () => {
    expect(rowsOf({ columns: ["proto", "bytes"], rows: [[6, 10]], matched: 1, skipped: 0 })).toEqual([{ proto: 6, bytes: 10 }]);
  });
});

describe("the tail", () => {
  const older = merged(stored(row(1000, 1)), []);
  const newer = merged(stored(row(1000, 1), row(2000, 2), row(3000, 3)), []);

  it("stands still while paused and says how many wait, then catches up", () => {
    const hook = renderHook(({ rows, paused, question }) => useTail(rows, paused, question), { initialProps: { rows: older, paused: false, question: "q" } });
    hook.rerender({ rows: newer, paused: true, question: "q" });
    expect([ports(hook.result.current.rows), hook.result.current.waiting]).toEqual([[1], 2]);
    hook.rerender({ rows: newer, paused: false, question: "q" });
    expect([ports(hook.result.current.rows), hook.result.current.waiting]).toEqual([[3, 2, 1], 0]);
  });

  it("does not hold back the answer to another question", () => {
    const hook = renderHook(({ rows, question }) => useTail(rows, true, question), { initialProps: { rows: older, question: "a" } });
    hook.rerender({ rows: newer, question: "b" });
    expect(hook.result.current.rows).toBe(newer);
  });
});
