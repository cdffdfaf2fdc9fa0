// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { NodeHistory } from "../src/api/types";
import { countWords, lackWords, problems, sinceStep, sinceWords, together } from "../src/nodes/history";
import { onTheDayOf } from "./scene";

const STEP = 30_000;
const TIMES = [0, 1, 2, 3, 4].map((step) => 1_795_646_940_000 + step * STEP);
const HEARD = [true, true, false, true, true];
const history = (more: Partial<NodeHistory> = {}): NodeHistory => ({
  node: "a", tracked: [0.1, 0.2, null, 0.9, 0.3], heard: HEARD, first_ms: TIMES[0]!,
  counters: { cpu_dropped_packets: [0, 7, null, 5, 0], listen_overflows: [0, 0, null, 1, 0], cpu_squeezed: [9, 9, null, 9, 9] }, ...more,
}); // prettier-ignore
const at = (step: number): string => new Date(TIMES[step]!).toTimeString().slice(0, 8);

describe("a node's history", () => {
  onTheDayOf(TIMES[0]!);

  it("has counters of a kind together, and nothing where nothing was heard", () => {
    expect(together(history(), ["listen_overflows", "tcp_backlog_overflows"])).toEqual([0, 0, null, 1, 0]);
    expect(problems(history())).toEqual([0, 7, null, 6, 0]);
  });

  it("says since when something goes on: not being heard does not end it", () => {
    expect(sinceStep([0, 7, null, 6, 2])).toBe(1);
    expect(sinceStep([3, 0, 4, 4])).toBe(2);
    expect(sinceStep([0, null])).toBe(-1);
    expect(sinceWords([0, 7, null, 6, 2], TIMES, STEP)).toBe(`since ${at(1)}`);
    expect(sinceWords([0, 7, null, 6, null], TIMES, STEP)).toBe(`since ${at(1)}`);
  });

  it("says when it was, of what is over", () => {
    expect(sinceWords([0, 7, 0, 6, 0], TIMES, STEP)).toBe(`${at(3)} – ${at(4)}`);
    expect(countWords([0, 7, null, 6, 0], TIMES, STEP)).toBe(`13, ${at(1)} – ${at(4)}, at most 7 in 30 s`);
    expect(countWords([0, 0], TIMES, STEP)).toBe("none");
  });

  it("says in words what there is no history of", () => {
    expect(lackWords(undefined, TIMES, STEP)).toMatch(/^There is no history of it/);
    expect(lackWords(history({ heard: [false, false, false, false, true], first_ms: TIMES[4]! }), TIMES, STEP)).toBe(`There is no history of it yet: its agent was heard first at about ${at(4)}.`);
    expect(lackWords(history({ heard: [false, false, true, true, true], first_ms: TIMES[2]! }), TIMES, STEP)).toMatch(new RegExp(`^It was heard first at about ${at(2)};`));
    expect(lackWords(history(), TIMES, STEP)).toBe("Nothing was heard of it in 1 step of 30 s, which are grey.");
    expect(lackWords(history({ heard: [true, true, true, true, false] }), TIMES, STEP)).toBe("");
  });
});
